//! How old records are when they are accepted, and who was heard of when.

use std::time::Duration;

use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::{BatchLimits, Delivery, Pipeline, Rejection};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, Slow, Thing, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, quick, records, run};

fn of_age(seconds: i64) -> String {
    let time = Timestamp::now() - SignedDuration::from_secs(seconds);
    let time = Timestamp::from_second(time.as_second()).unwrap();
    format!(r#"{{"eventTime":"{time}"}}"#)
}

#[tokio::test(start_paused = true)]
async fn accepted_records_are_counted_by_their_age_and_others_are_not() {
    let log = Log::default();
    let mut all: Vec<String> = [-3600, 5, 80, 90, 4_000, 40 * 86_400].map(of_age).to_vec();
    let unknown = [
        r#"{"n":1}"#,
        r#"{"eventTime":"soon"}"#,
        r#"{"eventTime":7}"#,
    ];
    all.extend(unknown.map(str::to_owned));
    all.push(of_age(100_000)); // refused
    all.push("7".to_owned());
    let sink = answering(&log, |_, batch| {
        let mut delivery = Delivery::accepted();
        delivery.rejected = vec![Rejection::new(batch.len() - 1, "no")];
        Some(Ok(delivery))
    });
    let feed = Feed::of([file(&key(1), document(&all))], &log);
    let report = run(Pipeline::builder(feed, sink).quarantine(Cell::new(&log))).await;
    assert_eq!(
        (report.records.accepted, report.records.quarantined),
        (9, 2)
    );
    let fresh = &report.freshness;
    let counts: Vec<_> = fresh.buckets().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        counts,
        [(Some(60), 2), (Some(120), 2), (Some(7_200), 1), (None, 1)]
    );
    assert_eq!(fresh.unknown, 3);
    assert_eq!(fresh.quantile(0.5), Some(120));
}

#[tokio::test(start_paused = true)]
async fn each_account_and_region_is_noted_with_its_latest_event_once_its_file_is_finished() {
    let log = Log::default();
    let at = |account: &str, region: &str, n: usize| {
        key(n)
            .replace("111122223333", account)
            .replace("us-east-1", region)
    };
    let timed = |time: &str| document(&[format!(r#"{{"eventTime":"{time}"}}"#), "{}".to_owned()]);
    let lone = at("444444444444", "us-east-2", 1);
    let lone = lone.rsplit('/').next().unwrap();
    let denied = file(&at("3", "us-east-1", 1), timed("2026-03-01T09:00:00Z"));
    let others = [
        file(
            &at("222222222222", "eu-west-1", 1),
            timed("2026-03-01T10:00:00Z"),
        ),
        file(
            &at("222222222222", "eu-west-1", 2),
            timed("2026-03-01T09:00:00Z"),
        ),
        file(&at("222222222222", "us-east-1", 1), timed("soon")),
        // Named by itself, wherever it lies.
        file(lone, timed("2026-03-01T11:00:00Z")),
        file("who-knows.json", timed("2026-03-01T12:00:00Z")),
        denied.fails([ctforward_core::ErrorKind::Unauthorized]),
    ];
    let feed = Feed::of(others, &log);
    let report = run(Pipeline::builder(feed, answering(&log, |_, _| None))).await;
    assert_eq!(report.files, files(5, 0, 0, 1));
    let rows: Vec<_> = report
        .last_seen
        .rows()
        .map(|(account, region, seen)| {
            let event = seen.event.map(|event| event.to_string());
            (account.to_owned(), region.to_owned(), event, seen.files)
        })
        .collect();
    let row = |account: &str, region: &str, event: Option<&str>, files| {
        (
            account.to_owned(),
            region.to_owned(),
            event.map(str::to_owned),
            files,
        )
    };
    assert_eq!(
        rows,
        [
            row("222222222222", "eu-west-1", Some("2026-03-01T10:00:00Z"), 2),
            row("222222222222", "us-east-1", None, 1),
            row("444444444444", "us-east-2", Some("2026-03-01T11:00:00Z"), 1),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_oldest_file_under_way_is_known_while_it_waits() {
    let log = Log::default();
    let mut sink = answering(&log, |_, _| None);
    sink.limits = BatchLimits::new(1_000);
    let wait = |seconds| Thing::Wait(Duration::from_secs(seconds));
    let one = |n| Thing::File(file(&key(n), document(&records("r", 2))));
    // The later file comes first; one whose key says no time waits since now.
    let things = [
        one(65),
        one(5),
        wait(200),
        Thing::File(file("no-time.json", document(&records("r", 2)))),
        wait(200),
    ];
    let mut limits = PipelineLimits::default();
    limits.linger = Duration::from_millis(10);
    let pipeline = Pipeline::builder(
        Feed::new(things, &log),
        Slow(sink, Duration::from_secs(100)),
    );
    let pipeline = quick(pipeline.limits(limits)).build().unwrap();
    let progress = pipeline.progress();
    assert_eq!(progress.oldest_undelivered(), None);
    let before = Timestamp::now();
    let running = tokio::spawn(pipeline.run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(50)).await;
    let oldest = progress.oldest_undelivered().map(|time| time.to_string());
    assert_eq!(oldest.as_deref(), Some("2026-03-01T00:05:00Z"));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(progress.oldest_undelivered(), None, "both are delivered");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let oldest = progress.oldest_undelivered().unwrap();
    assert!(oldest.as_second() >= before.as_second() && oldest <= Timestamp::now());
    let report = running.await.unwrap();
    assert_eq!(report.files, files(3, 0, 0, 0));
    assert_eq!(progress.oldest_undelivered(), None);
}
