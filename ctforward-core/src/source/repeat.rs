use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::{Intake, LogFile, Receipt, Source, SourceWatch};
use crate::error::{Error, Result};
use crate::ledger::Known;
use crate::object::{Object, ObjectId};

/// The least time between a round that failed and the next: whoever asks at once again
/// must not keep a disk or a server busy with it.
const AGAIN: Duration = Duration::from_secs(1);

type Made = Pin<Box<dyn Future<Output = Result<Box<dyn Source>>> + Send>>;

/// A source that is made again, round after round, and so never exhausted: a
/// folder into which files are put, for instance.
///
/// Every round hands over all that the source made for it finds, except what an
/// earlier round handed over and is not decided yet. Let the pipeline have a
/// ledger: it knows what was finished before and is the same still.
///
/// A round begins once its time has come since the one before it began, and that
/// one has ended. Where a round fails, the failure is answered, and the next call
/// begins a new round, not within a second of the failure.
pub struct Repeat {
    make: Box<dyn FnMut() -> Made + Send>,
    every: Duration,
    round: Option<Box<dyn Source>>,
    /// When the last round began.
    began: Option<Instant>,
    /// When a round failed, unless one was made since.
    failed: Option<Instant>,
    held: Arc<Held>,
    known: Option<Arc<dyn Known>>,
    /// A file of which it is being asked whether it is finished.
    asked: Option<LogFile>,
    watch: Option<SourceWatch>,
}

impl fmt::Debug for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeat")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Repeat {
    /// What `make` makes, each time anew, at most once in `every`. A call of
    /// `next` that is dropped may make a round's source in vain.
    pub fn new<F, M>(every: Duration, mut make: M) -> Self
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<Box<dyn Source>>> + Send + 'static,
    {
        Self {
            make: Box::new(move || Box::pin(make())),
            every,
            round: None,
            began: None,
            failed: None,
            held: Arc::default(),
            known: None,
            asked: None,
            watch: None,
        }
    }

    /// Leaves out what this calls finished, so that a pipeline's books do not count
    /// the same files in every round. Give it the ledger that the pipeline has. A file
    /// of which the source says no ETag may have been written anew: it is never left out.
    #[must_use]
    pub fn known(mut self, known: Arc<dyn Known>) -> Self {
        self.known = Some(known);
        self
    }

    /// Tells `watch` of each round that came to its end.
    #[must_use]
    pub fn watch(mut self, watch: SourceWatch) -> Self {
        self.watch = Some(watch);
        self
    }
}

#[async_trait]
impl Source for Repeat {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            // Kept where a dropped call leaves it.
            if let Some(asked) = &self.asked {
                let object = asked.object.clone();
                let finished = is_finished(self.known.as_deref(), object).await;
                match self.asked.take() {
                    Some(file) if !finished => return Ok(Some(Intake::File(file))),
                    _ => continue,
                }
            }
            let Some(round) = &mut self.round else {
                if let Some(began) = self.began {
                    match began.checked_add(self.every) {
                        Some(next) => sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                }
                if let Some(failed) = self.failed {
                    sleep_until(failed + AGAIN.min(self.every)).await;
                }
                match (self.make)().await {
                    Ok(round) => self.round = Some(round),
                    Err(error) => {
                        self.failed = Some(Instant::now());
                        return Err(error);
                    }
                }
                self.began = Some(Instant::now());
                self.failed = None;
                continue;
            };
            match round.next().await {
                Ok(Some(Intake::File(file))) => self.asked = self.held.take(file),
                Ok(Some(decided_at_once)) => return Ok(Some(decided_at_once)),
                Ok(None) => {
                    self.round = None;
                    if let Some(watch) = &self.watch {
                        watch.looked();
                    }
                }
                Err(error) => {
                    self.round = None;
                    self.failed = Some(Instant::now());
                    return Err(error);
                }
            }
        }
    }
}

/// Whether a file is finished. In doubt it is not.
async fn is_finished(known: Option<&dyn Known>, object: Object) -> bool {
    let Some(known) = known.filter(|_| object.etag.is_some()) else {
        return false;
    };
    match known.finished(&[object]).await {
        Ok(finished) => finished == [true],
        Err(error) => {
            tracing::warn!(%error, "the ledger does not say what is finished");
            false
        }
    }
}

/// Files that were handed over and are not decided, by their address.
#[derive(Default)]
struct Held(Mutex<BTreeSet<ObjectId>>);

impl Held {
    /// The same file, unless it is held already: its receipt gives it back.
    fn take(self: &Arc<Self>, mut file: LogFile) -> Option<LogFile> {
        let id = file.object.id.clone();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(id.clone()) {
            return None;
        }
        drop(held);
        file.receipt = Box::new(Slip {
            inner: Some(file.receipt),
            id,
            held: Arc::clone(self),
        });
        Some(file)
    }
}

/// A receipt that lets its file be handed over again.
struct Slip {
    inner: Option<Box<dyn Receipt>>,
    id: ObjectId,
    held: Arc<Held>,
}

#[async_trait]
impl Receipt for Slip {
    fn hold_until(&self) -> Option<Instant> {
        self.inner.as_ref()?.hold_until()
    }

    fn lost(&self) -> Option<Error> {
        self.inner.as_ref()?.lost()
    }

    async fn accept(mut self: Box<Self>) -> Result<()> {
        match self.inner.take() {
            Some(inner) => inner.accept().await,
            None => Ok(()),
        }
    }

    async fn release(mut self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()> {
        match self.inner.take() {
            Some(inner) => inner.release(why, after).await,
            None => Ok(()),
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::ErrorKind;
    use crate::source::MemorySource;

    const MINUTE: Duration = Duration::from_secs(60);

    fn id(key: &str) -> ObjectId {
        ObjectId::new("b", key)
    }

    fn files(keys: &[&str]) -> Box<dyn Source> {
        Box::new(memory(keys))
    }

    fn memory(keys: &[&str]) -> MemorySource {
        let files: Vec<_> = keys.iter().map(|key| (id(key), "{}".into())).collect();
        MemorySource::new(files)
    }

    /// The same, whose ETags are known.
    struct Tagged(MemorySource);

    #[async_trait]
    impl Source for Tagged {
        async fn next(&mut self) -> Result<Option<Intake>> {
            let mut next = self.0.next().await?;
            if let Some(Intake::File(file)) = &mut next {
                file.object.etag = Some("e".to_owned());
            }
            Ok(next)
        }
    }

    fn tagged(keys: &[&str]) -> Box<dyn Source> {
        Box::new(Tagged(memory(keys)))
    }

    async fn file(source: &mut impl Source) -> LogFile {
        match source.next().await.unwrap() {
            Some(Intake::File(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_round_finds_what_there_is_except_what_is_under_way() {
        let began = Instant::now();
        let mut source = Repeat::new(MINUTE, || async { Ok(files(&["a", "b"])) });
        let a = file(&mut source).await;
        let b = file(&mut source).await;
        assert_eq!(a.object.id, id("a"));
        b.receipt.accept().await.unwrap();
        // A minute later b is there again, and a is still held.
        assert_eq!(file(&mut source).await.object.id, id("b"));
        assert_eq!(began.elapsed(), MINUTE);
        let why = Error::new(ErrorKind::Unavailable, "t", "no");
        a.receipt.release(&why, None).await.unwrap();
        assert_eq!(file(&mut source).await.object.id, id("a"));
        assert_eq!(began.elapsed(), 2 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_fails_is_followed_by_another_and_a_good_one_is_told() {
        let rounds = AtomicUsize::new(0);
        let watch = SourceWatch::new("r");
        let mut source = Repeat::new(MINUTE, move || {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            async move {
                match round {
                    0 => Err(Error::new(ErrorKind::NotFound, "t", "not there")),
                    1 => Ok(files(&[])),
                    _ => Ok(files(&["late"])),
                }
            }
        })
        .watch(watch.clone());
        watch.failed(&source.next().await.unwrap_err());
        assert_eq!(watch.status().failures, 1);
        let found = file(&mut source).await;
        assert_eq!(found.object.id, id("late"));
        // It had nothing to hand over in the round between, and was well.
        assert_eq!(watch.status().error, None);
        assert!(watch.status().looked.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_finished_is_left_out_and_nothing_is_where_the_ledger_fails() {
        struct Slow(AtomicUsize);
        #[async_trait]
        impl Known for Slow {
            async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
                // Longer than the first calls wait for it.
                tokio::time::sleep(Duration::from_secs(5)).await;
                if self.0.fetch_add(1, Ordering::Relaxed) > 1 {
                    return Err(Error::new(ErrorKind::Unavailable, "t", "no"));
                }
                Ok(objects.iter().map(|object| object.id == id("a")).collect())
            }
        }
        let mut source = Repeat::new(MINUTE, || async { Ok(tagged(&["a", "b"])) })
            .known(Arc::new(Slow(AtomicUsize::new(0))));
        let early = tokio::time::timeout(Duration::from_secs(2), source.next()).await;
        assert!(early.is_err());
        // Asked again, it is not lost; and a is finished.
        let b = file(&mut source).await;
        assert_eq!(b.object.id, id("b"));
        drop(b);
        assert_eq!(file(&mut source).await.object.id, id("a"));
        assert_eq!(file(&mut source).await.object.id, id("b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_an_etag_is_never_taken_for_finished() {
        struct All;
        #[async_trait]
        impl Known for All {
            async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
                Ok(vec![true; objects.len()])
            }
        }
        let mut source = Repeat::new(MINUTE, || async { Ok(files(&["a"])) }).known(Arc::new(All));
        assert_eq!(file(&mut source).await.object.id, id("a"));
        let mut source = Repeat::new(MINUTE, || async { Ok(tagged(&["a"])) }).known(Arc::new(All));
        let none = tokio::time::timeout(10 * MINUTE, source.next()).await;
        assert!(none.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_that_fail_are_apart_whoever_asks() {
        let rounds = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&rounds);
        let mut source = Repeat::new(MINUTE, move || {
            made.fetch_add(1, Ordering::Relaxed);
            async { Err(Error::new(ErrorKind::NotFound, "t", "not there")) }
        });
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            source.next().await.map(drop).unwrap_err();
        }
        assert_eq!(rounds.load(Ordering::Relaxed), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_loses_no_file() {
        let mut source = Repeat::new(MINUTE, || async { Ok(files(&["a"])) });
        let a = file(&mut source).await;
        drop(a);
        for _ in 0..3 {
            let early = tokio::time::timeout(MINUTE / 7, source.next()).await;
            assert!(early.is_err());
        }
        assert_eq!(file(&mut source).await.object.id, id("a"));
    }
}
