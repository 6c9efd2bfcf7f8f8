use serde::Serialize;

/// Where a [`Pacer`](super::Pacer) is, for pages and reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PaceStatus {
    /// Requests that may be under way at once, at the moment.
    pub concurrency_limit: usize,
    /// Requests under way.
    pub in_flight: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// The circuit breaker.
    pub breaker: BreakerState,
    /// How often the breaker opened, failed probes included.
    pub breaker_opens: u64,
    /// Seconds until anything is sent again, because of the breaker or a Retry-After.
    pub closed_for: Option<f64>,
    /// What opened the breaker, while it is open; printable.
    pub why: Option<String>,
    /// Answers that asked for a slower pace.
    pub throttled: u64,
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// Requests go.
    Closed,
    /// No request goes.
    Open,
    /// Its time is up: one request goes, and its answer decides.
    HalfOpen,
}
