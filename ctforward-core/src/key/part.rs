//! What the single parts of a key may look like.

use jiff::civil::{Date, DateTime};

/// The folder that AWS services put their logs under.
pub(super) const ROOT: &str = "AWSLogs";

/// An account: 12 digits.
pub(super) fn is_account(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit())
}

/// An organisation: `o-` and lower-case letters and digits.
pub(super) fn is_organisation(part: &str) -> bool {
    part.strip_prefix("o-").is_some_and(|id| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// A region or zone, known or not: lower-case words and numbers joined by `-`.
pub(super) fn is_region(part: &str) -> bool {
    part.contains('-')
        && part.split('-').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

/// The part of a log file's name that keeps it apart from others (16 letters and
/// digits as documented; the length is not insisted on).
pub(super) fn is_id(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A trail's name: letters, digits, `.`, `_` and `-`.
pub(super) fn is_trail(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Exactly `width` digits.
pub(super) fn number(part: &str, width: usize) -> Option<i16> {
    (part.len() == width && part.bytes().all(|b| b.is_ascii_digit()))
        .then(|| part.parse().ok())
        .flatten()
}

pub(super) fn date(year: &str, month: &str, day: &str) -> Option<Date> {
    Date::new(number(year, 4)?, narrow(month)?, narrow(day)?).ok()
}

/// `YYYYMMDDTHHmmZ`, or with seconds `YYYYMMDDTHHmmssZ`.
pub(super) fn time(text: &str, seconds: bool) -> Option<DateTime> {
    let (day, clock) = text.strip_suffix('Z')?.split_once('T')?;
    if day.len() != 8 || clock.len() != if seconds { 6 } else { 4 } {
        return None;
    }
    let date = date(day.get(..4)?, day.get(4..6)?, day.get(6..)?)?;
    let second = if seconds {
        narrow(clock.get(4..6)?)?
    } else {
        0
    };
    let time = jiff::civil::Time::new(
        narrow(clock.get(..2)?)?,
        narrow(clock.get(2..4)?)?,
        second,
        0,
    );
    Some(date.to_datetime(time.ok()?))
}

pub(super) fn narrow(part: &str) -> Option<i8> {
    i8::try_from(number(part, 2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_open_but_look_like_regions() {
        for region in [
            "us-east-1",
            "us-gov-west-1",
            "cn-north-1",
            "us-west-2-lax-1a",
            "eusc-de-east-1",
            "mars-north-12",
        ] {
            assert!(is_region(region), "{region}");
        }
        for other in ["", "us", "US-east-1", "us--1", "us-east-1-", "a_b-1", "ü-1"] {
            assert!(!is_region(other), "{other}");
        }
    }

    #[test]
    fn accounts_and_organisations() {
        assert!(is_account("111122223333"));
        assert!(!is_account("11112222333"));
        assert!(!is_account("11112222333a"));
        assert!(is_organisation("o-a1b2c3d4e5"));
        assert!(!is_organisation("o-"));
        assert!(!is_organisation("o-A"));
    }

    #[test]
    fn times_are_real_ones() {
        assert!(time("20240229T2359Z", false).is_some());
        assert!(time("20240229T235959Z", true).is_some());
        for bad in [
            "20230229T0000Z",
            "20240101T2400Z",
            "20240101T0060Z",
            "20240101T000000Z",
            "2024010aT0000Z",
            "20240101T0000",
            "+0240101T0000Z",
            "2024ü01T0000Z",
        ] {
            assert_eq!(time(bad, false), None, "{bad}");
        }
    }
}
