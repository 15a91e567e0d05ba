//! The backend over real sockets, asked by a client that knows only bytes.

mod acts;
mod gates;
mod requests;
mod sockets;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Longer than any event here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn scene() -> (Recorder, RecordingBackend) {
    let recorder = Recorder::new();
    let backend = RecordingBackend::start(&recorder, "backend 1").unwrap();
    (recorder, backend)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Connects, sends this, and reads until the backend closes or resets.
async fn exchange(address: SocketAddr, sent: &[u8]) -> (String, Option<io::ErrorKind>) {
    let mut stream = connect(address).await;
    stream.write_all(sent).await.unwrap();
    rest(&mut stream).await
}

/// What comes until the end, and the error that was the end.
async fn rest(stream: &mut TcpStream) -> (String, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    (String::from_utf8(bytes).unwrap(), read.err().map(|error| error.kind()))
}

/// Exactly this comes next.
async fn expect(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap();
    assert!(read.is_ok(), "{read:?} instead of {expected:?}");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

async fn wait_for<T>(recorder: &Recorder, predicate: impl FnMut(&Log) -> Option<T>) -> T {
    let found = recorder.wait_for(Instant::now() + PATIENCE, predicate).await;
    found.unwrap_or_else(|| panic!("it never stood in the log: {:#?}", recorder.log()))
}

async fn request(recorder: &Recorder) -> Received {
    wait_for(recorder, |log| log.requests().find(|request| request.complete).cloned()).await
}

async fn ending(recorder: &Recorder) -> Closed {
    wait_for(recorder, |log| {
        log.entries().iter().find_map(|entry| match entry {
            Entry::Closed(closed) => Some(closed.clone()),
            _ => None,
        })
    })
    .await
}
