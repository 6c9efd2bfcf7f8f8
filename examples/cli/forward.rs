//! `forward`: the main job.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ctforward_core::deliver::RetryPolicy;
use ctforward_core::key::KeyFilter;
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::read::ReadLimits;
use ctforward_core::sink::{LineSink, MemorySink};
use ctforward_core::stage::EventTimeRange;
use ctforward_core::text::printable;
use ctforward_core::{BatchLimits, ErrorKind, Pipeline, Sink};
use ctforward_visionone::{TokenEnv, TokenFile, TokenProvider, VisionOneSink};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::args::{Forward, ReportForm, Select, Tune};
use crate::books::{conclude, grouped, text};
use crate::console::{Console, Naming};
use crate::failure::Failure;
use crate::sources::{self, Narrow, Place};
use crate::times;

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
    let places: Vec<Place> = args
        .sources
        .iter()
        .map(|s| Place::parse(s))
        .collect::<Result<_, _>>()?;
    let window = Window::of(&args.select, &console, &zone)?;
    let keys = window.keys(&args.select);
    let retry = RetryPolicy::default().with_give_up_after(Some(give_up_after(&args.tune)?));
    check(&args.select, &args.tune)?;
    let sink = sink(&Target::of(&args), &args.tune).await?;
    let limits = limits(&args.tune, sink.limits().bytes)?;
    let narrow = Narrow {
        accounts: args.select.accounts.clone(),
        regions: args.select.regions.clone(),
        kinds: args.select.kinds.clone(),
        since: window.since,
        until: window.until,
    };
    let (source, listings) = sources::open(&places, &narrow, &args.tune).await?;
    let read_limits = ReadLimits::default()
        .with_record_bytes(args.tune.max_record_bytes)
        .with_inflated_bytes(args.tune.max_inflated_bytes);
    let naming = Naming::new(console.clone(), args.dry_run);
    let mut builder = Pipeline::builder(source, sink)
        .quarantine(naming.clone())
        .keys(keys)
        .limits(limits)
        .read_limits(read_limits)
        .retry(retry);
    if args.dry_run {
        builder = builder.dry_run(naming.clone());
    }
    if window.event_since.is_some() || window.event_until.is_some() {
        builder = builder.stage(EventTimeRange::new(window.event_since, window.event_until));
    }
    let pipeline = builder.build()?;

    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone(), console.clone()));
    let following = console.follow(pipeline.progress());
    let report = pipeline.run(shutdown).await;
    drop(following);
    signals.abort();

    if report.without_time > 0 {
        let without = grouped(report.without_time);
        console.line(&format!(
            "note: {without} files carry no time in their keys and were taken all the same"
        ));
    }
    if report.files.seen == 0 {
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
    Ok(conclude(&report, &console, would_keep))
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

/// The times between which files and records are taken.
struct Window {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    event_since: Option<Timestamp>,
    event_until: Option<Timestamp>,
}

impl Window {
    /// Reads the four times, and says how those without a zone were taken.
    fn of(select: &Select, console: &Console, zone: &TimeZone) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let read = |option: &'static str, text: &Option<String>| -> Result<_, Failure> {
            let Some(text) = text else { return Ok(None) };
            let given = times::time(option, text, now)?;
            let shown = times::show(given.at, zone);
            let how = if given.bare_date {
                " (a date alone is UTC)"
            } else {
                ""
            };
            console.line(&format!("note: {option} is {shown}{how}"));
            Ok(Some(given.at))
        };
        let window = Self {
            since: read("--since", &select.since)?,
            until: read("--until", &select.until)?,
            event_since: read("--event-since", &select.event_since)?,
            event_until: read("--event-until", &select.event_until)?,
        };
        let backwards = |since: Option<Timestamp>, until: Option<Timestamp>| matches!((since, until), (Some(since), Some(until)) if since >= until);
        if backwards(window.since, window.until) {
            return Err(Failure::usage("--since must be before --until"));
        }
        if backwards(window.event_since, window.event_until) {
            return Err(Failure::usage("--event-since must be before --event-until"));
        }
        Ok(window)
    }

    fn keys(&self, select: &Select) -> KeyFilter {
        let mut keys = KeyFilter::new();
        if !select.accounts.is_empty() {
            keys = keys.accounts(select.accounts.iter().cloned());
        }
        if !select.regions.is_empty() {
            keys = keys.regions(select.regions.iter().cloned());
        }
        if !select.kinds.is_empty() {
            keys = keys.kinds(select.kinds.iter().map(|kind| kind.kind()));
        }
        if let Some(since) = self.since {
            keys = keys.since(since);
        }
        if let Some(until) = self.until {
            keys = keys.until(until);
        }
        keys
    }
}

pub fn give_up_after(tune: &Tune) -> Result<Duration, Failure> {
    times::duration("--give-up-after", &tune.give_up_after)
}

/// Values that can only be mistakes.
fn check(select: &Select, tune: &Tune) -> Result<(), Failure> {
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

/// Where the records go, as the command line names it.
pub struct Target<'a> {
    pub endpoint: Option<&'a str>,
    pub token_file: Option<&'a Path>,
    pub to: Option<&'a str>,
    pub dry_run: bool,
}

impl<'a> Target<'a> {
    fn of(args: &'a Forward) -> Self {
        Self {
            endpoint: args.endpoint.as_deref(),
            token_file: args.token_file.as_deref(),
            to: args.to.as_deref(),
            dry_run: args.dry_run,
        }
    }
}

/// Where the records go.
pub async fn sink(args: &Target<'_>, tune: &Tune) -> Result<Box<dyn Sink>, Failure> {
    if let Some(to) = args.to {
        if args.dry_run {
            return Ok(Box::new(MemorySink::new()));
        }
        let sink = if to == "-" {
            LineSink::stdout()
        } else {
            LineSink::create(Path::new(to))?
        };
        // A line may be as long as a record that is read.
        let bytes = tune.max_record_bytes.max(1 << 20);
        return Ok(Box::new(sink.with_limits(BatchLimits::new(bytes))));
    }
    let Some(endpoint) = args.endpoint else {
        // Only a dry run gets here, which sends nothing.
        return Ok(Box::new(MemorySink::new()));
    };
    let token: Box<dyn TokenProvider> = match args.token_file {
        Some(file) => Box::new(TokenFile::new(file)),
        None => Box::new(TokenEnv::new(TOKEN)),
    };
    if !args.dry_run {
        // A missing or unreadable token is found before anything is read.
        if let Err(error) = token.token(false).await {
            return Err(match error.kind() {
                ErrorKind::Unauthorized | ErrorKind::NotFound | ErrorKind::Config => {
                    Failure::usage(format!(
                        "{error}; put the collector's token into {TOKEN} or a file named by --token-file"
                    ))
                }
                _ => error.into(),
            });
        }
    }
    let mut builder = VisionOneSink::builder(endpoint, token)
        .request_bytes(tune.batch_bytes)
        .gzip(tune.gzip)
        .final_newline(tune.final_newline)
        .allow_plain_http(tune.allow_plain_http)
        // No answer is waited for longer than without any delivery is given up.
        .request_timeout(
            give_up_after(tune)?.clamp(Duration::from_secs(1), Duration::from_secs(60)),
        );
    for header in &tune.headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage("--header is NAME:VALUE"));
        };
        builder = builder.header(name.trim(), value.trim());
    }
    if let Some(file) = &tune.ca_file {
        let pem = std::fs::read(file).map_err(|error| {
            Failure::usage(format!(
                "--ca-file {}: {error}",
                printable(&file.to_string_lossy())
            ))
        })?;
        builder = builder.ca_pem(pem);
    }
    Ok(Box::new(builder.build()?))
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
