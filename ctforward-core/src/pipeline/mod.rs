//! The pipeline: from a source's log files to a sink's word on every record, and back to the receipts.
//!
//! ```text
//! Source ─ file ─▶ ledger? ─▶ open ─▶ inflate ─▶ split ─▶ stages ─▶ batch ─▶ deliver ─▶ Sink
//!    ▲                                                                          │
//!    └─ receipt ◀─ ledger row ◀─ quarantine ◀─ the file's last record decided ◀─┘
//! ```

mod batcher;
mod books;
mod buckets;
mod close;
mod deliver;
mod freshness;
mod held;
mod intake;
mod leases;
mod limits;
mod prepare;
mod report;
mod run;
mod track;
mod watch;
mod water;
mod worker;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deliver::{
    Denied, PacePolicy, PaceSink, Pacer, RefusalGuard, RetryPolicy, RetrySink, SplitSink,
};
use crate::duplicates::{Duplicates, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::quarantine::{Quarantine, QuarantineEntry};
use crate::read::ReadLimits;
use crate::sink::Sink;
use crate::source::Source;
use crate::stage::{Redactor, Stage};

pub use books::{FileBooks, RecordBooks};
pub use freshness::{Freshness, LastSeen, LastSeenTable};
pub use limits::PipelineLimits;
pub use report::{ByteCounts, End, FileCounts, Progress, Report};

use batcher::Batcher;
use run::{Run, RunState};

pub(crate) use run::unharmed;
pub use watch::Watch;

/// Takes log files from a [`Source`] and hands every record to a [`Sink`].
///
/// A file's receipt is accepted only when each of its records was accepted by
/// the sink, dropped by a named rule, or put in quarantine, and the ledger's row
/// says so; a failure at any step acknowledges nothing.
///
/// ```
/// use ctforward_core::sink::MemorySink;
/// use ctforward_core::source::MemorySource;
/// use ctforward_core::{ObjectId, Pipeline};
/// use tokio_util::sync::CancellationToken;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let log = r#"{"Records":[{"eventName":"GetObject"},{"eventName":"PutObject"}]}"#;
/// let source = MemorySource::new([(ObjectId::new("bucket", "log.json"), log.into())]);
/// let sink = std::sync::Arc::new(MemorySink::new());
///
/// let pipeline = Pipeline::builder(source, std::sync::Arc::clone(&sink)).build()?;
/// let report = pipeline.run(CancellationToken::new()).await;
///
/// assert_eq!(report.records.accepted, 2);
/// assert!(report.balanced());
/// assert_eq!(sink.lines()[0], r#"{"eventName":"GetObject"}"#);
/// # Ok::<(), ctforward_core::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pipeline {
    source: Box<dyn Source>,
    run: Arc<Run>,
    owner: String,
    keys: Option<crate::key::KeyFilter>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("limits", &self.run.limits)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Begins a pipeline from `source` to `sink`.
    pub fn builder(source: impl Source + 'static, sink: impl Sink + 'static) -> PipelineBuilder {
        PipelineBuilder {
            source: Box::new(source),
            sink: Box::new(sink),
            quarantine: Arc::new(NoQuarantine),
            ledger: None,
            owner: None,
            stages: Vec::new(),
            redactors: Vec::new(),
            duplicates: None,
            hashes_files: false,
            copies: None,
            keys: None,
            limits: PipelineLimits::default(),
            read_limits: ReadLimits::default(),
            retry: RetryPolicy::default(),
            pace: None,
            guard: RefusalGuard::default(),
            dry_run: None,
        }
    }

    /// The pace of delivery, to be looked at while the pipeline runs.
    #[must_use]
    pub fn pacer(&self) -> Pacer {
        self.run.pacer.clone()
    }

    /// The books of the run, to be looked at while it runs.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::of(&self.run)
    }

    /// How far the pipeline is, to be looked at while it runs.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.run.progress)
    }
}

/// Settings of a [`Pipeline`].
pub struct PipelineBuilder {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    quarantine: Arc<dyn Quarantine>,
    ledger: Option<Arc<dyn Ledger>>,
    owner: Option<String>,
    stages: Vec<Arc<dyn Stage>>,
    redactors: Vec<Arc<dyn Redactor>>,
    duplicates: Option<Duplicates>,
    hashes_files: bool,
    copies: Option<usize>,
    keys: Option<crate::key::KeyFilter>,
    limits: PipelineLimits,
    read_limits: ReadLimits,
    retry: RetryPolicy,
    pace: Option<PacePolicy>,
    guard: RefusalGuard,
    dry_run: Option<Arc<dyn Quarantine>>,
}

impl fmt::Debug for PipelineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder")
            .field("limits", &self.limits)
            .field("read_limits", &self.read_limits)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl PipelineBuilder {
    /// Where what cannot be delivered is kept. Without one, a file that holds
    /// such a thing stays unfinished.
    #[must_use]
    pub fn quarantine(mut self, quarantine: impl Quarantine + 'static) -> Self {
        self.quarantine = Arc::new(quarantine);
        self
    }

    /// What is known of files between runs. Without one, each file is read.
    ///
    /// A file that is finished is not read again, and one that was decided in
    /// part goes on behind its low-water mark. Leases are prolonged for as long
    /// as a file takes.
    #[must_use]
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// The name under which this pipeline holds leases of the ledger. By default
    /// the process and a random number.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Adds a stage behind those added before.
    #[must_use]
    pub fn stage(mut self, stage: impl Stage + 'static) -> Self {
        self.stages.push(Arc::new(stage));
        self
    }

    /// Changes what is sent of records, behind the redactors added before; what is
    /// kept in quarantine stays as it lies in the file.
    #[must_use]
    pub fn redactor(mut self, redactor: impl Redactor + 'static) -> Self {
        self.redactors.push(Arc::new(redactor));
        self
    }

    /// Sends no record again that was accepted before, as far as it is remembered.
    /// Off without this.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = Some(duplicates);
        self
    }

    /// Keeps the SHA-256 of each inflated file in the ledger, as CloudTrail's
    /// digests have it. Costs about as much as inflating.
    #[must_use]
    pub fn file_hashes(mut self, hash: bool) -> Self {
        self.hashes_files = hash;
        self
    }

    /// Keeps a copy of unreadable files of at most `bytes` as stored, and not only
    /// their address and SHA-256. One copy for each file being read is held in memory.
    #[must_use]
    pub fn copy_unreadable(mut self, bytes: usize) -> Self {
        self.copies = Some(bytes);
        self
    }

    /// Which files to take, by their keys. Those left out are counted as skipped.
    #[must_use]
    pub fn keys(mut self, keys: crate::key::KeyFilter) -> Self {
        self.keys = Some(keys);
        self
    }

    /// What to hold and do at once.
    #[must_use]
    pub fn limits(mut self, limits: PipelineLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Caps of the reader.
    #[must_use]
    pub fn read_limits(mut self, limits: ReadLimits) -> Self {
        self.read_limits = limits;
        self
    }

    /// How to try again what may pass later.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// When requests go to the sink: how many at once, how fast, and what opens the
    /// breaker. By default as [`PacePolicy`] has it, with
    /// [`deliveries`](PipelineLimits::deliveries) for a ceiling.
    #[must_use]
    pub fn pace(mut self, pace: PacePolicy) -> Self {
        self.pace = Some(pace);
        self
    }

    /// When the sink's refusals are not believed.
    #[must_use]
    pub fn refusal_guard(mut self, guard: RefusalGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Reads and counts, sends nothing, keeps nothing and acknowledges nothing: all
    /// records stay undecided, all files are given back. What would go to
    /// quarantine is told to `would_keep` instead.
    #[must_use]
    pub fn dry_run(mut self, would_keep: impl Quarantine + 'static) -> Self {
        self.dry_run = Some(Arc::new(would_keep));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the limits do not go together.
    pub fn build(self) -> Result<Pipeline> {
        let batch = self.sink.limits();
        let budget = self.limits.batch_budget(batch)?;
        let stop = CancellationToken::new();
        let pace = self.pace.unwrap_or_else(|| {
            let pace = PacePolicy::default().with_ceiling(self.limits.deliveries);
            self.retry.seed.map_or(pace, |seed| pace.with_seed(seed))
        });
        let pacer = Pacer::new(pace)?;
        let nothing_else = CancellationToken::new();
        let paced = PaceSink::new(self.sink, pacer.clone());
        let retrying = RetrySink::new(paced, self.retry, stop.clone()).hurried_by(pacer.clone());
        let splitting =
            SplitSink::with_guard(retrying, self.guard).with_nothing_else(nothing_else.clone());
        let state = RunState {
            report: Report::default(),
            filtered: std::collections::BTreeMap::new(),
            fatal: None,
            source_failed: None,
            rng: self.retry.rng(),
            freshness: Freshness::default(),
            last_seen: LastSeenTable::default(),
            allowance: run::Allowance::default(),
        };
        let window = self.duplicates.as_ref().map(|d| Window::new(d.most, d.age));
        let buckets = Arc::new(buckets::Buckets::default());
        let progress = Progress {
            buckets: Arc::clone(&buckets),
            ..Progress::default()
        };
        Ok(Pipeline {
            source: self.source,
            owner: self
                .owner
                .unwrap_or_else(|| format!("{}-{:016x}", std::process::id(), fastrand::u64(..))),
            keys: self.keys,
            run: Arc::new(Run {
                hold_complete: self.limits.hold_complete(batch),
                record_limit: batch.record_bytes.min(batch.bytes),
                limits: self.limits,
                read_limits: self.read_limits,
                stages: self.stages,
                redactors: self.redactors,
                duplicates: self.duplicates,
                hasher: OnceLock::new(),
                hashes_files: self.hashes_files,
                copies: self.copies,
                buckets,
                live: leases::Live::default(),
                batcher: Batcher::new(batch, budget, window),
                sink: Arc::new(splitting),
                pacer,
                probes: match pace.denied {
                    Denied::Probe(every) => Some(every),
                    Denied::Stop => None,
                },
                nothing_else,
                waiting: AtomicU64::new(1),
                quarantine: self.dry_run.clone().unwrap_or(self.quarantine),
                ledger: self.ledger,
                dry_run: self.dry_run.is_some(),
                retry: self.retry,
                stop,
                kill: CancellationToken::new(),
                ended: CancellationToken::new(),
                tasks: TaskTracker::new(),
                spending: tokio::sync::Notify::new(),
                file_read: tokio::sync::Notify::new(),
                progress: Arc::new(progress),
                state: Mutex::new(state),
            }),
        })
    }
}

/// Stands where no quarantine was set.
struct NoQuarantine;

#[async_trait]
impl Quarantine for NoQuarantine {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        Err(Error::new(
            ErrorKind::Config,
            "pipeline",
            format!(
                "something cannot be delivered ({}: {}) and no quarantine is set to keep it",
                entry.reason, entry.detail
            ),
        ))
    }
}
