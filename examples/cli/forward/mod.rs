//! `forward`: the main job.

mod day;
mod keep;
mod shape;
mod sink;
mod window;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::deliver::{PacePolicy, RefusalGuard, RetryPolicy};
use ctforward_core::key::KeyFilter;
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::read::ReadLimits;
use ctforward_core::stage::EventTimeRange;
use ctforward_core::text::printable;
use ctforward_core::{Pipeline, Report, Sink};
use tokio_util::sync::CancellationToken;

use crate::args::{Forward, ReportForm, Select, Tune};
use crate::books::{Kept, conclude, grouped, text};
use crate::console::{Console, Naming};
use crate::failure::Failure;
use crate::plan;
use crate::queue;
use crate::sources::{self, Narrow, Place};
use crate::times;

use day::Day;
use keep::Memory;
pub use window::Window;

pub use shape::Shape;
pub use sink::{Target, sink};

/// The environment variable with the collector's token.
pub const TOKEN: &str = "VISIONONE_INGEST_TOKEN";

pub async fn run(args: Forward) -> Result<ExitCode, Failure> {
    if args.to.as_deref() == Some("-") && args.report == ReportForm::Json {
        return Err(Failure::usage(
            "--to - and --report json both want standard output; write the records to a file",
        ));
    }
    let console = Console::new();
    let zone = times::zone(&args.tz)?;
    let queue = args
        .queue
        .queue_url
        .as_ref()
        .map(|url| format!("sqs:{url}"));
    let places: Vec<Place> = args
        .sources
        .iter()
        .chain(&queue)
        .map(|s| Place::parse(s))
        .collect::<Result<_, _>>()?;
    let keeps = args.keep.ledger.is_some() || args.keep.quarantine.is_some();
    args.queue
        .check(&places, args.dry_run || args.plan.plan, keeps)?;
    let window = Window::of(&args.select, &console, &zone)?;
    give_up_after(&args.tune)?;
    check(&args.select, &args.tune)?;
    if args.plan.plan {
        let keys = window.keys(&args.select);
        return plan::run(&args, &places, &keys, (window.since, window.until)).await;
    }
    let shape = Shape::of(&args.shape, &places)?;
    let day = Day::of(&args)?;
    // The sink outlives a day: what it writes is one file.
    let sink: Arc<dyn Sink> = Arc::from(sink(&Target::of(&args), &args.tune).await?);
    let memory = Memory::open(&args.keep, args.dry_run).await?;
    let sink = day.count(sink, memory.ledger.as_ref());
    let job = Job {
        keys: window.keys(&args.select),
        args,
        console,
        places,
        window,
        shape,
        sink,
        memory,
    };
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone(), job.console.clone()));
    let ended = job.days(&day, &shutdown).await;
    signals.abort();
    // What the ledger has to write is written before the program ends.
    job.memory.close().await;
    ended
}

/// What one or several runs have in common.
struct Job {
    args: Forward,
    console: Console,
    places: Vec<Place>,
    window: Window,
    keys: KeyFilter,
    shape: Shape,
    sink: Arc<dyn Sink>,
    memory: Memory,
}

impl Job {
    /// Runs until all is done, a day's bytes at a time where they are limited.
    async fn days(&self, day: &Day, shutdown: &CancellationToken) -> Result<ExitCode, Failure> {
        // What earlier rounds did not send.
        let mut aside = 0;
        loop {
            let left = day.left(self.memory.ledger.as_ref())?;
            // What is left must take any one batch, or the day would never end.
            let batch = self.sink.limits().bytes as u64;
            if left.is_some_and(|left| left <= batch) {
                if !day.goes_on(&self.console, shutdown).await {
                    return Ok(ExitCode::from(1));
                }
                continue;
            }
            let (report, would_keep) = self.once(left, shutdown).await?;
            let kept = Kept {
                aside,
                ledger: self.memory.ledger.is_some(),
                quarantine: self.memory.quarantine_folder(),
                would_keep,
                endless: self.args.queue.is_endless(&self.places),
            };
            // Only a limit that was reached, and nothing else, is waited for.
            let failed = matches!(report.end, End::Failed(_));
            if !report.limit_reached || failed || shutdown.is_cancelled() {
                return Ok(conclude(&report, &self.console, &kept));
            }
            aside += report.records.quarantined + report.files.quarantined;
        }
    }

    /// One run of the pipeline, and its report.
    async fn once(
        &self,
        bytes: Option<u64>,
        shutdown: &CancellationToken,
    ) -> Result<(Report, u64), Failure> {
        let (args, console) = (&self.args, &self.console);
        let tune = &args.tune;
        let mut limits = limits(tune, self.sink.limits().bytes)?;
        limits.sent_bytes = bytes;
        let narrow = Narrow {
            accounts: args.select.accounts.clone(),
            regions: args.select.regions.clone(),
            kinds: args.select.kinds.clone(),
            since: self.window.since,
            until: self.window.until,
        };
        let sources::Sources {
            source,
            listings,
            queues,
        } = sources::open(&self.places, &narrow, tune, Some(&args.queue)).await?;
        let read_limits = ReadLimits::default()
            .with_record_bytes(tune.max_record_bytes)
            .with_inflated_bytes(tune.max_inflated_bytes);
        let naming = Naming::new(console.clone(), args.dry_run);
        let retry = RetryPolicy::default().with_give_up_after(Some(give_up_after(tune)?));
        let mut builder = Pipeline::builder(source, Arc::clone(&self.sink))
            .keys(self.keys.clone())
            .limits(limits)
            .read_limits(read_limits)
            .retry(retry)
            .pace(pace(tune));
        builder = self.memory.give(builder, &args.keep, &naming);
        if args.dry_run {
            builder = builder.dry_run(naming.clone());
        }
        let (since, until) = (self.window.event_since, self.window.event_until);
        if since.is_some() || until.is_some() {
            builder = builder.stage(EventTimeRange::new(since, until));
        }
        builder = self.shape.give(builder);
        if let Some(duplicates) = self.shape.duplicates(&self.memory) {
            builder = builder.duplicates(duplicates);
        }
        if args.believe_refusals {
            builder = builder.refusal_guard(RefusalGuard::trusting());
        }
        let pipeline = builder.build()?;
        let following = console.follow(pipeline.progress());
        let report = pipeline.run(shutdown.child_token()).await;
        drop(following);
        queue::told(&queues, console).await;

        if report.without_time > 0 {
            let without = grouped(report.without_time);
            console.line(&format!(
                "note: {without} files carry no time in their keys and were taken all the same"
            ));
        }
        queue::notes(&queues, console);
        if report.files.seen == 0 && queues.is_empty() {
            console.line("note: there was no file at all; check the source's name and prefix");
        }
        for stats in &listings {
            for account in stats.absent_accounts() {
                let account = printable(&account);
                console.line(&format!("note: no folder of account {account} was met"));
            }
        }
        match args.report {
            ReportForm::Json => match serde_json::to_string(&report) {
                Ok(json) => printed(&json)?,
                Err(error) => return Err(Failure::work(format!("the report: {error}"))),
            },
            // Standard output is the records'.
            ReportForm::Text if args.to.as_deref() == Some("-") => console.line(&text(&report)),
            ReportForm::Text => say!("{}", text(&report)),
        }
        let would_keep = if args.dry_run { naming.count() } else { 0 };
        Ok((report, would_keep))
    }
}

pub fn pace(tune: &Tune) -> PacePolicy {
    PacePolicy::default()
        .with_ceiling(tune.concurrency)
        .with_bytes_per_second(tune.max_bytes_per_second)
        .with_requests_per_second(tune.max_requests_per_second)
}

/// Prints the report; a program that reads it must not take its absence for success.
fn printed(json: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{json}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::work(
            format!("the report could not be printed: {error}"),
        )),
        _ => Ok(()),
    }
}

pub fn give_up_after(tune: &Tune) -> Result<Duration, Failure> {
    times::duration("--give-up-after", &tune.give_up_after)
}

/// Values that can only be mistakes.
pub fn check(select: &Select, tune: &Tune) -> Result<(), Failure> {
    sane(tune)?;
    for account in &select.accounts {
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            let account = printable(account);
            return Err(Failure::usage(format!(
                "--account {account}: an account has 12 digits"
            )));
        }
    }
    Ok(())
}

/// Numbers that can only be mistakes.
pub fn sane(tune: &Tune) -> Result<(), Failure> {
    let sane = (1024..=1 << 30).contains(&tune.batch_bytes)
        && (1..=256).contains(&tune.concurrency)
        && (1..=1 << 30).contains(&tune.max_record_bytes);
    if !sane {
        return Err(Failure::usage(
            "--batch-bytes must be 1024 to 1073741824, --concurrency 1 to 256, \
             --max-record-bytes 1 to 1073741824",
        ));
    }
    Ok(())
}

pub fn limits(tune: &Tune, batch_bytes: usize) -> Result<PipelineLimits, Failure> {
    let mut limits = PipelineLimits::default();
    limits.files_reading = tune.concurrency;
    limits.deliveries = tune.concurrency;
    limits.linger = times::duration("--linger", &tune.linger)?;
    // Files held back, batches under way, one that is open and one that waits.
    let least = batch_bytes.saturating_mul(2 * tune.concurrency + 2);
    limits.bytes_held = limits.bytes_held.max(least);
    Ok(limits)
}

/// The first signal ends the run in good order, the second at once.
pub async fn stop_on_signal(shutdown: CancellationToken, console: Console) {
    interrupted().await;
    console.line(
        "ctforward: stopping; what is under way is finished first. Once more to stop at once.",
    );
    shutdown.cancel();
    interrupted().await;
    std::process::exit(1);
}

/// Waits for an interrupt or a request to end.
pub async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be received: wait for ever rather than stop at once.
        tokio::time::sleep(Duration::MAX).await;
    }
}
