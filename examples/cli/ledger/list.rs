//! Rows as a table.

use std::io::Write;

use ctforward_core::ObjectId;
use ctforward_core::ledger::LedgerReader;

use super::status::time;
use super::{ListArgs, Stop};
use crate::books::grouped;
use crate::table::{Cell, Column, Table};

pub(super) fn show(
    args: &ListArgs,
    reader: &LedgerReader,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    // One more tells whether there are more.
    let limit = args.limit.saturating_add(1);
    let filter = args.which.filter();
    let mut rows = if args.newest {
        reader.newest(limit, &filter)?
    } else {
        reader.rows(None, limit, &filter)?
    };
    let shown = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = rows.len() > shown;
    rows.truncate(shown);
    let mut table = Table::new([
        Column::left("state"),
        Column::left("claimed"),
        Column::left("accepted"),
        Column::right("records"),
        Column::right("quarantined"),
        Column::left("file"),
    ]);
    for row in rows {
        table.row([
            Cell::text(row.state.as_str()),
            Cell::text(time(Some(row.claimed_at))),
            Cell::text(time(row.accepted_at)),
            Cell::text(grouped(row.records.read)),
            Cell::text(grouped(row.records.quarantined)),
            Cell::text(ObjectId::new(row.bucket, row.key).to_string()),
        ]);
    }
    write!(out, "{table}")?;
    if more {
        writeln!(out, "there are more; see --limit")?;
    }
    Ok(())
}
