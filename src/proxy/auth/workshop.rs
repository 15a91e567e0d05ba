//! Work that keeps a processor so long that other requests would have to wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::denial::Denial;
use crate::config::{Count, Span};

/// Threads that may block, of which so many work at the same time.
#[derive(Debug)]
pub struct Workshop {
    places: Arc<Semaphore>,
    max_wait: Duration,
}

/// Leave to work.
#[must_use]
#[derive(Debug)]
pub struct Place(OwnedSemaphorePermit);

// === impl Workshop ===

impl Workshop {
    /// With so many places, each of which is waited for so long at most.
    pub fn new(places: Count, max_wait: Span) -> Self {
        let places = Arc::new(Semaphore::new(places.get() as usize));
        Self { places, max_wait: max_wait.get() }
    }

    /// Waits for a place.
    ///
    /// # Errors
    ///
    /// None was free in time: [`Denial::Busy`].
    pub async fn enter(&self) -> Result<Place, Denial> {
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.max_wait, place).await {
            Ok(Ok(place)) => Ok(Place(place)),
            Ok(Err(_)) | Err(_) => Err(Denial::Busy),
        }
    }
}

// === impl Place ===

impl Place {
    /// Works on a thread that may block. Who goes away meanwhile does not make room for
    /// another: the place is free when the work is done.
    ///
    /// # Errors
    ///
    /// The process is ending: [`Denial::Busy`].
    pub async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Denial> {
        let Self(place) = self;
        let working = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        working.await.map_err(|_| Denial::Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_place_is_taken_until_its_work_is_done_even_if_nobody_waits_for_that() {
        let workshop = Workshop::new(Count::try_from(1).unwrap(), "10ms".parse().unwrap());
        let (done, may_end) = mpsc::channel::<()>();
        let place = workshop.enter().await.unwrap();
        let work = tokio::spawn(place.work(move || may_end.recv()));
        tokio::task::yield_now().await;
        assert_eq!(workshop.enter().await.unwrap_err(), Denial::Busy);
        work.abort();
        assert!(work.await.unwrap_err().is_cancelled());
        assert_eq!(workshop.enter().await.unwrap_err(), Denial::Busy);
        done.send(()).unwrap();
        // However long the thread takes to notice.
        let place = async {
            loop {
                if let Ok(place) = workshop.enter().await {
                    break place;
                }
            }
        };
        assert_eq!(place.await.work(|| 5).await.unwrap(), 5);
        let place = workshop.enter().await.unwrap();
        assert_eq!(place.work(|| panic!("as the test wants")).await, Err::<(), _>(Denial::Busy));
        assert!(workshop.enter().await.is_ok(), "a panic does not keep it");
    }
}
