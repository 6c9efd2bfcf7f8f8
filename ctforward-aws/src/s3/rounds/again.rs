//! Listings that failed and are tried again a little later, beside the others.

use std::time::Duration;

use ctforward_core::{Error, Retry};
use tokio::time::Instant;

/// So often a listing is tried in one round.
const ATTEMPTS: u32 = 5;

/// So many wait at most: where more fail, it is not the single listing's matter.
const WAITING: usize = 1000;

/// The longest pause; what asks for a longer one has it until the next round.
const LONGEST: Duration = Duration::from_secs(60);

/// What waits for its next attempt.
pub(super) struct Again<T> {
    waiting: Vec<(Instant, T)>,
    pause: Duration,
}

impl<T> Again<T> {
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            waiting: Vec::new(),
            pause,
        }
    }

    /// Keeps what failed for the `attempts`th time in a row; gives it back where it
    /// is not to be tried again in this round.
    pub(super) fn keep(&mut self, what: T, attempts: u32, error: &Error) -> Result<(), T> {
        let pause = match error.retry() {
            Retry::Never => return Err(what),
            Retry::After(told) => told,
            Retry::Backoff => {
                let most = self
                    .pause
                    .saturating_mul(1 << attempts.min(10))
                    .min(LONGEST);
                most.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        };
        if attempts >= ATTEMPTS || pause > LONGEST || self.waiting.len() >= WAITING {
            return Err(what);
        }
        self.waiting.push((Instant::now() + pause, what));
        Ok(())
    }

    /// Something whose time has come.
    pub(super) fn due(&mut self) -> Option<T> {
        let now = Instant::now();
        let at = self.waiting.iter().position(|(due, _)| *due <= now)?;
        Some(self.waiting.swap_remove(at).1)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|(due, _)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use ctforward_core::ErrorKind;

    use super::*;

    fn error(retry: Retry) -> Error {
        Error::new(ErrorKind::Unavailable, "test", "x").with_retry(retry)
    }

    #[tokio::test]
    async fn what_failed_comes_when_its_time_has_come_and_not_for_ever() {
        let mut again = Again::new(Duration::from_millis(20));
        assert_eq!(again.keep(1, 1, &error(Retry::Never)), Err(1));
        assert_eq!(again.keep(2, ATTEMPTS, &error(Retry::Backoff)), Err(2));
        let long = Retry::After(Duration::from_secs(61));
        assert_eq!(again.keep(3, 1, &error(long)), Err(3));
        again.keep(4, 1, &error(Retry::Backoff)).unwrap();
        let due = again.next().unwrap();
        assert!(due <= Instant::now() + Duration::from_millis(40));
        tokio::time::sleep_until(due).await;
        assert_eq!(again.due(), Some(4));
        assert_eq!(again.next(), None);
        for n in 0..WAITING {
            again.keep(n, 1, &error(Retry::Backoff)).unwrap();
        }
        assert_eq!(again.keep(7, 1, &error(Retry::Backoff)), Err(7));
    }
}
