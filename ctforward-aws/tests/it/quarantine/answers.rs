//! Against a server that answers as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use ctforward_aws::s3::S3Quarantine;
use ctforward_core::ErrorKind;
use ctforward_core::quarantine::{Quarantine as _, Resolution, written};

use super::entry;
use crate::server::{Reply, Server};
use crate::{BUCKET, client_for, within};

fn quarantine(url: &str) -> S3Quarantine {
    S3Quarantine::builder(client_for(url), BUCKET)
        .kms_key("alias/quarantine")
        .expected_bucket_owner("111122223333")
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_write_asks_for_the_key_and_for_nothing_to_be_there() {
    let server = Server::start(|_| Reply::new(200, "").with("etag", "\"e\"")).await;
    within(quarantine(&server.url).put(&entry(1)))
        .await
        .unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    for (name, value) in [
        ("if-none-match", "*"),
        ("x-amz-server-side-encryption", "aws:kms"),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            "alias/quarantine",
        ),
        ("x-amz-expected-bucket-owner", "111122223333"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(asked[0].header(name), Some(value), "{name}");
    }
    let name = format!("/{BUCKET}/quarantine/{}.json", written::hex(&entry(1).id()));
    assert_eq!(asked[0].path, name);
}

#[tokio::test]
async fn what_s3_did_not_accept_is_not_kept() {
    use ErrorKind::{Config, Throttled, Unauthorized, Unavailable};
    for (status, code, kind) in [
        (403, "AccessDenied", Unauthorized),
        (400, "KMS.DisabledException", Unauthorized),
        (404, "NoSuchBucket", Config),
        (503, "SlowDown", Throttled),
        (500, "InternalError", Unavailable),
    ] {
        let server = Server::start(move |_| Reply::error(status, code, "no")).await;
        let quarantine = quarantine(&server.url);
        let error = within(quarantine.put(&entry(1))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let resolved = within(quarantine.resolve(entry(1).id(), Resolution::Dropped)).await;
        assert_eq!(resolved.unwrap_err().kind(), kind);
        let mut entries = quarantine.entries(Default::default());
        assert_eq!(within(entries.next()).await.unwrap_err().kind(), kind);
    }
    // Refused for what lies there, which then cannot be read: nobody knows what it is.
    let server = Server::start(|asked| match asked.header("if-none-match") {
        Some(_) => Reply::error(412, "PreconditionFailed", "there"),
        None => Reply::error(403, "AccessDenied", "no"),
    })
    .await;
    let error = within(quarantine(&server.url).put(&entry(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Unauthorized, "{error}");
    // Refused for ever, and never there.
    let server = Server::start(|asked| match asked.header("if-none-match") {
        Some(_) => Reply::error(412, "PreconditionFailed", "there"),
        None => Reply::error(404, "NoSuchKey", "gone"),
    })
    .await;
    let error = within(quarantine(&server.url).put(&entry(1)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (Unavailable, true),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_without_conditions_is_read_before_it_is_written_to() {
    for (there, writes) in [
        (None, 1),
        (Some(entry(1)), 0),
        (Some(entry(1).after_attempts(1)), 0),
    ] {
        let count = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&count);
        let server = Server::start(move |asked| {
            let conditional =
                asked.header("if-none-match").is_some() || asked.header("if-match").is_some();
            if conditional {
                return Reply::error(501, "NotImplemented", "no conditions here");
            }
            if asked.header("content-type") == Some("application/json") {
                counted.fetch_add(1, Ordering::SeqCst);
                return Reply::new(200, "").with("etag", "\"new\"");
            }
            match &there {
                Some(entry) => Reply::new(200, written::entry(entry)).with("etag", "\"old\""),
                None => Reply::error(404, "NoSuchKey", "none"),
            }
        })
        .await;
        within(quarantine(&server.url).put(&entry(1)))
            .await
            .unwrap();
        assert_eq!(count.load(Ordering::SeqCst), writes);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let make = || S3Quarantine::builder(client_for("http://127.0.0.1:1"), BUCKET);
    assert!(make().prefix("").build().is_ok());
    for builder in [
        make().prefix("/q"),
        make().prefix("q".repeat(901)),
        make().kms_key(""),
        make().expected_bucket_owner("12"),
        make().timeout(std::time::Duration::ZERO),
        S3Quarantine::builder(client_for("http://127.0.0.1:1"), ""),
    ] {
        let shown = format!("{builder:?}");
        assert_eq!(
            builder.build().unwrap_err().kind(),
            ErrorKind::Config,
            "{shown}"
        );
    }
}
