//! The times of the queue, as plain arithmetic.

use std::time::Duration;

/// A message is held no longer than this after it was received: SQS lets go of it
/// 12 hours after that, whatever is asked ("Amazon SQS visibility timeout").
pub(crate) const HOLD: Duration = Duration::from_secs(11 * 3600 + 1800);

/// SQS's own limit.
const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Left between what is asked for and SQS's limit: the clock there is another one.
const MARGIN: Duration = Duration::from_secs(60);

/// The times that a source keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// For how long a message is invisible after it was received or extended.
    pub(crate) visibility: Duration,
    /// The shortest and the longest pause before a released message comes again.
    pub(crate) backoff: (Duration, Duration),
}

impl Terms {
    /// How long after a receive or an extension the next extension is due.
    pub(crate) fn beat(&self) -> Duration {
        self.visibility / 3
    }

    /// How long after a failed extension it is tried again.
    pub(crate) fn beat_again(&self) -> Duration {
        (self.visibility / 20).clamp(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// How long one call that decides on visibility may take.
    pub(crate) fn patience(&self) -> Duration {
        (self.visibility / 6).clamp(Duration::from_secs(1), Duration::from_secs(10))
    }

    /// How long a call for messages may wait, of the time set for it. A message may have
    /// come right after the call was made, and still must be invisible for a while when
    /// the answer is read.
    pub(crate) fn wait(&self, set: Duration) -> Duration {
        let most = Duration::from_secs(self.visibility.as_secs() * 2 / 3);
        set.min(most).max(Duration::from_secs(1))
    }

    /// The pause before a message that was received so many times comes again; `draw`
    /// is from 0 to 1 and takes up to half of it away.
    pub(crate) fn pause(&self, receives: u32, draw: f64) -> Duration {
        let (first, longest) = self.backoff;
        let doubled = receives.saturating_sub(1).min(20);
        let pause = first.saturating_mul(1 << doubled).min(longest);
        pause.mul_f64(1.0 - draw.clamp(0.0, 1.0) / 2.0)
    }
}

/// What to ask for, in seconds, so that a message held for so long stays invisible
/// for `time`: never less than that, unless SQS's limit cuts it.
pub(crate) fn seconds(time: Duration, held: Duration) -> i32 {
    let rounded = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let left = LIMIT.saturating_sub(MARGIN).saturating_sub(held).as_secs();
    i32::try_from(rounded.min(left)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms {
        visibility: Duration::from_secs(300),
        backoff: (Duration::from_secs(10), Duration::from_secs(900)),
    };

    #[test]
    fn a_pause_doubles_with_each_receive_up_to_its_longest() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 7, 8, 100, u32::MAX]
            .map(|n| TERMS.pause(n, 0.0).as_secs())
            .to_vec();
        assert_eq!(pauses, [10, 10, 20, 40, 640, 900, 900, 900]);
        assert_eq!(TERMS.pause(1, 1.0), Duration::from_secs(5));
    }

    #[test]
    fn a_call_for_messages_leaves_a_third_of_the_visibility() {
        let waits = [2, 3, 15, 30, 300].map(|seconds| {
            let visibility = Duration::from_secs(seconds);
            let wait = Terms {
                visibility,
                ..TERMS
            }
            .wait(Duration::from_secs(20));
            assert!(wait < visibility);
            wait.as_secs()
        });
        assert_eq!(waits, [1, 2, 10, 20, 20]);
        let one = Duration::from_secs(1);
        assert_eq!(TERMS.wait(one), one);
    }

    #[test]
    fn nothing_is_asked_for_beyond_the_limit() {
        let hour = Duration::from_secs(3600);
        assert_eq!(seconds(Duration::from_millis(1500), Duration::ZERO), 2);
        assert_eq!(seconds(20 * hour, Duration::ZERO), 12 * 3600 - 60);
        assert_eq!(seconds(hour, HOLD), 1800 - 60);
        assert_eq!(seconds(hour, 13 * hour), 0);
    }

    proptest! {
        #[test]
        fn held_and_asked_stay_below_twelve_hours(time in 0u64..100_000, held in 0u64..43_200) {
            let asked = seconds(Duration::from_secs(time), Duration::from_secs(held));
            prop_assert!(asked >= 0);
            prop_assert!(u64::try_from(asked).unwrap() + held <= 43_200);
        }

        #[test]
        fn a_pause_is_at_least_half_of_its_first_and_at_most_its_longest(n: u32, draw in 0.0..1.0f64) {
            let pause = TERMS.pause(n, draw);
            prop_assert!(pause >= Duration::from_secs(5) && pause <= Duration::from_secs(900));
        }
    }
}
