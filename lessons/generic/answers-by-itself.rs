//! Wrong in every stage: it answers every request by itself, as a web server
//! would, and has no backend behind it.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<()> {
    let listen = std::env::var("LAB_LISTEN").unwrap_or_else(|_| "127.0.0.1:6188".to_owned());
    for client in TcpListener::bind(listen)?.incoming() {
        let client = client?;
        std::thread::spawn(move || serve(client));
    }
    Ok(())
}

/// Answers the requests of a connection until the client closes it.
fn serve(mut client: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        // The head, up to the empty line.
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            let Some((name, value)) = field.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        let name = std::env::var("LAB_PROXY_NAME").unwrap_or_else(|_| "pingora-lab".to_owned());
        let body = if request.starts_with("HEAD ") { "" } else { "hello\n" };
        write!(
            client,
            "HTTP/1.1 200 OK\r\nX-Proxy: {name}\r\nX-Load-Balancer: round-robin\r\n\
             Content-Type: text/plain\r\nContent-Length: 6\r\n\r\n{body}"
        )?;
    }
}
