//! `quarantine` and `redrive`: what could not be delivered, and sending it again.

mod args;
mod list;
pub mod redrive;
mod show;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ctforward_core::quarantine::{DirectoryQuarantine, Entries, Filter};

use crate::books::{grouped, megabytes};
use crate::failure::Failure;
use args::{Compact, QuarantineCommand, Which};

pub use args::{Quarantine, Redrive};

pub async fn run(args: Quarantine) -> Result<ExitCode, Failure> {
    match args.command {
        QuarantineCommand::List(list) => list::run(list).await,
        QuarantineCommand::Show(show) => show::run(show).await,
        QuarantineCommand::Compact(compact) => run_compact(compact).await,
    }
}

async fn run_compact(args: Compact) -> Result<ExitCode, Failure> {
    let quarantine = open(&args.folder).await?;
    let done = quarantine.compact().await?;
    say!(
        "{} segments of {} became {}; {} entries are live",
        grouped(done.segments),
        megabytes(done.bytes_before),
        megabytes(done.bytes_after),
        grouped(quarantine.live() as u64)
    );
    if done.in_use > 0 {
        eprintln!(
            "note: {} segments are in use and were left as they are",
            done.in_use
        );
    }
    doubt(done.damaged, done.unknown);
    Ok(ExitCode::SUCCESS)
}

/// Opens a quarantine that is there: a wrong name must not look like an empty one.
async fn open(folder: &Path) -> Result<DirectoryQuarantine, Failure> {
    let quarantine = DirectoryQuarantine::builder(folder).create(false).open();
    Ok(quarantine.await?)
}

fn filter(which: &Which) -> Filter {
    let mut filter = Filter::new()
        .reasons(which.reasons.iter().copied())
        .ids(&which.ids)
        .key_prefix(&which.key_prefix);
    if let Some(bucket) = &which.bucket {
        filter = filter.bucket(bucket);
    }
    filter
}

/// Says what was met that is no entry.
fn doubt_of(entries: &Entries) {
    doubt(entries.damaged(), entries.unknown());
}

fn doubt(damaged: u64, unknown: u64) {
    if damaged > 0 {
        let damaged = grouped(damaged);
        eprintln!("note: {damaged} damaged lines are in the folder; entries may be missing here");
    }
    if unknown > 0 {
        let unknown = grouped(unknown);
        eprintln!("note: {unknown} lines are of a later version and not shown");
    }
}

/// Standard output in one piece; that nobody reads it to its end is no failure.
fn print(out: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(out).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::work(format!("standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
