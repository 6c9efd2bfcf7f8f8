//! The header `Retry-After`: seconds, or a date.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

static RFC2822: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// How long the other side asks to be left alone; `None` where the value is neither
/// seconds nor a date. A date in the past is no wait. Nothing is shortened: a number
/// that does not fit becomes the longest duration in whole seconds.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // The only way for digits not to parse is to be too many.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let wait = date(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// A date in one of the three forms that HTTP allows.
pub(crate) fn date(value: &str) -> Option<Timestamp> {
    let value = value.trim();
    if let Ok(date) = RFC2822.parse_timestamp(value) {
        return Some(date);
    }
    // The first form again, for the last day of the year 9999 ("never"): it is a
    // date, but beyond the last point in time.
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ]
    .iter()
    .find_map(|format| DateTime::strptime(format, value).ok())
    .map(|date| TimeZone::UTC.to_timestamp(date).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_overflows() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, wait) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let got = parse(value, now).map(|d| d.as_secs());
            assert_eq!(got, wait, "{value:?}");
        }
        let far = parse("Fri, 31 Dec 9999 23:59:59 GMT", now).map(|d| d.as_secs());
        assert!(far > Some(200_000_000_000), "{far:?}");
    }
}
