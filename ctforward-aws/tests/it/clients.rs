//! A client for each bucket, seen by how its requests are signed.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::config::Credentials;
use ctforward_aws::S3Reader;
use ctforward_aws::s3::BucketClients;
use ctforward_core::{Error, ErrorKind, ObjectId};

use crate::server::{Asked, Reply, Server};
use crate::{client_for, within};

fn others(name: &'static str) -> Credentials {
    Credentials::new(name, "secret", None, None, "tests")
}

/// Whether a request was a HEAD, as the path of it alone says: it names no key.
pub(crate) fn is_head(asked: &Asked) -> bool {
    asked.path.trim_matches('/').split('/').count() == 1
}

/// The key and the region that a request was signed with.
pub(crate) fn signed(asked: &Asked) -> (String, String) {
    let text = asked.header("authorization").unwrap();
    let scope = text.split("Credential=").nth(1).unwrap();
    let mut parts = scope.split('/');
    let key = parts.next().unwrap().to_owned();
    (key, parts.nth(1).unwrap().to_owned())
}

pub(crate) async fn open(reader: &S3Reader, bucket: &str, key: &str) -> Result<(), Error> {
    let open = reader.open_later(ObjectId::new(bucket, key));
    within(open.open()).await.map(drop)
}

fn body() -> Reply {
    Reply::new(200, "{}").with("etag", "\"e\"")
}

#[tokio::test]
async fn each_bucket_is_read_in_its_region_and_asked_for_it_once() {
    let server = Server::start(
        |asked| match (is_head(asked), asked.path.contains("/far")) {
            (true, true) => Reply::new(301, "").with("x-amz-bucket-region", "ap-southeast-2"),
            (true, false) => Reply::new(200, "").with("x-amz-bucket-region", "eu-west-1"),
            _ => body(),
        },
    )
    .await;
    let clients = BucketClients::builder(client_for(&server.url))
        .build()
        .unwrap();
    let reader = S3Reader::builder(client_for("http://127.0.0.1:1"))
        .clients(clients.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        open(&reader, "near", "a").await.unwrap();
        open(&reader, "far", "a").await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|asked| is_head(asked)).count(), 2);
    for asked in asked.iter().filter(|asked| !is_head(asked)) {
        let region = if asked.path.contains("/far") {
            "ap-southeast-2"
        } else {
            "eu-west-1"
        };
        assert_eq!(signed(asked), ("AKIDTEST".to_owned(), region.to_owned()));
    }
    // Many at once ask once.
    let mut tasks = tokio::task::JoinSet::new();
    for client in std::iter::repeat_n(clients, 20) {
        tasks.spawn(async move { client.client("third", None).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(
        server.asked().iter().filter(|asked| is_head(asked)).count(),
        3
    );
}

#[tokio::test]
async fn credentials_go_by_bucket_or_by_the_account_in_the_key() {
    let server = Server::start(|asked| match is_head(asked) {
        true => Reply::new(200, ""),
        false => body(),
    })
    .await;
    let clients = BucketClients::builder(client_for(&server.url))
        // A rule of the bucket holds, wherever it stands.
        .account("1111*", others("AKIDONES"))
        .bucket("acme-*", others("AKIDACME"))
        .account("222222222222", others("AKIDTWOS"))
        .build()
        .unwrap();
    let reader = S3Reader::builder(client_for(&server.url))
        .clients(clients)
        .build()
        .unwrap();
    let key = |account: &str| {
        crate::real::key(
            "AWSLogs/",
            account,
            "CloudTrail",
            "us-east-1",
            "2026/01/02",
            1,
        )
    };
    for (bucket, key, expected) in [
        ("acme-logs", key("111111111111"), "AKIDACME"),
        ("logs", key("111111111111"), "AKIDONES"),
        ("logs", key("222222222222"), "AKIDTWOS"),
        ("logs", key("333333333333"), "AKIDTEST"),
        ("logs", "AWSLogs/1111/x".to_owned(), "AKIDTEST"),
    ] {
        open(&reader, bucket, &key).await.unwrap();
        let last = server.asked().pop().unwrap();
        assert_eq!(signed(&last).0, expected, "{bucket} {key}");
    }
}

#[tokio::test]
async fn what_keeps_a_region_from_being_found_is_said_and_asked_again() {
    use ErrorKind::{Config, Throttled, Unavailable};
    for (status, kind) in [(404, Config), (503, Throttled), (500, Unavailable)] {
        let count = AtomicUsize::new(0);
        let server = Server::start(move |asked| match is_head(asked) {
            // The SDK tries twice.
            true if count.fetch_add(1, Ordering::SeqCst) < 2 && status >= 500 => {
                Reply::new(status, "")
            }
            true if status < 500 => Reply::new(status, ""),
            true => Reply::new(200, "").with("x-amz-bucket-region", "us-east-2"),
            false => body(),
        })
        .await;
        let clients = BucketClients::builder(client_for(&server.url))
            .build()
            .unwrap();
        let reader = S3Reader::builder(client_for(&server.url))
            .clients(clients)
            .build()
            .unwrap();
        let error = open(&reader, "logs", "a").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let again = open(&reader, "logs", "a").await;
        assert_eq!(again.is_ok(), status >= 500);
    }
    // Denied without a word of the region: reading may be allowed.
    let server = Server::start(|asked| match is_head(asked) {
        true => Reply::new(403, ""),
        false => body(),
    })
    .await;
    let clients = BucketClients::builder(client_for(&server.url))
        .build()
        .unwrap();
    let reader = S3Reader::builder(client_for(&server.url))
        .clients(clients)
        .build()
        .unwrap();
    open(&reader, "logs", "a").await.unwrap();
    assert_eq!(signed(&server.asked().pop().unwrap()).1, "eu-west-1");
}

#[test]
fn patterns_that_fit_nothing_are_refused() {
    let make = || BucketClients::builder(client_for("http://127.0.0.1:1"));
    assert!(
        make()
            .bucket("a-*", others("A"))
            .account("*", others("A"))
            .build()
            .is_ok()
    );
    for builder in [
        make().bucket("", others("A")),
        make().bucket("a/b", others("A")),
        make().account("12", others("A")),
        make().account("11111111111a", others("A")),
        make().account("1111111111111*", others("A")),
    ] {
        let shown = format!("{builder:?}");
        assert_eq!(
            builder.build().unwrap_err().kind(),
            ErrorKind::Config,
            "{shown}"
        );
    }
}
