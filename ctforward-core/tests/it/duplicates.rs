//! What is sent once, and what is never kept away: the removal of duplicates in a pipeline.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::duplicates::Duplicates;
use ctforward_core::ledger::{MemoryLedger, Seen, SeenStore};
use ctforward_core::pipeline::{PipelineBuilder, PipelineLimits};
use ctforward_core::quarantine::{Kept, QuarantineEntry, Reason};
use ctforward_core::stage::{Stage, Verdict};
use ctforward_core::{
    Batch, Delivery, Error, ErrorKind, Pipeline, Record, Rejection, Report, Result, Retry,
};
use jiff::{SignedDuration, Timestamp};

use crate::feed::{Feed, Slow, Thing, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, run};

fn event(id: &str, rest: &str) -> String {
    format!(r#"{{"eventID":"{id}","x":"{rest}"}}"#)
}

/// Files whose records go in batches of their own: each is decided before the next comes.
fn one_by_one(contents: &[Vec<String>]) -> Vec<Thing> {
    let mut things = Vec::new();
    for (n, records) in contents.iter().enumerate() {
        things.push(Thing::File(file(&key(n), document(records))));
        things.push(Thing::Wait(Duration::from_secs(30)));
    }
    things
}

/// All at once, in one batch.
fn together(contents: &[Vec<String>]) -> Vec<Thing> {
    let file = |(n, records): (usize, &Vec<String>)| Thing::File(file(&key(n), document(records)));
    contents.iter().enumerate().map(file).collect()
}

struct Ran {
    report: Report,
    taken: Vec<String>,
    kept: Vec<QuarantineEntry>,
}

async fn with<F>(
    things: Vec<Thing>,
    duplicates: Duplicates,
    answer: F,
    settings: impl FnOnce(PipelineBuilder) -> PipelineBuilder,
) -> Ran
where
    F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync + 'static,
{
    let log = Log::default();
    let sink = answering(&log, answer);
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let pipeline = Pipeline::builder(Feed::new(things, &log), sink)
        .quarantine(cell)
        .duplicates(duplicates);
    let report = run(settings(pipeline)).await;
    assert_eq!(
        report.records.accepted as usize,
        taken.lock().unwrap().len()
    );
    let taken = std::mem::take(&mut *taken.lock().unwrap());
    let kept = std::mem::take(&mut *entries.lock().unwrap());
    Ran {
        report,
        taken,
        kept,
    }
}

async fn plainly(things: Vec<Thing>, duplicates: Duplicates) -> Ran {
    with(things, duplicates, |_, _| None, |pipeline| pipeline).await
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_removed_and_counted_and_the_same_name_with_other_bytes_is_sent() {
    let (a, b) = (event("a", "1"), event("b", "1"));
    let other = event("a", "2");
    let contents = [
        vec![a.clone(), b.clone()],
        vec![b.clone(), a.clone(), other.clone()],
        vec![other.clone()],
    ];
    let ran = plainly(one_by_one(&contents), Duplicates::new()).await;
    assert_eq!(ran.taken, [a, b, other]);
    assert_eq!(ran.report.records.duplicate, 3);
    assert_eq!(ran.report.conflicting, 1);
    // A file of nothing but duplicates is finished all the same.
    assert_eq!(ran.report.files, files(3, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_nothing_is_removed() {
    let log = Log::default();
    let a = event("a", "1");
    let feed = Feed::new(one_by_one(&[vec![a.clone(), a.clone()], vec![a]]), &log);
    let report = run(Pipeline::builder(feed, answering(&log, |_, _| None))).await;
    assert_eq!((report.records.accepted, report.records.duplicate), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_planted_record_of_the_same_name_never_keeps_the_real_one_away() {
    let real = event("a", "what really happened");
    let planted = event("a", "nothing to see");
    let whites = real.replace(':', ": ");
    for plant in [planted, whites] {
        for things in [one_by_one, together] {
            let contents = [vec![plant.clone()], vec![real.clone()], vec![real.clone()]];
            let ran = plainly(things(&contents), Duplicates::new()).await;
            assert_eq!(ran.taken, [plant.clone(), real.clone()]);
            assert_eq!(ran.report.conflicting, 1);
            assert_eq!(ran.report.records.duplicate, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_counts_for_nothing() {
    let log = Log::default();
    let a = event("a", "1");
    let sink = Slow(answering(&log, |_, _| None), Duration::from_secs(100));
    let taken = Arc::clone(&sink.0.taken);
    let mut things = one_by_one(&[vec![a.clone()], vec![a.clone()]]);
    things.push(Thing::Wait(Duration::from_secs(200)));
    things.push(Thing::File(file(
        &key(9),
        document(std::slice::from_ref(&a)),
    )));
    let pipeline = Pipeline::builder(Feed::new(things, &log), sink).duplicates(Duplicates::new());
    let report = run(pipeline).await;
    assert_eq!(
        *taken.lock().unwrap(),
        [a.clone(), a],
        "sent twice, the third time not"
    );
    assert_eq!(report.records.duplicate, 1);
    assert_eq!(report.conflicting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_twin_in_the_same_batch_shares_the_outcome() {
    let a = event("a", "1");
    let contents = [
        vec![a.clone(), event("b", "1")],
        vec![event("c", "1"), a.clone()],
    ];
    let ran = plainly(together(&contents), Duplicates::new()).await;
    assert_eq!(
        (ran.report.records.accepted, ran.report.records.duplicate),
        (3, 1)
    );

    let refuse = |_: usize, batch: &Batch| {
        let mut delivery = Delivery::accepted();
        let place = batch
            .records()
            .position(|r| r.starts_with(b"{\"eventID\":\"a\""));
        delivery.rejected = place
            .map(|place| Rejection::new(place, "no"))
            .into_iter()
            .collect();
        Some(Ok(delivery))
    };
    let ran = with(together(&contents), Duplicates::new(), refuse, |p| p).await;
    assert_eq!(
        (ran.report.records.accepted, ran.report.records.quarantined),
        (2, 2)
    );
    assert_eq!(ran.report.files, files(2, 0, 0, 0));
    let mut places: Vec<_> = ran
        .kept
        .iter()
        .map(|e| (e.object.id.key.clone(), e.offset))
        .collect();
    places.sort();
    let second = 12 + event("c", "1").len() as u64 + 1;
    assert_eq!(places, [(key(0), Some(12)), (key(1), Some(second))]);
    for entry in &ran.kept {
        assert_eq!(
            (entry.reason, &entry.kept),
            (Reason::Refused, &Kept::Bytes(a.clone().into()))
        );
    }

    let fail = |_: usize, _: &Batch| Some(Err(Error::new(ErrorKind::Unauthorized, "sink", "no")));
    let ran = with(together(&contents), Duplicates::new(), fail, |p| p).await;
    assert_eq!(
        (ran.report.records.undecided, ran.report.records.read),
        (4, 4)
    );
    assert_eq!(ran.report.files, files(0, 0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn the_window_is_bounded_by_count_and_by_time() {
    let names = ["a", "b", "c", "a", "c"];
    let contents: Vec<Vec<String>> = names.iter().map(|name| vec![event(name, "1")]).collect();
    for (window, duplicates) in [
        (Duplicates::new(), 2),
        // Two are remembered: of `a` nothing is known any more, `c` is.
        (Duplicates::new().with_most(2), 1),
        (Duplicates::new().with_most(0), 0),
        (Duplicates::new().with_age(Duration::ZERO), 0),
    ] {
        let ran = plainly(one_by_one(&contents), window).await;
        assert_eq!(ran.report.records.duplicate, duplicates);
        assert_eq!(ran.report.records.accepted, 5 - duplicates);
    }
}

/// A store whose clock is that of a day ago.
struct Older(Arc<MemoryLedger>, SignedDuration);

#[async_trait]
impl SeenStore for Older {
    async fn key(&self) -> Result<[u8; 32]> {
        self.0.key().await
    }
    async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
        let seen = self.0.recall(most, since).await?;
        let older = |seen: Seen| Seen::new(seen.id, seen.content, seen.at - self.1);
        Ok(seen.into_iter().map(older).collect())
    }
    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        self.0.remember(seen).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_store_remembers_is_no_news_after_a_restart_unless_it_is_too_old() {
    let contents = [vec![event("a", "1"), event("b", "1"), event("c", "1")]];
    let store = Arc::new(MemoryLedger::new());
    let again = |duplicates| plainly(one_by_one(&contents), duplicates);
    let remembers = || Duplicates::new().with_store(Arc::clone(&store));
    assert_eq!(again(remembers()).await.report.records.accepted, 3);
    assert_eq!(again(remembers()).await.report.records.duplicate, 3);
    assert_eq!(again(Duplicates::new()).await.report.records.duplicate, 0);
    // The newest of them.
    let ran = again(remembers().with_most(1)).await;
    assert_eq!(ran.taken, [event("a", "1"), event("b", "1")]);
    let hours =
        |n| Duplicates::new().with_store(Older(Arc::clone(&store), SignedDuration::from_hours(n)));
    assert_eq!(again(hours(23)).await.report.records.duplicate, 3);
    assert_eq!(again(hours(25)).await.report.records.duplicate, 0);
}

/// When, from its making, a store was told of how many records.
struct Told(tokio::time::Instant, Mutex<Vec<(u128, usize)>>);

#[async_trait]
impl SeenStore for Told {
    async fn key(&self) -> Result<[u8; 32]> {
        Ok([1; 32])
    }
    async fn recall(&self, _: usize, _: Timestamp) -> Result<Vec<Seen>> {
        Ok(Vec::new())
    }
    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        let told = (self.0.elapsed().as_millis(), seen.len());
        self.1.lock().unwrap().push(told);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_remembered_soon_however_long_the_run_goes_on() {
    let pause = |millis| Thing::Wait(Duration::from_millis(millis));
    let log = |n: usize| {
        let record = event(&format!("id-{n}"), "1");
        Thing::File(file(&key(n), document(&[record])))
    };
    // Each is sent as soon as the source makes the pipeline wait for the next.
    let things = vec![
        log(0),
        pause(100),
        log(1),
        pause(100),
        log(2),
        pause(60_000),
        log(3),
    ];
    let store = Arc::new(Told(tokio::time::Instant::now(), Mutex::default()));
    let remembers = Duplicates::new().with_store(Arc::clone(&store));
    let mut eager = PipelineLimits::default();
    eager.linger = Duration::from_millis(1);
    let ran = with(things, remembers, |_, _| None, |p| p.limits(eager)).await;
    assert_eq!(ran.report.records.accepted, 4);
    let told = store.1.lock().unwrap().clone();
    let counts: Vec<usize> = told.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [3, 1], "{told:?}");
    assert!(told[0].0 <= 2100, "{told:?}");
}

/// A store that panics when it is first told something.
struct Faulty(Mutex<Vec<usize>>);

#[async_trait]
impl SeenStore for Faulty {
    async fn key(&self) -> Result<[u8; 32]> {
        Ok([1; 32])
    }
    async fn recall(&self, _: usize, _: Timestamp) -> Result<Vec<Seen>> {
        Ok(Vec::new())
    }
    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        let first = {
            let mut told = self.0.lock().unwrap();
            told.push(seen.len());
            told.len() == 1
        };
        if first {
            std::panic::panic_any("a fault");
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panicked_once_is_told_of_what_comes_later() {
    let log = |n: usize| {
        let record = event(&format!("id-{n}"), "1");
        Thing::File(file(&key(n), document(&[record])))
    };
    let things = vec![log(0), Thing::Wait(Duration::from_secs(60)), log(1)];
    let store = Arc::new(Faulty(Mutex::default()));
    let remembers = Duplicates::new().with_store(Arc::clone(&store));
    let mut eager = PipelineLimits::default();
    eager.linger = Duration::from_millis(1);
    let ran = with(things, remembers, |_, _| None, |p| p.limits(eager)).await;
    assert_eq!(ran.report.records.accepted, 2);
    assert_eq!(*store.0.lock().unwrap(), [1, 1]);
}

/// A store that cannot be read, or not be written.
struct Broken(bool, Mutex<usize>);

#[async_trait]
impl SeenStore for Broken {
    async fn key(&self) -> Result<[u8; 32]> {
        Ok([1; 32])
    }
    async fn recall(&self, _: usize, _: Timestamp) -> Result<Vec<Seen>> {
        let broken = Error::new(ErrorKind::Unavailable, "store", "broken");
        if self.0 { Err(broken) } else { Ok(Vec::new()) }
    }
    async fn remember(&self, _: &[Seen]) -> Result<()> {
        *self.1.lock().unwrap() += 1;
        Err(Error::new(ErrorKind::Unavailable, "store", "full"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_loses_nothing_and_one_that_cannot_be_read_takes_no_file_in() {
    let contents = [vec![event("a", "1")], vec![event("a", "1")]];
    let store = Arc::new(Broken(false, Mutex::new(0)));
    let ran = plainly(
        one_by_one(&contents),
        Duplicates::new().with_store(Arc::clone(&store)),
    )
    .await;
    assert_eq!(ran.report.files, files(2, 0, 0, 0));
    assert_eq!(ran.report.records.duplicate, 1);
    assert_eq!(*store.1.lock().unwrap(), 1);
    let store = Broken(true, Mutex::new(0));
    let ran = plainly(one_by_one(&contents), Duplicates::new().with_store(store)).await;
    assert_eq!(ran.report.files, files(0, 0, 0, 0));
    assert!(matches!(
        ran.report.end,
        ctforward_core::pipeline::End::Failed(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_name_is_never_removed_and_parts_of_one_event_are_no_duplicates() {
    for record in [
        "{}",
        r#"{"eventID":null}"#,
        r#"{"eventID":7}"#,
        r#"{"eventID":""}"#,
    ] {
        let contents = [vec![record.to_owned(); 2], vec![record.to_owned()]];
        for things in [one_by_one, together] {
            let ran = plainly(things(&contents), Duplicates::new()).await;
            assert_eq!(
                (ran.report.records.accepted, ran.report.conflicting),
                (3, 0),
                "{record}"
            );
        }
    }
    // The two ends of an insight, and an update, have the name of what they belong to.
    let parts = [
        r#"{"eventID":"a","insightDetails":{"state":"Start"}}"#,
        r#"{"eventID":"a","insightDetails":{"state":"End"}}"#,
        r#"{"eventID":"a","addendum":{"reason":"UPDATED_DATA"}}"#,
    ];
    let each: Vec<Vec<String>> = parts.map(|part| vec![part.to_owned()]).to_vec();
    let twice = [each.clone(), each].concat();
    for things in [one_by_one, together] {
        let ran = plainly(things(&twice), Duplicates::new()).await;
        assert_eq!(
            (ran.report.records.accepted, ran.report.records.duplicate),
            (3, 3)
        );
        assert_eq!(ran.report.conflicting, 0);
    }
}

struct FirstDropped(Mutex<bool>);

impl Stage for FirstDropped {
    fn apply(&self, _: &Record<'_>) -> Verdict {
        let first = !std::mem::replace(&mut *self.0.lock().unwrap(), true);
        if first {
            Verdict::Drop("first".into())
        } else {
            Verdict::Keep
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_refused_or_left_undecided_is_not_remembered() {
    let a = event("a", "1");
    let twice = [vec![event("0", "0")], vec![a.clone()], vec![a.clone()]];
    let stage = FirstDropped(Mutex::new(false));
    let ran = with(
        one_by_one(&twice[1..]),
        Duplicates::new(),
        |_, _| None,
        |p| p.stage(stage),
    )
    .await;
    assert_eq!(
        (ran.report.records.filtered, ran.report.records.accepted),
        (1, 1)
    );
    // Refused the first time, taken the second time.
    let once = |call: usize, _: &Batch| {
        let mut delivery = Delivery::accepted();
        delivery.rejected = (call == 1)
            .then(|| Rejection::new(0, "no"))
            .into_iter()
            .collect();
        Some(Ok(delivery))
    };
    let ran = with(one_by_one(&twice), Duplicates::new(), once, |p| p).await;
    assert_eq!(
        (ran.report.records.quarantined, ran.report.records.accepted),
        (1, 2)
    );
    assert_eq!(
        (ran.report.records.duplicate, ran.report.conflicting),
        (0, 0)
    );
    // Sent in vain the first time: given back, and sent when it comes again.
    let vain = |call: usize, _: &Batch| {
        let away = Error::new(ErrorKind::Unavailable, "sink", "away");
        (call == 1).then(|| Err(away.with_retry(Retry::After(Duration::from_secs(3600)))))
    };
    let mut things = one_by_one(&twice);
    if let Thing::File(file) = &mut things[2] {
        file.hold = Some(Duration::from_secs(60));
    }
    let ran = with(things, Duplicates::new(), vain, |p| p).await;
    assert_eq!(
        (ran.report.records.undecided, ran.report.records.accepted),
        (1, 2)
    );
    assert_eq!(ran.report.records.duplicate, 0);
}

#[tokio::test(start_paused = true)]
async fn duplicates_in_a_file_that_streams_are_decided_in_their_order_and_the_books_balance() {
    let all: Vec<String> = (0..400)
        .map(|n| event(&format!("event-{}", n % 90), "xxxxxxxxxxxxxxx"))
        .collect();
    let mut limits = PipelineLimits::default();
    limits.hold_complete = Some(1_000);
    let ledger = Arc::new(MemoryLedger::new());
    let known = Arc::clone(&ledger);
    let settings = |pipeline: PipelineBuilder| pipeline.limits(limits).ledger(known);
    let things = one_by_one(&[all]);
    let ran = with(things, Duplicates::new(), |_, _| None, settings).await;
    let books = ledger.finished("bucket", &key(0)).unwrap().books.records;
    assert_eq!((books.read, books.accepted + books.duplicate), (400, 400));
    assert_eq!(ran.report.records, books);
    let mut taken = ran.taken;
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 90);
}
