use std::time::Duration;

/// How often and how long to try again what may pass later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The first pause is up to this long. Default 200 ms.
    pub base: Duration,
    /// No pause of our own is longer than this. A Retry-After may be. Default 30 s.
    pub cap: Duration,
    /// Without an accepted batch for this long, delivery is given up. Default 15 minutes;
    /// `None` never gives up.
    pub give_up_after: Option<Duration>,
    /// Seeds the jitter; `None` takes it from the system.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(30),
            give_up_after: Some(Duration::from_secs(15 * 60)),
            seed: None,
        }
    }
}

impl RetryPolicy {
    /// The same policy with another first pause and longest pause.
    #[must_use]
    pub fn with_pauses(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }

    /// The same policy with another time after which delivery is given up.
    #[must_use]
    pub fn with_give_up_after(mut self, after: Option<Duration>) -> Self {
        self.give_up_after = after;
        self
    }

    /// The same policy with a fixed seed for its jitter.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(crate) fn rng(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    /// The longest pause before attempt number `attempt` (the second is 1).
    pub(crate) fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.cap)
    }

    /// A pause with full jitter: anything up to the ceiling, so that many
    /// forwarders that failed together do not come back together.
    pub(crate) fn pause(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        self.ceiling(attempt).mul_f64(rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ceilings_grow_to_the_cap_and_pauses_stay_below(seed: u64, attempt in 1u32..200) {
            let policy = RetryPolicy::default();
            let mut rng = fastrand::Rng::with_seed(seed);
            prop_assert!(policy.ceiling(attempt) <= policy.ceiling(attempt + 1));
            prop_assert!(policy.ceiling(attempt + 1) <= policy.cap);
            prop_assert!(policy.pause(attempt, &mut rng) <= policy.ceiling(attempt));
        }
    }
}
