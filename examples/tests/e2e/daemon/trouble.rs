//! An endpoint that is away.

use std::time::Duration;

use ctforward_visionone::standin::StandIn;

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
