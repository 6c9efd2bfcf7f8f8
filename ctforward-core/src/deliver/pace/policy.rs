use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How a [`Pacer`](super::Pacer) paces the requests to a sink.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PacePolicy {
    /// Requests under way that are always allowed. Default 1.
    pub floor: usize,
    /// Requests under way that are allowed at the start. Default 2.
    pub start: usize,
    /// Requests under way that are never exceeded. Default 4.
    pub ceiling: usize,
    /// Answers that take this many times as long as the quickest to a request of
    /// like size, smoothed over several answers, count as a sink at its limit.
    /// Default 2.
    pub latency_rise: f64,
    /// An answer at most this much later than the quickest never counts as slow:
    /// the noise of a fast sink says nothing. Default 100 ms.
    pub latency_noise: Duration,
    /// How far back the quickest answer is looked for: at least this, and less
    /// than twice as far. Default 60 s.
    pub latency_window: Duration,
    /// Bytes of framed bodies a second, on average. A batch is never too large for
    /// it: those behind it wait until it is paid for. Default none.
    pub bytes_per_second: Option<u64>,
    /// Requests a second, on average. Default none.
    pub requests_per_second: Option<f64>,
    /// Failures that may pass (throttled, timeouts, unavailable) in a row, over all
    /// batches, that open the breaker. Default 5.
    pub failures: u32,
    /// How long the breaker stays open for the first time. Default 5 s; it doubles
    /// with each probe that fails, and up to a tenth is added by chance.
    pub open_for: Duration,
    /// The longest time that `open_for` grows to. A Retry-After may be longer.
    /// Default 60 s.
    pub open_cap: Duration,
    /// A Retry-After above this opens the breaker at once, until it has passed;
    /// one up to it holds requests back with the breaker closed. Neither is ever
    /// shortened. Default 30 s.
    pub retry_after_cap: Duration,
    /// What refused credentials and a wrong endpoint do. Default [`Denied::Stop`].
    pub denied: Denied,
    /// Seeds the jitter; `None` takes it from the system.
    pub seed: Option<u64>,
}

/// What a final [`Unauthorized`](ErrorKind::Unauthorized) or
/// [`Config`](ErrorKind::Config) of a sink does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// It stays final: whoever runs must mend the token or the address.
    #[default]
    Stop,
    /// It becomes retryable, the breaker opens for this time, and one request
    /// probes after it, for ever until one is accepted: for what runs for long and
    /// should recover by itself. Give it a [`RetryPolicy`](crate::deliver::RetryPolicy)
    /// that never gives up.
    Probe(Duration),
}

impl Denied {
    /// A probe each minute.
    #[must_use]
    pub fn probe() -> Self {
        Self::Probe(Duration::from_secs(60))
    }
}

impl Default for PacePolicy {
    fn default() -> Self {
        Self {
            floor: 1,
            start: 2,
            ceiling: 4,
            latency_rise: 2.0,
            latency_noise: Duration::from_millis(100),
            latency_window: Duration::from_secs(60),
            bytes_per_second: None,
            requests_per_second: None,
            failures: 5,
            open_for: Duration::from_secs(5),
            open_cap: Duration::from_secs(60),
            retry_after_cap: Duration::from_secs(30),
            denied: Denied::Stop,
            seed: None,
        }
    }
}

impl PacePolicy {
    /// The same policy with other numbers of requests under way.
    #[must_use]
    pub fn with_concurrency(mut self, floor: usize, start: usize, ceiling: usize) -> Self {
        (self.floor, self.start, self.ceiling) = (floor, start, ceiling);
        self
    }

    /// The same policy with another ceiling; floor and start are lowered to it.
    #[must_use]
    pub fn with_ceiling(mut self, ceiling: usize) -> Self {
        self.ceiling = ceiling;
        self.floor = self.floor.min(ceiling);
        self.start = self.start.min(ceiling);
        self
    }

    /// The same policy with another rise of latency, noise that does not count,
    /// and window of the quickest answer.
    #[must_use]
    pub fn with_latency(mut self, rise: f64, noise: Duration, window: Duration) -> Self {
        self.latency_rise = rise;
        self.latency_noise = noise;
        self.latency_window = window;
        self
    }

    /// The same policy with another limit of bytes a second.
    #[must_use]
    pub fn with_bytes_per_second(mut self, rate: Option<u64>) -> Self {
        self.bytes_per_second = rate;
        self
    }

    /// The same policy with another limit of requests a second.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: Option<f64>) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// The same policy with another breaker: failures in a row that open it, for
    /// how long at first, and for how long at most.
    #[must_use]
    pub fn with_breaker(mut self, failures: u32, open_for: Duration, open_cap: Duration) -> Self {
        self.failures = failures;
        self.open_for = open_for;
        self.open_cap = open_cap;
        self
    }

    /// The same policy with another Retry-After above which the breaker opens.
    #[must_use]
    pub fn with_retry_after_cap(mut self, cap: Duration) -> Self {
        self.retry_after_cap = cap;
        self
    }

    /// The same policy with another answer to refused credentials.
    #[must_use]
    pub fn with_denied(mut self, denied: Denied) -> Self {
        self.denied = denied;
        self
    }

    /// The same policy with a fixed seed for its jitter.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let config = |message| Err(Error::new(ErrorKind::Config, "pace", message));
        if self.floor == 0 || self.floor > self.start || self.start > self.ceiling {
            return config("1 <= floor <= start <= ceiling must hold");
        }
        if !(self.latency_rise.is_finite() && self.latency_rise > 1.0) {
            return config("latency_rise must be above 1");
        }
        if self.bytes_per_second == Some(0) {
            return config("bytes_per_second must be at least 1, or none");
        }
        if self
            .requests_per_second
            .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        {
            return config("requests_per_second must be above 0, or none");
        }
        if self.failures == 0 || self.open_for.is_zero() || self.open_cap < self.open_for {
            return config("failures >= 1 and 0 < open_for <= open_cap must hold");
        }
        if self.denied == Denied::Probe(Duration::ZERO) {
            return config("the time between two probes must be above 0");
        }
        Ok(())
    }

    pub(super) fn rng(&self) -> fastrand::Rng {
        self.seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }
}
