//! Forwarding what a bucket tells a queue.

use crate::daemon::{Daemon, Place};
use crate::emulator::Emulator;
use crate::forward::{VISIBILITY, lines, names};
use crate::setup::{Counts, Via};
use crate::support::*;

async fn what_is_put_is_forwarded(emulator: &Emulator) {
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    let (standin, place) = (standin().await, Place::new());
    let settings = place.settings(&feed, &emulator.url, &standin.endpoint(), "");
    let daemon = Daemon::start(&settings).await;
    let mut all = Vec::new();
    for minute in 0..3 {
        let names = names(&format!("file{minute}"), 5);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator
        .send(&feed.queue_url, "this is no notification")
        .await;
    daemon
        .until("everything decided", async || {
            let files = &daemon.status().await["totals"]["files"];
            files["delivered"] == 3 && files["quarantined"] == 1
        })
        .await;
    daemon
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    assert_eq!(received(&standin), lines(&all));

    // What it says of itself is what the stand-in, the folder and the ledger say.
    assert!(daemon.ready().await);
    assert_eq!(daemon.page("/healthz").await.0, 200);
    let status = daemon.status().await;
    let (files, records) = (&status["totals"]["files"], &status["totals"]["records"]);
    // moto tells of its own test event too, which is rightly not read.
    assert_eq!(
        files["seen"].as_u64(),
        files["skipped"].as_u64().map(|n| n + 4)
    );
    assert_eq!(files["failed"], 0, "{status}");
    assert_eq!(records["accepted"], standin.counts().lines, "{status}");
    assert_eq!(records["in"], 15, "{status}");
    assert_eq!(status["backlog"]["files_in_flight"], 0, "{status}");
    assert_eq!(status["sources"][0]["state"], "running", "{status}");
    assert_eq!(status["ledger"]["works"], true, "{status}");
    let seen = &status["last_seen"];
    assert!(seen.to_string().contains("111122223333"), "{status}");
    let kept: Vec<u8> = files_in(&place)
        .into_iter()
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(String::from_utf8_lossy(&kept).contains("this is no notification"));

    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(place.finished(), 3);
}

fn files_in(place: &Place) -> Vec<std::path::PathBuf> {
    files(&place.path("quarantine"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_forwards_what_is_put_and_its_pages_agree() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    what_is_put_is_forwarded(&emulator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_forwards_what_is_put_into_the_other_emulator() {
    let Some(emulator) = Emulator::moto().await else {
        return;
    };
    what_is_put_is_forwarded(&emulator).await;
}
