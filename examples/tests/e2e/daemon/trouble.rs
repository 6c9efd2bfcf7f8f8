//! An endpoint that is away, or asks to be left alone.

use std::time::Duration;

use ctforward_visionone::standin::{Faults, StandIn};

use crate::daemon::{Daemon, Place};
use crate::emulator::{Emulator, free_port};
use crate::forward::{lines, names};
use crate::setup::{Counts, Feed, Via};
use crate::support::*;

/// Shorter than what each test makes a message wait.
const SHORT: Duration = Duration::from_secs(3);

async fn put_files(emulator: &Emulator, feed: &Feed, count: u32) -> Vec<String> {
    let mut all = Vec::new();
    for minute in 0..count {
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_away_for_longer_than_the_visibility_turns_it_red_and_loses_nothing() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Only to learn what its address will look like.
    let endpoint = start(StandIn::builder().bind(address)).await.endpoint();
    let place = Place::new();
    let more = "visibility_seconds = 3\n";
    let settings = place.settings(&feed, &emulator.url, &endpoint, more);
    let daemon = Daemon::start(&settings).await;
    daemon.until("ready", async || daemon.ready().await).await;
    let all = put_files(&emulator, &feed, 12).await;
    daemon.until("red", async || !daemon.ready().await).await;
    // Three times as long as a message is invisible by itself.
    tokio::time::sleep(SHORT * 3).await;
    let (status, reasons) = daemon.page("/readyz").await;
    assert_eq!(status, 503);
    assert!(reasons.contains("the endpoint takes nothing"), "{reasons}");
    assert_eq!(daemon.status().await["totals"]["records"]["accepted"], 0);

    let standin = start(StandIn::builder().bind(address)).await;
    daemon
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    daemon.until("green", async || daemon.ready().await).await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(received(&standin), lines(&all), "{log}");
    assert_eq!(place.finished(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_asks_for_ten_minutes_is_left_alone() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let faults = Faults::new().with("429:1,retry-after=600".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let place = Place::new();
    let settings = |visibility: u32| {
        let more = format!("visibility_seconds = {visibility}\n[run]\ndrain_seconds = 2\n");
        place.settings(&feed, &emulator.url, &standin.endpoint(), &more)
    };
    let all = put_files(&emulator, &feed, 5).await;
    emulator.until_queued(&feed.queue_url, 5).await;
    // Nobody else has to wait for what a stopped daemon cannot send.
    let shown_at_once = async || {
        let counts = emulator.queue_counts(&feed.queue_url).await;
        assert_eq!((counts.visible, counts.in_flight), (5, 0));
    };
    let asked = async |daemon: &Daemon, before: u64| {
        daemon
            .until("an answer", async || standin.counts().requests > before)
            .await;
        // Requests that were under way at the time have ended by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let requests = standin.counts().requests;
        assert!(requests - before <= 4, "{requests}\n{}", daemon.log());
        let (status, reasons) = daemon.page("/readyz").await;
        assert_eq!(status, 503, "{reasons}");
        assert!(reasons.contains("the endpoint takes nothing"), "{reasons}");
        requests
    };

    // Short: a message that is not held would be seen again, and again.
    let daemon = Daemon::start(&settings(3)).await;
    let requests = asked(&daemon, 0).await;
    for _ in 0..36 {
        assert_eq!(standin.counts().requests, requests, "{}", daemon.log());
        let counts = emulator.queue_counts(&feed.queue_url).await;
        assert_eq!((counts.visible, counts.in_flight), (0, 5));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(standin.counts().requests, requests, "{log}");
    shown_at_once().await;

    // Long: a message that is not given back would not be seen again before an hour.
    let daemon = Daemon::start(&settings(3600)).await;
    let requests = asked(&daemon, requests).await;
    daemon
        .until("all received", async || {
            emulator.queue_counts(&feed.queue_url).await.in_flight == 5
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(standin.counts().requests, requests, "{log}");
    shown_at_once().await;

    // Nothing of it was taken for delivered.
    assert_eq!(place.finished(), 0);
    let well = start(StandIn::builder()).await;
    let settings = place.settings(&feed, &emulator.url, &well.endpoint(), "");
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&well), lines(&all));
}
