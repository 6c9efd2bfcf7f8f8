//! Looking at the endpoint: what is sent for it, and what it comes to.

use ctforward_core::{Check, Outcome};

use crate::raw::{Raw, Step, answer};
use crate::{TOKEN, builder};

fn outcome(checks: &[Check], id: &str) -> Outcome {
    let mut found = checks.iter().filter(|check| check.id == id);
    let check = found.next().unwrap();
    assert!(found.next().is_none(), "{id} comes twice: {checks:?}");
    check.outcome
}

async fn look(steps: Vec<Step>, send: bool) -> (Vec<Check>, Raw) {
    let server = Raw::start(steps).await;
    let endpoint = format!("http://{}/in?key=s3cr3t", server.address);
    let checks = builder(&endpoint).build().unwrap().preflight(send).await;
    let said = format!("{checks:?}");
    assert!(!said.contains(TOKEN) && !said.contains("s3cr3t"), "{said}");
    (checks, server)
}

#[tokio::test]
async fn without_leave_neither_token_nor_record_is_sent() {
    let unauthorised = Step::Answer(answer("401 Unauthorized", "", ""));
    let (checks, server) = look(vec![unauthorised], false).await;
    assert_eq!(outcome(&checks, "endpoint-connect"), Outcome::Pass);
    assert_eq!(outcome(&checks, "endpoint"), Outcome::Unknown);
    assert_eq!(outcome(&checks, "token"), Outcome::Unknown);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].head.starts_with("HEAD /in"), "{requests:?}");
    assert!(!requests[0].head.to_lowercase().contains("authorization"));
    assert!(requests[0].body.is_empty());
}

#[tokio::test]
async fn a_redirect_or_a_web_page_is_a_wrong_endpoint() {
    for reply in [
        answer(
            "302 Found",
            "location: https://login.example/?key=s3cr3t\r\n",
            "",
        ),
        answer("200 OK", "content-type: text/html\r\n", ""),
    ] {
        let (checks, server) = look(vec![Step::Answer(reply)], false).await;
        assert_eq!(outcome(&checks, "endpoint"), Outcome::Fail, "{checks:?}");
        assert_eq!(server.requests().len(), 1, "it is not followed");
    }
}

#[tokio::test]
async fn one_marked_record_decides_where_it_may_be_sent() {
    let refused = || Step::Answer(answer("405 Method Not Allowed", "", ""));
    for (reply, endpoint, token) in [
        (answer("200 OK", "", ""), Outcome::Pass, Outcome::Pass),
        (
            answer("401 Unauthorized", "", ""),
            Outcome::Unknown,
            Outcome::Fail,
        ),
        (
            answer("404 Not Found", "", ""),
            Outcome::Fail,
            Outcome::Unknown,
        ),
        (answer("503 Busy", "", ""), Outcome::Warn, Outcome::Unknown),
    ] {
        let (checks, server) = look(vec![refused(), Step::Answer(reply)], true).await;
        assert_eq!(outcome(&checks, "endpoint"), endpoint, "{checks:?}");
        assert_eq!(outcome(&checks, "token"), token, "{checks:?}");
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests[1].head.starts_with("POST /in"));
        let record = String::from_utf8_lossy(&requests[1].body);
        assert!(record.contains("CtforwardTestRecord"), "{record}");
    }
}

#[tokio::test]
async fn no_connection_fails_and_nothing_more_is_tried() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/in", listener.local_addr().unwrap());
    drop(listener);
    let checks = builder(&endpoint).build().unwrap().preflight(true).await;
    assert_eq!(
        outcome(&checks, "endpoint-connect"),
        Outcome::Fail,
        "{checks:?}"
    );
    assert_eq!(outcome(&checks, "endpoint"), Outcome::Unknown);
    assert_eq!(outcome(&checks, "token"), Outcome::Unknown);
}
