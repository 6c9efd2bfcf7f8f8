//! Told to end while it starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Daemon, Place, program};
use crate::support::*;

/// A server that takes connections and never answers; its address, and how many came.
pub async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            held.push(stream);
        }
    });
    (format!("http://{address}"), came)
}

#[tokio::test]
async fn sources_that_are_slow_to_open_show_it_as_starting_and_a_stop_ends_it_in_good_order() {
    let place = Place::new();
    let standin = standin().await;
    let (url, asked) = silent().await;
    let bucket =
        format!("[source.slow]\ntype = \"s3\"\nbucket = \"trail\"\ns3_endpoint_url = \"{url}\"\n");
    let expected = place.put("logs", 1, &["A", "B"]);
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), &bucket)).await;
    daemon
        .until("asking", || async { asked.load(Ordering::SeqCst) > 0 })
        .await;
    let (status, reasons) = daemon.page("/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(reasons, "the daemon is starting: it opens its sources\n");
    assert_eq!(daemon.page("/healthz").await.0, 200);
    let status = daemon.status().await;
    assert_eq!(status["ready"], false, "{status}");
    for source in status["sources"].as_array().unwrap() {
        assert_eq!(source["state"], "starting", "{status}");
    }
    assert_eq!(status["sources"].as_array().unwrap().len(), 2);
    assert!(
        status["tokens"][0]["from"]
            .as_str()
            .unwrap()
            .starts_with("file ")
    );
    let (_, metrics) = daemon.page("/metrics").await;
    assert!(
        metrics.contains("ctforward_sources{state=\"starting\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("\nctforward_ready 0\n"), "{metrics}");

    // A hangup is no end.
    daemon.signal("-HUP");
    daemon.until_log("the token was read again").await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("told to stop while it started"), "{log}");
    assert_eq!(standin.counts().requests, 0);

    let daemon = Daemon::start(&place.settings(&standin.endpoint(), "")).await;
    daemon
        .until("forwarded", || async { standin.counts().lines == 2 })
        .await;
    daemon
        .until("ready", || async { daemon.page("/readyz").await.0 == 200 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn a_secret_that_does_not_come_keeps_no_stop_waiting_and_its_file_comes_again() {
    let place = Place::new();
    let standin = standin().await;
    let (url, asked) = silent().await;
    let settings = place.settings(&standin.endpoint(), "[run]\ndrain_seconds = 1\n");
    let text = std::fs::read_to_string(&settings).unwrap();
    let file = format!("token_file = \"{}\"", place.path("token").display());
    std::fs::write(&settings, text.replace(&file, "token_secret = \"ingest\"")).unwrap();
    let expected = place.put("logs", 1, &["A", "B"]);
    let mut command = program();
    command
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        .env("AWS_REGION", "us-east-1");
    let daemon = Daemon::start_with(command, &settings).await;
    daemon
        .until("asking", || async { asked.load(Ordering::SeqCst) > 0 })
        .await;
    daemon
        .until("a file under way", || async {
            daemon.status().await["backlog"]["files_in_flight"] == 1
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(standin.counts().requests, 0);

    let daemon = Daemon::start(&place.settings(&standin.endpoint(), "")).await;
    daemon
        .until("forwarded", || async { standin.counts().lines == 2 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn told_to_end_at_any_moment_of_the_start_nothing_is_lost_or_sent_twice() {
    let place = Place::new();
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "");
    let expected = place.put("logs", 1, &["A", "B"]);
    for delay in [0, 5, 10, 20, 40, 80, 160] {
        let daemon = Daemon::spawn(program(), &settings);
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        let (status, log) = daemon.stop().await;
        // Before it hears signals, the signal itself ends it, and nothing was done.
        assert!(
            status == 0 || (status == -1 && log.is_empty()),
            "{status} {log}"
        );
    }
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("known", || async {
            daemon.status().await["ledger"]["finished"] == 1 || standin.counts().lines == 2
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn a_bucket_that_never_answers_keeps_the_sources_beside_it_waiting_for_a_moment_only() {
    let place = Place::new();
    let standin = standin().await;
    let (url, asked) = silent().await;
    let bucket =
        format!("[source.slow]\ntype = \"s3\"\nbucket = \"trail\"\ns3_endpoint_url = \"{url}\"\n");
    let expected = place.put("logs", 1, &["A", "B"]);
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), &bucket)).await;
    daemon
        .until("forwarded", || async { standin.counts().lines == 2 })
        .await;
    assert!(asked.load(Ordering::SeqCst) > 0);
    let log = daemon.log();
    assert!(
        log.contains("what listing takes cannot be said yet"),
        "{log}"
    );
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn settings_that_cannot_be_read_to_their_end_keep_no_signal_waiting_and_are_not_called_good()
{
    let place = Place::new();
    let pipe = place.path("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for (arguments, expected) in [(vec!["--check"], 1), (vec![], 0)] {
        let mut command = program();
        command.args(arguments);
        let daemon = Daemon::spawn(command, &pipe);
        // Opens once the daemon reads it; and then nothing comes.
        let pipe = pipe.clone();
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::OpenOptions::new().write(true).open(pipe).unwrap()
        });
        let writer = opened.await.unwrap();
        let (status, log) = daemon.stop().await;
        assert_eq!(status, expected, "{log}");
        drop(writer);
    }
}
