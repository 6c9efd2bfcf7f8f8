//! `quarantine list`: a table, and totals by reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use ctforward_core::quarantine::{Kept, QuarantineEntry, Reason, Stored};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::List;
use crate::books::{grouped, megabytes};
use crate::failure::Failure;
use crate::table::{Cell, Column, Table};
use crate::times;

/// Digits of an id in the table: enough for `show` among millions of entries.
const DIGITS: usize = 12;

/// Terminal cells of a key.
const KEY: usize = 64;

pub async fn run(args: List) -> Result<ExitCode, Failure> {
    let quarantine = super::open(&args.folder).await?;
    let mut entries = quarantine.entries(super::filter(&args.which));
    let mut table = Table::new([
        Column::left("id"),
        Column::left("reason"),
        Column::left("since"),
        Column::right("tried"),
        Column::right("offset"),
        Column::right("bytes"),
        Column::left("kept"),
        Column::left("key").at_most(KEY),
    ]);
    let mut totals: BTreeMap<Reason, (u64, u64)> = BTreeMap::new();
    let mut shown = 0;
    while let Some(stored) = entries.next().await? {
        let total = totals.entry(stored.entry.reason).or_default();
        total.0 += 1;
        total.1 += length(&stored.entry);
        if shown == args.limit {
            continue;
        }
        shown += 1;
        if args.json {
            super::print(format!("{}\n", safe_json(&describe(&stored))).as_bytes())?;
        } else {
            table.row(row(&stored));
        }
    }
    let all: u64 = totals.values().map(|(count, _)| count).sum();
    if !args.json {
        let mut out = String::new();
        if shown > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{table}");
        }
        let mut sums = Table::new([
            Column::left("reason"),
            Column::right("entries"),
            Column::right("bytes"),
        ]);
        for (reason, (count, bytes)) in &totals {
            let cells = [reason.to_string(), grouped(*count), megabytes(*bytes)];
            sums.row(cells.map(Cell::text));
        }
        sums.row(["all".to_owned(), grouped(all)].map(Cell::text));
        out.push_str(&sums.to_string());
        super::print(out.as_bytes())?;
    }
    if all > shown as u64 {
        let left = grouped(all - shown as u64);
        eprintln!("note: {left} more are not shown; --limit shows more");
    }
    super::doubt_of(&entries);
    Ok(ExitCode::SUCCESS)
}

fn row(stored: &Stored) -> [Cell; 8] {
    let entry = &stored.entry;
    let mut id = stored.hex();
    id.truncate(DIGITS);
    let offset = entry.offset.map_or(String::new(), grouped);
    [
        id,
        entry.reason.to_string(),
        times::show(entry.at, &TimeZone::UTC),
        entry.attempt.to_string(),
        offset,
        match length(entry) {
            0 if !has_bytes(entry) => String::new(),
            bytes => grouped(bytes),
        },
        kept(entry).to_owned(),
        entry.object.id.key.clone(),
    ]
    .map(Cell::text)
}

/// What is kept, in two words.
pub fn kept(entry: &QuarantineEntry) -> &'static str {
    match (&entry.kept, entry.offset) {
        (Kept::Bytes(_), Some(_)) => "record",
        (Kept::Bytes(_), None) if entry.reason == Reason::Undecodable => "message",
        (Kept::Bytes(_), None) => "file",
        (Kept::Reference { length: 0, .. }, Some(_)) => "rest by reference",
        (Kept::Reference { length: 0, .. }, None) => "file by reference",
        _ => "record by reference",
    }
}

pub fn length(entry: &QuarantineEntry) -> u64 {
    match &entry.kept {
        Kept::Bytes(bytes) => bytes.len() as u64,
        Kept::Reference { length, .. } => *length,
        _ => 0,
    }
}

fn has_bytes(entry: &QuarantineEntry) -> bool {
    matches!(entry.kept, Kept::Bytes(_))
}

/// Everything about an entry but its bytes.
fn describe(stored: &Stored) -> Value {
    let entry = &stored.entry;
    json!({
        "id": stored.hex(),
        "reason": entry.reason.as_str(),
        "at": entry.at.to_string(),
        "attempt": entry.attempt,
        "detail": entry.detail,
        "bucket": entry.object.id.bucket,
        "key": entry.object.id.key,
        "version": entry.object.id.version,
        "etag": entry.object.etag,
        "size": entry.object.size,
        "offset": entry.offset,
        "length": length(entry),
        "kept": kept(entry),
    })
}

/// JSON in which nothing can steer a terminal.
fn safe_json(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if *ctforward_core::text::printable(c.encode_utf8(&mut [0; 4]))
            == *c.encode_utf8(&mut [0; 4])
        {
            out.push(c);
        } else {
            // Such characters lie in the basic plane, and only within strings.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}
