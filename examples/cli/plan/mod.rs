//! `forward --plan`: what a backfill would be, before it is one.

mod args;
mod restore;
mod show;

use std::process::ExitCode;

use ctforward_aws::plan::{self, Before, Reservoir, Settings, Stop, Surveyor};
use ctforward_core::key::KeyFilter;
use ctforward_core::ledger::{LedgerReader, RowState};
use ctforward_core::read::ReadLimits;
use ctforward_core::text::printable;
use ctforward_core::{BatchLimits, ErrorKind, Object};
use jiff::Timestamp;

use crate::args::{Forward, ReportForm};
use crate::console::Console;
use crate::failure::{Failure, chain};
use crate::sources::{self, Narrow, Place};

pub use args::PlanArgs;
use restore::RestoreCommands;
use show::Plan;
pub use show::{files, tally};

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
    let with_ledger = ledger.is_some();
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
    let surveyor = Surveyor {
        keys,
        before: &mut move |object| before(ledger.as_ref(), object),
        restore: &mut |command| restore.add(command),
        each: &mut |file| reservoir.offer(file),
    };
    let surveyed = plan::survey(&mut source, surveyor).await;
    let survey = match surveyed {
        Ok(survey) => survey,
        // An estimate from half a listing would look like one of the whole.
        Err(Stop::Source(error)) => {
            return Err(Failure::work(format!(
                "{}; there is no plan of a listing that is not whole",
                chain(&error)
            )));
        }
        Err(Stop::Output(error)) => return Err(restore.failed(&error)),
        Err(other) => return Err(Failure::work(format!("the plan ended early: {other:?}"))),
    };
    restore.end()?;

    let limits = ReadLimits::default()
        .with_record_bytes(args.tune.max_record_bytes)
        .with_inflated_bytes(args.tune.max_inflated_bytes);
    let sample = plan::read_sample(reservoir.into_items(), limits).await;
    for (object, error) in &sample.failures {
        let why = chain(error);
        console.line(&format!("note: not read for the sample: {object}: {why}"));
    }
    if survey.seen == 0 {
        console.line("note: there was no file at all; check the source's name and prefix");
    }
    for account in listings.iter().flat_map(|stats| stats.absent_accounts()) {
        let account = printable(&account);
        console.line(&format!("note: no folder of account {account} was met"));
    }

    let mut settings = Settings::new(BatchLimits::new(args.tune.batch_bytes));
    settings.rate = given.plan_rate.or(args.tune.max_bytes_per_second);
    settings.per_day = args.max_bytes_per_day;
    settings.prices = given.prices.given();
    settings.list_requests = listings.iter().map(|stats| stats.get().requests).sum();
    let estimate = plan::estimate(&survey, &sample, &settings);
    let plan = Plan {
        cost: plan::cost(&survey, estimate.as_ref(), &settings),
        out_of_time: listings.iter().map(|stats| stats.get().out_of_time).sum(),
        pruned_folders: listings.iter().map(|s| s.get().pruned_folders).sum(),
        with_ledger,
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
pub fn ledger(args: &Forward, console: &Console) -> Result<Option<LedgerReader>, Failure> {
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

/// What the ledger says an earlier run came to with a file.
pub fn before(ledger: Option<&LedgerReader>, object: &Object) -> ctforward_core::Result<Before> {
    // A look-up by the primary key; nobody else waits for this thread.
    let state = match ledger {
        Some(ledger) => ledger.state(object)?,
        None => None,
    };
    Ok(match state {
        Some(RowState::Delivered) => Before::Delivered,
        Some(RowState::Quarantined) => Before::Quarantined,
        Some(_) => Before::Begun,
        None => Before::New,
    })
}
