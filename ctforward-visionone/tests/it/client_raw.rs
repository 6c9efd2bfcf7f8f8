//! The clients against servers that answer what no decent server would.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Retry};
use ctforward_visionone::{
    AlertOptions, ApiError, CloudOneClient, HttpSettings, SearchOptions, SearchQuery, Secret,
    StackRequest, TimeRange, TokenProvider, VisionOneClient,
};

use crate::raw::{Raw, Step, answer};
use crate::secret;

pub(crate) fn settings() -> HttpSettings {
    HttpSettings::new()
        .first_wait(Duration::from_millis(2))
        .request_timeout(Duration::from_secs(10))
        .rate_window(Duration::from_millis(30))
        .answer_bytes(64 * 1024)
}

pub(crate) fn client(server: &Raw, key: &str) -> VisionOneClient {
    VisionOneClient::builder(secret(key))
        .base_url(format!("http://{}", server.address))
        .http(settings())
        .most_pages(5)
        .build()
        .unwrap()
}

fn json(body: &str) -> Step {
    Step::Answer(answer("200 OK", "content-type: application/json\r\n", body))
}

fn status(status: &str, headers: &str, body: &str) -> Step {
    Step::Answer(answer(status, headers, body))
}

pub(crate) fn day() -> TimeRange {
    let at = |text: &str| text.parse().unwrap();
    TimeRange::new(at("2026-01-02T00:00:00Z"), at("2026-01-03T00:00:00Z")).unwrap()
}

async fn search(server: &Raw) -> Result<Vec<String>, Error> {
    let query = SearchQuery::cloudtrail();
    let pages = client(server, "k").search_cloud_activities(&query, &day(), &SearchOptions::new());
    let found = pages.gather(1000).await?;
    Ok(found
        .items
        .iter()
        .filter_map(|i| i.event_id().map(str::to_owned))
        .collect())
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_what_may_not_is_not() {
    let fine = || json(r#"{"status":"available"}"#);
    for (first, sent) in [
        (status("500 Oops", "", "<html>oops</html>"), 2),
        (status("491 Inner", "", ""), 2),
        (status("599 Slow", "", "timeout of 55000ms exceeded"), 2),
        (status("504 Late", "", ""), 2),
        (
            status("429 Slow", "retry-after: 0\r\n", "Too many API requests"),
            2,
        ),
        (status("429 Slow", "", "Too many API requests"), 2),
        (
            json(r#"{"error":{"code":"TooManyRequests","message":"m"}}"#),
            2,
        ),
        (
            json(r#"[{"status":500,"body":{"error":{"code":"InternalServerError"}}}]"#),
            1,
        ),
        (
            status(
                "207 Multi",
                "",
                r#"[{"status":500,"body":{"error":{"code":"InternalServerError"}}}]"#,
            ),
            2,
        ),
        (
            status(
                "207 Multi",
                "",
                r#"[{"status":200,"body":{"status":"available"}}]"#,
            ),
            1,
        ),
        (Step::CutAfterBody, 2),
        (status("400 No", "", ""), 1),
        (status("401 No", "", ""), 1),
        (status("403 No", "", "plain text"), 1),
        (status("404 No", "", "<html></html>"), 1),
        (
            status("302 There", "location: http://127.0.0.1:1/\r\n", ""),
            1,
        ),
        (json("<html>sign in</html>"), 1),
        (json("{\"status\":"), 1),
    ] {
        let server = Raw::start([first, fine()]).await;
        let outcome = client(&server, "k").connectivity().await;
        assert_eq!(server.requests().len(), sent, "{outcome:?}");
        let retried = sent == 2;
        assert!(!retried || outcome.is_ok(), "{outcome:?}");
    }
}

#[tokio::test]
async fn attempts_and_waits_have_an_end() {
    let down = || status("503 Down", "", "");
    let server = Raw::start((0..9).map(|_| down())).await;
    let error = client(&server, "k").connectivity().await.unwrap_err();
    assert_eq!(
        (error.kind(), server.requests().len()),
        (ErrorKind::Unavailable, 4)
    );
    let server = Raw::start([status("429 Slow", "retry-after: 9999\r\n", "")]).await;
    let error = client(&server, "k").connectivity().await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(9999)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_changes_something_is_sent_once() {
    for step in [
        status("500 Oops", "", ""),
        status("429 Slow", "retry-after: 0\r\n", ""),
        status("401 No", "", ""),
        Step::CutAfterBody,
        json("{}"),
        json(r#"{"createStackURL":"https://console.aws.amazon.com/#/q"}"#),
        json("<html></html>"),
    ] {
        let server = Raw::start([step]).await;
        let client = CloudOneClient::builder(secret("id:0123456789abcdef"))
            .region("us-1".parse().unwrap())
            .base_url(format!("http://{}", server.address))
            .http(settings())
            .build()
            .unwrap();
        let error = client
            .create_stack(&StackRequest::empty())
            .await
            .unwrap_err();
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{error}");
        let head = requests[0].head.to_ascii_lowercase();
        assert!(head.starts_with("post /api/stacks http/1.1"), "{head}");
        assert!(
            head.contains("authorization: apikey id:0123456789abcdef"),
            "{head}"
        );
        assert!(
            head.contains("api-version: v1") && head.contains("content-length: 0"),
            "{head}"
        );
    }
}

/// Hands out another key each time it is to read it anew.
struct Changing(AtomicU32);

#[async_trait::async_trait]
impl TokenProvider for Changing {
    async fn token(&self, refresh: bool) -> Result<Secret, Error> {
        let number = self.0.fetch_add(u32::from(refresh), Relaxed) + u32::from(refresh);
        Secret::new(format!("id:key-number-{number}"))
    }
}

#[tokio::test]
async fn a_refused_key_is_read_anew_once_and_only_for_what_reads() {
    let refusals = || (0..9).map(|_| status("401 No", "", ""));
    let server = Raw::start([status("401 No", "", ""), json(r#"{"status":"available"}"#)]).await;
    let vision_one = |server: &Raw| {
        VisionOneClient::builder(Changing(AtomicU32::new(0)))
            .base_url(format!("http://{}", server.address))
            .http(settings())
            .build()
            .unwrap()
    };
    assert!(vision_one(&server).connectivity().await.is_ok());
    let heads: Vec<_> = server.requests().into_iter().map(|r| r.head).collect();
    assert!(
        heads[0].contains("Bearer id:key-number-0") && heads[1].contains("Bearer id:key-number-1")
    );
    let server = Raw::start(refusals()).await;
    let error = vision_one(&server).connectivity().await.unwrap_err();
    assert_eq!(
        (error.kind(), server.requests().len()),
        (ErrorKind::Unauthorized, 2)
    );
    let server = Raw::start(refusals()).await;
    let cloud_one = CloudOneClient::builder(Changing(AtomicU32::new(0)))
        .region("us-1".parse().unwrap())
        .base_url(format!("http://{}", server.address))
        .build()
        .unwrap();
    let error = cloud_one
        .create_stack(&StackRequest::empty())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), server.requests().len()),
        (ErrorKind::Unauthorized, 1)
    );
}

#[tokio::test]
async fn a_next_link_is_followed_by_path_and_query_on_the_same_host() {
    let other = Raw::start([]).await;
    let link = format!(
        "http://{}/v3.0/search/cloudActivities?skipToken=x%2By",
        other.address
    );
    let server = Raw::start([
        json(r#"{"totalCount":2}"#),
        json(&format!(
            r#"{{"items":[{{"eventID":"1"}}],"nextLink":"{link}"}}"#
        )),
        json(r#"{"progressRate":100,"items":[{"eventID":"2"}]}"#),
    ])
    .await;
    assert_eq!(search(&server).await.unwrap(), ["1", "2"]);
    assert!(other.requests().is_empty(), "another host was asked");
    let last = server.requests().pop().unwrap().head.to_ascii_lowercase();
    assert!(
        last.contains("?skiptoken=x%2by http") && last.contains("tmv1-query:"),
        "{last}"
    );
    assert!(last.contains("authorization: bearer k"), "{last}");
}

#[tokio::test]
async fn hostile_repeated_and_endless_links_are_refused() {
    for link in [
        "https://u:p@127.0.0.1/v3.0/x",
        "file:///v3.0/x",
        "/elsewhere",
        "/v3.0/../x",
        "/v3.0/search/cloudActivities?a\\r\\nb",
    ] {
        let page = format!(r#"{{"items":[{{"eventID":"1"}}],"nextLink":"{link}"}}"#);
        let server = Raw::start([json(r#"{"totalCount":1}"#), json(&page)]).await;
        let error = search(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{link}");
        assert_eq!(server.requests().len(), 2);
    }
    let page = |n: u32| json(&format!(r#"{{"items":[],"nextLink":"/v3.0/x?n={n}"}}"#));
    let server = Raw::start([json(r#"{"totalCount":1}"#), page(1), page(2), page(1)]).await;
    assert!(
        search(&server)
            .await
            .unwrap_err()
            .message()
            .contains("already")
    );
    let steps = std::iter::once(json(r#"{"totalCount":1}"#)).chain((0..99).map(page));
    let server = Raw::start(steps).await;
    assert!(
        search(&server)
            .await
            .unwrap_err()
            .message()
            .contains("after 5 pages")
    );
    assert_eq!(server.requests().len(), 6);
    let alerts = (0..99).map(|n| json(&format!(r#"{{"items":[],"nextLink":"/v3.0/x?n={n}"}}"#)));
    let server = Raw::start(alerts).await;
    let mut pages = client(&server, "k").alerts(None, &day(), &AlertOptions::new());
    assert_eq!(pages.next().await.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn a_page_that_fails_can_be_asked_for_again() {
    let server = Raw::start([
        json(r#"{"totalCount":2}"#),
        json(r#"{"items":[{"eventID":"1"}],"nextLink":"/v3.0/x?n=1"}"#),
        status("400 Odd", "", ""),
        json(r#"{"items":[{"eventID":"2"}]}"#),
    ])
    .await;
    let query = SearchQuery::cloudtrail();
    let client = client(&server, "k");
    let mut pages = client.search_cloud_activities(&query, &day(), &SearchOptions::new());
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 1);
    assert_eq!(pages.next().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(
        pages.next().await.unwrap().unwrap()[0].event_id(),
        Some("2")
    );
    assert!(pages.next().await.unwrap().is_none() && pages.cut().is_empty());
}

#[tokio::test]
async fn a_range_that_was_not_shown_whole_is_named() {
    let server = Raw::start([
        json(r#"{"totalCount":3}"#),
        json(r#"{"items":[{"eventID":"1"}]}"#),
    ])
    .await;
    let pages = client(&server, "k").search_cloud_activities(
        &SearchQuery::cloudtrail(),
        &day(),
        &SearchOptions::new(),
    );
    let found = pages.gather(10).await.unwrap();
    assert_eq!((found.items.len(), found.cut.len()), (1, 1));
    assert_eq!(
        (found.cut[0].counted, found.cut[0].shown, found.cut[0].range),
        (3, 1, day())
    );
}

#[tokio::test]
async fn answers_have_an_end() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let server = Raw::start([Step::Endless(head, b"{\"a\":[".repeat(999))]).await;
    let error = client(&server, "k").connectivity().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::TooLarge, false)
    );
    let head = b"HTTP/1.1 400 No\r\n\r\n".to_vec();
    let server = Raw::start([Step::Endless(head, b"no end of it ".repeat(999))]).await;
    let error = client(&server, "k").connectivity().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(ApiError::of(&error).unwrap().message.len() < 1100);
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let server = Raw::start([json(&deep)]).await;
    let error = client(&server, "k").connectivity().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn an_odd_answer_is_an_error_and_no_empty_result() {
    for (count, page) in [
        (r#"{"total":1}"#, ""),
        (r#"{"totalCount":"1"}"#, ""),
        (r#"{"totalCount":-1}"#, ""),
        (r#"{"totalCount":1}"#, "{}"),
        (r#"{"totalCount":1}"#, r#"{"items":{}}"#),
        (r#"{"totalCount":1}"#, r#"{"items":[1]}"#),
        (r#"{"totalCount":1}"#, r#"{"items":[],"nextLink":7}"#),
        (r#"{"totalCount":1}"#, "[]"),
    ] {
        let server = Raw::start([json(count), json(page)]).await;
        let error = search(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{count} {page}");
    }
}
