use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long back a rate looks.
const WINDOW: Duration = Duration::from_secs(60);
/// Counters are kept no more often than so.
const STEP: Duration = Duration::from_secs(1);

/// How much a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Records accepted in a second.
    pub records_per_second: f64,
    /// Bytes of accepted records in a second.
    pub bytes_per_second: f64,
    /// Over so many seconds, up to 60; 0 before there is anything to say.
    pub over_seconds: f64,
}

/// Makes rates of counters that only rise.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<(Instant, u64, u64)>>);

impl Rates {
    /// The counters stand at this many records and bytes now; how fast they rose.
    ///
    /// Call it once a second: between two calls that lie further apart than a
    /// minute, it is the rate of that time.
    pub fn observe(&self, now: Instant, records: u64, bytes: u64) -> Rate {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest of those that are older than the window is where it begins.
        while kept
            .get(1)
            .is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= WINDOW)
        {
            kept.pop_front();
        }
        let first = kept.front().copied().unwrap_or((now, records, bytes));
        let due = |(at, ..): &(Instant, u64, u64)| now.saturating_duration_since(*at) >= STEP;
        if kept.back().is_none_or(due) {
            kept.push_back((now, records, bytes));
        }
        let over = now.saturating_duration_since(first.0).as_secs_f64();
        if over <= 0.0 {
            return Rate::default();
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate to look at")]
        let per = |now: u64, then: u64| now.saturating_sub(then) as f64 / over;
        Rate {
            records_per_second: per(records, first.1),
            bytes_per_second: per(bytes, first.2),
            over_seconds: over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_looks_back_a_minute_and_forgets_what_was_before() {
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(rates.observe(at(0), 0, 0), Rate::default());
        // 100 a second for a minute, then 10 a second.
        for second in 1..=60 {
            rates.observe(at(second), 100 * second, second);
        }
        let rate = rates.observe(at(60), 6000, 60);
        assert_eq!((rate.records_per_second, rate.over_seconds), (100.0, 60.0));
        for second in 61..=120 {
            rates.observe(at(second), 6000 + 10 * (second - 60), 60);
        }
        let rate = rates.observe(at(120), 6600, 60);
        assert_eq!(rate.records_per_second, 10.0);
        assert_eq!(rate.bytes_per_second, 0.0);
    }

    #[test]
    fn many_looks_in_a_second_keep_one_and_memory_stays_small() {
        let (rates, start) = (Rates::default(), Instant::now());
        for tenth in 0..5000 {
            rates.observe(start + Duration::from_millis(100 * tenth), tenth, 0);
        }
        assert!(rates.0.lock().unwrap().len() <= 62);
    }
}
