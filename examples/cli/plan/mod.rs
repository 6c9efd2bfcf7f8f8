//! `forward --plan`: what a backfill would be, before it is one.

mod args;
mod estimate;
mod reservoir;
mod restore;
mod sample;
mod show;
mod survey;

use std::process::ExitCode;

use ctforward_core::BatchLimits;
use ctforward_core::ErrorKind;
use ctforward_core::key::KeyFilter;
use ctforward_core::ledger::LedgerReader;
use ctforward_core::read::ReadLimits;
use ctforward_core::text::printable;
use jiff::Timestamp;

use crate::args::{Forward, ReportForm};
use crate::console::Console;
use crate::failure::{Failure, chain};
use crate::sources::{self, Narrow, Place};

pub use args::PlanArgs;
use estimate::Settings;
use reservoir::Reservoir;
use restore::RestoreCommands;
use show::Plan;
use survey::Stop;

/// Lists the places and prints the plan. Nothing is sent, acknowledged or noted.
pub async fn run(
    args: &Forward,
    places: &[Place],
    keys: &KeyFilter,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
) -> Result<ExitCode, Failure> {
    let console = Console::new();
    let given = &args.plan;
    let ledger = ledger(args, &console)?;
    let narrow = Narrow {
        accounts: args.select.accounts.clone(),
        regions: args.select.regions.clone(),
        kinds: args.select.kinds.clone(),
        since,
        until,
    };
    let sources::Sources {
        mut source,
        listings,
        ..
    } = sources::open(places, &narrow, &args.tune, None).await?;
    let mut restore = RestoreCommands::new(given.plan_restore_file.as_deref())?;
    let mut reservoir = Reservoir::new(usize::try_from(given.plan_sample).unwrap_or(usize::MAX));
    let mut add = |command| restore.add(command);
    let surveyed = survey::take(&mut source, keys, ledger.as_ref(), &mut reservoir, &mut add);
    let survey = match surveyed.await {
        Ok(survey) => survey,
        // An estimate from half a listing would look like one of the whole.
        Err(Stop::Source(error)) => {
            return Err(Failure::work(format!(
                "{}; there is no plan of a listing that is not whole",
                chain(&error)
            )));
        }
        Err(Stop::Output(error)) => return Err(restore.failed(&error)),
    };
    restore.end()?;

    let limits = ReadLimits::default()
        .with_record_bytes(args.tune.max_record_bytes)
        .with_inflated_bytes(args.tune.max_inflated_bytes);
    let sample = sample::read(reservoir.into_items(), limits).await;
    for failure in &sample.failures {
        console.line(&format!("note: not read for the sample: {failure}"));
    }
    if survey.seen == 0 {
        console.line("note: there was no file at all; check the source's name and prefix");
    }
    for account in listings.iter().flat_map(|stats| stats.absent_accounts()) {
        let account = printable(&account);
        console.line(&format!("note: no folder of account {account} was met"));
    }

    let batch = BatchLimits::new(args.tune.batch_bytes);
    let settings = Settings {
        batch_bytes: batch.bytes as u64,
        batch_records: batch.records as u64,
        rate: given.plan_rate.or(args.tune.max_bytes_per_second),
        per_day: args.max_bytes_per_day,
        prices: given.prices,
        list_requests: listings.iter().map(|stats| stats.get().requests).sum(),
    };
    let estimate = estimate::estimate(&survey, &sample, &settings);
    let plan = Plan {
        cost: estimate::cost(&survey, estimate.as_ref(), &settings),
        out_of_time: listings.iter().map(|stats| stats.get().out_of_time).sum(),
        pruned_folders: listings.iter().map(|s| s.get().pruned_folders).sum(),
        with_ledger: ledger.is_some(),
        commands: restore.first(),
        survey,
        sample,
        settings,
        estimate,
    };
    match args.report {
        ReportForm::Json => say!("{}", plan.json()),
        ReportForm::Text => say!("{}", plan.text()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The ledger to compare with, if one was named and is there.
fn ledger(args: &Forward, console: &Console) -> Result<Option<LedgerReader>, Failure> {
    let Some(path) = &args.keep.ledger else {
        return Ok(None);
    };
    match LedgerReader::open(path) {
        Ok(ledger) => Ok(Some(ledger)),
        // A first run would make it.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let path = path.to_string_lossy();
            let path = printable(&path);
            console.line(&format!(
                "note: there is no ledger {path} yet; every file counts as new"
            ));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
