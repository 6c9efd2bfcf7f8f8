//! The suite for sources, against `s3s-fs`, and a pipeline with a ledger over some rounds.

use bytes::Bytes;
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::sink::MemorySink;
use ctforward_core::{Pipeline, testing};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::real::{S3, key};

fn noon() -> Timestamp {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

fn rounds(s3: &S3, rounds: u64) -> RoundsBuilder {
    Rounds::builder(S3Source::builder(s3.client(), BUCKET).page_size(3))
        .interval(Duration::from_millis(20))
        .rounds(rounds)
        .clock(noon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_conforms() {
    let s3 = S3::start().await;
    let mut expected = Vec::new();
    for n in 0..10 {
        let body = vec![n as u8; n * 1000];
        let region = ["us-east-1", "eu-west-1"][n % 2];
        let day = format!("2026/03/{:02}", 1 + n);
        let root = ["AWSLogs/", "AWSLogs/o-a1b2c3d4e5/"][n / 5];
        let key = key(root, "111111111111", "CloudTrail", region, &day, n);
        s3.put(&key, &body);
        expected.push((ObjectId::new(BUCKET, key), Bytes::from(body)));
    }
    let make = async || rounds(&s3, 1).build().unwrap();
    testing::source::check(make, &expected).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_counts_a_file_once_however_many_rounds_there_are() {
    let text = Bytes::from_static(br#"{"Records":[{"eventID":"a"},{"eventID":"b"}]}"#);
    let size = text.len();
    let bucket = Bucket::answering(move |asked| {
        let etag = format!("\"e{size}\"");
        let listing = asked.query.contains_key("list-type");
        (!listing).then(|| Reply::object(asked, &text, &etag))
    })
    .await;
    for n in 0..7 {
        let key = key("AWSLogs/", A, "CloudTrail", "us-east-1", "2026/03/10", n);
        bucket.put(&key, size as u64);
    }
    let ledger = Arc::new(MemoryLedger::new());
    for (run, files) in [(1, 7), (2, 0)] {
        let known: Arc<dyn Known> = Arc::clone(&ledger) as _;
        let moment = Duration::from_millis(50);
        let rounds = bucket.rounds().interval(moment).rounds(5);
        let source = rounds.known(known).build().unwrap();
        let stats = source.stats();
        let sink = Arc::new(MemorySink::new());
        let mut limits = PipelineLimits::default();
        limits.linger = Duration::from_millis(1);
        let pipeline = Pipeline::builder(source, Arc::clone(&sink))
            .ledger(Arc::clone(&ledger))
            .limits(limits)
            .build()
            .unwrap();
        let report = pipeline.run(CancellationToken::new()).await;
        assert!(report.balanced(), "{report:?}");
        // A later process is told by the ledger.
        assert_eq!(report.files.seen, files, "run {run}");
        assert_eq!(report.files.delivered, files, "run {run}");
        assert_eq!(sink.lines().len() as u64, 2 * files);
        let stats = stats.get();
        assert_eq!((stats.rounds, stats.files), (5, files));
        assert_eq!(stats.finished + stats.under_way_again + files, 35);
    }
}
