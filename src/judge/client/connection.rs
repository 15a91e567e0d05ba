//! One connection of the client.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, Reader};
use super::request::Request;
use super::trouble::{Cut, Trouble};

/// One connection, for as many requests as the server takes over it.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    patience: Duration,
    input: BytesMut,
}

// === impl Connection ===

impl Connection {
    /// Where the connection comes from.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Ends the connection with a reset.
    pub fn abort(self) {
        // If it fails, the connection is over already.
        let _ = self.stream.set_zero_linger();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, input: BytesMut::new() }
    }

    /// The same, with this patience.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What it goes over, without what was read of it.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Reads what comes next, until there is so much of it, or the server ends the connection,
    /// or the client's patience does.
    pub async fn read_some(&mut self, count: usize) -> Bytes {
        let reading = async {
            while self.input.len() < count {
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        };
        // What has come by then is what there is.
        let _ = tokio::time::timeout(self.patience, reading).await;
        self.input.split().freeze()
    }

    /// Sends a request and reads its answer. An answer that comes before the
    /// whole request went out is an answer too, but the connection is then not
    /// reusable.
    ///
    /// # Errors
    ///
    /// What there was instead of a complete answer within the client's patience.
    pub async fn send(&mut self, request: &Request) -> Result<Answer, Trouble> {
        self.exchange(&request.to_bytes(), &request.method).await
    }

    /// Sends bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// The system's, or `TimedOut` if the server does not take them within the
    /// client's patience.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(self.patience, self.stream.write_all(bytes)).await?
    }

    /// Reads the answer to a request with this method that was written before.
    ///
    /// # Errors
    ///
    /// What there was instead of a complete answer within the client's patience.
    pub async fn read_answer(&mut self, method: &str) -> Result<Answer, Trouble> {
        self.exchange(&[], method).await
    }

    /// Closes the sending side; an answer can still be read.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Waits until the server ends the connection, and says how: in silence, or
    /// with what it sent before. `None` if it does not within the client's
    /// patience.
    pub async fn end(&mut self) -> Option<Cut> {
        let reading = async {
            loop {
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) => return Cut::Closed,
                    Ok(_) => {}
                    Err(_) => return Cut::Reset,
                }
            }
        };
        tokio::time::timeout(self.patience, reading).await.ok()
    }

    async fn exchange(&mut self, bytes: &[u8], method: &str) -> Result<Answer, Trouble> {
        let begun = Instant::now();
        let mut reader = Reader::new(method);
        let mut left = bytes;
        let exchanged = tokio::time::timeout(
            self.patience,
            exchange(&mut self.stream, &mut self.input, &mut left, &mut reader),
        );
        let result = match exchanged.await {
            Ok(result) => result,
            Err(_) => reader.cut(Cut::PatienceOver(self.patience), &self.input),
        };
        let mut answer = result?;
        answer.took = begun.elapsed();
        answer.reusable &= left.is_empty();
        Ok(answer)
    }
}

/// Writes what is `left` of a request and reads the answer at the same time:
/// a server may answer, or leave, before it has the whole request.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    left: &mut &[u8],
    reader: &mut Reader,
) -> Result<Answer, Trouble> {
    let (mut receiving, mut sending) = tokio::io::split(stream);
    let (mut sends, mut ended) = (true, Cut::Closed);
    loop {
        if let Some(answer) = reader.take(input)? {
            return Ok(answer);
        }
        tokio::select! {
            written = sending.write(left), if sends && !left.is_empty() => match written {
                Ok(count) => {
                    *left = &left[count..];
                    // TLS may still hold it. What keeps it from going out is told by a read.
                    if left.is_empty() {
                        let _ = sending.flush().await;
                    }
                }
                // The server takes no more; it may have answered before. That
                // it reset the connection is told only once.
                Err(error) => {
                    sends = false;
                    if error.kind() == io::ErrorKind::ConnectionReset {
                        ended = Cut::Reset;
                    }
                }
            },
            read = receiving.read_buf(input) => match read {
                Ok(0) => return reader.cut(ended, input),
                Ok(_) => {}
                Err(_) => return reader.cut(Cut::Reset, input),
            },
        }
    }
}
