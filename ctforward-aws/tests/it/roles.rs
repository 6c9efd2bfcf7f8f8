//! Roles assumed at a stand-in of STS.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use ctforward_aws::S3Reader;
use ctforward_aws::s3::{AssumedRole, BucketClients};
use ctforward_core::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client_for;
use crate::clients::{is_head, open, signed};
use crate::server::{Reply, Server};

const ROLE: &str = "arn:aws:iam::111122223333:role/read-logs";

/// Answers each request the same, and keeps what was asked.
async fn sts(status: u16, answer: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = Vec::new();
            while !whole(&text) {
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).await.unwrap();
                text.extend_from_slice(&piece[..read]);
                assert!(read > 0, "the request broke off");
            }
            kept.lock().unwrap().push(String::from_utf8(text).unwrap());
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn config(sts: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(sts)
        .credentials_provider(Credentials::new("AKIDBASE", "secret", None, None, "tests"))
        .load()
        .await
}

fn session() -> String {
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>secret-of-role</SecretAccessKey>\
         <SessionToken>token-of-role</SessionToken><Expiration>{until:.0}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>A:ctforward</AssumedRoleId><Arn>arn:aws:sts::111122223333:assumed-role/read-logs/ctforward</Arn></AssumedRoleUser>\
         </AssumeRoleResult></AssumeRoleResponse>"
    )
}

async fn s3() -> Server {
    Server::start(|asked| match is_head(asked) {
        true => Reply::new(200, "").with("x-amz-bucket-region", "eu-central-1"),
        false => Reply::new(200, "{}").with("etag", "\"e\""),
    })
    .await
}

async fn reader(s3: &Server, sts: &str) -> S3Reader {
    let role = AssumedRole::new(ROLE).unwrap().external_id("customer-7");
    assert!(!format!("{role:?}").contains("customer-7"));
    let role = role.credentials(&config(sts).await).await.unwrap();
    let clients = BucketClients::builder(client_for(&s3.url))
        .bucket("theirs*", role)
        .build()
        .unwrap();
    S3Reader::builder(client_for(&s3.url))
        .clients(clients)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_read_with_the_role_meant_for_it() {
    let s3 = s3().await;
    let (url, asked) = sts(200, session()).await;
    let reader = reader(&s3, &url).await;
    for _ in 0..3 {
        open(&reader, "theirs", "a").await.unwrap();
        open(&reader, "ours", "a").await.unwrap();
    }
    let mut counts = (0, 0);
    for asked in s3.asked().iter().filter(|asked| !is_head(asked)) {
        let theirs = asked.path.contains("/theirs");
        let key = if theirs { "AKIDROLE" } else { "AKIDTEST" };
        assert_eq!(signed(asked), (key.to_owned(), "eu-central-1".to_owned()));
        let token = asked.header("x-amz-security-token");
        assert_eq!(token, theirs.then_some("token-of-role"));
        counts = (
            counts.0 + usize::from(theirs),
            counts.1 + usize::from(!theirs),
        );
    }
    assert_eq!(counts, (3, 3));
    let asked = asked.lock().unwrap().clone();
    for asked in &asked {
        for part in [
            "Action=AssumeRole",
            "ExternalId=customer-7",
            "RoleSessionName=ctforward",
            "read-logs",
            "AKIDBASE",
        ] {
            assert!(asked.contains(part), "{part}: {asked}");
        }
    }
    // Once for the client that asks for the region, and at most once for the other.
    assert!((1..=2).contains(&asked.len()), "{}", asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_be_assumed_is_said_to_be_so() {
    let s3 = s3().await;
    let answer = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/x is not authorized to perform: \
         sts:AssumeRole on resource: {ROLE}</Message></Error></ErrorResponse>"
    );
    let (url, _) = sts(403, answer).await;
    let error = open(&reader(&s3, &url).await, "theirs", "a")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.message().contains("trust policy"), "{error}");
    assert!(!format!("{error:?}").contains("customer-7"), "{error:?}");
    assert!(s3.asked().is_empty(), "nothing is asked without the role");
}

#[tokio::test]
async fn roles_that_cannot_be_are_refused() {
    for arn in [
        "",
        "read-logs",
        "arn:aws:iam::111122223333:user/x",
        "arn:aws:iam::1111:role/x",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:s3:::bucket",
    ] {
        assert_eq!(
            AssumedRole::new(arn).unwrap_err().kind(),
            ErrorKind::Config,
            "{arn}"
        );
    }
    let config = config("http://127.0.0.1:1").await;
    let china = AssumedRole::new("arn:aws-cn:iam::111122223333:role/x").unwrap();
    let error = china.credentials(&config).await.unwrap_err();
    assert!(
        error.message().contains("cannot cross partitions"),
        "{error}"
    );
    let role = || AssumedRole::new(ROLE).unwrap();
    for role in [
        role().external_id("x"),
        role().external_id("with space"),
        role().session_name("a:b"),
        role().session_name(""),
    ] {
        let error = role.credentials(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}
