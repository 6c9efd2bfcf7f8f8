//! The times of one call, as plain arithmetic.

use std::time::Duration;

/// What is left of a call, and when things are to be done so that its answer is in time.
///
/// All are spans from the moment of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// Until the call is cut off.
    pub left: Duration,
    /// Until nothing new is begun.
    pub stop: Duration,
    /// How long what is under way may take after that.
    pub drain: Duration,
    /// Until what is still under way is left as it is, and the answer is made.
    pub answer: Duration,
}

/// Where no deadline is known that could be meant, a call has so long.
const UNKNOWN: Duration = Duration::from_secs(60);

/// A deadline that passed longer ago than this is none: a call never runs on for so long
/// after it. (An emulator counts its deadlines from 1970.)
const LONG_AGO: Duration = Duration::from_secs(3600);

impl Times {
    /// The times of a call that is cut off at `deadline`, asked at `now`, both in
    /// milliseconds since 1970 (`Lambda-Runtime-Deadline-Ms` of the Runtime API). It stops
    /// `stop_before` earlier, or when half of it is over, if that is later.
    ///
    /// A deadline that passed an hour ago or more is taken for none that was meant, and the
    /// call has a minute.
    #[must_use]
    pub fn of(deadline: u64, now: u64, stop_before: Duration) -> Self {
        let late = Duration::from_millis(now.saturating_sub(deadline));
        let left = if late >= LONG_AGO {
            UNKNOWN
        } else {
            Duration::from_millis(deadline.saturating_sub(now))
        };
        Self::within(left, stop_before)
    }

    /// The times of a call that is cut off in so long.
    #[must_use]
    pub fn within(left: Duration, stop_before: Duration) -> Self {
        let before = stop_before.min(left / 2);
        Self {
            left,
            stop: left.saturating_sub(before),
            drain: before / 2,
            answer: left.saturating_sub(before / 5),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STOP: Duration = Duration::from_secs(10);

    #[test]
    fn a_call_stops_before_its_deadline_and_a_short_one_at_half() {
        let times = Times::of(1_000_000 + 60_000, 1_000_000, STOP);
        let seconds = [times.left, times.stop, times.drain, times.answer];
        assert_eq!(seconds.map(|span| span.as_secs()), [60, 50, 5, 58]);
        let times = Times::of(1_000_000 + 4_000, 1_000_000, STOP);
        assert_eq!(times.stop, Duration::from_secs(2));
        let over = Times::of(1_000_000, 1_000_500, STOP);
        assert_eq!((over.left, over.stop), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_deadline_of_1970_is_none() {
        let times = Times::of(600_000, 1_760_000_000_000, STOP);
        assert_eq!(times.left, UNKNOWN);
    }

    proptest! {
        #[test]
        fn the_order_of_the_times_holds(left in 0u64..1_000_000, before in 0u64..1_000) {
            let times = Times::within(Duration::from_millis(left), Duration::from_secs(before));
            prop_assert!(times.stop + times.drain <= times.answer);
            prop_assert!(times.answer <= times.left);
            prop_assert!(times.stop >= times.left / 2);
        }
    }
}
