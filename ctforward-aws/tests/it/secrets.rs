//! Secrets read over HTTP.

use std::error::Error as _;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use ctforward_aws::s3::PlainHttp;
use ctforward_aws::secretsmanager::{SecretReader, client};
use ctforward_core::{Error, ErrorKind};

use crate::server::{Do, Reply, Server};
use crate::within;

/// Nothing of it may turn up anywhere.
const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.hunter2-hunter2.c2lnbmF0dXJl";

fn settings() -> Builder {
    Builder::new()
        .behavior_version_latest()
        .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "tests"))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(2)
                .with_initial_backoff(Duration::from_millis(2)),
        )
}

fn client_for(url: &str) -> Client {
    client(
        settings(),
        Some(url),
        Some("eu-west-1"),
        PlainHttp::LoopbackOnly,
    )
    .unwrap()
}

fn holding(text: &str) -> Reply {
    let text = serde_json::Value::from(text);
    let body = format!(
        r#"{{"ARN":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:x-AbCdEf","Name":"x","SecretString":{text},"VersionId":"v","VersionStages":["AWSCURRENT"],"CreatedDate":1.7e9}}"#
    );
    Reply::new(200, body).with("content-type", "application/x-amz-json-1.1")
}

fn failing(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"__type":"{code}","Message":"no\\u001b such thing"}}"#);
    Reply::new(status, body).with("content-type", "application/x-amz-json-1.1")
}

fn clean(error: &Error) {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(inner) = source {
        said.push_str(&format!("{inner} {inner:?}"));
        source = inner.source();
    }
    assert!(
        !said.contains("hunter2") && !said.contains("AKIDTEST"),
        "{said}"
    );
}

async fn read(reply: Reply, key: Option<&str>) -> Result<String, Error> {
    let server = Server::start(move |_| reply.clone()).await;
    let mut reader = SecretReader::new(client_for(&server.url), "prod/x");
    if let Some(key) = key {
        reader = reader.json_key(key);
    }
    let read = within(reader.read()).await;
    for asked in server.asked() {
        assert_eq!(
            asked.header("x-amz-target"),
            Some("secretsmanager.GetSecretValue")
        );
        assert!(
            asked
                .header("authorization")
                .is_some_and(|a| a.contains("eu-west-1"))
        );
    }
    if let Ok(text) = &read {
        assert!(!format!("{text:?} {text:#?} {reader:?}").contains("hunter2"));
    }
    read.map(|text| text.expose().to_owned())
}

#[tokio::test]
async fn a_secret_is_its_text_or_a_text_in_it() {
    assert_eq!(read(holding(SECRET), None).await.unwrap(), SECRET);
    let spaced = format!(" {SECRET}\n");
    assert_eq!(read(holding(&spaced), None).await.unwrap(), spaced);
    let json = format!(r#"{{"user":"x","token":"{SECRET}","n":7}}"#);
    assert_eq!(read(holding(&json), Some("token")).await.unwrap(), SECRET);
    // Without a key it is the text as it stands.
    assert_eq!(read(holding(&json), None).await.unwrap(), json);
}

#[tokio::test]
async fn what_is_no_such_text_is_said_without_showing_it() {
    let json = format!(r#"{{"token":"{SECRET}","n":{{"x":"{SECRET}"}},"empty":" "}}"#);
    for (text, key, words) in [
        (json.as_str(), Some("other"), "has no key other"),
        (&json, Some("n"), "under the key n is no text"),
        (&json, Some("empty"), "is empty"),
        (SECRET, Some("token"), "is no JSON object"),
        (
            &format!("{{\"token\":\"{SECRET}\""),
            Some("token"),
            "is no JSON object",
        ),
        (
            &format!("[\"{SECRET}\"]"),
            Some("token"),
            "is no JSON object",
        ),
        (" \n", None, "is empty"),
        (&SECRET.repeat(2000), None, "longer than a secret"),
    ] {
        let error = read(holding(text), key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("the secret prod/x"), "{error}");
        assert!(error.message().contains(words), "{error}");
        clean(&error);
    }
    let binary = Reply::new(200, r#"{"Name":"x","SecretBinary":"aHVudGVyMg=="}"#);
    let error = read(binary, None).await.unwrap_err();
    assert!(error.message().contains("binary"), "{error}");
}

#[tokio::test]
async fn failures_have_their_kind_and_show_no_secret() {
    use ErrorKind::{Config, Throttled, Timeout, Unauthorized, Unavailable};
    for (reply, kind) in [
        (failing(400, "ResourceNotFoundException"), Config),
        (failing(400, "InvalidRequestException"), Config),
        (failing(400, "AccessDeniedException"), Unauthorized),
        (failing(400, "DecryptionFailure"), Unauthorized),
        (
            failing(400, "com.amazon.coral.service#UnrecognizedClientException"),
            Unauthorized,
        ),
        (failing(400, "ThrottlingException"), Throttled),
        (failing(500, "InternalServiceError"), Unavailable),
        (Reply::new(502, format!("<html>{SECRET}")), Unavailable),
        // A success that is no answer, or half of one.
        (Reply::new(200, format!("<html>{SECRET}")), Unavailable),
        (
            Reply::new(200, format!("{{\"SecretString\":\"{SECRET}")),
            Unavailable,
        ),
        (holding(SECRET).ending(40, Do::Break), Unavailable),
    ] {
        let shown = format!("{reply:?}");
        let error = read(reply, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error} of {shown}");
        clean(&error);
    }

    let server = Server::start(|_| {
        let mut reply = holding(SECRET);
        reply.body.insert(0, Do::Wait(Duration::from_secs(60)));
        reply
    })
    .await;
    let reader = SecretReader::new(client_for(&server.url), "x");
    let reader = reader.timeout(Duration::from_millis(50));
    let error = within(reader.read()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (Timeout, true),
        "{error}"
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let reader = SecretReader::new(client_for(&nobody), "x");
    let error = within(reader.read()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (Unavailable, true),
        "{error}"
    );
}

#[tokio::test]
async fn a_changed_secret_is_read_the_next_time() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        holding(&format!("token-{n}"))
    })
    .await;
    let reader = SecretReader::new(client_for(&server.url), "x");
    for n in 0..3 {
        let text = within(reader.read()).await.unwrap();
        assert_eq!(text.expose(), format!("token-{n}"));
    }
}

#[test]
fn plain_http_stays_on_this_machine() {
    for (url, ok) in [
        ("http://127.0.0.1:4566", true),
        ("https://vpce.example", true),
        ("http://10.0.0.1", false),
        ("vpce.example", false),
    ] {
        let made = client(settings(), Some(url), None, PlainHttp::LoopbackOnly);
        assert_eq!(made.is_ok(), ok, "{url}");
    }
}
