//! How long a request waits for the header of its answer, at most.
//!
//! Pingora limits each read from a backend. One that sends its header byte by byte is
//! never silent for long, and would be waited for without end. So the total limit of a
//! request is kept here: a [`Watched`] request says where and until when it waits, and
//! once that is over its connection to the backend is shut down. The request then
//! learns of it as of a backend that has gone, and its phases find that the total time
//! is over.

use std::cell::Cell;
use std::future::Future;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use nix::sys::socket::{Shutdown, shutdown};

use super::connection::Timer;

/// A wait for a backend.
#[derive(Clone, Copy, Debug)]
struct Wait {
    connection: RawFd,
    until: Instant,
    /// Whether it has been ended for taking too long.
    over: bool,
}

thread_local! {
    /// That of the request whose phases are called now.
    static WAIT: Cell<Option<Wait>> = const { Cell::new(None) };
}

/// A request that is served, by Pingora, which calls the phases.
pub struct Watched<'a, F> {
    request: F,
    wait: Option<Wait>,
    timer: &'a mut Timer,
}

/// From now on the request waits for the header of its answer, over this connection,
/// which nobody else uses, until then.
pub fn begin(connection: RawFd, until: Instant) {
    WAIT.set(Some(Wait { connection, until, over: false }));
}

/// The request waits longer, if it waits: more of it has come.
pub fn extend(until: Instant) {
    WAIT.set(WAIT.take().map(|wait| Wait { until, ..wait }));
}

/// The wait is over. Said before the connection can be anybody else's: with the header
/// of the answer, or with the failure that has closed it. Whether it took too long.
pub fn end() -> bool {
    WAIT.take().is_some_and(|wait| wait.over)
}

// === impl Watched ===

impl<'a, F> Watched<'a, F> {
    /// Serves a request. The timer may be that of the requests before it.
    pub fn new(request: F, timer: &'a mut Timer) -> Self {
        Self { request, wait: None, timer }
    }
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        WAIT.set(this.wait);
        let result = Pin::new(&mut this.request).poll(cx);
        this.wait = WAIT.take();
        if let (Poll::Pending, Some(wait)) = (&result, &mut this.wait)
            && !wait.over
            && this.timer.poll(wait.until, cx).is_ready()
        {
            wait.over = true;
            // The request holds the connection, and can't let it go while it is not
            // polled. It is woken by the end of the connection.
            let _ = shutdown(wait.connection, Shutdown::Both);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;

    /// A connection to somebody who never says anything.
    async fn silent() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener, stream)
    }

    async fn read(mut stream: TcpStream) -> usize {
        stream.read(&mut [0; 8]).await.unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    #[tokio::test]
    async fn a_wait_ends_with_its_connection() {
        let (_listener, stream) = silent().await;
        let request = Box::pin(async {
            begin(stream.as_raw_fd(), Instant::now());
            extend(soon());
            (read(stream).await, end())
        });
        assert_eq!(Watched::new(request, &mut Timer::default()).await, (0, true));
    }

    #[tokio::test]
    async fn who_waits_no_longer_is_left_alone_and_so_are_other_requests() {
        let mut timer = Timer::default();
        let (_listener, stream) = silent().await;
        let request = Box::pin(async {
            begin(stream.as_raw_fd(), soon());
            tokio::task::yield_now().await;
            assert!(!end());
            tokio::time::timeout(Duration::from_millis(120), read(stream)).await.is_err()
        });
        assert!(Watched::new(request, &mut timer).await);
        // The next request of the client, with the timer of the one before.
        let (_listener, stream) = silent().await;
        let request = Box::pin(async {
            tokio::time::timeout(Duration::from_millis(120), read(stream)).await.is_err()
        });
        assert!(Watched::new(request, &mut timer).await);
    }

    #[tokio::test]
    async fn requests_of_one_thread_do_not_see_each_others_waits() {
        let (_listener, stream) = silent().await;
        let mut own = Timer::default();
        let waiting = Box::pin(async {
            begin(stream.as_raw_fd(), Instant::now() + Duration::from_secs(3600));
            tokio::task::yield_now().await;
            WAIT.get().is_some()
        });
        let mut waiting = Watched::new(waiting, &mut own);
        let begun = poll_fn(|cx| Poll::Ready(Pin::new(&mut waiting).poll(cx))).await;
        assert!(begun.is_pending());
        let mut others = Timer::default();
        let other = Box::pin(async { WAIT.get().is_none() });
        assert!(Watched::new(other, &mut others).await);
        assert!(waiting.await);
    }
}
