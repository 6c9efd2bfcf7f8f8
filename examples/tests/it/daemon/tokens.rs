//! Tokens that are refused, and read again.

use ctforward_visionone::standin::{Faults, StandIn};

use super::{Daemon, Place};
use crate::support::*;

#[tokio::test]
async fn a_refused_token_makes_it_red_and_a_new_one_in_the_file_mends_it_without_a_restart() {
    let place = Place::new();
    place.token("an-old-token");
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "[pace]\nprobe_seconds = 1\n");
    let daemon = Daemon::start(&settings).await;
    let expected = place.put("logs", 1, &["A", "B"]);
    daemon
        .until("red", || async {
            let (status, reasons) = daemon.page("/readyz").await;
            status == 503 && reasons.contains("the endpoint takes nothing")
        })
        .await;
    daemon
        .until("refused", || async {
            daemon.status().await["tokens"][0]["refused"] == true
        })
        .await;
    assert_eq!(standin.counts().lines, 0);

    place.token(TOKEN);
    daemon
        .until("forwarded", || async { standin.counts().lines == 2 })
        .await;
    daemon
        .until("green", || async { daemon.page("/readyz").await.0 == 200 })
        .await;
    assert_eq!(received(&standin), sorted(expected));
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert!(!log.contains("an-old-token"), "{log}");
}

#[tokio::test]
async fn a_new_token_in_the_file_is_tried_at_once_and_not_with_the_next_probe() {
    let place = Place::new();
    place.token("an-old-token");
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "[pace]\nprobe_seconds = 86400\n");
    let daemon = Daemon::start(&settings).await;
    let expected = place.put("logs", 1, &["A", "B"]);
    daemon
        .until("red", || async {
            let (status, reasons) = daemon.page("/readyz").await;
            status == 503 && reasons.contains("the endpoint takes nothing")
        })
        .await;
    place.token(TOKEN);
    daemon
        .until("forwarded", || async { standin.counts().lines == 2 })
        .await;
    daemon
        .until("green", || async { daemon.page("/readyz").await.0 == 200 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn a_hangup_has_an_endpoint_that_refused_us_tried_at_once() {
    let place = Place::new();
    // It refuses the token, and that read again, and then knows it.
    let faults = Faults::new().with("401:after=0,for=2".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let settings = place.settings(&standin.endpoint(), "[pace]\nprobe_seconds = 86400\n");
    let daemon = Daemon::start(&settings).await;
    let expected = place.put("logs", 1, &["A", "B"]);
    daemon
        .until("red", || async {
            let (status, reasons) = daemon.page("/readyz").await;
            status == 503 && reasons.contains("the endpoint takes nothing")
        })
        .await;
    daemon
        .until("forwarded", || async {
            // As often as an operator would: it may refuse the first.
            daemon.signal("-HUP");
            standin.counts().lines == 2
        })
        .await;
    daemon
        .until("green", || async { daemon.page("/readyz").await.0 == 200 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn told_to_it_reads_the_token_again_before_anything_is_refused() {
    let place = Place::new();
    place.token("an-old-token");
    let standin = standin().await;
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), "")).await;
    place.token(TOKEN);
    daemon.signal("-HUP");
    daemon.until_log("the token was read again").await;
    place.put("logs", 1, &["A"]);
    daemon
        .until("forwarded", || async { standin.counts().lines == 1 })
        .await;
    assert_eq!(standin.counts().refused, 0);
    assert_eq!(daemon.stop().await.0, 0);
}

#[tokio::test]
async fn a_second_token_takes_over_without_a_pause() {
    let place = Place::new();
    place.token("an-old-token");
    place.secret("next", TOKEN);
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "");
    let at = place.folder.path().display();
    let text = std::fs::read_to_string(&settings).unwrap();
    let text = text.replace(
        "[keep]\n",
        &format!("next_token_file = \"{at}/next\"\n[keep]\n"),
    );
    std::fs::write(&settings, text).unwrap();
    let daemon = Daemon::start(&settings).await;
    let expected = place.put("logs", 1, &["A"]);
    daemon
        .until("forwarded", || async { standin.counts().lines == 1 })
        .await;
    assert_eq!(received(&standin), expected);
    // It was never held back: one refusal, and the other token.
    assert_eq!(daemon.page("/readyz").await.0, 200);
    daemon
        .until("seen", || async {
            let status = daemon.status().await;
            let tokens = &status["tokens"];
            tokens[0]["refused"] == true && tokens[1]["refused"] == false
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
}
