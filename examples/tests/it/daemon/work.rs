//! Forwarding, stopping, and starting again.

use ctforward_visionone::standin::{Faults, StandIn};

use super::{Daemon, Place};
use crate::support::*;

#[tokio::test]
async fn new_files_are_forwarded_as_they_appear_and_never_twice() {
    let place = Place::new();
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "");
    let mut expected = place.put("logs", 1, &["A", "B"]);
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("two", || async { standin.counts().lines == 2 })
        .await;
    expected.extend(place.put("logs", 2, &["C"]));
    daemon
        .until("three", || async { standin.counts().lines == 3 })
        .await;
    // Every round finds the old files again; the ledger knows them.
    daemon
        .until("settled", || async {
            let status = daemon.status().await;
            status["totals"]["files"]["delivered"] == 2 && status["totals"]["files"]["failed"] == 0
        })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");

    // A restart sends nothing that the ledger knows.
    let daemon = Daemon::start(&settings).await;
    expected.extend(place.put("logs", 3, &["D"]));
    daemon
        .until("four", || async { standin.counts().lines == 4 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_under_way_and_nothing_comes_twice() {
    let place = Place::new();
    let faults = Faults::new().with("slow:1,ms=1500".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let settings = place.settings(&standin.endpoint(), "");
    let mut expected = Vec::new();
    for minute in 0..10 {
        let name = format!("N{minute}");
        expected.extend(place.put("logs", minute, &[&name]));
    }
    let daemon = Daemon::start(&settings).await;
    // The lines are there, and their answer is on its way.
    daemon
        .until("sent", || async { standin.counts().lines > 0 })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("stopping"), "{log}");

    let daemon = Daemon::start(&settings).await;
    daemon
        .until("all", || async {
            daemon.status().await["ledger"]["finished"] == 10 || standin.counts().lines >= 10
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let faults = Faults::new().with("stuck:1".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    place.put("logs", 1, &["A"]);
    let settings = place.settings(&standin.endpoint(), "[run]\ndrain_seconds = 3600\n");
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("sent", || async { standin.counts().requests > 0 })
        .await;
    daemon.signal("-TERM");
    daemon
        .until_log("what is under way is finished first")
        .await;
    daemon.signal("-INT");
    let (status, log) = daemon.ended().await;
    assert_eq!(status, 1, "{log}");
}

#[tokio::test]
async fn a_source_that_does_not_work_keeps_no_other_back_and_is_taken_up_when_it_does() {
    let place = Place::new();
    let standin = standin().await;
    let at = place.folder.path().display();
    let broken = format!(
        "[source.broken]\ntype = \"directory\"\npath = \"{at}/later\"\nevery_seconds = 1\n"
    );
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), &broken)).await;
    let mut expected = place.put("logs", 1, &["A"]);
    daemon
        .until("one", || async { standin.counts().lines == 1 })
        .await;
    let state = async |name: &str| {
        let status = daemon.status().await;
        let sources = status["sources"].as_array().unwrap().clone();
        let found = sources.into_iter().find(|source| source["name"] == name);
        found.unwrap()
    };
    daemon
        .until("seen to fail", || async {
            state("broken").await["state"] == "failing"
        })
        .await;
    let error = state("broken").await["last_error"]["message"].to_string();
    assert!(error.contains("no such file or folder"), "{error}");
    assert_eq!(state("good").await["state"], "running");
    assert_eq!(daemon.page("/readyz").await.0, 200);

    expected.extend(place.put("later", 2, &["B"]));
    daemon
        .until("two", || async { standin.counts().lines == 2 })
        .await;
    daemon
        .until("well", || async {
            state("broken").await["state"] == "running"
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn the_log_is_json_where_that_is_asked_for() {
    let place = Place::new();
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "[log]\nformat = \"json\"\n");
    place.put("logs", 1, &["A"]);
    let daemon = Daemon::start(&settings).await;
    daemon
        .until("one", || async { standin.counts().lines == 1 })
        .await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            event["time"].is_string() && event["message"].is_string(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn what_was_refused_is_sent_again_at_the_push_of_a_button() {
    let place = Place::new();
    // The second request is refused, and no other.
    let faults = Faults::new().with("400:after=1,for=1".parse().unwrap());
    let standin = start(StandIn::builder().faults(faults)).await;
    let settings = place.settings(&standin.endpoint(), "");
    let admin = "an-admin-token-of-good-length";
    place.secret("admin-token", admin);
    let at = place.folder.path().display().to_string();
    let text = std::fs::read_to_string(&settings).unwrap();
    let with = format!("[admin]\ntoken_file = \"{at}/admin-token\"\n");
    std::fs::write(&settings, text.replace("[admin]\n", &with)).unwrap();
    let daemon = Daemon::start(&settings).await;
    let mut expected = place.put("logs", 1, &["A"]);
    daemon
        .until("one", || async { standin.counts().lines == 1 })
        .await;
    expected.extend(place.put("logs", 2, &["B"]));
    daemon.until_log("something was put in quarantine").await;
    daemon
        .until("finished", || async {
            daemon.status().await["totals"]["records"]["quarantined"] == 1
        })
        .await;

    let redrive = |token: Option<&'static str>| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("{}/redrive", daemon.base()));
        if let Some(token) = token {
            request = request.header("X-Ctforward-Admin", token);
        }
        request.send()
    };
    assert_eq!(redrive(None).await.unwrap().status().as_u16(), 401);
    assert_eq!(standin.counts().lines, 1);
    let answer = redrive(Some(admin)).await.unwrap();
    let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    let redriven: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(redriven["redriven"]["accepted"], 1, "{body}");
    assert_eq!(redriven["redriven"]["remaining"], 0, "{body}");
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    assert!(!log.contains(admin), "{log}");
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn the_service_manager_hears_that_it_is_ready_lives_and_stops() {
    let place = Place::new();
    let standin = standin().await;
    let settings = place.settings(&standin.endpoint(), "");
    let socket = tokio::net::UnixDatagram::bind(place.path("notify")).unwrap();
    let mut program = super::program();
    program
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "200000");
    let daemon = Daemon::start_with(program, &settings).await;
    let mut heard = String::new();
    let mut hear = async |words: &[&str]| {
        let mut bytes = [0; 4096];
        while !words.iter().all(|word| heard.contains(word)) {
            let received = socket.recv(&mut bytes);
            let length = tokio::time::timeout(super::PATIENCE, received).await;
            heard.push_str(&String::from_utf8_lossy(&bytes[..length.unwrap().unwrap()]));
        }
    };
    hear(&["READY=1", "STATUS=0 files delivered", "WATCHDOG=1"]).await;
    daemon.signal("-TERM");
    hear(&["STOPPING=1"]).await;
    assert_eq!(daemon.ended().await.0, 0);
}
