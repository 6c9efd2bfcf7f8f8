use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The weight of one answer in the smoothed rise: three very slow ones in a row
/// are needed to count.
const WEIGHT: f64 = 0.15;

/// Sees a sink's answers become slow.
///
/// A large batch takes longer than a small one, so each answer is compared with
/// the quickest to a request of like size (the same power of two).
#[derive(Debug)]
pub(super) struct Latency {
    rise: f64,
    noise: Duration,
    window: Duration,
    best: BTreeMap<u32, Best>,
    /// How many times as long as the quickest answers take.
    smoothed: f64,
}

/// The quickest of this window and of the one before.
#[derive(Debug)]
struct Best {
    since: Instant,
    current: Duration,
    previous: Option<Duration>,
}

impl Best {
    fn take(&mut self, took: Duration, now: Instant, window: Duration) -> Duration {
        let age = now.saturating_duration_since(self.since);
        if age >= window {
            self.previous = (age < window.saturating_mul(2)).then_some(self.current);
            self.current = took;
            self.since = now;
        }
        self.current = self.current.min(took);
        self.previous.map_or(self.current, |p| p.min(self.current))
    }
}

impl Latency {
    pub(super) fn new(rise: f64, noise: Duration, window: Duration) -> Self {
        Self {
            rise,
            noise,
            window,
            best: BTreeMap::new(),
            smoothed: 1.0,
        }
    }

    /// Takes note of an answer; whether answers have become slow.
    pub(super) fn slow(&mut self, took: Duration, bytes: usize, now: Instant) -> bool {
        let size = bytes.max(1).ilog2();
        let best = self.best.entry(size).or_insert(Best {
            since: now,
            current: took,
            previous: None,
        });
        let best = best.take(took, now, self.window);
        let times = if took.saturating_sub(best) <= self.noise {
            1.0
        } else {
            let best = best.as_secs_f64().max(1e-9);
            // One answer that took for ever is one answer.
            (took.as_secs_f64() / best).min(2.0 * self.rise)
        };
        self.smoothed += WEIGHT * (times - self.smoothed);
        self.smoothed > self.rise
    }

    /// Forgets how slow it was: what comes next is at another pace.
    pub(super) fn forget(&mut self) {
        self.smoothed = 1.0;
    }
}
