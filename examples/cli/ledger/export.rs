//! Every row, one a line.

use std::io::Write;

use ctforward_core::ledger::LedgerReader;

use super::{ExportArgs, Format, Stop, csv};
use crate::failure::Failure;
use crate::inspect::safe_json;

/// Rows held at a time. Between two pages nothing is held back from who writes.
const PAGE: u32 = 1000;

pub(super) fn show(
    args: &ExportArgs,
    reader: &LedgerReader,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let filter = args.which.filter();
    if args.format == Format::Csv {
        csv::line(out, csv::NAMES)?;
    }
    let mut last: Option<(String, String)> = None;
    loop {
        let after = last.as_ref().map(|(bucket, key)| (&**bucket, &**key));
        let rows = reader.rows(after, PAGE, &filter)?;
        for row in &rows {
            match args.format {
                Format::Csv => csv::row(out, row)?,
                Format::Json => {
                    let json = serde_json::to_value(row).map_err(|error| {
                        Stop::Failed(Failure::work(format!("a row of the ledger: {error}")))
                    })?;
                    writeln!(out, "{}", safe_json(&json))?;
                }
            }
        }
        match rows.into_iter().last() {
            Some(row) => last = Some((row.bucket, row.key)),
            None => return Ok(()),
        }
    }
}
