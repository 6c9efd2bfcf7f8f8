use std::sync::Arc;

use jiff::Timestamp;

use super::{Stage, Verdict};
use crate::event::Record;

/// Keeps records whose eventTime lies in a half-open range.
///
/// Drops by the rules `event-since` and `event-until`. A record whose eventTime
/// cannot be read is kept.
#[derive(Clone, Debug)]
pub struct EventTimeRange {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    early: Arc<str>,
    late: Arc<str>,
}

impl EventTimeRange {
    /// Records from `since` on, and before `until`.
    #[must_use]
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self {
            since,
            until,
            early: "event-since".into(),
            late: "event-until".into(),
        }
    }
}

impl Stage for EventTimeRange {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        let Some(time) = record.header().event_time() else {
            return Verdict::Keep;
        };
        // Two of them: whoever reads the record may take the other one.
        if record.fields_named("eventTime") > 1 {
            return Verdict::Keep;
        }
        if self.since.is_some_and(|since| time < since) {
            Verdict::Drop(Arc::clone(&self.early))
        } else if self.until.is_some_and(|until| time >= until) {
            Verdict::Drop(Arc::clone(&self.late))
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RecordBuf;

    #[test]
    fn the_range_is_half_open_and_doubt_keeps() {
        let stage = EventTimeRange::new(
            Some("2026-03-01T00:00:00Z".parse().unwrap()),
            Some("2026-03-02T00:00:00Z".parse().unwrap()),
        );
        for (time, rule) in [
            ("\"2026-02-28T23:59:59Z\"", Some("event-since")),
            ("\"2026-03-01T00:00:00Z\"", None),
            ("\"2026-03-01T23:59:59.9Z\"", None),
            ("\"2026-03-02T00:00:00Z\"", Some("event-until")),
            ("\"no time\"", None),
            ("null", None),
        ] {
            let record = RecordBuf::parse(format!("{{\"eventTime\":{time}}}")).unwrap();
            let verdict = rule.map_or(Verdict::Keep, |rule| Verdict::Drop(rule.into()));
            assert_eq!(stage.apply(&record.as_record()), verdict, "{time}");
        }
        for record in [
            "{}",
            r#"{"eventTime":"2026-03-01T12:00:00Z","eventTime":"2020-03-01T12:00:00Z"}"#,
        ] {
            let record = RecordBuf::parse(record.to_owned()).unwrap();
            assert_eq!(stage.apply(&record.as_record()), Verdict::Keep);
        }
    }
}
