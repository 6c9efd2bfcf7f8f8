use std::time::Duration;

use tokio::time::Instant;

use super::PacePolicy;
use super::latency::Latency;

/// How many requests may be under way: one more for each round of good answers
/// while all were used, half as many as soon as the sink shows that it is at its
/// limit.
#[derive(Debug)]
pub(super) struct Limiter {
    floor: usize,
    ceiling: usize,
    limit: usize,
    /// Good answers since the limit changed, while all of it was used.
    good: usize,
    lowered_at: Option<Instant>,
    latency: Latency,
}

impl Limiter {
    pub(super) fn new(policy: &PacePolicy) -> Self {
        Self {
            floor: policy.floor,
            ceiling: policy.ceiling,
            limit: policy.start,
            good: 0,
            lowered_at: None,
            latency: Latency::new(
                policy.latency_rise,
                policy.latency_noise,
                policy.latency_window,
            ),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A request was answered well; `under_way` counts it too.
    pub(super) fn answered(&mut self, began: Instant, bytes: usize, under_way: usize) {
        if self.is_old(began) {
            return;
        }
        let now = Instant::now();
        let took: Duration = now.saturating_duration_since(began);
        if self.latency.slow(took, bytes, now) {
            self.lower(began);
        } else if under_way >= self.limit {
            self.good += 1;
            if self.good >= self.limit {
                self.good = 0;
                self.limit = (self.limit + 1).min(self.ceiling);
            }
        }
    }

    /// The sink is at its limit, says the answer to a request that began at `began`.
    pub(super) fn lower(&mut self, began: Instant) {
        if self.is_old(began) {
            return;
        }
        self.limit = (self.limit / 2).max(self.floor);
        self.good = 0;
        self.lowered_at = Some(Instant::now());
        self.latency.forget();
    }

    /// Whether the request began before the limit was lowered: what comes of it
    /// says nothing of the lower one, and one round trip lowers it once.
    fn is_old(&self, began: Instant) -> bool {
        self.lowered_at.is_some_and(|lowered| began <= lowered)
    }
}
