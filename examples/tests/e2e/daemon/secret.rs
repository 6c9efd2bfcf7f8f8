//! The endpoint's token in Secrets Manager.

use crate::daemon::{Daemon, Place};
use crate::emulator::Emulator;
use crate::forward::{VISIBILITY, lines, names};
use crate::setup::Via;
use crate::support::*;

const CREATE: &str = r#"
client('secretsmanager').create_secret(Name=args[0], SecretString=json.dumps({'token': args[1]}))
"#;

const CHANGE: &str = r#"
client('secretsmanager').put_secret_value(SecretId=args[0], SecretString=json.dumps({'token': args[1]}))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_changed_in_secrets_manager_is_read_again_when_it_is_told_to() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    emulator.python(CREATE, &["ingest", "an-old-token"]).await;
    let (standin, place) = (standin().await, Place::new());
    let token = "token_secret = \"ingest#token\"";
    let endpoint = standin.endpoint();
    let settings = place.settings_with(
        token,
        &feed,
        &emulator.url,
        &endpoint,
        "[pace]\nprobe_seconds = 1\n",
    );
    let variables = [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", emulator.url.as_str()),
        ("AWS_REGION", "us-east-1"),
    ];
    let daemon = Daemon::start_with(&settings, &variables).await;
    assert_eq!(
        daemon.status().await["tokens"][0]["from"],
        "secret ingest#token"
    );

    emulator.python(CHANGE, &["ingest", TOKEN]).await;
    daemon.signal("-HUP");
    daemon.until_log("the token was read again").await;
    let all = names("file", 4);
    emulator.put_log_file(&feed.bucket, 1, &all).await;
    daemon
        .until("the file", async || received(&standin) == lines(&all))
        .await;
    // The old one was never shown to the endpoint.
    assert_eq!(standin.counts().refused, 0);

    // Changed again, to one that the endpoint does not know: red, until it is mended.
    emulator.python(CHANGE, &["ingest", "a-wrong-token"]).await;
    daemon.signal("-HUP");
    daemon
        .until("read twice", async || {
            daemon.log().matches("the token was read again").count() == 2
        })
        .await;
    let late = names("late", 4);
    emulator.put_log_file(&feed.bucket, 2, &late).await;
    daemon.until("red", async || !daemon.ready().await).await;
    let refused = standin.counts().refused;
    assert!(refused > 0);
    emulator.python(CHANGE, &["ingest", TOKEN]).await;
    daemon.signal("-HUP");
    daemon
        .until("the late file", async || {
            standin.counts().lines == (all.len() + late.len()) as u64
        })
        .await;
    daemon.until("green", async || daemon.ready().await).await;
    let (status, log) = daemon.stop().await;
    assert_eq!(status, 0, "{log}");
    for token in ["an-old-token", "a-wrong-token"] {
        assert!(!log.contains(token), "{log}");
    }
    assert_eq!(received(&standin), lines(&[all, late].concat()));
}
