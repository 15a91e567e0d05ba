//! The socket of a client, and what is gathered of an answer before it is sent.
//!
//! Pingora's own stream has a read buffer, which reads of headers and bodies pass by,
//! and clocks that nobody here asks for. This one keeps nothing while a client is idle.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// What is gathered before it is sent, in bytes: the header of an answer and a short
/// body go in one packet.
const GATHERED: usize = 1460;

/// A client's TCP connection.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    digest: Arc<SocketDigest>,
    /// How much may be gathered; TLS has records of its own, and sends an alert without
    /// a flush.
    room: usize,
    /// What has been written and not sent; it has room only while there is something.
    gathered: Vec<u8>,
}

// === impl Socket ===

impl Socket {
    /// Takes over a connection that was accepted from this address. That small writes
    /// go out at once (`TCP_NODELAY`) is up to whoever accepts it. `tls` says whether it
    /// is spoken over it.
    pub fn new(stream: TcpStream, peer: SocketAddr, tls: bool) -> Self {
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // It is new, so that it is empty.
        let _ = digest.peer_addr.set(Some(peer.into()));
        let room = if tls { 0 } else { GATHERED };
        Self { stream, digest: Arc::new(digest), room, gathered: Vec::new() }
    }

    /// Waits until something has come, or the client has gone, without reading it.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Sends what is gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            if sent == self.gathered.len() {
                self.gathered = Vec::new();
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.gathered[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.gathered.drain(..sent);
        result
    }

    /// Gathers bytes, if there is room for all of them.
    fn gather(&mut self, slices: &[IoSlice<'_>], length: usize) -> bool {
        if self.gathered.len() + length > self.room {
            return false;
        }
        self.gathered.reserve_exact(self.room - self.gathered.len());
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        true
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.gather(&[IoSlice::new(bytes)], bytes.len()) {
            return Poll::Ready(Ok(bytes.len()));
        }
        // What is gathered and these bytes go in one call, if the system takes both.
        let waiting = this.gathered.len();
        if waiting > 0 {
            let both = [IoSlice::new(&this.gathered), IoSlice::new(bytes)];
            let sent = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, &both))?;
            if sent > waiting {
                this.gathered = Vec::new();
                return Poll::Ready(Ok(sent - waiting));
            }
            this.gathered.drain(..sent);
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = slices.iter().map(|slice| slice.len()).sum();
        if this.gather(slices, length) {
            return Poll::Ready(Ok(length));
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {
        // That the client has gone first is no news.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl Peek for Socket {}

impl Ssl for Socket {}

impl UniqueID for Socket {
    fn id(&self) -> UniqueIDType {
        self.stream.as_raw_fd()
    }
}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }

    fn get_read_pending_time(&self) -> Duration {
        Duration::ZERO
    }

    fn get_write_pending_time(&self) -> Duration {
        Duration::ZERO
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.digest = Arc::new(digest);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A client's end, and ours.
    async fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        (client, Socket::new(stream, peer, false))
    }

    #[tokio::test]
    async fn small_writes_are_sent_when_they_are_flushed() {
        let (mut client, mut socket) = pair().await;
        socket.write_all(b"header ").await.unwrap();
        socket.write_all(b"body").await.unwrap();
        let mut bytes = [0; 64];
        socket.flush().await.unwrap();
        assert_eq!(client.read(&mut bytes).await.unwrap(), 11);
        assert_eq!(&bytes[..11], b"header body");
        assert_eq!(socket.gathered.capacity(), 0, "nothing is kept");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_sent_in_order() {
        let (mut client, mut socket) = pair().await;
        let mut sent = Vec::new();
        let writing = async {
            for round in 0..300_usize {
                // Around the size of the buffer, and beyond what the system takes.
                let length = [1, 700, 1459, 1460, 1461, 3, 5000, 0, 200_000][round % 9];
                let bytes: Vec<u8> = (0..length).map(|at| (at + round) as u8).collect();
                match round % 2 {
                    0 => socket.write_all(&bytes).await.unwrap(),
                    _ => {
                        let (left, right) = bytes.split_at(length / 3);
                        let mut slices = [IoSlice::new(left), IoSlice::new(right)];
                        let mut slices = &mut slices[..];
                        while slices.iter().any(|slice| !slice.is_empty()) {
                            let count = socket.write_vectored(slices).await.unwrap();
                            IoSlice::advance_slices(&mut slices, count);
                        }
                    }
                }
                if round % 5 == 0 {
                    socket.flush().await.unwrap();
                }
                sent.extend_from_slice(&bytes);
            }
            AsyncWriteExt::shutdown(&mut socket).await.unwrap();
        };
        let reading = async {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received
        };
        let ((), received) = tokio::join!(writing, reading);
        assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    }

    #[tokio::test]
    async fn a_client_that_has_gone_is_an_error_and_no_endless_loop() {
        let (client, mut socket) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        socket.write_all(b"to nobody").await.unwrap();
        let _ = socket.flush().await;
        assert!(socket.write_all(&[0; 10_000]).await.is_err());
    }
}
