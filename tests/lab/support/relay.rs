// Passes bytes on, both ways, to the first backend; without it the answer is 502. It
// knows nothing of health, by which a real proxy may answer otherwise. Each direction of
// each connection has a thread of its own: whoever is silent, or does not read, holds up
// nobody else.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

fn main() {
    let setting = |name: &str| std::env::var(name).expect("the judge sets it");
    let backends = setting("LAB_BACKENDS");
    let backend = backends.split(',').next().expect("the first of them");
    let listener = TcpListener::bind(setting("LAB_LISTEN")).expect("a free port");
    loop {
        let (client, _) = listener.accept().expect("a client");
        let backend = backend.to_owned();
        thread::spawn(move || match TcpStream::connect(backend) {
            Ok(server) => relay(client, server),
            Err(_) => refuse(client),
        });
    }
}

fn relay(client: TcpStream, server: TcpStream) {
    let (from_client, from_server) = (client.try_clone(), server.try_clone());
    let (Ok(from_client), Ok(from_server)) = (from_client, from_server) else { return };
    thread::spawn(move || pass_on(from_server, client));
    pass_on(from_client, server);
}

// Until the one has said all, which the other is told; what is on its way back goes on.
// If the other takes nothing any more, nothing more is read.
fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    if copy(&mut from, &mut to).is_err() {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn refuse(mut client: TcpStream) {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut bytes) {
            Ok(read @ 1..) => head.extend_from_slice(&bytes[..read]),
            _ => return,
        }
    }
    let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let _ = client.write_all(answer.as_bytes());
    // A reset, which unread bytes would be answered with, could overtake the answer.
    let _ = client.shutdown(Shutdown::Write);
    while client.read(&mut bytes).is_ok_and(|read| read > 0) {}
}
