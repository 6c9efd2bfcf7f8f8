//! The Vision One client against the stand-in.

use std::collections::BTreeSet;
use std::time::Duration;

use ctforward_core::{ErrorKind, Retry, Sink as _};
use ctforward_visionone::standin::{StandIn, StandInBuilder};
use ctforward_visionone::{
    AlertFilter, AlertOptions, AlertTime, ApiError, HttpSettings, PageSize, SearchOptions,
    SearchQuery, StatisticsPeriod, TimeRange, VisionOneClient, VisionOneClientBuilder,
};
use jiff::Timestamp;

use crate::{TOKEN, batch, builder, secret};

const KEY: &str = "api-key-of-this-test-0123456789";

async fn standin(settings: StandInBuilder, records: &[String]) -> StandIn {
    let server = settings
        .token(secret(TOKEN))
        .api_token(secret(KEY))
        .start()
        .await
        .unwrap();
    let sink = builder(&server.endpoint()).build().unwrap();
    for chunk in records.chunks(50) {
        let chunk: Vec<&[u8]> = chunk.iter().map(String::as_bytes).collect();
        sink.deliver(&batch(&chunk)).await.unwrap();
    }
    server
}

fn client_with(server: &StandIn, key: &str) -> VisionOneClientBuilder {
    VisionOneClient::builder(secret(key))
        .base_url(server.base_url())
        .http(HttpSettings::new().first_wait(Duration::from_millis(5)))
}

fn client(server: &StandIn) -> VisionOneClient {
    client_with(server, KEY).build().unwrap()
}

fn pretending() -> StandInBuilder {
    StandIn::builder().pretend_native(true)
}

/// 300 records, one in each second of five minutes.
fn records() -> Vec<String> {
    (0..300)
        .map(|n| {
            let name = if n % 3 == 0 { "PutObject" } else { "GetObject" };
            format!(
                r#"{{"eventID":"id-{n:03}","eventName":"{name}","eventSource":"s3.amazonaws.com","eventTime":"2026-01-02T03:{:02}:{:02}Z","userAgent":"a \"b\" \\ c"}}"#,
                n / 60,
                n % 60
            )
        })
        .collect()
}

fn range(start: &str, end: &str) -> TimeRange {
    TimeRange::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
}

fn day() -> TimeRange {
    range("2026-01-02T00:00:00Z", "2026-01-02T23:59:59Z")
}

fn today() -> TimeRange {
    TimeRange::before(Timestamp::now(), Duration::from_secs(3600)).unwrap()
}

#[tokio::test]
async fn connectivity_needs_the_key() {
    let server = standin(StandIn::builder(), &[]).await;
    assert!(client(&server).connectivity().await.unwrap().is_available());
    let wrong = client_with(&server, "another-key").build().unwrap();
    let error = wrong.connectivity().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unauthorized, Retry::Never)
    );
    let said = ApiError::of(&error).unwrap();
    assert_eq!(
        (said.status, said.code.as_deref()),
        (401, Some("AccessDenied"))
    );
    assert!(
        said.trace_id.is_some() && error.message().contains("x-trace-id"),
        "{error}"
    );
}

#[tokio::test]
async fn a_search_counts_and_shows_typed_items() {
    let server = standin(pretending(), &records()).await;
    let client = client(&server);
    let count =
        async |query: SearchQuery| client.count_cloud_activities(&query, &day()).await.unwrap();
    assert_eq!(count(SearchQuery::cloudtrail()).await, 300);
    let agent = r#"a "b" \ c"#;
    assert_eq!(
        count(SearchQuery::has("userAgent", agent).unwrap()).await,
        300
    );
    assert_eq!(
        count(SearchQuery::has("userAgent", r#"a "b" c"#).unwrap()).await,
        0
    );
    let one = SearchQuery::has("eventID", "id-007").unwrap();
    assert_eq!(count(one.clone()).await, 1);
    assert_eq!(count(one.clone().negated().unwrap()).await, 299);

    let found = client.search_cloud_activities(&one, &day(), &SearchOptions::new());
    let found = found.gather(10).await.unwrap();
    assert!(!found.more && found.cut.is_empty() && found.items.len() == 1);
    let item = &found.items[0];
    assert_eq!(item.event_id(), Some("id-007"));
    assert_eq!(
        (item.event_name(), item.product_code()),
        (Some("GetObject"), Some("sct"))
    );
    assert_eq!(item.event_time(), "2026-01-02T03:00:07Z".parse().ok());
    assert!(
        item.fields().contains_key("customerId"),
        "what is not typed is kept"
    );

    let some = SearchOptions::new().select(["eventName"]).unwrap();
    let found = client
        .search_cloud_activities(&one, &day(), &some)
        .gather(1)
        .await
        .unwrap();
    assert_eq!(found.items[0].fields().len(), 4);
}

#[tokio::test]
async fn pages_and_split_ranges_show_each_item_once() {
    let server = standin(pretending(), &records()[..120]).await;
    for rows in [10_000, 120, 30, 4] {
        let client = client_with(&server, KEY).window_rows(rows).build().unwrap();
        let options = SearchOptions::new().page(PageSize::P50);
        let mut pages =
            client.search_cloud_activities(&SearchQuery::cloudtrail(), &day(), &options);
        let mut seen = Vec::new();
        while let Some(page) = pages.next().await.unwrap() {
            assert!((1..=50).contains(&page.len()));
            seen.extend(page.iter().map(|item| item.event_id().unwrap().to_owned()));
        }
        assert_eq!(seen.len(), 120, "{rows} rows");
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), 120, "{rows} rows");
        assert!(pages.cut().is_empty());
    }
    let most = client(&server)
        .search_cloud_activities(&SearchQuery::cloudtrail(), &day(), &SearchOptions::new())
        .gather(7)
        .await
        .unwrap();
    assert!(most.more && most.items.len() == 7);
}

#[tokio::test]
async fn what_the_service_refuses_is_an_error_with_its_code() {
    let server = standin(pretending(), &[]).await;
    let client = client(&server);
    let query = "nonsense:x".parse().unwrap();
    let error = client
        .count_cloud_activities(&query, &day())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Rejected, false)
    );
    assert_eq!(
        ApiError::of(&error).unwrap().code.as_deref(),
        Some("InvalidFilter")
    );
    let filter = "score gt 5".parse().unwrap();
    let mut alerts = client.alerts(Some(&filter), &today(), &AlertOptions::new());
    assert_eq!(alerts.next().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(
        client.alert("WB-1").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        client.alert("../x").await.unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(
        server.counts().requests,
        3,
        "no refusal is asked again, no bad id sent"
    );
}

#[tokio::test]
async fn a_pace_is_kept_and_a_long_one_is_told() {
    let server = standin(StandIn::builder().api_limit(2, Duration::from_secs(1)), &[]).await;
    let patient = client(&server);
    for _ in 0..3 {
        assert!(patient.connectivity().await.unwrap().is_available());
    }
    assert!(
        server.counts().requests >= 4,
        "the third call was asked again"
    );
    let settings = HttpSettings::new().longest_wait(Duration::from_millis(100));
    let hasty = client_with(&server, KEY).http(settings).build().unwrap();
    let error = loop {
        if let Err(error) = hasty.connectivity().await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(
        error.retry(),
        Retry::After(Duration::from_secs(1)),
        "not shortened"
    );
    assert!(error.message().contains("limit is 2"), "{error}");
}

#[tokio::test]
async fn alerts_are_made_of_what_was_received() {
    let mut records = vec![
        r#"{"eventID":"1","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","sourceIPAddress":"192.0.2.1","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::012345678901:user/u"},"additionalEventData":{"MFAUsed":"No"},"responseElements":{"ConsoleLogin":"Success"}}"#.to_owned(),
        r#"{"eventID":"2","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","userIdentity":{"type":"Root","arn":"arn:aws:iam::012345678901:root"},"requestParameters":{"name":"trail"}}"#.to_owned(),
    ];
    records.extend((0..25).map(|n| {
        format!(r#"{{"eventID":"d{n}","eventName":"DeleteTrail","eventSource":"cloudtrail.amazonaws.com"}}"#)
    }));
    let server = standin(pretending(), &records).await;
    let client = client(&server);
    let options = AlertOptions::new();
    let mut pages = client.alerts(None, &today(), &options);
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        sizes.push(page.len());
    }
    assert_eq!((sizes, pages.total()), (vec![10, 10, 8], Some(28)));
    let filter = AlertFilter::is("model", "AWS CloudTrail Logging Stopped").unwrap();
    let (found, more) = client
        .alerts(Some(&filter), &today(), &options)
        .gather(5)
        .await
        .unwrap();
    assert!(found.len() == 1 && !more);
    let alert = client.alert(found[0].id().unwrap()).await.unwrap();
    assert_eq!(
        (alert.severity(), alert.alert_provider()),
        (Some("high"), Some("SAE"))
    );
    let scope = alert.impact_scope();
    assert_eq!(scope.entities[0].value, "arn:aws:iam::012345678901:root");
    assert!(alert.indicators().iter().any(|i| i.value == "trail"));
    let rules = alert.matched_rules();
    let event = &rules[0].filters[0].events[0];
    let uuid = event.uuid.as_deref().unwrap();
    let by_uuid = SearchQuery::has("uuid", uuid).unwrap();
    assert_eq!(
        client
            .count_cloud_activities(&by_uuid, &today())
            .await
            .unwrap(),
        1
    );

    let newest = options.clone().order_by("createdDateTime desc").unwrap();
    let (first, more) = client
        .alerts(None, &today(), &newest)
        .gather(1)
        .await
        .unwrap();
    assert!(more && first[0].model() == Some("AWS CloudTrail Trail Deleted"));
    let never = options.clone().time(AlertTime::FirstInvestigated);
    assert!(
        client
            .alerts(None, &today(), &never)
            .gather(1)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    let old = client
        .alerts(None, &day(), &options)
        .gather(1)
        .await
        .unwrap();
    assert!(old.0.is_empty());
}

#[tokio::test]
async fn statistics_count_what_was_received() {
    let server = standin(pretending(), &records()[..7]).await;
    let statistics = client(&server)
        .activity_statistics(StatisticsPeriod::Week)
        .await
        .unwrap();
    assert_eq!(statistics.cloud(), Some(7));
}

#[tokio::test]
async fn without_pretending_nothing_is_found() {
    let mut records = records();
    records.push(
        r#"{"eventID":"2","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com"}"#
            .to_owned(),
    );
    let server = standin(StandIn::builder(), &records).await;
    let client = client(&server);
    let query = SearchQuery::cloudtrail();
    assert_eq!(
        client.count_cloud_activities(&query, &day()).await.unwrap(),
        0
    );
    let mut alerts = client.alerts(None, &today(), &AlertOptions::new());
    assert!(alerts.next().await.unwrap().is_none() && alerts.total() == Some(0));
    let statistics = client
        .activity_statistics(StatisticsPeriod::Day)
        .await
        .unwrap();
    assert_eq!(statistics.cloud(), Some(0));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let client = || VisionOneClient::builder(secret(KEY));
    let region = || "us".parse().unwrap();
    for builder in [
        client(),
        client().base_url("http://api.example.com"),
        client()
            .base_url("https://api.example.com")
            .region(region()),
        client().region(region()).window_rows(0),
        client().region(region()).most_pages(0),
        client()
            .region(region())
            .http(HttpSettings::new().attempts(0)),
        client()
            .region(region())
            .http(HttpSettings::new().request_timeout(Duration::ZERO)),
        client()
            .region(region())
            .http(HttpSettings::new().proxy("no proxy")),
        client()
            .region(region())
            .http(HttpSettings::new().ca_pem("none")),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Config);
    }
    let built = client().region(region()).build().unwrap();
    assert_eq!(built.base_url(), "https://api.xdr.trendmicro.com");
}
