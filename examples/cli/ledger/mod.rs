//! `ledger`: what a ledger knows, for people and for programs.

mod csv;
mod export;
mod list;
mod status;
#[cfg(test)]
mod tests;

use std::io::{BufWriter, ErrorKind as IoKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use ctforward_core::ErrorKind;
use ctforward_core::ledger::{LedgerReader, RowFilter, RowState};

use crate::failure::{Failure, chain};

#[derive(Debug, clap::Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add up what the ledger holds: files by state, the books, what came last of
    /// each account and region. Status 3 where the books do not balance.
    Status(StatusArgs),
    /// List files, by key or the newest first.
    List(ListArgs),
    /// Write every row, one a line, to standard output.
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct At {
    /// The ledger's file. It may be in use.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    at: At,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Accounts and regions shown, those that were silent longest first.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
}

/// Which rows to show.
#[derive(Debug, Default, clap::Args)]
struct Which {
    /// Only files of this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,

    /// Only files of this account, by their keys.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    at: At,

    #[command(flatten)]
    which: Which,

    /// Those decided or claimed last first, instead of by key.
    #[arg(long)]
    newest: bool,

    /// Files shown, at most.
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    at: At,

    #[command(flatten)]
    which: Which,

    /// One JSON object a line, or CSV with a line of names. In CSV a cell that a
    /// spreadsheet could take for a formula begins with an apostrophe.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StateArg {
    InProgress,
    Delivered,
    Quarantined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Csv,
}

impl Which {
    fn filter(&self) -> RowFilter {
        let mut filter = RowFilter::all();
        if let Some(state) = self.state {
            filter = filter.state(match state {
                StateArg::InProgress => RowState::InProgress,
                StateArg::Delivered => RowState::Delivered,
                StateArg::Quarantined => RowState::Quarantined,
            });
        }
        if let Some(account) = &self.account {
            filter = filter.account(account);
        }
        filter
    }
}

/// Why printing ended early.
enum Stop {
    /// Standard output does not take it.
    Output(std::io::Error),
    Failed(Failure),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<ctforward_core::Error> for Stop {
    fn from(error: ctforward_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

pub async fn run(args: LedgerArgs) -> Result<ExitCode, Failure> {
    // Reading a large ledger takes its time.
    match tokio::task::spawn_blocking(move || print(&args.what)).await {
        Ok(done) => done,
        Err(error) => Err(Failure::work(format!("the ledger was not read: {error}"))),
    }
}

fn print(what: &What) -> Result<ExitCode, Failure> {
    let at = match what {
        What::Status(StatusArgs { at, .. })
        | What::List(ListArgs { at, .. })
        | What::Export(ExportArgs { at, .. }) => at,
    };
    let reader = LedgerReader::open(&at.ledger).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::usage(chain(&error)),
        _ => error.into(),
    })?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = show(what, &reader, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match done {
        Ok(code) => Ok(code),
        // Whoever reads has seen enough.
        Err(Stop::Output(error)) if error.kind() == IoKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(Stop::Output(error)) => Err(Failure::work(format!("standard output: {error}"))),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn show(what: &What, reader: &LedgerReader, out: &mut dyn Write) -> Result<ExitCode, Stop> {
    match what {
        What::Status(args) => status::show(args, reader, out),
        What::List(args) => list::show(args, reader, out).map(|()| ExitCode::SUCCESS),
        What::Export(args) => export::show(args, reader, out).map(|()| ExitCode::SUCCESS),
    }
}
