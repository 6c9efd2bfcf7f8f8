//! Whole pipelines that share a ledger in a table and a quarantine in a bucket.

use std::sync::Arc;

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use ctforward_aws::dynamodb::create_table;
use ctforward_aws::s3::S3Quarantine;
use ctforward_core::quarantine::{Filter, Reason};
use ctforward_core::sink::MemorySink;
use ctforward_core::source::{MemorySource, Receipts};
use ctforward_core::{ObjectId, Pipeline, Report};
use tokio_util::sync::CancellationToken;

use super::{client_for, ledger};
use crate::emulator::Emulator;
use crate::{BUCKET, within};

const FILES: usize = 40;

/// One of the files has an element that is no record.
const BAD: usize = 3;

fn id(number: usize) -> ObjectId {
    let key = format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/02/{number}.json.gz");
    ObjectId::new("trail", key)
}

fn record(file: usize, number: usize) -> String {
    format!(r#"{{"eventName":"GetObject","eventID":"{file}-{number}"}}"#)
}

fn source(backwards: bool) -> MemorySource {
    let mut files: Vec<(ObjectId, Bytes)> = (0..FILES)
        .map(|file| {
            let mut records: Vec<String> = (0..5).map(|number| record(file, number)).collect();
            if file == BAD {
                records.push("17".to_owned());
            }
            let text = format!(r#"{{"Records":[{}]}}"#, records.join(","));
            (id(file), text.into())
        })
        .collect();
    if backwards {
        files.reverse();
    }
    MemorySource::new(files)
}

/// A worker of its own, with clients of its own.
async fn work(url: &str, s3: &str, sink: &Arc<MemorySink>, backwards: bool) -> (Report, Receipts) {
    let source = source(backwards);
    let receipts = source.receipts();
    let quarantine = S3Quarantine::builder(crate::client_for(s3), BUCKET).build();
    let pipeline = Pipeline::builder(source, Arc::clone(sink))
        .ledger(ledger(url, "shared"))
        .quarantine(quarantine.unwrap())
        .build()
        .unwrap();
    let report = within(pipeline.run(CancellationToken::new())).await;
    assert!(report.balanced(), "{report:?}");
    (report, receipts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_share_a_ledger_send_each_file_once() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let url = &emulator.url;
    create_table(&client_for(url), "shared", false)
        .await
        .unwrap();
    let s3 = crate::client_for(url);
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    let made = s3.create_bucket().bucket(BUCKET);
    let made = made.create_bucket_configuration(place).send().await;
    made.unwrap();

    // Without the bucket nothing of the bad file is acknowledged.
    let sink = Arc::new(MemorySink::new());
    let (report, receipts) = work(url, "http://127.0.0.1:1", &sink, false).await;
    assert!(!receipts.accepted().contains(&id(BAD)), "{report:?}");
    let done = receipts.accepted().len();

    let ((one, _), (two, _)) =
        tokio::join!(work(url, url, &sink, false), work(url, url, &sink, true));
    assert_eq!(
        done as u64 + one.files.delivered + two.files.delivered,
        FILES as u64,
        "{one:?} {two:?}"
    );
    let mut lines = sink.lines();
    // Its records may have been sent before it could not be put in quarantine.
    lines.retain(|line| !line.contains(&format!("\"{BAD}-")));
    lines.sort();
    let others = (0..FILES).filter(|file| *file != BAD);
    let mut expected: Vec<String> = others
        .flat_map(|file| (0..5).map(move |number| record(file, number)))
        .collect();
    expected.sort();
    assert_eq!(lines, expected, "each record once");

    // Whoever comes later finds all of it done, and sends nothing.
    let before = sink.lines().len();
    let (_, receipts) = work(url, url, &sink, false).await;
    assert_eq!(receipts.accepted().len(), FILES);
    assert_eq!(sink.lines().len(), before);
    let quarantine = S3Quarantine::builder(s3, BUCKET).build().unwrap();
    let mut entries = quarantine.entries(Filter::new());
    let entry = entries.next().await.unwrap().unwrap().entry;
    assert_eq!(
        (entry.reason, entry.object.id),
        (Reason::NotAnObject, id(BAD))
    );
    assert!(entries.next().await.unwrap().is_none());
}
