//! Taking files from the source, within the limits, until it has no more or the pipeline stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::books::FileBooks;
use super::report::{End, Outcome, Report};
use super::run::{LAST_WORDS, LEDGER, Run, unharmed};
use super::track::{Holdings, ReadEnd, Track};
use super::worker::{Worker, stopped};
use super::{Pipeline, leases};
use crate::Receipt;
use crate::error::{Error, ErrorKind};
use crate::key::{Admission, FileName};
use crate::ledger::{Claim, Resume};
use crate::object::{Object, ObjectId};
use crate::quarantine::{Kept, QuarantineEntry, Reason};
use crate::source::{Intake, LogFile};

/// How often what only time changes is handed to the metrics recorder.
const METERED: Duration = Duration::from_secs(15);

/// Files that are asked of the ledger while others are read.
const CLAIMED_AHEAD: usize = 64;

impl Pipeline {
    /// Runs until the source is exhausted, `shutdown` is cancelled, or it cannot go on.
    ///
    /// When `shutdown` is cancelled, intake stops, files being read are given
    /// back, and what is under way to the sink has the
    /// [drain time](super::PipelineLimits::drain) to be decided. The source is dropped
    /// as soon as intake stops; and what is given back because of the stop may come
    /// again at once, whatever pause a sink asked for: somebody else's may be well.
    ///
    /// # Cancel safety
    /// Dropping the future gives every unfinished file back, as if the process
    /// had ended; prefer `shutdown`, which finishes what is under way.
    #[tracing::instrument(name = "pipeline", skip_all)]
    pub async fn run(self, shutdown: CancellationToken) -> Report {
        let began = Instant::now();
        let Self {
            source,
            run,
            owner,
            keys,
        } = self;
        let mut helpers = Helpers::start(&run, shutdown);
        // A ledger that writes to a disk answers many claims as fast as one.
        let ahead = run.limits.files_reading
            + if run.ledger.is_some() {
                CLAIMED_AHEAD
            } else {
                0
            };
        let mut intake = IntakeLoop {
            reading: Arc::new(Semaphore::new(run.limits.files_reading)),
            ahead: Arc::new(Semaphore::new(ahead)),
            awaiting: Arc::new(Semaphore::new(run.limits.files_awaiting)),
            readers: TaskTracker::new(),
            run: Arc::clone(&run),
            source,
            owner: owner.into(),
            keys,
        };
        match run.recall().await {
            Ok(()) => intake.take_all().await,
            Err(error) => run.state().source_failed = Some(error),
        }
        let IntakeLoop {
            source, readers, ..
        } = intake;
        // What it received and did not hand over is given back now, not when all that
        // is under way has ended.
        drop(source);
        // What the readers still add goes into the same open batch, which then
        // need not wait for more.
        readers.close();
        readers.wait().await;
        // From here on nobody else takes the open batch.
        helpers.end_linger().await;
        if let Some(sealed) = run.batcher.take_if(|_| true) {
            run.dispatch(sealed);
        }
        run.handed_in();
        run.tasks.close();
        run.tasks.wait().await;
        run.meter();
        let report = report(&run, began);
        // Behind this nothing of the run holds on to its parts.
        helpers.end().await;
        report
    }
}

fn report(run: &Run, began: Instant) -> Report {
    let mut state = run.state();
    let mut report = std::mem::take(&mut state.report);
    report.seconds = began.elapsed().as_secs_f64();
    report.conflicting = run.batcher.conflicting();
    report.freshness = std::mem::take(&mut state.freshness);
    report.last_seen = std::mem::take(&mut state.last_seen);
    report.filtered_by = std::mem::take(&mut state.filtered)
        .into_iter()
        .map(|(rule, count)| (rule.to_string(), count))
        .collect();
    let failed = state.fatal.take();
    report.end = match failed.or(state.source_failed.take()) {
        Some(error) => End::Failed(error),
        None if run.stop.is_cancelled() && !run.progress.is_exhausted() => End::Stopped,
        None if run.stop.is_cancelled() && report.files.failed > 0 => End::Stopped,
        None => End::Exhausted,
    };
    // Only a task that panicked leaves a file without an end; it is not finished.
    let counted = report.files.delivered
        + report.files.skipped
        + report.files.quarantined
        + report.files.failed;
    let lost = run.progress.files_seen().saturating_sub(counted);
    report.files.seen = run.progress.files_seen();
    if lost > 0 {
        report.files.failed += lost;
        tracing::error!(lost, "files were left by a fault in the program");
        if !matches!(report.end, End::Failed(_)) {
            report.end = End::Failed(Error::new(
                ErrorKind::Other,
                "pipeline",
                format!("{lost} files were left by a fault in the program; they are not finished"),
            ));
        }
    }
    report
}

/// Tasks that run beside the intake, and end with it.
struct Helpers {
    run: Arc<Run>,
    tasks: [tokio::task::JoinHandle<()>; 5],
}

impl Helpers {
    fn start(run: &Arc<Run>, shutdown: CancellationToken) -> Self {
        let stopper = {
            let run = Arc::clone(run);
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => run.stop.cancel(),
                    () = run.stop.cancelled() => {}
                }
                // What cannot be sent now is given back.
                run.pacer.stop();
                tokio::time::sleep(run.limits.drain).await;
                run.kill.cancel();
                tokio::time::sleep(LAST_WORDS).await;
                run.ended.cancel();
            })
        };
        let linger = {
            let run = Arc::clone(run);
            tokio::spawn(async move {
                loop {
                    let opened = run.batcher.next_opened().await;
                    tokio::time::sleep_until(opened + run.limits.linger).await;
                    if let Some(sealed) = run.batcher.take_if(|since| since == opened) {
                        run.dispatch(sealed);
                    } else {
                        // Another batch is open by now, or this one has no record yet.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        };
        let leases = tokio::spawn(leases::keep(Arc::clone(run)));
        let receipts = tokio::spawn(leases::watch(Arc::clone(run)));
        let meter = {
            let run = Arc::clone(run);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(METERED).await;
                    run.meter();
                }
            })
        };
        Self {
            run: Arc::clone(run),
            tasks: [stopper, linger, leases, receipts, meter],
        }
    }
}

impl Helpers {
    /// Ends the task that sends batches that lingered; it stops only where it waits.
    async fn end_linger(&mut self) {
        let [_, linger, ..] = &mut self.tasks;
        linger.abort();
        // That it was ended is what it answers.
        let _ = linger.await;
    }
}

impl Helpers {
    /// Ends them all.
    async fn end(mut self) {
        for task in self.tasks.iter_mut().filter(|task| !task.is_finished()) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Where the pipeline's future was dropped, what it began ends too.
        self.run.ended.cancel();
        self.run.kill.cancel();
        self.run.stop.cancel();
    }
}

struct IntakeLoop {
    run: Arc<Run>,
    source: Box<dyn crate::Source>,
    owner: Arc<str>,
    keys: Option<crate::key::KeyFilter>,
    reading: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    awaiting: Arc<Semaphore>,
    readers: TaskTracker,
}

impl IntakeLoop {
    /// Takes files until there are no more, or the pipeline stops.
    async fn take_all(&mut self) {
        let stop = self.run.stop.clone();
        let mut failing: Option<(Instant, u32)> = None;
        loop {
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                room = room(&self.run, &self.awaiting, &self.ahead) => room,
            };
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Nothing is fetched that could not be delivered.
                next = async {
                    self.run.pacer.admits().await;
                    self.source.next().await
                } => next,
            };
            match next {
                Ok(Some(intake)) => {
                    failing = None;
                    self.run.progress.seen.fetch_add(1, Ordering::Relaxed);
                    self.take(intake, room).await;
                }
                Ok(None) => {
                    self.run.progress.exhausted.store(1, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    let (since, attempt) = failing.unwrap_or((Instant::now(), 0));
                    failing = Some((since, attempt + 1));
                    let told = match error.retry() {
                        crate::Retry::After(told) => told,
                        _ => Duration::ZERO,
                    };
                    let limit = self.run.retry.give_up_after;
                    let late = since.elapsed().saturating_add(told);
                    if !error.is_retryable() || limit.is_some_and(|limit| late > limit) {
                        // Files that were taken can still be finished.
                        tracing::error!(%error, "the source ends");
                        self.run.state().source_failed = Some(error);
                        return;
                    }
                    let pause = match error.retry() {
                        crate::Retry::After(told) => told,
                        _ => self.run.pause(attempt + 1),
                    };
                    tracing::warn!(%error, ?pause, "the source is asked again");
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn take(&mut self, intake: Intake, room: Room) {
        match intake {
            Intake::File(file) => match self.left_out(&file) {
                Some(why) => self.run.skip(&file.object.id, why, file.receipt).await,
                None => self.begin(file, room),
            },
            Intake::Skip {
                object,
                why,
                receipt,
            } => self.run.skip(&object, why, receipt).await,
            Intake::Foreign {
                bytes,
                reason,
                receipt,
            } => self.foreign(bytes, &reason, receipt).await,
        }
    }

    /// Why a file's key leaves it out, if it does.
    fn left_out(&self, file: &LogFile) -> Option<&'static str> {
        if file.fragment.is_some() {
            // A record that was chosen before.
            return None;
        }
        let everything = crate::key::KeyFilter::new();
        let keys = self.keys.as_ref().unwrap_or(&everything);
        let key = &file.object.id.key;
        match keys.admit(key) {
            Admission::Skip(why) => {
                // Somebody named this file: its content decides what it is.
                let by_service = matches!(
                    crate::key::classify(key),
                    crate::key::KeyClass::Other { .. }
                );
                // A folder object is empty; what has content is read.
                let by_content = file.object.size.is_some_and(|size| size > 0)
                    && matches!(crate::key::classify(key), crate::key::KeyClass::Folder(_));
                (!(file.named && by_service || by_content)).then_some(why)
            }
            Admission::TakeWithoutTime => {
                self.run.state().report.without_time += 1;
                None
            }
            Admission::Take => None,
        }
    }

    /// Keeps a message that nobody understands, before it is acknowledged.
    async fn foreign(&mut self, bytes: Bytes, reason: &Error, receipt: Box<dyn Receipt>) {
        let name: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let id = ObjectId::new("message", name);
        let detail = reason.message().to_owned();
        let entry = QuarantineEntry::new(
            Object::new(id.clone()),
            Reason::Undecodable,
            detail,
            Kept::Bytes(bytes),
        );
        let put = self.run.keep(entry).await;
        let finished = match put {
            Ok(()) if self.run.dry_run => Ok(()),
            Ok(()) => self.run.in_time(receipt.accept()).await,
            Err(error) => {
                self.run.release(receipt, &error, &id).await;
                Err(error)
            }
        };
        let books = FileBooks::default();
        let outcome = if self.run.dry_run {
            Outcome::Skipped("dry run; it would be quarantined")
        } else {
            Outcome::Quarantined
        };
        self.run.enter(&id, &books, finished.map(|()| outcome));
    }

    /// Begins a file, beside the others.
    fn begin(&self, file: LogFile, room: Room) {
        let begun = Begun {
            run: Arc::clone(&self.run),
            owner: Arc::clone(&self.owner),
            reading: Arc::clone(&self.reading),
        };
        let run = Arc::clone(&self.run);
        self.readers.spawn(async move {
            begun.file(file, room).await;
            run.file_read.notify_one();
        });
    }
}

/// One file between intake and reading.
struct Begun {
    run: Arc<Run>,
    owner: Arc<str>,
    reading: Arc<Semaphore>,
}

impl Begun {
    /// Asks the ledger for the file and reads it.
    async fn file(self, file: LogFile, room: Room) {
        let LogFile {
            mut object,
            named,
            fragment,
            open,
            receipt,
            ..
        } = file;
        let run = &self.run;
        if let Some(denied) = run.buckets.closed(&object.id.bucket) {
            run.refuse(&object.id, receipt, denied).await;
            return;
        }
        // It knows of files only; and a dry run leaves nothing behind.
        let ledger = run.ledger.as_ref();
        let ledger = ledger.filter(|_| fragment.is_none() && !run.dry_run);
        let mut looked = false;
        let claimed = loop {
            let Some(ledger) = ledger else {
                break Ok((None, Resume::start()));
            };
            let claim = ledger.claim(&object, &self.owner, run.limits.lease);
            match run.in_time(claim).await {
                Ok(Claim::Granted { ticket, resume }) => break Ok((Some(ticket), resume)),
                // It may have been rewritten since, and nobody said its ETag.
                Ok(Claim::Delivered) if object.etag.is_none() && !looked => {
                    looked = true;
                    match self.head(&*open).await {
                        Ok(opened) => {
                            object.etag = opened.etag;
                            object.size = opened.size.or(object.size);
                        }
                        // What was finished may be gone, or was never to be had.
                        Err(error)
                            if matches!(
                                error.kind(),
                                ErrorKind::NotFound | ErrorKind::Archived
                            ) => {}
                        Err(error) => break Err(error),
                    }
                }
                Ok(Claim::Delivered) => {
                    run.skip(&object.id, "finished in an earlier run", receipt)
                        .await;
                    return;
                }
                Ok(Claim::HeldBy { remaining }) => {
                    let message = "another worker holds it";
                    let error = Error::new(ErrorKind::Unavailable, LEDGER, message);
                    break Err(error.with_retry(crate::Retry::After(remaining)));
                }
                Err(error) => break Err(error),
            }
        };
        let (ticket, resume) = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                run.refuse(&object.id, receipt, error).await;
                return;
            }
        };
        let Room { awaiting, ahead } = room;
        let since = delivered_at(&object).unwrap_or_else(Timestamp::now);
        let holdings = Holdings { receipt, awaiting };
        let track = Track::new(run.live.number(), object, ticket, since, holdings);
        run.progress.waits(run.live.began(&track));
        let hold_until = track.hold_until();
        let turn = tokio::select! {
            biased;
            () = run.stop.cancelled() => None,
            // What cannot be held until then comes again.
            () = until(hold_until) => None,
            turn = async {
                run.pacer.admits().await;
                Arc::clone(&self.reading).acquire_owned().await
            } => turn.ok(),
        };
        drop(ahead);
        let end = match turn {
            // It may have been denied while this file waited for its turn.
            Some(_turn) => match run.buckets.closed(&track.object().id.bucket) {
                Some(denied) => ReadEnd::Release(denied),
                None => {
                    let track = Arc::clone(&track);
                    let worker = Worker::new(Arc::clone(run), track, open, named, fragment, resume);
                    let read = unharmed(worker.read()).await;
                    read.unwrap_or_else(ReadEnd::Release)
                }
            },
            None => ReadEnd::Release(stopped()),
        };
        run.end_reading(&track, end).await;
    }

    /// What the object is at the moment.
    async fn head(&self, open: &dyn crate::Open) -> crate::Result<crate::Opened> {
        tokio::select! {
            biased;
            () = self.run.stop.cancelled() => Err(stopped()),
            opened = open.open() => opened,
        }
    }
}

/// Waits until then; for ever where there is no end.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// When the file was delivered to its bucket, by its key.
fn delivered_at(object: &Object) -> Option<Timestamp> {
    let name = object.id.key.rsplit('/').next()?;
    FileName::parse(name).map(|name| name.timestamp())
}

/// Room for one more file.
struct Room {
    awaiting: OwnedSemaphorePermit,
    /// Among the files that are claimed and wait for being read.
    ahead: OwnedSemaphorePermit,
}

/// Waits for room. Where too many files await their decision, what they wait
/// for may lie in the open batch: it goes at once, and again whenever another
/// file was read.
async fn room(run: &Arc<Run>, awaiting: &Arc<Semaphore>, ahead: &Arc<Semaphore>) -> Room {
    loop {
        let permit = match Arc::clone(awaiting).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                if let Some(sealed) = run.batcher.take_if(|_| true) {
                    run.dispatch(sealed);
                }
                tokio::select! {
                    biased;
                    Ok(permit) = Arc::clone(awaiting).acquire_owned() => permit,
                    () = run.file_read.notified() => continue,
                }
            }
        };
        let Ok(ahead) = Arc::clone(ahead).acquire_owned().await else {
            continue; // never closed
        };
        return Room {
            awaiting: permit,
            ahead,
        };
    }
}
