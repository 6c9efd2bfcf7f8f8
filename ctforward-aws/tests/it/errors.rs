//! What people meet first: wrong names, wrong rights, wrong places.

use std::sync::Mutex;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::Builder;
use ctforward_aws::s3::{PlainHttp, client};
use ctforward_aws::{S3Reader, S3Source};
use ctforward_core::{Error, ErrorKind, ObjectId, Source};

use crate::server::{Reply, Server};
use crate::{BUCKET, client_for, settings, within};

async fn listing(reply: Reply) -> Error {
    let server = Server::start(move |_| reply.clone()).await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .build()
        .unwrap();
    within(source.next()).await.unwrap_err()
}

async fn opening(reply: Reply) -> Error {
    let server = Server::start(move |_| reply.clone()).await;
    let reader = S3Reader::builder(client_for(&server.url)).build().unwrap();
    let id = ObjectId::new(BUCKET, "AWSLogs/it's here.json.gz");
    within(reader.open_later(id).open()).await.unwrap_err()
}

#[tokio::test]
async fn every_answer_says_what_to_do() {
    let list = |status, code, message: &str| listing(Reply::error(status, code, message));
    let open = |status, code, message: &str| opening(Reply::error(status, code, message));
    let decrypt = "User: arn:aws:iam::1:role/r is not authorized to perform: kms:Decrypt";
    let moved = Reply::error(301, "PermanentRedirect", "elsewhere")
        .with("x-amz-bucket-region", "eu-central-1");
    let cases = [
        (
            list(404, "NoSuchBucket", "x").await,
            ErrorKind::Config,
            "no such bucket",
        ),
        (
            list(403, "AccessDenied", "x").await,
            ErrorKind::Unauthorized,
            "grant s3:ListBucket",
        ),
        (
            list(403, "InvalidAccessKeyId", "x").await,
            ErrorKind::Unauthorized,
            "access key",
        ),
        (
            list(503, "SlowDown", "x").await,
            ErrorKind::Throttled,
            "slower",
        ),
        (
            list(500, "InternalError", "x").await,
            ErrorKind::Unavailable,
            "failed",
        ),
        (
            listing(moved.clone()).await,
            ErrorKind::Config,
            "lies in eu-central-1",
        ),
        (
            opening(moved).await,
            ErrorKind::Config,
            "lies in eu-central-1",
        ),
        (
            open(404, "NoSuchKey", "x").await,
            ErrorKind::NotFound,
            "no such object",
        ),
        (
            open(403, "AccessDenied", "x").await,
            ErrorKind::Unauthorized,
            "grant s3:GetObject",
        ),
        (
            open(403, "AccessDenied", decrypt).await,
            ErrorKind::Unauthorized,
            "grant kms:Decrypt",
        ),
        (
            open(403, "InvalidObjectState", "x").await,
            ErrorKind::Archived,
            r"aws s3api restore-object --bucket trail --key 'AWSLogs/it'\''s here.json.gz'",
        ),
        (
            listing(Reply::new(200, "no xml at all")).await,
            ErrorKind::Unavailable,
            "not be understood",
        ),
    ];
    for (error, kind, words) in cases {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error} lacks {words:?}");
    }
}

#[tokio::test]
async fn what_an_answer_repeats_of_our_secrets_is_not_repeated() {
    let body = "<Error><Code>InvalidToken</Code><Message>The provided token is malformed\
                </Message><Token-0>SECRETTOKEN</Token-0></Error>";
    let error = opening(Reply::new(400, body)).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let shown = format!(
        "{error} {error:?} {:?}",
        std::error::Error::source(&error).is_some()
    );
    assert!(!shown.contains("SECRETTOKEN"), "{shown}");
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_silence_is_a_timeout() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut source = S3Source::builder(client_for(&url), BUCKET).build().unwrap();
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable());

    // The kernel accepts; nobody ever answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let mut source = S3Source::builder(client_for(&url), BUCKET)
        .idle_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn credentials_or_a_region_that_cannot_be_had_are_named() {
    let server = Server::start(|_| Reply::new(200, "")).await;
    let list = async |settings: Builder, region: Option<&str>| {
        let client = client(settings, Some(&server.url), region, PlainHttp::LoopbackOnly).unwrap();
        let mut source = S3Source::builder(client, BUCKET).build().unwrap();
        within(source.next()).await.unwrap_err()
    };
    for broken in [
        CredentialsError::not_loaded("no providers in chain provided credentials"),
        CredentialsError::provider_error("the sign-in expired"),
        CredentialsError::provider_timed_out(Duration::from_secs(1)),
        CredentialsError::invalid_configuration("no such profile"),
        CredentialsError::unhandled("?"),
    ] {
        let shown = broken.to_string();
        let settings = settings().credentials_provider(Broken(Mutex::new(Some(broken))));
        let error = list(settings, Some("eu-west-1")).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{shown}: {error}");
        assert!(error.message().contains("no AWS credentials"), "{error}");
    }
    let error = list(settings(), None).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().to_lowercase().contains("region"), "{error}");
    assert!(server.asked().is_empty(), "nothing was sent");
}

/// Credentials that cannot be had.
#[derive(Debug)]
struct Broken(Mutex<Option<CredentialsError>>);

impl ProvideCredentials for Broken {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = self.0.lock().unwrap().take();
        let again = || CredentialsError::not_loaded("again");
        future::ProvideCredentials::ready(Err(error.unwrap_or_else(again)))
    }
}
