//! The circuit breaker between calls: each call has a pipeline of its own, and what one
//! learned of a sink that is away the next should know before it reads anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Retry};
use jiff::{SignedDuration, Timestamp};

/// The longest that the gate stays shut without being asked to.
const LONGEST: Duration = Duration::from_secs(60);

/// How long it stays shut for the first time.
const FIRST: Duration = Duration::from_secs(5);

/// Open, or shut for a while. By the clock on the wall: a machine that sleeps between
/// calls may hold any other.
#[derive(Debug, Default)]
pub struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shut: Option<(Timestamp, String)>,
    /// How often in a row it was shut.
    times: u32,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is to be begun at `now`, if so, with the time that is left.
    pub fn shut(&self, now: Timestamp) -> Option<Error> {
        let state = self.state();
        let (until, why) = state.shut.as_ref()?;
        let left = Duration::try_from(until.duration_since(now)).ok()?;
        if left.is_zero() {
            return None;
        }
        let why = format!("the sink is left alone for a while: {why}");
        let error = Error::new(ErrorKind::Unavailable, "breaker", why);
        Some(error.with_retry(Retry::After(left)))
    }

    /// Whether the sink accepted nothing since it was last shut.
    pub fn doubts(&self) -> bool {
        self.state().times > 0
    }

    /// The breaker opened in a call, and asks for so long.
    pub fn shut_for(&self, now: Timestamp, asked: Duration, why: &str) {
        let mut state = self.state();
        let own = FIRST.saturating_mul(1 << state.times.min(6)).min(LONGEST);
        state.times += 1;
        let span = SignedDuration::try_from(own.max(asked)).unwrap_or(SignedDuration::MAX);
        let until = now.checked_add(span).unwrap_or(Timestamp::MAX);
        state.shut = Some((until, why.to_owned()));
    }

    /// The sink accepted something, and the breaker did not open.
    pub fn open(&self) {
        *self.state() = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shut_for_longer_each_time_never_shorter_than_asked_and_opens_by_itself() {
        let gate = Gate::default();
        let now = Timestamp::now();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        assert!(gate.shut(now).is_none() && !gate.doubts());
        gate.shut_for(now, Duration::ZERO, "503");
        let error = gate.shut(after(1)).unwrap();
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(4)));
        assert!(gate.shut(after(5)).is_none() && gate.doubts());
        gate.shut_for(now, Duration::ZERO, "503");
        assert!(gate.shut(after(9)).is_some());
        assert!(gate.shut(after(10)).is_none());
        gate.shut_for(now, Duration::from_secs(3600), "429");
        assert!(gate.shut(after(3599)).is_some());
        gate.open();
        assert!(gate.shut(now).is_none() && !gate.doubts());
    }
}
