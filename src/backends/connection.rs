//! One connection: which version of HTTP its client speaks, and its requests.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::frontage::Frontage;

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
///
/// It is closed if the client takes longer than `patience` to send the head of
/// a request, or to begin with another.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    frontage: Frontage,
    patience: Duration,
) {
    // An answer is written in several pieces; waiting for acknowledgements
    // between them would add tens of milliseconds.
    let _ = stream.set_nodelay(true);
    let (mut reader, writer) = stream.into_split();
    // The library can tell the versions apart too, but waits for ever to do so.
    let Ok(Ok(begun)) = tokio::time::timeout(patience, beginning(&mut reader)).await else {
        return;
    };
    let is_http2 = begun == PREFACE;
    let stream = tokio::io::join(Cursor::new(begun).chain(reader), writer);

    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        // A client may close its sending side and still wait for the answer.
        .half_close(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(patience);
    let service = hyper::service::service_fn(move |request| {
        let frontage = frontage.clone();
        async move { Ok::<_, Infallible>(frontage.answer(request, peer).await) }
    });
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%peer, error, "a connection to a lab backend ended early");
    }
}

/// The first bytes: the whole of [`PREFACE`], or enough to tell that it isn't.
async fn beginning(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let mut rest = [0; PREFACE.len()];
        let wanted = &mut rest[begun.len()..];
        let read = reader.read(wanted).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        begun.extend_from_slice(&wanted[..read]);
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::Site;
    use super::*;

    #[tokio::test]
    async fn a_client_that_keeps_us_waiting_is_left() {
        let complete = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let cases: [(&[u8], bool); 5] = [
            (b"", false),
            (b"P", false),
            (b"PRI * HTTP/2.0\r\n", false),
            (b"GET / HTTP/1.1\r\nHo", false),
            // Answered, and then no other request comes.
            (complete, true),
        ];
        for (sent, answered) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            let served =
                serve(stream, peer, Frontage::new(Site::Example), Duration::from_millis(50));
            client.write_all(sent).await.unwrap();
            let mut received = Vec::new();
            let (_, read) = tokio::join!(served, client.read_to_end(&mut received));
            read.unwrap();
            assert_eq!(received.starts_with(b"HTTP/1.1 200 OK"), answered, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn the_version_is_told_however_slowly_it_comes() {
        for (sent, is_http2) in
            [(PREFACE, true), (b"PUT", false), (b"GET", false), (b"PRI * HTTP/2.1", false)]
        {
            let (mut client, mut server) = tokio::io::duplex(1);
            let telling = async {
                // What comes after the bytes that tell is nobody's here.
                let _ = client.write_all(sent).await;
            };
            let begun = tokio::select! {
                begun = beginning(&mut server) => begun.unwrap(),
                () = async { telling.await; std::future::pending().await } => unreachable!(),
            };
            assert!(sent.starts_with(&begun));
            assert_eq!(begun == PREFACE, is_http2, "{begun:?}");
        }
    }
}
