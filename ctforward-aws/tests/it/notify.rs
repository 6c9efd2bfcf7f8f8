//! A bucket's notifications, read and put back over HTTP.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::types::NotificationConfiguration;
use ctforward_aws::notify_setup::{Difference, Ours, merge, put, read, remove};
use ctforward_core::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::server::{Reply, Server};
use crate::{BUCKET, client_for, within};

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";

/// Keeps what is put, and answers with it.
async fn bucket(first: &str) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::new(Mutex::new(first.to_owned()));
    let state = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains("?notification"), "{head}");
            let mut body = String::new();
            if head.starts_with("PUT") {
                let length = head.to_lowercase();
                let length = length.split("content-length: ").nth(1).unwrap();
                let length = length.split("\r\n").next().unwrap().parse().unwrap();
                let mut bytes = vec![0; length];
                stream.read_exact(&mut bytes).await.unwrap();
                *state.lock().unwrap() = String::from_utf8(bytes).unwrap();
            } else {
                body.clone_from(&state.lock().unwrap());
            }
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, kept)
}

#[tokio::test]
async fn what_others_set_up_comes_back_as_it_was() {
    let theirs = "<NotificationConfiguration><TopicConfiguration><Id>theirs</Id>\
        <Topic>arn:aws:sns:eu-west-1:1:t</Topic><Event>s3:ObjectRemoved:*</Event>\
        <Event>s3:SomethingNew:*</Event></TopicConfiguration><CloudFunctionConfiguration>\
        <Id>f</Id><CloudFunction>arn:aws:lambda:eu-west-1:1:function:f</CloudFunction>\
        <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>Prefix</Name>\
        <Value>images/</Value></FilterRule></S3Key></Filter></CloudFunctionConfiguration>\
        <EventBridgeConfiguration/></NotificationConfiguration>";
    let (url, kept) = bucket(theirs).await;
    let client = client_for(&url);
    let before = within(read(&client, BUCKET, None)).await.unwrap();
    let ours = Ours::new("ctforward", QUEUE).prefix("AWSLogs/");
    let merged = merge(&before, &ours).unwrap();
    within(put(&client, BUCKET, None, merged.configuration.clone()))
        .await
        .unwrap();
    let sent = kept.lock().unwrap().clone();
    for part in [
        QUEUE,
        "arn:aws:sns:eu-west-1:1:t",
        "s3:SomethingNew:*",
        ":function:f",
        "images/",
        "EventBridge",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    let now = within(read(&client, BUCKET, None)).await.unwrap();
    assert_eq!(now, merged.configuration);
    assert_eq!(merge(&now, &ours).unwrap().difference, Difference::Nothing);
    let gone = remove(&now, "ctforward");
    within(put(&client, BUCKET, None, gone.configuration))
        .await
        .unwrap();
    assert_eq!(within(read(&client, BUCKET, None)).await.unwrap(), before);
}

#[tokio::test]
async fn a_refusal_names_the_permission() {
    let denied = Server::start(|_| Reply::error(403, "AccessDenied", "no")).await;
    let client = client_for(&denied.url);
    let error = within(read(&client, BUCKET, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error.message().contains("s3:GetBucketNotification"),
        "{error}"
    );
    let none = merge(
        &NotificationConfiguration::builder().build(),
        &Ours::new("a", QUEUE),
    )
    .unwrap();
    let error = within(put(&client, BUCKET, None, none.configuration))
        .await
        .unwrap_err();
    assert!(
        error.message().contains("s3:PutBucketNotification"),
        "{error}"
    );

    let refused =
        Server::start(|_| Reply::error(400, "InvalidArgument", "Unable to validate")).await;
    let client = client_for(&refused.url);
    let error = within(read(&client, BUCKET, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}
