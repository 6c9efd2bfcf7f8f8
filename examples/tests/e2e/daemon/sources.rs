//! Several sources at once, and how deep a queue is.

use crate::daemon::{Daemon, Place};
use crate::emulator::Emulator;
use crate::forward::{VISIBILITY, lines, names};
use crate::setup::{Counts, Via};
use crate::support::*;

fn file(names: &[String]) -> Vec<u8> {
    let records: Vec<String> = names.iter().map(|name| record(name)).collect();
    gzip(log_file(&records).as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_a_bucket_and_a_queue_share_their_books_and_what_was_last_seen() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    let s3 = emulator.s3();
    s3.create_bucket().bucket("listed").send().await.unwrap();
    let (standin, place) = (standin().await, Place::new());
    let folder = place.path("logs");
    std::fs::create_dir(&folder).unwrap();
    let more = format!(
        "[source.folder]\ntype = \"directory\"\npath = \"{}\"\nevery_seconds = 1\n\
         [source.bucket]\ntype = \"s3\"\nbucket = \"listed\"\ns3_endpoint_url = \"{}\"\n\
         every_seconds = 1\nrecent_days = 3660\ndeep_days = 3660\n",
        folder.display(),
        emulator.url
    );
    let settings = place.settings(&feed, &emulator.url, &standin.endpoint(), &more);
    let daemon = Daemon::start(&settings).await;

    let mut all = Vec::new();
    let mut more = |name: &str, count| {
        let names = names(name, count);
        all.extend(names.clone());
        names
    };
    let queued = more("queued", 5);
    emulator.put_log_file(&feed.bucket, 1, &queued).await;
    for (account, region) in [("444455556666", "eu-west-1"), ("444455556666", "us-east-1")] {
        let names = more(&format!("{account}-{region}"), 3);
        emulator
            .put("listed", &key(account, region, 2), file(&names))
            .await;
    }
    let local = key("777788889999", "ap-northeast-1", 3);
    let written = write(&place.path("new"), &local, &file(&more("local", 2)));
    let local = folder.join(&local);
    std::fs::create_dir_all(local.parent().unwrap()).unwrap();
    std::fs::rename(written, local).unwrap();

    daemon
        .until("everything decided", async || {
            daemon.status().await["totals"]["files"]["delivered"] == 4
        })
        .await;
    let status = daemon.status().await;
    assert_eq!(status["balanced"], true, "{status}");
    let records = &status["totals"]["records"];
    assert_eq!(records["in"], 13, "{status}");
    assert_eq!(records["accepted"], standin.counts().lines, "{status}");
    assert_eq!(status["totals"]["files"]["failed"], 0, "{status}");
    let sources = status["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3, "{status}");
    for source in sources {
        assert_eq!(source["state"], "running", "{status}");
        // Only a queue has a depth.
        assert_eq!(
            source["queue"].is_null(),
            source["kind"] != "sqs",
            "{source}"
        );
    }
    let seen = &status["last_seen"];
    assert_eq!(seen["known"], 4, "{status}");
    for (account, region) in [
        ("111122223333", "us-east-1"),
        ("444455556666", "eu-west-1"),
        ("444455556666", "us-east-1"),
        ("777788889999", "ap-northeast-1"),
    ] {
        let rows = seen["rows"].as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["account"] == account && row["region"] == region);
        let row = row.unwrap_or_else(|| panic!("{account} {region}: {seen}"));
        assert_eq!(row["event"], "2026-03-01T12:00:00Z", "{row}");
    }
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(received(&standin), lines(&all));
    assert_eq!(place.finished(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_says_how_many_messages_wait_and_where_it_does_not_that_is_unknown() {
    const FILES: u32 = 5;
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let mut feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    let (standin, place) = (standin().await, Place::new());
    let mut all = Vec::new();
    for minute in 0..FILES {
        let names = names(&format!("file{minute}"), 2);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    // The bucket sent a test event before.
    let most = u64::from(FILES) + 1;
    emulator.until_queued(&feed.queue_url, most).await;
    // Nothing is accepted, so nothing is deleted.
    let token = std::fs::read(place.path("token")).unwrap();
    std::fs::write(place.path("token"), "another-token").unwrap();
    let settings = place.settings(&feed, &emulator.url, &standin.endpoint(), "");
    let daemon = Daemon::start(&settings).await;
    let depth = async || daemon.status().await["sources"][0]["queue"].clone();
    daemon
        .until("a depth", async || !depth().await.is_null())
        .await;
    let status = daemon.status().await;
    let queue = &status["sources"][0]["queue"];
    let count = |state: &str| queue[state].as_u64().unwrap();
    // That is acknowledged at once: before it was asked, or after.
    let messages = count("waiting") + count("in_flight") + count("delayed");
    assert!(messages == most || messages + 1 == most, "{status}");
    let waits = count("waiting") + count("delayed");
    assert_eq!(status["backlog"]["files_waiting"], waits, "{status}");
    let (_, metrics) = daemon.page("/metrics").await;
    for state in ["waiting", "in_flight", "delayed"] {
        let line = format!(
            "ctforward_queue_messages{{state=\"{state}\"}} {}",
            count(state)
        );
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert!(
        metrics.contains("\nctforward_queues_unknown 0\n"),
        "{metrics}"
    );

    std::fs::write(place.path("token"), token).unwrap();
    daemon
        .until("an empty queue", async || {
            emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert_eq!(received(&standin), lines(&all));

    // It is asked at the start, and then now and then.
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("no backlog", async || {
            daemon.status().await["backlog"]["files_waiting"] == 0
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);

    feed.queue_url.push_str("-that-is-not-there");
    let settings = place.settings(&feed, &emulator.url, &standin.endpoint(), "");
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("failing", async || {
            daemon.status().await["sources"][0]["state"] == "failing"
        })
        .await;
    let status = daemon.status().await;
    assert!(status["sources"][0]["queue"].is_null(), "{status}");
    assert!(status["backlog"]["files_waiting"].is_null(), "{status}");
    let (_, metrics) = daemon.page("/metrics").await;
    assert!(
        metrics.contains("\nctforward_queues_unknown 1\n"),
        "{metrics}"
    );
    assert!(!daemon.ready().await);
    assert_eq!(daemon.stop().await.0, 0);
}
