//! What arrives: no files, no logs, unreadable files, bad records, bad messages.

use std::sync::Arc;

use ctforward_core::quarantine::{Kept, Reason};
use ctforward_core::read::ReadLimits;
use ctforward_core::{BatchLimits, Pipeline, Report};
use sha2::{Digest, Sha256};

use crate::feed::{Feed, File, Thing, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, records, run};
use crate::reader::gzip;

async fn alone(file: File, log: &Log) -> Report {
    let sink = answering(log, |_, _| None);
    run(Pipeline::builder(Feed::of([file], log), sink).quarantine(Cell::new(log))).await
}

#[tokio::test(start_paused = true)]
async fn what_is_rightly_no_file_is_acknowledged_and_counted_and_nothing_is_sent() {
    let log = Log::default();
    let reasons = [
        "test event",
        "validation message",
        "object removed",
        "test event",
    ];
    let feed = Feed::new(reasons.map(Thing::Skip), &log);
    let sink = answering(&log, |_, _| None);
    let report = run(Pipeline::builder(feed, sink).quarantine(Cell::new(&log))).await;
    assert_eq!(report.files, files(0, 4, 0, 0));
    assert_eq!(report.skipped_because["test event"], 2);
    assert_eq!(report.skipped_because["validation message"], 1);
    assert_eq!(log.lines(), reasons.map(|why| format!("accept skip {why}")));
}

#[tokio::test(start_paused = true)]
async fn a_folder_object_is_skipped_and_one_with_content_is_read() {
    for (size, expected) in [(Some(0), 0), (None, 0), (Some(40), 1)] {
        let log = Log::default();
        let mut folder = file("AWSLogs/111122223333/", document(&records("r", 2)));
        folder.announced = (None, size);
        let report = alone(folder, &log).await;
        assert_eq!(
            report.files,
            files(expected, 1 - expected, 0, 0),
            "{size:?}"
        );
        assert_eq!(log.count("open") as u64, expected);
        assert_eq!(log.count("accept"), 1);
        if expected == 0 {
            assert_eq!(report.skipped_because["folder object"], 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_no_records_is_finished_and_nothing_is_sent() {
    for stored in [document(&[]), gzip(b"{\"Records\": [ ]}\n")] {
        let log = Log::default();
        let report = alone(file(&key(1), stored), &log).await;
        assert_eq!(report.files, files(1, 0, 0, 0));
        assert_eq!(report.records.read, 0);
        assert_eq!(
            log.lines(),
            [format!("open {}", key(1)), format!("accept {}", key(1))]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_file_is_skipped_with_a_count_and_never_opened() {
    let digest = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/03/01/111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260301T030405Z.json.gz";
    let log = Log::default();
    let report = alone(file(digest, document(&records("r", 1))).named(), &log).await;
    assert_eq!(report.skipped_because["digest file"], 1);
    assert_eq!(log.lines(), [format!("accept {digest}")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_log_is_counted_in_a_listing_and_told_from_broken_json_when_named() {
    let config = "AWSLogs/111122223333/Config/us-east-1/2026/3/1/ConfigHistory/x.json.gz";
    let other = gzip(br#"{"configurationItems":[]}"#);
    let csv = b"version,account\n2,1\n".to_vec();
    let broken = b"{\"Records\":[{}".to_vec();
    let cases = [
        (
            config,
            other.clone(),
            Some("file of another service"),
            Reason::NotCloudTrail,
        ),
        (
            "flow.log",
            other,
            Some("not a CloudTrail log file"),
            Reason::NotCloudTrail,
        ),
        (
            "notes.csv",
            csv,
            Some("not a CloudTrail log file"),
            Reason::Unreadable,
        ),
        ("broken.json", broken, None, Reason::Unreadable),
    ];
    for (key, stored, skipped, reason) in cases {
        let listed = alone(file(key, stored.clone()), &Log::default()).await;
        match skipped {
            Some(why) => assert_eq!(listed.skipped_because.get(why), Some(&1), "{key}"),
            None => assert_eq!(listed.files, files(0, 0, 1, 0), "{key}"),
        }
        let log = Log::default();
        let named = alone(file(key, stored).named(), &log).await;
        assert_eq!(named.files, files(0, 0, 1, 0), "{key}");
        let put = log.first(&format!("quarantine {key} {reason}"));
        assert!(
            put.is_some() && put < log.first("accept"),
            "{:?}",
            log.lines()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_file_is_kept_by_the_hash_of_its_stored_bytes_or_as_a_copy() {
    let good = gzip(&document(&records("r", 300)));
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    let trailing = [&good[..], b"more"].concat();
    let cut = good[..good.len() - 3].to_vec();
    let large = gzip(&document(&records(&"x".repeat(1000), 80)));
    let cases = [
        (cut, Reason::Unreadable),
        (corrupt, Reason::Unreadable),
        (trailing, Reason::Unreadable),
        (large, Reason::OverFileCap),
    ];
    for (stored, reason) in cases {
        for copy in [None, Some(stored.len()), Some(stored.len() - 1)] {
            let log = Log::default();
            let cell = Cell::new(&log);
            let entries = Arc::clone(&cell.entries);
            let feed = Feed::of([file(&key(1), stored.clone())], &log);
            let limits = ReadLimits::default().with_inflated_bytes(50_000);
            let mut pipeline = Pipeline::builder(feed, answering(&log, |_, _| None))
                .quarantine(cell)
                .read_limits(limits);
            if let Some(bytes) = copy {
                pipeline = pipeline.copy_unreadable(bytes);
            }
            assert_eq!(run(pipeline).await.files, files(0, 0, 1, 0));
            assert_eq!(log.count("sink"), 0);
            let entry = entries.lock().unwrap()[0].clone();
            assert_eq!((entry.reason, entry.offset), (reason, None));
            let object = &entry.object;
            assert_eq!(
                (object.etag.as_deref(), object.size),
                (Some("e1"), Some(stored.len() as u64))
            );
            match entry.kept {
                Kept::Bytes(bytes) => {
                    assert_eq!(copy, Some(stored.len()));
                    assert_eq!(bytes, stored);
                }
                Kept::Reference { length, sha256 } => {
                    assert_ne!(copy, Some(stored.len()));
                    assert_eq!((length, sha256), (0, Some(Sha256::digest(&stored).into())));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_just_the_sinks_limit_is_sent_and_one_byte_more_is_not() {
    let log = Log::default();
    let of = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes - 8));
    let all = [of(500), of(501), of(499)];
    let mut sink = answering(&log, |_, _| None);
    sink.limits = BatchLimits::new(10_000).with_record_bytes(500);
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let feed = Feed::of([file(&key(1), document(&all))], &log);
    let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
    assert_eq!(
        (report.records.accepted, report.records.quarantined),
        (2, 1)
    );
    assert_eq!(*taken.lock().unwrap(), [all[0].clone(), all[2].clone()]);
    let entry = entries.lock().unwrap()[0].clone();
    assert_eq!(entry.kept, Kept::Bytes(all[1].clone().into()));
    assert_eq!(entry.offset, Some(12 + 501));
}

#[tokio::test(start_paused = true)]
async fn one_bad_message_is_kept_and_its_siblings_go_on() {
    for fails in [false, true] {
        let log = Log::default();
        let mut cell = Cell::new(&log);
        cell.fails = fails;
        let entries = Arc::clone(&cell.entries);
        let mut things: Vec<Thing> = (0..10)
            .map(|n| Thing::File(file(&key(n), document(&records("r", 2)))))
            .collect();
        things.insert(4, Thing::Foreign(b"{\"Records\": 7"));
        let sink = answering(&log, |_, _| None);
        let report = run(Pipeline::builder(Feed::new(things, &log), sink).quarantine(cell)).await;
        let (kept, failed) = if fails { (0, 1) } else { (1, 0) };
        assert_eq!(report.files, files(10, 0, kept, failed));
        assert_eq!(report.records.accepted, 20);
        assert_eq!(log.count("accept AWSLogs"), 10);
        // Kept byte for byte before it is acknowledged, and else not acknowledged.
        assert_eq!(log.count("accept foreign") as u64, kept);
        assert_eq!(log.count("release foreign unavailable") as u64, failed);
        for entry in entries.lock().unwrap().iter() {
            assert_eq!(entry.reason, Reason::Undecodable);
            assert_eq!(entry.kept, Kept::Bytes("{\"Records\": 7".into()));
            assert!(log.first("quarantine") < log.first("accept foreign"));
        }
    }
}
