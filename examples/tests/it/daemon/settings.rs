//! Settings: everything that is wrong, at once, with exit status 2.

use std::sync::atomic::Ordering;

use super::start::silent;
use super::{Daemon, Place, program};
use crate::support::*;

#[tokio::test]
async fn what_is_wrong_in_the_file_and_outside_of_it_is_said_at_once() {
    let place = Place::new();
    std::fs::write(place.path("rules.yaml"), "exclude: [{name: x, wen: 1}]\n").unwrap();
    std::fs::write(place.path("token"), "").unwrap();
    let at = place.folder.path().display();
    let more = format!(
        "[records]\nrules = \"{at}/rules.yaml\"\n[pace]\nspeed = 1\n[log]\nformat = \"xml\"\n"
    );
    let settings = place.settings("http://example.com/ingest?t=s3cr3t", &more);
    for check in [true, false] {
        let mut command = program();
        command.arg("--config").arg(&settings);
        // A variable whose value is wrong is named too.
        command.env("CTFORWARD_PACE_CONCURRENCY", "0");
        let ran = run_with(command, check.then_some("--check")).await;
        assert_eq!(ran.status, 2, "{ran:?}");
        let file = settings.display();
        for expected in [
            format!("{file}:3: endpoint.token_file: token file {at}/token"),
            format!("{file}:13: records.rules: {at}/rules.yaml: line 1"),
            format!("{file}:15: pace.speed: there is no such key"),
            format!("{file}:17: log.format: must be one of text, json"),
            "environment variable CTFORWARD_PACE_CONCURRENCY: pace.concurrency: must be".to_owned(),
        ] {
            assert!(ran.stderr.contains(&expected), "{expected}\n{}", ran.stderr);
        }
        ran.assert_no_secret();
    }
}

#[tokio::test]
async fn good_settings_are_good_and_nothing_is_made() {
    let place = Place::new();
    let settings = place.settings("http://127.0.0.1:9/ingest", "");
    let mut command = program();
    command.arg("--config").arg(&settings);
    let ran = run_with(command, ["--check"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("good"), "{ran:?}");
    assert!(!place.path("ledger.sqlite").exists());
}

#[tokio::test]
async fn a_check_contacts_nobody_that_the_settings_name() {
    let place = Place::new();
    let (url, came) = silent().await;
    let more = format!(
        "[source.bucket]\ntype = \"s3\"\nbucket = \"trail\"\ns3_endpoint_url = \"{url}\"\n\
         [source.queue]\ntype = \"sqs\"\nbuckets = [\"trail\"]\nregion = \"us-east-1\"\n\
         queue_url = \"{url}/111122223333/trail\"\ns3_endpoint_url = \"{url}\"\n"
    );
    let settings = place.settings(&format!("{url}/ingest"), &more);
    let text = std::fs::read_to_string(&settings).unwrap();
    let file = format!("token_file = \"{}\"", place.path("token").display());
    let text = text.replace(
        &file,
        "token_secret = \"ingest\"\nnext_token_secret = \"next\"",
    );
    std::fs::write(&settings, text).unwrap();
    let command = || {
        let mut command = program();
        // Whatever it could ask of AWS, credentials too, it would ask here.
        command
            .env("AWS_ENDPOINT_URL", &url)
            .env("AWS_REGION", "us-east-1")
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
        command
    };
    let mut check = command();
    check.arg("--config").arg(&settings);
    let ran = run_with(check, ["--check"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(came.load(Ordering::SeqCst), 0);
    assert!(!place.path("ledger.sqlite").exists());
    // It would be seen: to run, it does ask.
    let daemon = Daemon::start_with(command(), &settings).await;
    daemon
        .until("asking", || async { came.load(Ordering::SeqCst) > 0 })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
}

#[tokio::test]
async fn a_missing_file_of_settings_is_a_mistake() {
    let ran = run_with(program(), ["--config", "/nonexistent/d.toml"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("/nonexistent/d.toml: cannot be read"),
        "{ran:?}"
    );
}
