//! The daemon at work.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ctforward_aws::sqs::SqsStatsHandle;
use ctforward_core::deliver::{Denied, PacePolicy, RetryPolicy};
use ctforward_core::duplicates::Duplicates;
use ctforward_core::ledger::Known;
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::read::ReadLimits;
use ctforward_core::{Error, ErrorKind, Pipeline, Report, Sink};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::board::{self, Desk};
use crate::config::Settings;
use crate::day::DayLimit;
use crate::failure::{Failure, chain};
use crate::keep::{Health, Memory, Noted};
use crate::lobby::Lobby;
use crate::prepare::Parts;
use crate::redrive::Redriver;
use crate::sources::{self, Detail, FIRST_ANSWER, Sources};
use crate::status::Board as _;
use crate::systemd;

/// What the daemon is, once it runs.
pub struct Running {
    /// Where the pages are, and the metrics where these are apart.
    pub pages: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

/// Runs until `stop` is cancelled, also while it starts, or the daemon cannot go on.
/// `running` hears of it once the pages are there.
///
/// # Errors
/// What kept it from beginning.
pub async fn run(
    settings: &Settings,
    parts: Parts,
    stop: CancellationToken,
    running: impl FnOnce(&Running),
) -> Result<Report, Failure> {
    let metrics = admin::metrics::install()?;
    let pages = CancellationToken::new();
    let lobby = Lobby::new(&settings.sources, Arc::clone(&parts.tokens), stop.clone());
    let served = match parts.admin {
        None => None,
        Some(admin) => {
            let board = Arc::clone(&lobby) as _;
            Some(admin::serve(admin, board, metrics.clone(), pages.clone()).await?)
        }
    };
    running(&Running {
        pages: served.as_ref().map(|admin| admin.address),
        metrics: served.as_ref().and_then(|admin| admin.metrics_address),
    });
    let opening = lobby.unless_stopped("it opens the ledger", Memory::open(settings));
    let Some(memory) = opening.await? else {
        return Ok(ended_before_it_began());
    };
    let known: Arc<dyn Known> = Arc::clone(&memory.known) as _;
    let opening = sources::open(&settings.sources, &settings.pace, &known);
    let opening = lobby.unless_stopped("it opens its sources", opening);
    let Some(Sources {
        merge,
        watched,
        readers,
    }) = opening.await?
    else {
        memory.close().await;
        return Ok(ended_before_it_began());
    };
    let sink: Arc<dyn Sink> = match settings.pace.bytes_per_day {
        None => parts.sink,
        Some(most) => {
            let counting = DayLimit::new(parts.sink, Arc::clone(&memory.ledger), most);
            let counting = lobby.unless_stopped("it asks what was sent today", counting);
            let Some(limit) = counting.await? else {
                memory.close().await;
                return Ok(ended_before_it_began());
            };
            Arc::new(limit)
        }
    };
    let queues = watched.iter().filter_map(|source| match &source.detail {
        Detail::Queue(stats, _) => Some(stats.clone()),
        _ => None,
    });
    let queues: Vec<_> = queues.collect();
    let (ledger, kept) = (Arc::new(Health::default()), Arc::new(Health::default()));
    let limits = limits(settings);
    let records = &settings.records;
    let read_limits = ReadLimits::default()
        .with_record_bytes(records.max_record_bytes)
        .with_inflated_bytes(records.max_inflated_bytes);
    let mut builder = Pipeline::builder(merge, Arc::clone(&sink))
        .keys(parts.keys.clone())
        .limits(limits)
        .read_limits(read_limits)
        .ledger(Noted {
            inner: Arc::clone(&memory.ledger),
            health: Arc::clone(&ledger),
        })
        .quarantine(Noted {
            inner: memory.quarantine.clone(),
            health: Arc::clone(&kept),
        })
        .file_hashes(settings.keep.file_sha256)
        .pace(pace(settings))
        // What cannot be sent is held, or given back; never given up.
        .retry(RetryPolicy::default().with_give_up_after(None));
    if let Some(bytes) = settings.keep.copy_unreadable {
        builder = builder.copy_unreadable(bytes);
    }
    for filter in parts.filters {
        builder = builder.stage(filter);
    }
    if let Some(redaction) = &parts.redaction {
        builder = builder.redactor(Arc::clone(redaction));
    }
    if records.deduplicate {
        let duplicates = Duplicates::new()
            .with_most(records.dedup_records)
            .with_age(records.dedup_age)
            .with_store(Arc::clone(&memory.ledger));
        builder = builder.duplicates(duplicates);
    }
    let pipeline = builder.build()?;

    let tokens = parts.tokens;
    tokens.hurry(pipeline.pacer());
    let redriver = Redriver {
        quarantine: memory.quarantine.clone(),
        sink,
        pacer: pipeline.pacer(),
        readers: Arc::new(readers),
        redaction: parts.redaction,
        limits: redrive_limits(settings),
        read_limits,
        max_record_bytes: records.max_record_bytes,
        stop: stop.clone(),
        turn: tokio::sync::Mutex::new(()),
    };
    let desk = Desk::new(board::Parts {
        watch: pipeline.watch(),
        progress: pipeline.progress(),
        pacer: pipeline.pacer(),
        endpoint: parts.endpoint,
        sources: watched,
        tokens: Arc::clone(&tokens),
        ledger,
        ledger_path: memory.ledger.path().to_owned(),
        kept,
        quarantine: memory.quarantine.clone(),
        redriver,
        stop: stop.clone(),
    });
    lobby.open(Arc::clone(&desk));
    let keepers = [
        tokio::spawn(Arc::clone(&desk).keep()),
        tokio::spawn(Arc::clone(&desk).ask_depths()),
        tokio::spawn(Arc::clone(&desk).ask_what_is_slow()),
        tokio::spawn(tell(Arc::clone(&desk), stop.clone())),
        tokio::spawn(systemd::watchdog(pages.clone())),
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                metrics.run_upkeep();
            }
        }),
    ];

    let mut report = pipeline.run(stop.clone()).await;
    told(&queues).await;
    if let Some(name) = desk.broken()
        && !matches!(report.end, End::Failed(_))
    {
        let why = format!("source {name} ended by a fault in the program");
        report.end = End::Failed(Error::new(ErrorKind::Other, "daemon", why));
    }
    // Whatever ended it, a redrive ends too, and then the pages.
    stop.cancel();
    pages.cancel();
    if let Some(served) = served {
        served.stopped().await;
    }
    for keeper in keepers {
        keeper.abort();
        let _ = keeper.await;
    }
    drop((desk, lobby));
    memory.close().await;
    Ok(report)
}

/// Nothing was taken in, so nothing is given back.
fn ended_before_it_began() -> Report {
    tracing::info!("told to stop while it started");
    let mut report = Report::default();
    report.end = End::Stopped;
    report
}

/// What a redrive may hold: a file or entry held back, and two requests, taken from what
/// the daemon may hold in all.
fn redrive_limits(settings: &Settings) -> PipelineLimits {
    let mut limits = PipelineLimits::default();
    limits.files_reading = 1;
    limits.deliveries = 2;
    limits.linger = settings.pace.linger;
    limits.drain = settings.drain;
    limits.bytes_held = settings.endpoint.request_bytes.saturating_mul(4);
    limits
}

fn limits(settings: &Settings) -> PipelineLimits {
    let mut limits = PipelineLimits::default();
    let concurrency = settings.pace.concurrency;
    limits.files_reading = concurrency;
    limits.deliveries = concurrency;
    limits.linger = settings.pace.linger;
    limits.drain = settings.drain;
    // Files held back, batches under way, one that is open and one that waits.
    let least = settings
        .endpoint
        .request_bytes
        .saturating_mul(2 * concurrency + 2);
    let redrive = redrive_limits(settings).bytes_held;
    limits.bytes_held = limits.bytes_held.saturating_sub(redrive).max(least);
    limits
}

fn pace(settings: &Settings) -> PacePolicy {
    let pace = &settings.pace;
    PacePolicy::default()
        .with_ceiling(pace.concurrency)
        .with_bytes_per_second(pace.bytes_per_second)
        .with_requests_per_second(pace.requests_per_second)
        .with_denied(Denied::Probe(pace.probe))
}

/// How long queues may take to hear the last of the run. What they do not hear by then
/// comes again by itself.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Waits until the messages that were not handed over are given back: another daemon
/// should not wait for them.
async fn told(queues: &[SqsStatsHandle]) {
    let all = async {
        for queue in queues {
            queue.told().await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
        tracing::info!(
            "a queue was not told the last, or was still being asked for messages; one that \
             it gave out in that moment comes again after its visibility timeout"
        );
    }
}

/// Tells the service manager: ready once a source was heard, or nothing was heard of
/// any for a while; and then how it goes.
async fn tell(desk: Arc<Desk>, stop: CancellationToken) {
    let began = tokio::time::Instant::now();
    while !desk.heard() && began.elapsed() < FIRST_ANSWER {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    systemd::ready();
    tracing::info!("ready");
    let mut bad = false;
    loop {
        systemd::status(&desk.line());
        let ready = desk.ready();
        match &ready {
            Err(reasons) if !bad => tracing::error!(reasons = %reasons.join("; "), "not ready"),
            Ok(()) if bad => tracing::info!("ready again"),
            _ => {}
        }
        bad = ready.is_err();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

/// Says how it ended, and finds the exit status: 0 stopped in good order, 1 it could
/// not go on.
pub fn conclude(report: &Report) -> ExitCode {
    let (files, records) = (&report.files, &report.records);
    tracing::info!(
        files_delivered = files.delivered,
        files_quarantined = files.quarantined,
        files_given_back = files.failed,
        records_accepted = records.accepted,
        records_quarantined = records.quarantined,
        "ended"
    );
    match &report.end {
        End::Failed(error) => {
            tracing::error!(error = %chain(error), "the daemon cannot go on");
            ExitCode::from(1)
        }
        _ => ExitCode::SUCCESS,
    }
}
