//! Rounds over a bucket: what each of them hands on, whatever becomes of it.

mod days;
mod faults;
mod many;
mod real;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_aws::S3Source;
use ctforward_aws::s3::Rounds;
use ctforward_aws::s3::rounds::{RoundsBuilder, RoundsHandle};
use ctforward_core::ledger::{Claim, Finished, Known, MemoryLedger};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::{Error, ErrorKind, Intake, Ledger, LogFile, Object, ObjectId, Result, Source};
use jiff::Timestamp;

use crate::server::{Asked, Reply, Server, list};
use crate::{BUCKET, assert_same, client_for, within};

/// Keys and sizes; the server makes the ETag of the size.
type Keys = Arc<Mutex<BTreeMap<String, u64>>>;

const A: &str = "111111111111";
const B: &str = "222222222222";

fn key(account: &str, region: &str, day: &str, name: &str) -> String {
    let date = day.replace('/', "");
    format!(
        "AWSLogs/{account}/CloudTrail/{region}/{day}/{account}_CloudTrail_{region}_{date}T0005Z_{name}.json.gz"
    )
}

/// A bucket whose clock and content a test changes.
struct Bucket {
    keys: Keys,
    seconds: Arc<AtomicI64>,
    server: Server,
}

impl Bucket {
    /// At noon of 2026-03-10.
    async fn start() -> Self {
        Self::answering(|_| None).await
    }

    /// The same, where `first` may answer in its place.
    async fn answering(first: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let keys = Keys::default();
        let served = Arc::clone(&keys);
        let server = Server::start(move |asked| match first(asked) {
            Some(reply) => reply,
            None => list(&served.lock().unwrap(), asked),
        })
        .await;
        let bucket = Self {
            keys,
            seconds: Arc::default(),
            server,
        };
        bucket.at("2026-03-10T12:00:00Z");
        bucket
    }

    fn at(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.seconds.store(time.as_second(), Ordering::SeqCst);
    }

    fn put(&self, key: &str, size: u64) {
        self.keys.lock().unwrap().insert(key.to_owned(), size);
    }

    /// Rounds that begin when they are told to.
    fn rounds(&self) -> RoundsBuilder {
        let seconds = Arc::clone(&self.seconds);
        let source = S3Source::builder(client_for(&self.server.url), BUCKET);
        Rounds::builder(source)
            .interval(Duration::from_secs(86_400))
            .refresh(Duration::from_secs(86_400))
            .retry_pause(Duration::from_millis(1))
            .clock(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap())
    }
}

/// A source whose rounds are taken one by one.
struct Taken {
    source: Rounds,
    stats: RoundsHandle,
    rounds: u64,
}

impl Taken {
    fn from(builder: RoundsBuilder) -> Self {
        let source = builder.build().unwrap();
        let stats = source.stats();
        Self {
            source,
            stats,
            rounds: 0,
        }
    }

    /// All files of the next round, whose receipts the caller holds.
    async fn round(&mut self) -> Vec<LogFile> {
        self.rounds += 1;
        if self.rounds > 1 {
            self.stats.look_now();
        }
        let mut files = Vec::new();
        loop {
            // What a round found was queued before it counts as ended.
            let ended = self.stats.get().rounds >= self.rounds;
            let intake = if ended {
                let mut next = std::pin::pin!(tokio::task::unconstrained(self.source.next()));
                match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(intake) => intake,
                    Poll::Pending => return files,
                }
            } else {
                let moment = Duration::from_millis(2);
                match tokio::time::timeout(moment, self.source.next()).await {
                    Ok(intake) => intake,
                    Err(_) => continue,
                }
            };
            match intake.unwrap() {
                Some(Intake::File(file)) => files.push(file),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The keys of the next round, all of which are accepted.
    async fn accepted(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        for file in within(self.round()).await {
            keys.push(file.object.id.key);
            file.receipt.accept().await.unwrap();
        }
        keys.sort();
        keys
    }
}

#[tokio::test]
async fn each_round_hands_on_what_is_new_rewritten_or_was_not_accepted() {
    let bucket = Bucket::start().await;
    let names: Vec<String> = [(A, "eu-west-1"), (A, "us-east-1"), (B, "us-east-1")]
        .iter()
        .flat_map(|(a, r)| ["m", "n", "o"].map(|n| key(a, r, "2026/03/10", n)))
        .collect();
    names.iter().for_each(|name| bucket.put(name, 5));
    bucket.put(&format!("AWSLogs/{A}/Config/us-east-1/2026/3/10/x.json"), 5);
    bucket.put(
        &format!("AWSLogs/{A}/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz"),
        5,
    );
    let mut taken = Taken::from(bucket.rounds());
    assert_same(taken.accepted().await, &names);
    assert!(taken.accepted().await.is_empty(), "nothing is new");

    // Names before and after what was there: there is no last key to go on from.
    let early = key(A, "us-east-1", "2026/03/10", "a");
    let late = key(B, "us-east-1", "2026/03/09", "z");
    bucket.put(&early, 5);
    bucket.put(&late, 5);
    bucket.put(&names[0], 6);
    let held = within(taken.round()).await;
    let keys = |files: &[LogFile]| -> Vec<String> {
        files
            .iter()
            .map(|file| file.object.id.key.clone())
            .collect()
    };
    let expected = [early, late, names[0].clone()];
    assert_same(keys(&held), &expected);
    // What is under way does not come again, not even rewritten.
    bucket.put(&names[0], 7);
    assert!(within(taken.round()).await.is_empty());
    assert_eq!(taken.stats.get().under_way, 3);
    assert_eq!(taken.stats.get().under_way_again, 3);

    let why = Error::new(ErrorKind::Unavailable, "test", "the sink is away");
    for (n, file) in held.into_iter().enumerate() {
        match n {
            0 => drop(file),
            1 => file.receipt.release(&why, None).await.unwrap(),
            _ => file.receipt.accept().await.unwrap(),
        }
    }
    let again = taken.accepted().await;
    assert!(again.contains(&names[0]), "rewritten since");
    assert!(again.len() >= 2, "{again:?}");
    assert!(taken.accepted().await.is_empty());
    let stats = taken.stats.get();
    assert_eq!((stats.under_way, stats.folders, stats.failing), (0, 3, 0));
    assert_eq!(stats.rounds, 6);
}

#[tokio::test]
async fn a_cancelled_call_loses_nothing_and_doubles_nothing() {
    let bucket = Bucket::start().await;
    let names: Vec<String> = (0..400)
        .map(|n| key([A, B][n % 2], "us-east-1", "2026/03/10", &format!("{n:04}")))
        .collect();
    names.iter().for_each(|name| bucket.put(name, 5));
    let seconds = Arc::clone(&bucket.seconds);
    let source = S3Source::builder(client_for(&bucket.server.url), BUCKET).page_size(7);
    let mut source = Rounds::builder(source)
        .rounds(1)
        .clock(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap())
        .build()
        .unwrap();
    let (mut found, mut held, mut cancelled) = (Vec::new(), Vec::new(), 0);
    loop {
        let moment = Duration::from_micros(200);
        match tokio::time::timeout(moment, source.next()).await {
            Err(_) => cancelled += 1,
            Ok(intake) => match intake.unwrap() {
                Some(Intake::File(file)) => {
                    found.push(file.object.id.key.clone());
                    held.push(file);
                }
                Some(other) => panic!("{other:?}"),
                None => break,
            },
        }
        assert!(cancelled < 100_000);
    }
    assert!(cancelled > 0);
    assert_same(found, &names);
    assert_eq!(source.stats().get().under_way, 400);
    drop(held);
    assert_eq!(source.stats().get().under_way, 0);
    assert!(within(source.next()).await.unwrap().is_none());
}

/// Finishes an object in a ledger.
async fn finish(ledger: &MemoryLedger, key: &str, size: u64) {
    let object = Object::new(ObjectId::new(BUCKET, key))
        .with_etag(format!("e{size}"))
        .with_size(size);
    let claim = ledger.claim(&object, "test", Duration::from_secs(60)).await;
    let Ok(Claim::Granted { ticket, .. }) = claim else {
        panic!("{claim:?}");
    };
    let finished = Finished::delivered(FileBooks::default());
    ledger.finish(&ticket, &object, &finished).await.unwrap();
}

#[tokio::test]
async fn the_ledger_has_the_word_and_a_receipt_alone_finishes_nothing() {
    let bucket = Bucket::start().await;
    let [one, two, three] = ["1", "2", "3"].map(|n| key(A, "us-east-1", "2026/03/10", n));
    for name in [&one, &two, &three] {
        bucket.put(name, 5);
    }
    let ledger = Arc::new(MemoryLedger::new());
    finish(&ledger, &one, 5).await;
    // It was finished with other content.
    finish(&ledger, &two, 4).await;
    let known: Arc<dyn Known> = Arc::clone(&ledger) as _;
    let mut taken = Taken::from(bucket.rounds().known(known));
    assert_eq!(taken.accepted().await, [two.clone(), three.clone()]);
    assert_eq!(taken.stats.get().finished, 1);
    // They were accepted, but the ledger does not know of it.
    assert_eq!(taken.accepted().await, [two.clone(), three.clone()]);
    finish(&ledger, &two, 5).await;
    finish(&ledger, &three, 5).await;
    assert!(taken.accepted().await.is_empty());
    assert!(taken.accepted().await.is_empty());
    let stats = taken.stats.get();
    assert_eq!((stats.files, stats.finished), (4, 1 + 1 + 3 + 3));
}

/// A ledger that does not say what it should.
struct Odd(fn(usize) -> Result<Vec<bool>>);

#[async_trait]
impl Known for Odd {
    async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
        (self.0)(objects.len())
    }
}

#[tokio::test]
async fn a_ledger_in_doubt_leaves_nothing_out() {
    let bucket = Bucket::start().await;
    let names = ["1", "2"].map(|n| key(A, "us-east-1", "2026/03/10", n));
    names.iter().for_each(|name| bucket.put(name, 5));
    let odd: [fn(usize) -> Result<Vec<bool>>; 3] = [
        |_| Err(Error::new(ErrorKind::Unavailable, "ledger", "busy")),
        |many| Ok(vec![true; many - 1]),
        |many| Ok(vec![true; many + 1]),
    ];
    for odd in odd {
        let mut taken = Taken::from(bucket.rounds().known(Arc::new(Odd(odd))));
        for _ in 0..2 {
            assert_eq!(taken.accepted().await, names);
        }
        assert_eq!(taken.stats.get().unanswered, 2);
    }
    // The same files, and a ledger that answers.
    let yes = Odd(|many| Ok(vec![true; many]));
    let mut taken = Taken::from(bucket.rounds().known(Arc::new(yes)));
    assert!(taken.accepted().await.is_empty());
}

#[tokio::test]
async fn a_small_memory_costs_questions_and_no_files() {
    let bucket = Bucket::start().await;
    let ledger = Arc::new(MemoryLedger::new());
    for n in 0..50 {
        let name = key(A, "us-east-1", "2026/03/10", &format!("{n:02}"));
        bucket.put(&name, 5);
        finish(&ledger, &name, 5).await;
    }
    let known: Arc<dyn Known> = Arc::clone(&ledger) as _;
    let mut taken = Taken::from(bucket.rounds().known(known).remember(10));
    for round in 1..4 {
        assert!(taken.accepted().await.is_empty());
        assert_eq!(taken.stats.get().finished, 50 * round);
    }
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let source = || S3Source::builder(client_for("http://127.0.0.1:1"), BUCKET);
    let rounds = || Rounds::builder(source());
    let cases = [
        rounds().interval(Duration::ZERO),
        rounds().refresh(Duration::ZERO),
        rounds().recent_days(0),
        rounds().recent_days(3).deep_days(2),
        rounds().deep_days(3661),
        rounds().rounds(0),
        rounds().remember(0),
        rounds().most_folders(0),
        Rounds::builder(source().until("2026-03-10T00:00:00Z".parse().unwrap())),
        Rounds::builder(source().prefix("AWSLogs/111111111111/CloudTrail/us-east-1/2026/")),
        Rounds::builder(source().accounts(["1"])),
        Rounds::builder(S3Source::builder(
            client_for("http://127.0.0.1:1"),
            "x--x-s3",
        )),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let shown = format!("{case:?}");
        assert!(!shown.contains("AKIDTEST"), "{shown}");
        let error = case.build().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "case {n}");
    }
    assert!(!format!("{:?}", rounds().build().unwrap()).contains("AKIDTEST"));
}
