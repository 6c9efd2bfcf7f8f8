//! How often a path may be asked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts calls by path, in spans that begin with a call.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<HashMap<&'static str, (Instant, u32)>>);

impl Limiter {
    /// Counts a call; the rest of the span where it is one too many.
    pub(super) fn take(&self, path: &'static str, most: u32, span: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, count) = counts.entry(path).or_insert((now, 0));
        if now.duration_since(*start) >= span {
            (*start, *count) = (now, 0);
        }
        if *count < most {
            *count += 1;
            return None;
        }
        Some(span.saturating_sub(now.duration_since(*start)))
    }
}
