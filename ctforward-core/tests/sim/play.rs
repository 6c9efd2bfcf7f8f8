//! One play: runs of the pipeline, one after the other, until all is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ctforward_core::deliver::RetryPolicy;
use ctforward_core::duplicates::Duplicates;
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::quarantine::MemoryQuarantine;
use ctforward_core::read::ReadLimits;
use ctforward_core::stage::{Stage, Verdict};
use ctforward_core::{Pipeline, Record, Report};
use tokio_util::sync::CancellationToken;

use crate::faults::{Faults, Life};
use crate::parts::{Mood, SimLedger, SimQuarantine, SimSeen, SimSink, SimSource};
use crate::world::{READER_CAP, World};

/// A part that breaks its contract, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The file is acknowledged when it is opened.
    AcknowledgesBeforeAccept,
    /// The sink says yes and takes the records at its next call.
    SinkSaysYesTooEarly,
    /// The ledger takes the furthest record sent for the low-water mark.
    MarksTheFurthest,
    LedgerForgetsTheEnd,
    QuarantineForgets,
}

impl Broken {
    pub(crate) const ALL: [Self; 5] = [
        Self::AcknowledgesBeforeAccept,
        Self::SinkSaysYesTooEarly,
        Self::MarksTheFurthest,
        Self::LedgerForgetsTheEnd,
        Self::QuarantineForgets,
    ];
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) crashes: u64,
    pub(crate) failed_calls: u64,
    pub(crate) records: u64,
    pub(crate) quarantined: u64,
    pub(crate) sent_again: u64,
    pub(crate) resumed: u64,
    pub(crate) duplicates: u64,
    pub(crate) lost_leases: u64,
    pub(crate) disbelieved: u64,
    pub(crate) trace: u64,
}

/// Runs after which nothing goes wrong any more.
const BAD_RUNS: u64 = 8;
/// Runs after which everything must be done: leases of the dead run out, too.
const MOST_RUNS: u64 = 30;

struct Noise(Arc<str>);

impl Stage for Noise {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        match record.header().event_name().as_deref() {
            Some("Noise") => Verdict::Drop(Arc::clone(&self.0)),
            _ => Verdict::Keep,
        }
    }
}

/// Drops everything but what cannot be a record of ours.
struct Everything;

impl Stage for Everything {
    fn apply(&self, _record: &Record<'_>) -> Verdict {
        Verdict::Drop("everything".into())
    }
}

/// Plays a seed to its end; what was violated, if anything was.
pub(crate) fn play(seed: u64, broken: Option<Broken>, tell: bool) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let faults = Faults::new(seed, tell);
        let world = World::new(&faults);
        let mut play = Play {
            with_duplicates: faults.chance(0.5),
            rivals: Arc::default(),
            outcome: Outcome::default(),
            broken,
            faults,
            world,
        };
        play.finish().await?;
        let Play {
            faults,
            world,
            rivals,
            mut outcome,
            ..
        } = play;
        outcome.failed_calls = faults.failed_calls();
        outcome.sent_again = world.kept().sent_again;
        outcome.quarantined = world.quarantine.entries().len() as u64;
        outcome.records = world.files().iter().map(|f| f.elements.len() as u64).sum();
        outcome.lost_leases = rivals.load(Ordering::Relaxed);
        outcome.trace = faults.trace();
        Ok(outcome)
    })
}

struct Play {
    faults: Faults,
    world: Arc<World>,
    with_duplicates: bool,
    rivals: Arc<AtomicU64>,
    broken: Option<Broken>,
    outcome: Outcome,
}

impl Play {
    async fn finish(&mut self) -> Result<(), String> {
        for run in 0..MOST_RUNS {
            let waiting: Vec<_> = {
                let kept = self.world.kept();
                let files = self.world.files().into_iter();
                files
                    .filter(|f| !kept.acknowledged.contains(&f.key))
                    .collect()
            };
            if waiting.is_empty() {
                return self.world.judge();
            }
            self.faults
                .tell(&format!("run {run}: {} files", waiting.len()));
            self.run(run, waiting.into()).await?;
            self.world.run_ended();
            if let Some(what) = self.world.kept().violation.clone() {
                return Err(what);
            }
            if run < BAD_RUNS && self.faults.chance(0.1) {
                self.world.rewrite(&self.faults);
            }
            // Now and then the next process starts at once, and finds the leases of the last.
            if self.faults.chance(0.8) {
                tokio::time::sleep(Duration::from_secs(700)).await;
            }
        }
        Err("it does not come to an end".to_owned())
    }

    async fn run(
        &mut self,
        run: u64,
        files: std::collections::VecDeque<crate::world::File>,
    ) -> Result<(), String> {
        let faults = self.faults.clone();
        let bad = run < BAD_RUNS;
        let fail = match faults.below(4) {
            0 if bad => 0.1,
            1 if bad => 0.02,
            _ => 0.0,
        };
        let slow = if faults.chance(0.3) { 0.1 } else { 0.0 };
        let crash_in = (bad && faults.chance(0.7)).then(|| faults.below(60));
        let mood = match faults.below(16) {
            0 if bad => Mood::RefusesEverything,
            1 if bad => Mood::Denies,
            2..=4 => Mood::Narrow,
            5..=9 => Mood::Precise,
            _ => Mood::Fair,
        };
        self.world.kept().refused_everything |= mood == Mood::RefusesEverything;
        // Somebody tries a rule that drops everything.
        let dry = bad && faults.chance(0.05);
        self.world.kept().dry = dry;
        let life = faults.begin(fail, slow, crash_in);
        let pipeline = self.pipeline(&life, bad, dry, mood, files);
        let shutdown = CancellationToken::new();
        let stop = {
            let stop_in = (bad && faults.chance(0.15)).then(|| faults.below(3_000));
            let shutdown = shutdown.clone();
            async move {
                if let Some(stop_in) = stop_in {
                    tokio::time::sleep(Duration::from_millis(stop_in)).await;
                    shutdown.cancel();
                }
                std::future::pending::<()>().await;
            }
        };
        self.outcome.runs += 1;
        let report = tokio::select! {
            biased;
            () = life.crashed.cancelled() => None,
            report = pipeline.run(shutdown) => Some(report),
            () = stop => None,
        };
        // A process that ended does nothing any more.
        life.crashed.cancel();
        let Some(report) = report else {
            self.outcome.crashes += 1;
            return Ok(());
        };
        self.check(&report, mood)
    }

    fn check(&mut self, report: &Report, mood: Mood) -> Result<(), String> {
        self.outcome.resumed += report.records.resumed;
        self.outcome.duplicates += report.records.duplicate;
        if !report.balanced() {
            return Err(format!("the books of a run do not balance: {report:?}"));
        }
        if mood == Mood::Denies && report.records.accepted > 0 {
            return Err("records were accepted by a sink that denies everything".to_owned());
        }
        if mood == Mood::RefusesEverything {
            if report.records.accepted > 0 {
                return Err("records were accepted by a sink that refuses everything".to_owned());
            }
            self.outcome.disbelieved += u64::from(matches!(report.end, End::Failed(_)));
        }
        Ok(())
    }

    fn pipeline(
        &self,
        life: &Life,
        bad: bool,
        dry: bool,
        mood: Mood,
        files: std::collections::VecDeque<crate::world::File>,
    ) -> Pipeline {
        let faults = &self.faults;
        let batch_bytes = usize::try_from(250 + faults.below(1_200)).unwrap();
        let source = SimSource {
            life: life.clone(),
            world: Arc::clone(&self.world),
            files,
            broken: self.broken,
        };
        let sink = SimSink {
            life: life.clone(),
            world: Arc::clone(&self.world),
            mood,
            batch_bytes,
            calls: AtomicU64::new(0),
            broken: self.broken,
            owed: std::sync::Mutex::default(),
        };
        let quarantine = SimQuarantine {
            life: life.clone(),
            world: Arc::clone(&self.world),
            full: bad && faults.chance(0.1),
            broken: self.broken,
        };
        let mut limits = PipelineLimits::default();
        limits.files_reading = usize::try_from(1 + faults.below(3)).unwrap();
        limits.files_awaiting = usize::try_from(1 + faults.below(5)).unwrap();
        limits.deliveries = usize::try_from(1 + faults.below(4)).unwrap();
        let hold = usize::try_from(faults.below(1_500)).unwrap();
        self.world.kept().hold = hold;
        limits.hold_complete = Some(hold);
        limits.bytes_held = 1_500 * 3 + 2_900 + usize::try_from(faults.below(6_000)).unwrap();
        let retry = RetryPolicy::default()
            .with_seed(faults.below(u64::MAX))
            .with_give_up_after(Some(Duration::from_secs(60)));
        let mut builder = Pipeline::builder(source, sink)
            .owner("process")
            .quarantine(quarantine)
            .stage(Noise("noise".into()))
            .limits(limits)
            .read_limits(ReadLimits::default().with_record_bytes(READER_CAP))
            .retry(retry);
        if dry {
            builder = builder.stage(Everything).dry_run(MemoryQuarantine::new());
        }
        if self.world.with_ledger {
            builder = builder.ledger(SimLedger {
                life: life.clone(),
                world: Arc::clone(&self.world),
                broken: self.broken,
                rivals: if bad { 0.02 } else { 0.0 },
                stolen: Arc::clone(&self.rivals),
                full_from: (bad && faults.chance(0.1)).then(|| faults.below(20)),
                calls: AtomicU64::new(0),
            });
        }
        if self.with_duplicates {
            let mut duplicates = Duplicates::new().with_most(50);
            if faults.chance(0.8) {
                duplicates = duplicates.with_store(SimSeen {
                    life: life.clone(),
                    world: Arc::clone(&self.world),
                });
            }
            builder = builder.duplicates(duplicates);
        }
        builder.build().unwrap()
    }
}
