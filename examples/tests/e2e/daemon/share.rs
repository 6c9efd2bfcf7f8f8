//! Several daemons on one queue.

use std::time::Duration;

use ctforward_visionone::standin::{Faults, StandIn};

use crate::daemon::{Daemon, Place};
use crate::emulator::Emulator;
use crate::forward::{VISIBILITY, lines, names};
use crate::setup::{Counts, Via};
use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_a_queue_and_send_nothing_twice() {
    const FILES: u32 = 40;
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    // Slow enough that neither of them has done everything before the other has begun.
    let faults = Faults::new().with("slow:1,ms=200".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let places = [Place::new(), Place::new()];
    let mut daemons = Vec::new();
    for place in &places {
        let endpoint = standin.endpoint();
        let settings = place.settings(&feed, &emulator.url, &endpoint, "max_files = 2\n");
        daemons.push(Daemon::start(&settings).await);
    }
    let mut all = Vec::new();
    for minute in 0..FILES {
        let names = names(&format!("file{minute}"), 3);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    let delivered = async |daemon: &Daemon| {
        let status = daemon.status().await;
        let totals = &status["totals"];
        assert_eq!(totals["files"]["failed"], 0, "{status}");
        let files = totals["files"]["delivered"].as_u64().unwrap();
        (files, totals["records"]["accepted"].as_u64().unwrap())
    };
    daemons[0]
        .until("all files", async || {
            let (one, other) = (delivered(&daemons[0]).await, delivered(&daemons[1]).await);
            one.0 + other.0 == u64::from(FILES)
        })
        .await;
    daemons[0]
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    let (one, other) = (delivered(&daemons[0]).await, delivered(&daemons[1]).await);
    assert!(one.0 > 0 && other.0 > 0, "{one:?} {other:?}");
    assert_eq!(one.1 + other.1, standin.counts().lines);
    assert_eq!(received(&standin), lines(&all));
    for (daemon, (files, _)) in daemons.into_iter().zip([one, other]) {
        let (status, log) = daemon.stop().await;
        assert_eq!(status, 0, "{log}");
        assert!(files > 0, "{log}");
    }
    assert_eq!(places[0].finished(), one.0);
    assert_eq!(places[1].finished(), other.0);
}

/// A daemon dies in the middle of a file, and another goes on, with its ledger or
/// without.
async fn killed_and_taken_over(same_ledger: bool) {
    const RECORDS: usize = 200;
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator
        .bucket_with_queue(Via::Direct, Duration::from_secs(3))
        .await;
    let faults = Faults::new().with("slow:1,ms=250".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let place = Place::new();
    let all = names("file", RECORDS);
    // One request at a time with a few records each, so that a death is in mid-file.
    let more = "visibility_seconds = 3\n[pace]\nconcurrency = 1\n";
    let settings = place.settings(&feed, &emulator.url, &standin.endpoint(), more);
    let small = ("CTFORWARD_ENDPOINT_REQUEST_BYTES", "1024");
    let daemon = Daemon::start_with(&settings, &[small]).await;
    emulator.put_log_file(&feed.bucket, 1, &all).await;
    daemon
        .until("a mark", async || {
            standin.counts().posts > 2 && place.marked()
        })
        .await;
    daemon.kill().await;
    // What was under way is at the stand-in by then, or will never be.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = standin.counts().lines;
    assert!(before < RECORDS as u64, "it was not in mid-file");
    let counts = emulator.queue_counts(&feed.queue_url).await;
    assert_eq!((counts.visible, counts.in_flight), (0, 1));

    let other = Place::new();
    let settings = if same_ledger {
        settings
    } else {
        other.settings(&feed, &emulator.url, &standin.endpoint(), more)
    };
    let daemon = Daemon::start_with(&settings, &[small]).await;
    daemon
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    let all_lines = received(&standin);
    let mut each = all_lines.clone();
    each.dedup();
    assert_eq!(each, lines(&all), "{log}");
    let twice = all_lines.len() - each.len();
    if same_ledger {
        // What lay behind the mark comes again, and what lay before it does not.
        assert!(
            (twice as u64) < before,
            "{twice} records twice, of {before}\n{log}"
        );
        assert_eq!(place.finished(), 1);
    } else {
        assert_eq!(twice as u64, before, "another ledger begins from the start");
        assert_eq!(other.finished(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_left_in_mid_file_is_finished_with_its_ledger() {
    killed_and_taken_over(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_left_in_mid_file_is_finished_with_another_ledger() {
    killed_and_taken_over(false).await;
}
