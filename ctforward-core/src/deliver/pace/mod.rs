//! The pace of delivery: how many requests go to a sink at once, how fast, and
//! when none goes at all.
//!
//! A [`PaceSink`] wraps the sink that sends, and asks its [`Pacer`] before each
//! request. The layers of a pipeline are `SplitSink(RetrySink(PaceSink(sink)))`:
//! every single request passes here, those of a bisection and every retry
//! included. The two lower layers share the work:
//!
//! - [`RetrySink`](super::RetrySink) belongs to one batch. It sleeps that
//!   batch's own pause (backoff, or the Retry-After its own request was told)
//!   and calls again.
//! - [`PaceSink`] belongs to the sink. Whoever calls waits here, first come
//!   first served, until the breaker, a Retry-After told to anybody, the number
//!   of requests under way and the rate limits let it go.
//!
//! So a pause of one batch never keeps another from being the one that probes
//! an open breaker: the first that is waiting when the time is up goes, and
//! where nobody waits, [`Pacer::admits`] lets one more file in. Pauses do not add
//! up either: both count from the same answer, and the later one holds.

mod breaker;
mod latency;
mod limiter;
mod pacer;
mod policy;
mod rate;
mod sink;
mod state;
mod status;

use std::time::Duration;

use tokio::time::Instant;

pub use pacer::Pacer;
pub use policy::{Denied, PacePolicy};
pub use sink::PaceSink;
pub use status::{BreakerState, PaceStatus};

/// `from` and so much later; where the clock has no such moment, one beyond any run.
fn later(from: Instant, by: Duration) -> Instant {
    let beyond = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(by).unwrap_or_else(|| from + beyond)
}

#[cfg(test)]
mod tests;
