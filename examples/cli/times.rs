//! Times and durations as people write them.

use std::time::Duration;

use ctforward_core::text::printable;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::failure::Failure;

/// A time from the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub at: Timestamp,
    /// It was a date alone, and so taken as UTC.
    pub bare_date: bool,
}

/// An RFC 3339 time with an offset, an age such as `24h`, or a date.
pub fn time(option: &str, text: &str, now: Timestamp) -> Result<Given, Failure> {
    let exact = |at| Given {
        at,
        bare_date: false,
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(exact(at));
    }
    if text.parse::<Date>().is_ok()
        && let Ok(at) = format!("{text}T00:00:00Z").parse()
    {
        return Ok(Given {
            at,
            bare_date: true,
        });
    }
    let age = parse_duration(text).and_then(|age| SignedDuration::try_from(age).ok());
    if let Some(at) = age.and_then(|age| now.checked_sub(age).ok()) {
        return Ok(exact(at));
    }
    Err(Failure::usage(format!(
        "{option}: '{}' is no time; write 2026-03-01T09:00:00+09:00, 2026-03-01 (UTC), or an age such as 24h",
        printable(text)
    )))
}

/// A duration such as `500ms`, `90s`, `15m`, `24h` or `7d`.
pub fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    parse_duration(text).ok_or_else(|| {
        Failure::usage(format!(
            "{option}: '{}' is no duration; write 500ms, 90s, 15m, 24h or 7d",
            printable(text)
        ))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number.min(1 << 40))),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    let duration = Duration::from_secs(number.checked_mul(seconds)?);
    // A hundred years; more cannot be meant, and could not be added to a time.
    (duration.as_secs() < 36_525 * 86_400).then_some(duration)
}

/// A zone to show times in.
pub fn zone(text: &str) -> Result<TimeZone, Failure> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = fixed(text) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(text).map_err(|_| {
        Failure::usage(format!(
            "--tz: '{}' is no time zone; write an IANA name such as Asia/Tokyo, an offset such as +09:00, or UTC",
            printable(text)
        ))
    })
}

/// An offset such as `+09:00`.
fn fixed(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let sane = (0..24).contains(&hours) && (0..60).contains(&minutes);
    let seconds = sign * (hours * 3600 + minutes * 60);
    sane.then(|| Offset::from_seconds(seconds).ok()).flatten()
}

/// A time as shown to people.
pub fn show(at: Timestamp, zone: &TimeZone) -> String {
    if *zone == TimeZone::UTC {
        return at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    }
    at.to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_ages_and_dates_are_taken_and_local_times_are_not() {
        let now: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let at = |text| time("--since", text, now).unwrap();
        assert_eq!(
            at("2026-03-01T09:00:00+09:00").at,
            "2026-03-01T00:00:00Z".parse().unwrap()
        );
        assert_eq!(at("24h").at, "2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(at("1d").at, at("24h").at);
        assert!(at("2026-03-01").bare_date);
        assert_eq!(at("2026-03-01").at, at("24h").at);
        for bad in [
            "",
            "yesterday",
            "2026-03-01T09:00:00",
            "2026-13-01",
            "h",
            "24",
            "99999999999999999999d",
        ] {
            assert!(time("--since", bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_zones() {
        assert_eq!(
            duration("--linger", "500ms").unwrap(),
            Duration::from_millis(500)
        );
        assert_eq!(
            duration("--linger", "15m").unwrap(),
            Duration::from_secs(900)
        );
        assert!(duration("--linger", "soon").is_err());
        let at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(show(at, &zone("UTC").unwrap()), "2026-03-01T00:00:00Z");
        assert_eq!(
            show(at, &zone("Asia/Tokyo").unwrap()),
            "2026-03-01T09:00:00+09:00"
        );
        assert_eq!(
            show(at, &zone("-03:30").unwrap()),
            "2026-02-28T20:30:00-03:30"
        );
        for bad in ["Mars/Olympus", "+9", "+24:00", "+-1:00", ""] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }
}
