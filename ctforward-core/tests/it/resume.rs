//! What the ledger is told of a file, and what a later run makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::deliver::RetryPolicy;
use ctforward_core::ledger::{Claim, Finished, Mark, MemoryLedger, Resume, Ticket};
use ctforward_core::pipeline::{End, PipelineBuilder, PipelineLimits};
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Ledger, Object, ObjectId, Pipeline, Report,
    Result, Retry,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, File, Slow, file};
use crate::parts::{Answering, Cell, Log, answering};
use crate::pipeline::{document, files, key, quick, records, run};
use crate::reader::gzip;

const BATCH: usize = 2_000;

/// Streams everything: a file is larger than what is held back.
fn small(builder: PipelineBuilder) -> PipelineBuilder {
    let mut limits = PipelineLimits::default();
    limits.hold_complete = Some(BATCH);
    limits.deliveries = 1;
    builder.limits(limits)
}

fn sink<F>(log: &Log, answer: F) -> Answering<F>
where
    F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync,
{
    let mut sink = answering(log, answer);
    sink.limits = BatchLimits::new(BATCH);
    sink
}

fn no(kind: ErrorKind) -> Option<Result<Delivery>> {
    Some(Err(Error::new(kind, "sink", "no")))
}

fn object() -> Object {
    Object::new(ObjectId::new("bucket", key(1)))
}

/// How far the ledger says that the file is decided.
async fn resume(ledger: &MemoryLedger) -> Resume {
    let claim = ledger.claim(&object(), "spy", Duration::from_secs(1)).await;
    let Claim::Granted { ticket, resume } = claim.unwrap() else {
        panic!("the file was not released");
    };
    ledger.release(&ticket).await.unwrap();
    resume
}

/// The offset of each record.
fn offsets(document: &[u8], records: &[String]) -> Vec<u64> {
    let text = std::str::from_utf8(document).unwrap();
    let find = |record: &String| text.find(record.as_str()).unwrap() as u64;
    records.iter().map(find).collect()
}

struct Story {
    all: Vec<String>,
    document: Vec<u8>,
    ledger: Arc<MemoryLedger>,
    taken: Arc<Mutex<Vec<String>>>,
    log: Log,
}

impl Story {
    fn new() -> Self {
        let all = records("a_record_of_some_length_", 400);
        Self {
            document: document(&all),
            all,
            ledger: Arc::default(),
            taken: Arc::default(),
            log: Log::default(),
        }
    }

    fn file(&self) -> File {
        file(&key(1), gzip(&self.document))
    }

    async fn run<F>(&self, file: File, answer: F) -> Report
    where
        F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync + 'static,
    {
        let mut sink = sink(&self.log, answer);
        sink.taken = Arc::clone(&self.taken);
        let pipeline = Pipeline::builder(Feed::of([file], &self.log), sink)
            .quarantine(Cell::new(&self.log))
            .file_hashes(true)
            .ledger(Arc::clone(&self.ledger));
        run(small(pipeline)).await
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_goes_on_where_the_first_one_stopped_and_the_row_has_the_whole_file() {
    let story = Story::new();
    let refused = r#""a_record_of_some_length_3""#;
    let report = story
        .run(story.file(), move |call, batch| {
            if call >= 8 {
                return no(ErrorKind::Unauthorized);
            }
            let bad = |record: &[u8]| String::from_utf8_lossy(record).contains(refused);
            batch.records().any(bad).then(|| {
                let mut delivery = Delivery::accepted();
                let index = batch.records().position(bad).unwrap();
                delivery.rejected = vec![ctforward_core::Rejection::new(index, "no")];
                Ok(delivery)
            })
        })
        .await;
    assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Unauthorized));
    assert_eq!(report.files, files(0, 0, 0, 1));
    let first = story.taken();
    let decided = first.len() as u64 + 1;
    assert_eq!(report.records.accepted + 1, decided);
    assert!(decided > 100 && decided < 400, "{report:?}");
    let at = offsets(&story.document, &story.all);
    let mark = resume(&story.ledger).await.mark;
    let below = at.iter().filter(|at| **at < mark.low_water).count() as u64;
    assert_eq!(below, decided, "all below is decided, and nothing else");
    assert_eq!((mark.records.read, mark.records.quarantined), (decided, 1));
    assert!(mark.records.balanced());

    let report = story.run(story.file(), |_, _| None).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(report.records.resumed, decided);
    assert_eq!(report.records.accepted, 400 - decided);
    let second = story.taken();
    let mut sent = [first, second].concat();
    sent.sort();
    let mut expected = story.all.clone();
    expected.remove(3);
    expected.sort();
    assert_eq!(sent, expected, "none twice, none missing");
    let row = story.ledger.finished("bucket", &key(1)).unwrap();
    let books = row.books.records;
    assert_eq!(
        (books.read, books.accepted, books.quarantined),
        (400, 399, 1)
    );
    assert_eq!((books.resumed, books.undecided), (0, 0));
    assert!(books.balanced());
    let whole: [u8; 32] = Sha256::digest(&story.document).into();
    assert_eq!(row.sha256, Some(whole), "though only its end was sent");
}

#[tokio::test(start_paused = true)]
async fn a_third_run_goes_on_behind_what_two_others_decided() {
    let story = Story::new();
    let stop = |call: usize, _: &Batch| (call >= 4).then(|| no(ErrorKind::Unauthorized)).flatten();
    let at = offsets(&story.document, &story.all);
    let mut decided = 0;
    for _ in 0..2 {
        let report = story.run(story.file(), stop).await;
        assert_eq!(report.records.resumed, decided);
        decided += report.records.accepted;
        let mark = resume(&story.ledger).await.mark;
        let below = at.iter().filter(|at| **at < mark.low_water).count() as u64;
        assert_eq!((below, mark.records.read), (decided, decided));
    }
    let report = story.run(story.file(), |_, _| None).await;
    assert_eq!(report.records.resumed, decided);
    let row = story.ledger.finished("bucket", &key(1)).unwrap();
    assert_eq!(row.books.records.accepted, 400);
    assert!(row.books.records.balanced());
    assert_eq!(story.taken().len(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_rewritten_meanwhile_is_read_from_its_first_byte() {
    let story = Story::new();
    let stop = |call: usize, _: &Batch| (call >= 5).then(|| no(ErrorKind::Config)).flatten();
    story.run(story.file(), stop).await;
    assert!(resume(&story.ledger).await.mark.low_water > 0);
    story.taken();
    let mut rewritten = story.file();
    rewritten.etag = "e2";
    let report = story.run(rewritten, |_, _| None).await;
    assert_eq!((report.records.resumed, report.records.accepted), (0, 400));
    let mut sent = story.taken();
    sent.sort();
    let mut expected = story.all.clone();
    expected.sort();
    assert_eq!(sent, expected);
    let row = story.ledger.finished("bucket", &key(1)).unwrap();
    assert_eq!(row.books.records.read, 400);
}

#[tokio::test(start_paused = true)]
async fn batches_that_finish_out_of_order_move_no_mark_past_an_undecided_record() {
    for stuck in [0, 1, 137, 250, 399] {
        let story = Story::new();
        let needle = format!(r#""a_record_of_some_length_{stuck}""#);
        let mut sink = sink(&story.log, move |_, batch| {
            let holds = |record: &[u8]| String::from_utf8_lossy(record).contains(&needle);
            batch.records().any(holds).then(|| {
                let busy = Error::new(ErrorKind::Unavailable, "sink", "busy");
                Err(busy.with_retry(Retry::Backoff))
            })
        });
        sink.taken = Arc::clone(&story.taken);
        let mut limits = PipelineLimits::default();
        limits.hold_complete = Some(BATCH);
        let pipeline = Pipeline::builder(Feed::of([story.file()], &story.log), sink)
            .ledger(Arc::clone(&story.ledger))
            .limits(limits)
            .retry(RetryPolicy::default().with_give_up_after(Some(Duration::from_secs(20))));
        let report = pipeline
            .build()
            .unwrap()
            .run(CancellationToken::new())
            .await;
        assert!(report.balanced());
        assert_eq!(report.files, files(0, 0, 0, 1));
        let at = offsets(&story.document, &story.all);
        let mark = resume(&story.ledger).await.mark;
        let taken = story.taken();
        assert!(mark.low_water <= at[stuck], "{stuck}: {mark:?}");
        assert!(taken.len() > 300, "others went on: {}", taken.len());
        for (record, at) in story.all.iter().zip(&at) {
            assert!(*at >= mark.low_water || taken.contains(record), "{record}");
        }
        let below = at.iter().filter(|at| **at < mark.low_water).count() as u64;
        assert_eq!(mark.records.read, below);
        assert!(stuck < 100 || below > 80, "{stuck}: {below}");
    }
}

/// A ledger whose leases are not prolonged for some time.
struct Lapsing {
    ledger: Arc<MemoryLedger>,
    until: tokio::time::Instant,
}

#[async_trait]
impl Ledger for Lapsing {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        self.ledger.claim(object, owner, lease).await
    }
    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        if tokio::time::Instant::now() < self.until {
            return Err(Error::new(ErrorKind::Unavailable, "ledger", "away"));
        }
        self.ledger.renew(ticket, lease).await
    }
    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        self.ledger.progress(ticket, object, mark).await
    }
    async fn finish(&self, ticket: &Ticket, object: &Object, row: &Finished) -> Result<()> {
        self.ledger.finish(ticket, object, row).await
    }
    async fn release(&self, ticket: &Ticket) -> Result<()> {
        self.ledger.release(ticket).await
    }
}

fn lease_of(seconds: u64) -> PipelineLimits {
    let mut limits = PipelineLimits::default();
    limits.lease = Duration::from_secs(seconds);
    limits
}

#[tokio::test(start_paused = true)]
async fn who_lost_a_lease_finishes_nothing_and_gives_the_file_back() {
    // Renewals come to late to help, or never: the ledger says so at the renewal, or at the end.
    for away in [45, 10_000] {
        let log = Log::default();
        let ledger = Arc::new(MemoryLedger::new());
        let lapsing = Lapsing {
            ledger: Arc::clone(&ledger),
            until: tokio::time::Instant::now() + Duration::from_secs(away),
        };
        let sink = Slow(answering(&log, |_, _| None), Duration::from_secs(90));
        let feed = Feed::of([file(&key(1), document(&records("r", 3)))], &log);
        let pipeline = Pipeline::builder(feed, sink)
            .ledger(lapsing)
            .limits(lease_of(30));
        let running = tokio::spawn(
            quick(pipeline)
                .build()
                .unwrap()
                .run(CancellationToken::new()),
        );
        tokio::time::sleep(Duration::from_secs(40)).await;
        let lease = Duration::from_secs(3600);
        let claim = ledger.claim(&object(), "another", lease).await.unwrap();
        assert!(matches!(claim, Claim::Granted { .. }));
        let report = running.await.unwrap();
        assert!(report.balanced());
        assert_eq!(report.files, files(0, 0, 0, 1), "away {away}");
        assert_eq!(log.count("accept"), 0);
        assert_eq!(log.count(&format!("release {} changed", key(1))), 1);
        assert!(ledger.finished("bucket", &key(1)).is_none());
        // Nor did it take the file from its new owner.
        let claim = ledger.claim(&object(), "third", lease).await.unwrap();
        assert!(matches!(claim, Claim::HeldBy { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_as_long_as_the_file_takes_and_another_worker_gives_it_back_until_then() {
    let log = Log::default();
    let ledger = Arc::new(MemoryLedger::new());
    let pipeline = |log: &Log, takes: u64| {
        let sink = Slow(answering(log, |_, _| None), Duration::from_secs(takes));
        let feed = Feed::of([file(&key(1), document(&records("r", 3)))], log);
        let pipeline = Pipeline::builder(feed, sink).ledger(Arc::clone(&ledger));
        quick(pipeline.limits(lease_of(30))).build().unwrap()
    };
    let first = tokio::spawn(pipeline(&log, 300).run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(205)).await;
    let second = Log::default();
    let report = pipeline(&second, 0).run(CancellationToken::new()).await;
    assert_eq!(report.files, files(0, 0, 0, 1));
    assert_eq!(second.count("open") + second.count("sink"), 0);
    // Prolonged at 200 s, until 230 s.
    let told = format!("release {} unavailable after 24", key(1));
    let until = format!("release {} unavailable after 25", key(1));
    assert_eq!(
        second.count(&told) + second.count(&until),
        1,
        "{:?}",
        second.lines()
    );
    assert_eq!(first.await.unwrap().files, files(1, 0, 0, 0));
    let report = pipeline(&second, 0).run(CancellationToken::new()).await;
    assert_eq!(report.files, files(0, 1, 0, 0));
    assert_eq!(second.count("sink"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivered_file_of_unknown_etag_is_looked_at_and_read_again_only_if_it_was_rewritten() {
    let ledger = Arc::new(MemoryLedger::new());
    let cases = [
        ("e1", None, 1, files(1, 0, 0, 0)),
        ("e1", None, 1, files(0, 1, 0, 0)),
        ("e1", Some(ErrorKind::NotFound), 1, files(0, 1, 0, 0)),
        // Whether it is still the same could not be seen: it comes again.
        ("e1", Some(ErrorKind::Unavailable), 1, files(0, 0, 0, 1)),
        ("e2", None, 2, files(1, 0, 0, 0)),
        ("e2", None, 1, files(0, 1, 0, 0)),
    ];
    for (etag, fails, opens, expected) in cases {
        let log = Log::default();
        let mut one = file(&key(1), document(&records("r", 3))).fails(fails);
        one.etag = etag;
        let sink = answering(&log, |_, _| None);
        let pipeline = Pipeline::builder(Feed::of([one], &log), sink);
        let report = run(pipeline.ledger(Arc::clone(&ledger))).await;
        assert_eq!(report.files, expected, "{etag} {fails:?}");
        assert_eq!(report.records.accepted, 3 * expected.delivered);
        assert_eq!(log.count("open"), opens, "{etag} {fails:?}");
        assert_eq!(log.count("accept") as u64, 1 - expected.failed);
    }
    // One whose ETag was announced is not even opened.
    let log = Log::default();
    let mut one = file(&key(1), document(&records("r", 3)));
    one.announced = (Some("e2"), None);
    let pipeline = Pipeline::builder(Feed::of([one], &log), answering(&log, |_, _| None));
    let report = run(pipeline.ledger(ledger)).await;
    assert_eq!(report.files, files(0, 1, 0, 0));
    assert_eq!(log.lines(), [format!("accept {}", key(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_row_has_the_hash_of_the_inflated_bytes_and_the_span_of_event_times() {
    let times = [
        "2026-03-01T10:00:05Z",
        "2026-02-28T23:59:59Z",
        "2026-03-01T10:00:04Z",
    ];
    let timed = times.map(|time| format!(r#"{{"eventTime":"{time}","x":"{}"}}"#, "y".repeat(900)));
    let untimed = [
        r#"{"n":1}"#.to_owned(),
        r#"{"eventTime":"soon"}"#.to_owned(),
    ];
    let plain = document(&[&timed[..], &untimed[..]].concat());
    let halves = plain.split_at(plain.len() / 2);
    let members = [gzip(halves.0), gzip(halves.1)].concat();
    let cases = [
        (plain.clone(), true),
        (gzip(&plain), true),
        (members, true),
        (gzip(&plain), false),
    ];
    for (hold, (stored, hashes)) in [100_000, 1_000]
        .into_iter()
        .flat_map(|hold| cases.clone().map(|case| (hold, case)))
    {
        let log = Log::default();
        let ledger = Arc::new(MemoryLedger::new());
        let mut limits = PipelineLimits::default();
        limits.hold_complete = Some(hold);
        let feed = Feed::of([file(&key(1), stored)], &log);
        let pipeline = Pipeline::builder(feed, answering(&log, |_, _| None))
            .limits(limits)
            .file_hashes(hashes)
            .ledger(Arc::clone(&ledger));
        run(pipeline).await;
        let row = ledger.finished("bucket", &key(1)).unwrap();
        assert_eq!(row.sha256, hashes.then(|| Sha256::digest(&plain).into()));
        let (first, last) = row.events.unwrap();
        assert_eq!(
            (first.to_string().as_str(), last.to_string().as_str()),
            (times[1], times[0])
        );
        assert_eq!(row.books.inflated, plain.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_without_event_times_has_no_span() {
    let log = Log::default();
    let ledger = Arc::new(MemoryLedger::new());
    let feed = Feed::of([file(&key(1), document(&records("r", 3)))], &log);
    let pipeline = Pipeline::builder(feed, answering(&log, |_, _| None));
    run(pipeline.ledger(Arc::clone(&ledger))).await;
    let row = ledger.finished("bucket", &key(1)).unwrap();
    assert_eq!((row.events, row.sha256), (None, None));
}
