//! What a trial of rules came to, for people and for programs.

use std::fmt::Write as _;

use ctforward_core::Report;
use serde_json::{Map, Value, json};

use super::trial::Seen;
use crate::books::grouped;
use crate::table::{Cell, Column, Table};

/// Terminal cells of a rule's name and of a path.
const NAME: usize = 64;

/// All there is to show.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub report: &'a Report,
    /// The names by which records can be dropped.
    pub rules: &'a [String],
    /// The paths of the redaction, if there is one.
    pub paths: Option<&'a [String]>,
    pub seen: &'a Seen,
}

impl Outcome<'_> {
    fn dropped_by(&self, rule: &str) -> u64 {
        self.report.filtered_by.get(rule).copied().unwrap_or(0)
    }
}

/// Everything as text, in lines.
pub fn text(outcome: &Outcome<'_>) -> String {
    let records = &outcome.report.records;
    let mut out = format!(
        "{} records read: {} would be dropped, {} would go on\n",
        grouped(records.read),
        grouped(records.filtered),
        grouped(records.read - records.filtered)
    );
    if !outcome.rules.is_empty() {
        let mut table = Table::new([Column::left("rule").at_most(NAME), Column::right("dropped")]);
        for rule in outcome.rules {
            let count = outcome.dropped_by(rule);
            table.row([Cell::text(rule), Cell::text(grouped(count))]);
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{table}");
    }
    for (rule, examples) in &outcome.seen.examples {
        let mut table = Table::new(
            ["eventTime", "eventSource", "eventName", "eventID"]
                .map(|title| Column::left(title).at_most(44)),
        );
        for example in examples {
            let texts = [&example.time, &example.source, &example.name, &example.id];
            table.row(texts.map(|text| Cell::text(text.as_str())));
        }
        let _ = write!(out, "\ndropped by {rule}, for example\n{table}");
    }
    if let Some(paths) = outcome.paths {
        let seen = outcome.seen;
        let _ = write!(
            out,
            "\n{} records would be redacted, {} cannot be followed and would go to quarantine\n",
            grouped(seen.redacted),
            grouped(seen.unsure)
        );
        let mut table = Table::new([Column::left("path").at_most(NAME), Column::right("values")]);
        let (mut met, mut unmet) = (0, 0);
        for (path, count) in paths.iter().zip(&seen.values) {
            if *count == 0 {
                unmet += 1;
                continue;
            }
            met += 1;
            table.row([Cell::text(path), Cell::text(grouped(*count))]);
        }
        if met > 0 {
            let _ = write!(out, "\n{table}");
        }
        if unmet > 0 {
            let _ = writeln!(out, "{unmet} paths lead to no value in these records");
        }
    }
    out
}

/// Everything as one JSON object.
pub fn json(outcome: &Outcome<'_>) -> Value {
    let records = &outcome.report.records;
    let dropped_by: Map<String, Value> = outcome
        .rules
        .iter()
        .map(|rule| (rule.clone(), outcome.dropped_by(rule).into()))
        .collect();
    let examples: Map<String, Value> = outcome
        .seen
        .examples
        .iter()
        .map(|(rule, examples)| {
            let examples = examples.iter().map(|example| {
                json!({
                    "event_time": example.time,
                    "event_source": example.source,
                    "event_name": example.name,
                    "event_id": example.id,
                })
            });
            (rule.to_string(), examples.collect())
        })
        .collect();
    let redact = outcome.paths.map(|paths| {
        let values: Map<String, Value> = paths
            .iter()
            .zip(&outcome.seen.values)
            .map(|(path, count)| (path.clone(), (*count).into()))
            .collect();
        json!({
            "records": outcome.seen.redacted,
            "unsure": outcome.seen.unsure,
            "values_by_path": values,
        })
    });
    json!({
        "files": outcome.report.files,
        "records": {
            "read": records.read,
            "dropped": records.filtered,
            "kept": records.read - records.filtered,
        },
        "dropped_by": dropped_by,
        "examples": examples,
        "redact": redact,
    })
}
