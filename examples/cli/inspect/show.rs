//! The counts as tables for people, and as JSON for programs.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::counts::Counts;
use super::tally::Tally;
use crate::books::{grouped, megabytes};
use crate::table::{Cell, Column, Table};
use crate::times;

/// Terminal cells of a value and of a bar.
const VALUE: usize = 44;
const BAR: usize = 20;

/// The tables: title, name in JSON, and what stands for an absent field.
fn tallies(counts: &Counts) -> [(&'static str, &'static str, &'static str, &Tally); 7] {
    const ABSENT: &str = "(absent)";
    [
        ("kind", "kinds", ABSENT, &counts.kinds),
        ("eventVersion", "event_versions", ABSENT, &counts.versions),
        ("account", "accounts", ABSENT, &counts.accounts),
        ("region", "regions", ABSENT, &counts.regions),
        ("eventSource", "event_sources", ABSENT, &counts.sources),
        ("eventName", "event_names", ABSENT, &counts.names),
        ("errorCode", "error_codes", "(none)", &counts.errors),
    ]
}

/// Everything as text, in lines.
pub fn text(counts: &Counts, top: usize) -> String {
    let mut out = summary(counts);
    if counts.records == 0 {
        return out;
    }
    for (title, _, absent, tally) in tallies(counts) {
        out.push('\n');
        out.push_str(&table(title, absent, tally, counts.records, top).to_string());
        if tally.is_full() {
            out.push_str(
                "of this field more distinct values were met than are held by name; \
                 those met late are counted as other\n",
            );
        }
    }
    out
}

fn summary(counts: &Counts) -> String {
    let files = &counts.files;
    let mut table = Table::new([Column::left(""), Column::left("")]);
    let mut row = |name: &str, value: String| table.row([Cell::text(name), Cell::text(value)]);
    row(
        "files",
        format!(
            "{} read, {} skipped, {} unreadable, {} not read",
            grouped(files.read),
            grouped(files.skipped()),
            grouped(files.unreadable),
            grouped(files.failed)
        ),
    );
    for (why, count) in &files.skipped {
        row("", format!("{} skipped: {why}", grouped(*count)));
    }
    row(
        "records",
        format!(
            "{}, and {} bad",
            grouped(counts.records),
            grouped(counts.bad_records)
        ),
    );
    row(
        "bytes",
        format!(
            "{} stored, {} inflated",
            megabytes(counts.stored),
            megabytes(counts.inflated)
        ),
    );
    if let Some((first, last)) = counts.times.range {
        let show = |at| times::show(at, &TimeZone::UTC);
        row("eventTime", format!("{} to {}", show(first), show(last)));
    }
    if counts.times.without > 0 {
        let without = grouped(counts.times.without);
        row(
            "",
            format!("{without} records without a time that can be read"),
        );
    }
    if let Some(largest) = &counts.largest {
        let name = largest.event_name.as_deref().unwrap_or("no eventName");
        row(
            "largest",
            format!("{} bytes, {name}", grouped(largest.bytes)),
        );
        row(
            "",
            format!("at byte {} of {}", largest.offset, largest.file),
        );
    }
    table.to_string()
}

fn table(title: &'static str, absent: &str, tally: &Tally, records: u64, top: usize) -> Table {
    let mut table = Table::new([
        Column::left(title).at_most(VALUE),
        Column::right("count"),
        Column::right("share"),
        Column::bar(BAR),
    ]);
    let mut row = |value: &str, count: u64| {
        #[allow(clippy::cast_precision_loss, reason = "a share for people to look at")]
        let share = count as f64 / records.max(1) as f64;
        table.row([
            Cell::text(value),
            Cell::text(grouped(count)),
            Cell::text(percent(share)),
            Cell::Share(share),
        ]);
    };
    let found = tally.top(top);
    for (value, count) in &found.rows {
        row(value, *count);
    }
    if found.other > 0 {
        let mut other = "(other".to_owned();
        // Writing to a String cannot fail.
        let _ = match found.other_values {
            0 => Ok(()),
            values => write!(other, ", {} values", grouped(values as u64)),
        };
        row(&format!("{other})"), found.other);
    }
    if tally.absent() > 0 {
        row(absent, tally.absent());
    }
    table
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        small if small > 0.0 && small < 0.05 => "<0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// Everything as one JSON object.
pub fn json(counts: &Counts, top: usize) -> Value {
    let files = &counts.files;
    let time = counts
        .times
        .range
        .map(|(first, last)| json!({"first": first.to_string(), "last": last.to_string()}));
    let largest = counts.largest.as_ref().map(|largest| {
        json!({
            "bytes": largest.bytes,
            "file": largest.file,
            "offset": largest.offset,
            "event_name": largest.event_name,
        })
    });
    let mut all = json!({
        "files": {
            "read": files.read,
            "skipped": files.skipped(),
            "skipped_because": files.skipped,
            "unreadable": files.unreadable,
            "not_read": files.failed,
        },
        "records": counts.records,
        "bad_records": counts.bad_records,
        "bytes": {"stored": counts.stored, "inflated": counts.inflated},
        "event_time": time,
        "without_event_time": counts.times.without,
        "largest_record": largest,
    });
    if let Value::Object(fields) = &mut all {
        for (_, name, _, tally) in tallies(counts) {
            fields.insert(name.to_owned(), tally.json(top));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tally::safe_json;
    use super::*;
    use ctforward_core::event::RecordBuf;

    fn counts() -> Counts {
        let mut counts = Counts::default();
        for record in [
            r#"{"eventName":"GetObject","eventSource":"s3.amazonaws.com","eventTime":"2026-01-01T00:00:00Z"}"#,
            r#"{"eventName":"GetObject","errorCode":"AccessDenied"}"#,
            r#"{"eventName":"\u001b[2Jclear\u202e"}"#,
            r#"{"eventName":"日本語のとてもとてもとてもとてもとてもとてもとても長い名前"}"#,
        ] {
            let record = RecordBuf::parse(record).unwrap();
            counts.record(record.as_record(), None, || {
                "file:///x/\u{1b}[2J".to_owned()
            });
        }
        counts.files.read = 1;
        counts
    }

    #[test]
    fn tables_add_up_and_nothing_in_them_steers() {
        let text = text(&counts(), 1);
        let row = |begin: &str| {
            let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(row("GetObject")[1..3], ["2", "50.0"]);
        assert_eq!(row("(other, 2 values)")[3..5], ["2", "50.0"]);
        assert_eq!(row("AccessDenied")[1], "1");
        assert_eq!(row("(none)")[1], "3");
        assert!(
            !text
                .chars()
                .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{text}"
        );
    }

    #[test]
    fn the_json_says_the_same() {
        let json = json(&counts(), 2);
        assert_eq!(json["records"], 4);
        assert_eq!(
            json["event_names"]["top"][0],
            json!({"value": "GetObject", "count": 2})
        );
        assert_eq!(json["event_names"]["other"], 1);
        assert_eq!(json["error_codes"]["absent"], 3);
        assert_eq!(json["event_time"]["first"], "2026-01-01T00:00:00Z");
        assert_eq!(
            serde_json::from_str::<Value>(&safe_json(&json)).unwrap(),
            json
        );
    }

    #[test]
    fn an_empty_folder_has_no_tables() {
        let text = text(&Counts::default(), 10);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(percent(0.000_01), "<0.1 %");
        assert_eq!(percent(0.0), "0.0 %");
    }
}
