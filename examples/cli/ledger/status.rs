//! Sums, and what came last.

use std::io::Write;
use std::process::ExitCode;

use ctforward_core::ObjectId;
use ctforward_core::ledger::{LedgerReader, LedgerStatus};
use ctforward_core::pipeline::RecordBooks;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{StatusArgs, Stop};
use crate::books::{grouped, megabytes};
use crate::failure::Failure;
use crate::inspect::safe_json;
use crate::table::{Cell, Column, Table};
use crate::times;

pub(super) fn show(
    args: &StatusArgs,
    reader: &LedgerReader,
    out: &mut dyn Write,
) -> Result<ExitCode, Stop> {
    let status = reader.status()?;
    if args.json {
        writeln!(out, "{}", safe_json(&json(&status)?))?;
    } else {
        let path = reader.path().to_string_lossy();
        write!(out, "{}", sums(&path, &status))?;
        write!(out, "{}", last_seen(&status, args.top))?;
    }
    Ok(if status.balanced() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn json(status: &LedgerStatus) -> Result<Value, Stop> {
    let mut json = serde_json::to_value(status)
        .map_err(|error| Stop::Failed(Failure::work(format!("the status: {error}"))))?;
    if let Some(fields) = json.as_object_mut() {
        fields.insert("balanced".to_owned(), status.balanced().into());
    }
    Ok(json)
}

pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| times::show(at, &TimeZone::UTC))
}

fn sums(path: &str, status: &LedgerStatus) -> String {
    let mut table = Table::new([Column::left(""), Column::left("")]);
    let mut row = |name: &str, value: String| table.row([Cell::text(name), Cell::text(value)]);
    row("ledger", path.to_owned());
    row(
        "files",
        format!(
            "{} known = {} delivered + {} quarantined + {} in progress",
            grouped(status.files()),
            grouped(status.delivered),
            grouped(status.quarantined),
            grouped(status.in_progress)
        ),
    );
    row("records", books(&status.records));
    if status.partial != RecordBooks::default() {
        row("", format!("in progress: {}", books(&status.partial)));
    }
    row(
        "bytes",
        format!(
            "{} stored, {} inflated",
            megabytes(status.compressed),
            megabytes(status.inflated)
        ),
    );
    if let (Some(first), Some(last)) = (status.first_event, status.last_event) {
        let (first, last) = (time(Some(first)), time(Some(last)));
        row("eventTime", format!("{first} to {last}"));
    }
    if let Some(oldest) = &status.oldest_unfinished {
        let since = time(Some(oldest.claimed_at));
        row("oldest", format!("in progress since {since}:"));
        row("", ObjectId::new(&*oldest.bucket, &*oldest.key).to_string());
    }
    row(
        "books",
        if status.balanced() {
            "they balance".to_owned()
        } else {
            let files = grouped(status.unbalanced);
            format!("THEY DO NOT BALANCE; {files} files by themselves do not")
        },
    );
    table.to_string()
}

fn books(records: &RecordBooks) -> String {
    format!(
        "{} in = {} accepted + {} filtered + {} duplicate + {} quarantined + {} undecided",
        grouped(records.read),
        grouped(records.accepted),
        grouped(records.filtered),
        grouped(records.duplicate),
        grouped(records.quarantined),
        grouped(records.undecided)
    )
}

/// The places that were silent longest first: what stopped coming is what matters.
fn last_seen(status: &LedgerStatus, top: usize) -> String {
    let mut places = status.last_seen.clone();
    if places.is_empty() {
        return String::new();
    }
    places.sort_by_key(|place| place.event);
    let mut table = Table::new([
        Column::left("account"),
        Column::left("region"),
        Column::left("latest eventTime"),
        Column::left("accepted"),
    ]);
    for place in places.iter().take(top) {
        table.row([
            Cell::text(&*place.account),
            Cell::text(&*place.region),
            Cell::text(time(place.event)),
            Cell::text(time(place.accepted_at)),
        ]);
    }
    let mut more = match places.len().saturating_sub(top) {
        0 => String::new(),
        more => format!("{} more; see --top\n", grouped(more as u64)),
    };
    if status.last_seen_others > 0 {
        let files = grouped(status.last_seen_others);
        more.push_str(&format!(
            "and {files} files of others, which are not told apart\n"
        ));
    }
    format!("\n{table}{more}")
}
