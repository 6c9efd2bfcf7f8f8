//! How old records are when they are accepted, and who was heard of when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::known::Name;

/// Upper ends of the histogram's buckets, in seconds; behind the last is everything else.
const BUCKETS: [u64; 14] = [
    60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 259_200, 604_800,
    2_592_000,
];

/// From eventTime to the sink's word: how many records took how long.
///
/// CloudTrail itself takes minutes to deliver a file, so the first bucket is one
/// minute wide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Freshness {
    counts: [u64; BUCKETS.len() + 1],
    /// Accepted records whose eventTime could not be read.
    pub unknown: u64,
}

impl Freshness {
    /// Upper ends of the buckets in seconds, `None` for the last, and how many
    /// accepted records fell into each.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let ends = BUCKETS.iter().copied().map(Some).chain([None]);
        ends.zip(self.counts.iter().copied())
    }

    /// An upper bound in seconds of the age that the given share (0 to 1) of the
    /// records did not exceed; `None` where it lies behind the last bucket, or
    /// where there is no record.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let all: u64 = self.counts.iter().sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among counted records"
        )]
        let rank = (all as f64 * share.clamp(0.0, 1.0)).ceil() as u64;
        let mut below = 0;
        for (end, count) in self.buckets() {
            below += count;
            if count > 0 && below >= rank {
                return end;
            }
        }
        None
    }

    /// Records with these eventTimes (seconds since 1970, 0 unknown) were accepted now.
    pub(super) fn accepted(&mut self, times: impl IntoIterator<Item = u32>, now: Timestamp) {
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        for time in times {
            if time == 0 {
                self.unknown += 1;
                continue;
            }
            let age = now.saturating_sub(time.into());
            let place = BUCKETS.partition_point(|end| *end < age);
            if let Some(count) = self.counts.get_mut(place) {
                *count += 1;
            }
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.unknown += other.unknown;
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
    }

    /// Hands the counts to the metrics recorder, each bucket by its upper end.
    pub(super) fn record(&self) {
        let histogram = metrics::histogram!("ctforward_event_age_seconds");
        for (end, count) in self.buckets().filter(|(_, count)| *count > 0) {
            #[allow(clippy::cast_precision_loss, reason = "seconds, and few")]
            let value = end.unwrap_or(2 * BUCKETS[BUCKETS.len() - 1]) as f64;
            histogram.record_many(value, usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}

/// When something was last heard of an account in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastSeen {
    /// The latest eventTime of its delivered files, where one could be read.
    pub event: Option<Timestamp>,
    /// When its last file was finished.
    pub finished: Timestamp,
    /// How many of its files were finished.
    pub files: u64,
}

/// When each account and region was last seen, by the keys of delivered files.
///
/// It holds at most ten thousand; keys beyond that are not told apart and counted in `others`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastSeenTable {
    rows: BTreeMap<(Arc<str>, Arc<str>), LastSeen>,
    /// Finished files of accounts and regions for which there was no room.
    pub others: u64,
}

const MOST_ROWS: usize = 10_000;

impl LastSeenTable {
    /// Account, region, and when they were last seen; by account and region.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&str, &str, &LastSeen)> {
        self.rows
            .iter()
            .map(|((account, region), seen)| (&**account, &**region, seen))
    }

    /// How many had no event within `after` before `now`.
    #[must_use]
    pub fn silent(&self, now: Timestamp, after: Duration) -> usize {
        let silent = |seen: &&LastSeen| {
            let last = seen.event.unwrap_or(seen.finished);
            last < now && now.duration_since(last).unsigned_abs() > after
        };
        self.rows.values().filter(silent).count()
    }

    /// The account and region heard of least recently.
    #[must_use]
    pub fn oldest(&self) -> Option<(&str, &str, &LastSeen)> {
        self.rows()
            .min_by_key(|(_, _, seen)| seen.event.unwrap_or(seen.finished))
    }

    pub(super) fn finished(
        &mut self,
        account: &str,
        region: &str,
        event: Option<Timestamp>,
        now: Timestamp,
    ) {
        let key = (Arc::from(account), Arc::from(region));
        if self.rows.len() >= MOST_ROWS && !self.rows.contains_key(&key) {
            self.others += 1;
            return;
        }
        let seen = self.rows.entry(key).or_insert(LastSeen {
            event,
            finished: now,
            files: 0,
        });
        seen.event = seen.event.max(event);
        seen.finished = seen.finished.max(now);
        seen.files += 1;
    }
}

impl Serialize for LastSeenTable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            account: &'a str,
            region: &'a str,
            #[serde(flatten)]
            seen: &'a LastSeen,
        }
        serializer.collect_seq(self.rows().map(|(account, region, seen)| Row {
            account,
            region,
            seen,
        }))
    }
}

/// `eventTime` as seconds since 1970; 0 where it cannot be read.
///
/// AWS writes it as `"2026-03-01T00:00:00Z"`, which needs no general parser.
pub(super) fn event_seconds(record: &crate::Record<'_>) -> u32 {
    let Some(raw) = record.known(Name::EVENT_TIME) else {
        return 0;
    };
    if let Some(seconds) = plain_seconds(raw) {
        return seconds;
    }
    let time = record.header().event_time();
    time.map_or(0, |time| {
        u32::try_from(time.as_second()).unwrap_or_default()
    })
}

fn plain_seconds(raw: &[u8]) -> Option<u32> {
    let &[b'"', ref date @ .., b'Z', b'"'] = raw else {
        return None;
    };
    if date.len() != 19 {
        return None;
    }
    let number = |at: std::ops::Range<usize>| {
        date.get(at)?.iter().try_fold(0u32, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + u32::from(byte - b'0'))
        })
    };
    let mark = |at: usize, byte| date.get(at) == Some(&byte);
    if !(mark(4, b'-') && mark(7, b'-') && mark(10, b'T') && mark(13, b':') && mark(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let plain = (1970..2100).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !plain {
        return None; // the general parser knows which days a month has
    }
    // Days since 1970 by the civil calendar, counted from March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(719_468)?;
    since_1970
        .checked_mul(86_400)?
        .checked_add(hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    fn seconds(time: &str) -> u32 {
        let record = RecordBuf::parse(format!("{{\"eventTime\":{time}}}")).unwrap();
        event_seconds(&record.as_record())
    }

    proptest! {
        #[test]
        fn the_plain_way_of_reading_a_time_agrees_with_the_calendar(at in 0u32..4_200_000_000) {
            let time = Timestamp::from_second(at.into()).unwrap();
            prop_assert_eq!(seconds(&format!("\"{time}\"")), at);
        }
    }

    #[test]
    fn odd_times_are_read_by_the_general_parser_or_unknown() {
        assert_eq!(seconds("\"1970-01-01T00:01:00Z\""), 60);
        assert_eq!(seconds("\"1970-01-01T01:00:00+01:00\""), 0);
        assert_eq!(seconds("\"1970-01-31T00:00:00Z\""), 30 * 86_400);
        assert_eq!(seconds("\"2026-02-30T00:00:00Z\""), 0);
        assert_eq!(seconds("null"), 0);
        assert_eq!(seconds("\"yesterday\""), 0);
    }

    #[test]
    fn ages_fall_into_buckets_and_quantiles_are_upper_bounds() {
        let mut fresh = Freshness::default();
        let now = Timestamp::from_second(10_000_000).unwrap();
        fresh.accepted([9_999_990, 9_999_940, 9_999_939, 0, 10_000_500, 1], now);
        let counts: Vec<_> = fresh.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Some(60), 3), (Some(120), 1), (None, 1)]);
        assert_eq!(fresh.unknown, 1);
        assert_eq!(fresh.quantile(0.5), Some(60));
        assert_eq!(fresh.quantile(0.8), Some(120));
        assert_eq!(fresh.quantile(1.0), None);
    }

    #[test]
    fn who_was_not_heard_of_for_long_is_silent() {
        let mut table = LastSeenTable::default();
        let now: Timestamp = "2026-03-10T00:00:00Z".parse().unwrap();
        let event = |text: &str| Some(text.parse().unwrap());
        table.finished("1", "us-east-1", event("2026-03-09T23:00:00Z"), now);
        table.finished("1", "us-east-1", event("2026-03-09T22:00:00Z"), now);
        table.finished("2", "us-east-1", event("2026-03-08T00:00:00Z"), now);
        assert_eq!(table.silent(now, Duration::from_secs(86_400)), 1);
        assert_eq!(table.oldest().unwrap().0, "2");
        let first = table.rows().next().unwrap().2;
        assert_eq!(
            (first.event, first.files),
            (event("2026-03-09T23:00:00Z"), 2)
        );
    }
}
