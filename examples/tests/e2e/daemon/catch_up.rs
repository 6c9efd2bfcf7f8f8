//! The way back after somebody emptied the queue.

use crate::daemon::{Daemon, Place};
use crate::emulator::Emulator;
use crate::forward::{VISIBILITY, drain, lines, names};
use crate::setup::{Counts, Feed, Via, until};
use crate::support::*;

async fn put_files(emulator: &Emulator, feed: &Feed, minutes: std::ops::Range<u32>) -> Vec<String> {
    let mut all = Vec::new();
    for minute in minutes {
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_purged_queue_took_with_it_is_found_by_its_ledger_and_sent() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    let is_empty = async || emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY;
    let (first, place) = (standin().await, Place::new());
    let settings = place.settings(&feed, &emulator.url, &first.endpoint(), "");
    let daemon = Daemon::start(&settings).await;
    let delivered = put_files(&emulator, &feed, 0..3).await;
    daemon
        .until("three files", async || {
            daemon.status().await["totals"]["files"]["delivered"] == 3 && is_empty().await
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(received(&first), lines(&delivered), "{log}");

    let missing = put_files(&emulator, &feed, 3..7).await;
    emulator.until_queued(&feed.queue_url, 4).await;
    let purge = emulator.sqs().purge_queue().queue_url(&feed.queue_url);
    purge.send().await.unwrap();
    until("an empty queue", is_empty).await;
    // Of the queue nothing is to be had any more.
    let (none, folder) = (standin().await, tempfile::tempdir().unwrap());
    let ran = drain(&emulator, &feed, &none, folder.path()).await;
    assert_eq!((ran.status, received(&none).len()), (0, 0), "{ran:?}");

    let bucket = format!("s3://{}", feed.bucket);
    let ledger = place.ledger();
    let catch_up = async || {
        let standin = standin().await;
        let endpoint = standin.endpoint();
        let args = ["catch-up", &bucket, "--s3-endpoint-url", &emulator.url];
        let more = [
            "--endpoint",
            &endpoint,
            "--ledger",
            ledger.to_str().unwrap(),
        ];
        let ran = run(args.iter().chain(&more)).await;
        ran.assert_no_secret();
        assert_eq!(ran.status, 0, "{ran:?}");
        (ran, received(&standin))
    };
    let (ran, sent) = catch_up().await;
    assert!(ran.stdout.contains("missing     4 files"), "{ran:?}");
    assert_eq!(sent, lines(&missing));
    assert_eq!(place.finished(), 7);
    let (ran, sent) = catch_up().await;
    assert!(ran.stdout.contains("missing     0 files"), "{ran:?}");
    assert!(sent.is_empty());
}
