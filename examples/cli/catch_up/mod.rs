//! `catch-up`: the way back after an outage, by comparing a listing with the ledger.

mod show;

use std::process::ExitCode;

use ctforward_aws::plan::{Missing, Stop, Survey, Surveyor, survey};
use ctforward_core::key::KeyFilter;
use ctforward_core::text::printable;

use crate::args::{Forward, ReportForm};
use crate::console::Console;
use crate::failure::{Failure, chain};
use crate::forward::{self, Window};
use crate::plan;
use crate::sources::{self, Narrow, Place, Sources};
use crate::times;

/// Days, accounts and regions told apart: 35 days of 2,000 accounts in one region.
const PLACES: usize = 70_000;

/// `forward`, and what comes before it.
#[derive(Debug, clap::Args)]
pub struct CatchUp {
    #[command(flatten)]
    forward: Forward,

    /// Rows of the table of what is missing; the rest is summed up.
    #[arg(long, value_name = "N", default_value_t = 50)]
    top: usize,
}

pub async fn run(args: CatchUp) -> Result<ExitCode, Failure> {
    let CatchUp { forward: args, top } = args;
    let console = Console::new();
    if args.plan.plan {
        return Err(Failure::usage(
            "catch-up has no --plan: use --dry-run, or forward --plan with the same ledger",
        ));
    }
    if args.keep.ledger.is_none() {
        return Err(Failure::usage(
            "catch-up needs --ledger: the file in which forward or the daemon remembered what \
             was delivered",
        ));
    }
    if args.to.as_deref() == Some("-") {
        return Err(Failure::usage(
            "catch-up prints what is missing to standard output; write the records to a file",
        ));
    }
    let found = look(&args, &console).await?;
    match args.report {
        ReportForm::Json => say!("{}", found.json(args.dry_run)),
        ReportForm::Text => say!("{}", found.text(top)),
    }
    if found.survey.to_read.files == 0 {
        // What is archived cannot be sent, and is missing all the same.
        let archived = found.survey.archived.files > 0;
        return Ok(ExitCode::from(u8::from(archived)));
    }
    if args.dry_run {
        return Ok(ExitCode::from(1));
    }
    // What arrived since is forwarded too: the pipeline asks the ledger for each file.
    forward::run(args).await
}

/// What a listing holds and the ledger does not know as finished.
struct Found {
    survey: Survey,
    missing: Missing,
}

async fn look(args: &Forward, console: &Console) -> Result<Found, Failure> {
    let zone = times::zone(&args.tz)?;
    let places: Vec<Place> = args
        .sources
        .iter()
        .map(|source| Place::parse(source))
        .collect::<Result<_, _>>()?;
    forward::check(&args.select, &args.tune)?;
    let window = Window::of(&args.select, console, &zone)?;
    let narrow = Narrow {
        accounts: args.select.accounts.clone(),
        regions: args.select.regions.clone(),
        kinds: args.select.kinds.clone(),
        since: window.since,
        until: window.until,
    };
    let keys = window.keys(&args.select);
    let found = compare(args, console, &places, &narrow, &keys).await?;
    if found.survey.seen == 0 {
        console.line("note: there was no file at all; check the source's name and prefix");
    }
    Ok(found)
}

async fn compare(
    args: &Forward,
    console: &Console,
    places: &[Place],
    narrow: &Narrow,
    keys: &KeyFilter,
) -> Result<Found, Failure> {
    let ledger = plan::ledger(args, console)?;
    let Sources {
        mut source,
        listings,
        ..
    } = sources::open(places, narrow, &args.tune, None).await?;
    let mut missing = Missing::new(PLACES);
    let surveyor = Surveyor {
        keys,
        before: &mut move |object| plan::before(ledger.as_ref(), object),
        restore: &mut |_| Ok(()),
        each: &mut |file| missing.add(&file.object),
    };
    let survey = match survey(&mut source, surveyor).await {
        Ok(survey) => survey,
        // Half a listing would call what it did not reach delivered.
        Err(Stop::Source(error)) => {
            return Err(Failure::work(format!(
                "{}; nothing was sent, because it is not known what is missing",
                chain(&error)
            )));
        }
        Err(other) => return Err(Failure::work(format!("the listing ended early: {other:?}"))),
    };
    for account in listings.iter().flat_map(|stats| stats.absent_accounts()) {
        let account = printable(&account);
        console.line(&format!("note: no folder of account {account} was met"));
    }
    Ok(Found { survey, missing })
}
