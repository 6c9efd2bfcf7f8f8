//! Rows as CSV that a spreadsheet takes for text.

use std::io::{self, Write};

use ctforward_core::ledger::LedgerRow;
use ctforward_core::text::printable;
use jiff::Timestamp;

pub(super) const NAMES: [&str; 26] = [
    "bucket",
    "key",
    "version",
    "etag",
    "size",
    "account",
    "region",
    "state",
    "in",
    "accepted",
    "filtered",
    "duplicate",
    "quarantined",
    "undecided",
    "resumed",
    "compressed",
    "inflated",
    "low_water",
    "sha256",
    "first_event",
    "last_event",
    "claimed_at",
    "accepted_at",
    "owner",
    "fence",
    "lease_until",
];

pub(super) fn row(out: &mut dyn Write, row: &LedgerRow) -> io::Result<()> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let sha256 = row.sha256.map(|hash| {
        let digits = hash.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    });
    let records = &row.records;
    let cells: [String; NAMES.len()] = [
        row.bucket.clone(),
        row.key.clone(),
        text(&row.version),
        text(&row.etag),
        row.size.map(|size| size.to_string()).unwrap_or_default(),
        text(&row.account),
        text(&row.region),
        row.state.as_str().to_owned(),
        records.read.to_string(),
        records.accepted.to_string(),
        records.filtered.to_string(),
        records.duplicate.to_string(),
        records.quarantined.to_string(),
        records.undecided.to_string(),
        records.resumed.to_string(),
        row.compressed.to_string(),
        row.inflated.to_string(),
        row.low_water.to_string(),
        sha256.unwrap_or_default(),
        time(row.first_event),
        time(row.last_event),
        time(Some(row.claimed_at)),
        time(row.accepted_at),
        row.owner.clone(),
        row.fence.to_string(),
        time(row.lease_until),
    ];
    line(out, cells.iter().map(String::as_str))
}

pub(super) fn line<'t>(
    out: &mut dyn Write,
    cells: impl IntoIterator<Item = &'t str>,
) -> io::Result<()> {
    let mut before = "";
    for text in cells {
        write!(out, "{before}{}", cell(text))?;
        before = ",";
    }
    writeln!(out)
}

/// One cell, printable, in quotes where it needs them, and with an apostrophe
/// before what a spreadsheet would take for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if formula { "'" } else { "" };
    let shown = printable(text);
    if shown.contains(['"', ',']) {
        format!("\"{apostrophe}{}\"", shown.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_line() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("\t=1", "'\\u{9}=1"),
            ("\r=1", "'\\u{d}=1"),
            ("a\nb", "a\\u{a}b"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
