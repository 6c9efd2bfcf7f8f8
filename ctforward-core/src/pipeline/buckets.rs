//! Buckets that may not be read at the moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Retry};

/// How many files of a bucket in a row are denied before it is left alone.
const DENIED: u32 = 3;

/// How long it is left alone, until one of its files is tried again.
const PAUSE: Duration = Duration::from_secs(60);

/// Leaves a bucket alone whose files are denied, one after the other: asking for
/// each of thousands would change nothing. None of them is lost, they are given back.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<HashMap<String, Denials>>);

#[derive(Debug)]
struct Denials {
    in_a_row: u32,
    until: Instant,
    error: Error,
}

impl Buckets {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Denials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file of the bucket could not be read for want of a permission.
    pub(super) fn denied(&self, bucket: &str, error: &Error) {
        let mut buckets = self.lock();
        let denials = buckets.entry(bucket.to_owned()).or_insert(Denials {
            in_a_row: 0,
            until: Instant::now(),
            error: error.duplicate(),
        });
        denials.in_a_row += 1;
        if denials.in_a_row >= DENIED {
            denials.until = Instant::now() + PAUSE;
            denials.error = error.duplicate();
            metrics::counter!("ctforward_bucket_denied_total").increment(1);
            tracing::error!(bucket = %crate::text::printable(bucket), %error, "the bucket is left alone for a minute");
        }
    }

    /// A file of the bucket could be opened.
    pub(super) fn opened(&self, bucket: &str) {
        let mut buckets = self.lock();
        if !buckets.is_empty() {
            buckets.remove(bucket);
        }
    }

    /// Why no file of the bucket is opened now, if so.
    pub(super) fn closed(&self, bucket: &str) -> Option<Error> {
        let mut buckets = self.lock();
        let denials = buckets.get_mut(bucket)?;
        let left = denials.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The next one is tried; if it is denied too, the bucket is left alone again.
            return None;
        }
        Some(denials.error.duplicate().with_retry(Retry::After(left)))
    }

    /// The buckets that are left alone now.
    pub(super) fn names(&self) -> Vec<String> {
        let now = Instant::now();
        let buckets = self.lock();
        let closed = buckets.iter().filter(|(_, denials)| denials.until > now);
        let mut names: Vec<String> = closed.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_denied_three_times_is_left_alone_for_a_minute_and_others_are_not() {
        let buckets = Buckets::default();
        let error = Error::new(ErrorKind::Unauthorized, "s3", "AccessDenied");
        buckets.denied("b", &error);
        buckets.denied("b", &error);
        assert!(buckets.closed("b").is_none());
        buckets.denied("b", &error);
        assert_eq!(buckets.closed("b").unwrap().retry(), Retry::After(PAUSE));
        assert!(buckets.closed("c").is_none());
        assert_eq!(buckets.names(), ["b"]);
        tokio::time::advance(PAUSE).await;
        assert!(buckets.closed("b").is_none());
        buckets.denied("b", &error);
        assert!(buckets.closed("b").is_some(), "one more is enough");
        tokio::time::advance(PAUSE).await;
        buckets.opened("b");
        buckets.denied("b", &error);
        assert!(buckets.closed("b").is_none());
    }
}
