//! A span of time as the public API takes it: whole seconds, UTC.

use ctforward_core::{Error, ErrorKind, Result};
use jiff::{SignedDuration, Timestamp};

use super::ORIGIN;

/// A span of time in whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// Seconds since 1970.
    start: i64,
    end: i64,
}

impl TimeRange {
    /// From `start` to `end`, widened to whole seconds.
    ///
    /// # Errors
    /// `Config` when it ends before it begins, or lies outside the years 1970 to 9999
    /// (the service takes 20 characters a time).
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Config, ORIGIN, what));
        if start > end {
            return wrong(format!(
                "the range ends ({end}) before it begins ({start}); swap the times"
            ));
        }
        let (start, mut last) = (floor(start), floor(end));
        if Timestamp::from_second(last).is_ok_and(|whole| whole < end) {
            last += 1;
        }
        if start < 0 || Timestamp::from_second(last).is_err() || last > 253_402_207_200 {
            return wrong("the range lies outside the years 1970 to 9999".to_owned());
        }
        Ok(Self { start, end: last })
    }

    /// The span of `length` before `end`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn before(end: Timestamp, length: std::time::Duration) -> Result<Self> {
        let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
        Self::new(end.saturating_sub(length).unwrap_or(Timestamp::MIN), end)
    }

    /// The first moment.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp::from_second(self.start).unwrap_or(Timestamp::MIN)
    }

    /// The last moment.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        Timestamp::from_second(self.end).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn end_second(&self) -> i64 {
        self.end
    }

    /// Two halves that share the second between them: whether the service counts an
    /// end in is not documented. `None` for a span of one second.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let middle = self.start + (self.end - self.start) / 2;
        (middle > self.start).then_some((
            Self {
                start: self.start,
                end: middle,
            },
            Self {
                start: middle,
                end: self.end,
            },
        ))
    }

    /// Both ends as `2026-01-02T03:04:05Z`.
    pub(super) fn texts(&self) -> (String, String) {
        (self.start().to_string(), self.end().to_string())
    }
}

fn floor(at: Timestamp) -> i64 {
    at.as_nanosecond()
        .div_euclid(1_000_000_000)
        .try_into()
        .unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_widened_to_whole_seconds() {
        let range = TimeRange::new(at("2026-01-02T03:04:05.9Z"), at("2026-01-02T03:04:06.1Z"));
        let texts = range.unwrap().texts();
        assert_eq!(
            texts,
            (
                "2026-01-02T03:04:05Z".to_owned(),
                "2026-01-02T03:04:07Z".to_owned()
            )
        );
        let day = TimeRange::before(
            at("2026-01-02T00:00:00Z"),
            std::time::Duration::from_secs(86_400),
        );
        assert_eq!(day.unwrap().start(), at("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        for (start, end) in [
            ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
            ("-001000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ] {
            let error = TimeRange::new(at(start), at(end)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{start}");
        }
        assert!(TimeRange::new(at("2026-01-01T00:00:00Z"), Timestamp::MAX).is_err());
        assert!(TimeRange::before(at("2026-01-01T00:00:00Z"), std::time::Duration::MAX).is_err());
    }

    proptest! {
        #[test]
        fn halves_cover_the_whole_and_end(start in 0_i64..4_000_000_000, length in 0_i64..100_000_000) {
            let whole = TimeRange { start, end: start + length };
            match whole.halves() {
                None => prop_assert!(length <= 1),
                Some((a, b)) => {
                    prop_assert_eq!((a.start, a.end, b.end), (whole.start, b.start, whole.end));
                    prop_assert!(a.end < whole.end && b.start > whole.start);
                }
            }
            let (first, last) = whole.texts();
            prop_assert!(first.len() == 20 && last.len() == 20);
        }
    }
}
