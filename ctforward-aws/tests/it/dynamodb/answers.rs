//! Against a server that answers as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ctforward_aws::dynamodb::DynamoLedger;
use ctforward_core::ErrorKind;
use ctforward_core::ledger::{Known as _, Ledger as _};
use serde_json::{Value, json};

use super::{LONG, client_for, ledger, object};
use crate::server::{Do, Reply, Server};
use crate::within;

fn answer(status: u16, body: &Value) -> Reply {
    Reply::new(status, body.to_string()).with("content-type", "application/x-amz-json-1.0")
}

fn id(number: usize) -> Value {
    json!({"S": format!("5:trail/{}", object(number).id.key)})
}

fn row(number: usize) -> Value {
    json!({
        "id": id(number), "v": {"N": "1"}, "state": {"S": "delivered"}, "fence": {"N": "7"},
        "etag": {"S": format!("e{number}")}, "size": {"N": "4711"},
    })
}

#[tokio::test]
async fn rows_that_were_left_unprocessed_are_asked_for_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let body = match count.fetch_add(1, Ordering::SeqCst) {
            // Throttled as a whole: nothing but what is left.
            0 => json!({"Responses": {}, "UnprocessedKeys":
                {"t-1": {"Keys": [{"id": id(0)}, {"id": id(1)}, {"id": id(2)}]}}}),
            1 => json!({"Responses": {"t-1": [row(0)]}, "UnprocessedKeys":
                {"t-1": {"Keys": [{"id": id(1)}, {"id": id(2)}]}}}),
            _ => json!({"Responses": {"t-1": [row(2)]}, "UnprocessedKeys": {}}),
        };
        answer(200, &body)
    })
    .await;
    let ledger = ledger(&server.url, "t-1");
    let asked = [object(0), object(1), object(2)];
    let known = within(ledger.finished(&asked)).await.unwrap();
    assert_eq!(known, [true, false, true]);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn rows_that_stay_unprocessed_make_no_answer() {
    let server = Server::start(move |_| {
        let left = json!({"t-1": {"Keys": [{"id": id(0)}]}});
        answer(200, &json!({"Responses": {}, "UnprocessedKeys": left}))
    })
    .await;
    let error = within(ledger(&server.url, "t-1").finished(&[object(0)])).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_failure_is_neither_a_grant_nor_a_lost_lease() {
    use ErrorKind::{Throttled, Unauthorized, Unavailable};
    for (status, code, kind) in [
        (400, "ProvisionedThroughputExceededException", Throttled),
        (400, "ThrottlingException", Throttled),
        (400, "AccessDeniedException", Unauthorized),
        (400, "UnrecognizedClientException", Unauthorized),
        (500, "InternalServerError", Unavailable),
    ] {
        let server = Server::start(move |_| {
            let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
            answer(status, &json!({"__type": code, "message": "no\u{1b}"}))
        })
        .await;
        let ledger = ledger(&server.url, "t-1");
        let error = within(ledger.claim(&object(1), "a", LONG))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.message().contains('\u{1b}'), "{error}");
        let error = within(ledger.finished(&[object(1)])).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(|_| {
        let mut reply = answer(200, &json!({}));
        reply.body.insert(0, Do::Wait(Duration::from_secs(60)));
        reply
    })
    .await;
    let ledger = DynamoLedger::builder(client_for(&server.url), "t-1")
        .timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = within(ledger.claim(&object(1), "a", LONG))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Timeout, true)
    );
}

#[test]
fn rows_may_not_expire_before_the_source_stops_looking() {
    let day = Duration::from_secs(86_400);
    let build = |table: &str, keep: Duration, look_back: Duration| {
        let client = client_for("http://127.0.0.1:1");
        DynamoLedger::builder(client, table)
            .forget_after(keep, look_back)
            .build()
    };
    assert!(build("t-1", day * 30, day * 30).is_ok());
    let error = build("t-1", day * 29, day * 30).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("looks back"), "{error}");
    assert!(build("t-1", Duration::ZERO, Duration::ZERO).is_err());
    for table in ["", "a", "a b", "a/b", &"a".repeat(256)] {
        assert!(build(table, day, day).is_err(), "{table}");
    }
    let arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/t-1";
    assert!(build(arn, day, day).is_ok());
}
