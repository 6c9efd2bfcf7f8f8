use std::collections::BTreeSet;

use ctforward_core::Sink as _;
use ctforward_visionone::standin::{StandIn, StandInBuilder};
use serde_json::{Value, json};

use crate::{TOKEN, batch, builder, secret};

const NOTICE: &str = "simulated: the real service does not document this";
const KEY: &str = "api-key";
const DAY: &str = "startDateTime=2026-01-02T00:00:00Z&endDateTime=2026-01-02T23:59:59Z";

/// A stand-in that holds 120 records of one day: every third is a PutObject.
async fn filled(settings: StandInBuilder) -> StandIn {
    let server = settings
        .token(secret(TOKEN))
        .api_token(secret(KEY))
        .start()
        .await
        .unwrap();
    let sink = builder(&server.endpoint()).build().unwrap();
    let records: Vec<String> = (0..120)
        .map(|n| {
            let name = if n % 3 == 0 { "PutObject" } else { "GetObject" };
            format!(
                r#"{{"eventID":"id-{n:03}","eventName":"{name}","eventSource":"s3.amazonaws.com","eventTime":"2026-01-02T03:{:02}:{:02}Z","requestParameters":{{"bucketName":"b {n}"}}}}"#,
                n / 60,
                n % 60
            )
        })
        .collect();
    for chunk in records.chunks(7) {
        let chunk: Vec<&[u8]> = chunk.iter().map(String::as_bytes).collect();
        sink.deliver(&batch(&chunk)).await.unwrap();
    }
    // Third-party logs that are no CloudTrail records never show.
    sink.deliver(&batch(&[b"CEF:0|not json"])).await.unwrap();
    server
}

async fn get(address: &str, query: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new().get(address).bearer_auth(KEY);
    if let Some(query) = query {
        request = request.header("TMV1-Query", query);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

async fn search(server: &StandIn, parameters: &str, query: &str) -> (u16, Value) {
    get(
        &format!(
            "{}/v3.0/search/cloudActivities?{parameters}",
            server.base_url()
        ),
        Some(query),
    )
    .await
}

#[tokio::test]
async fn connectivity_needs_the_key() {
    let server = filled(StandIn::builder()).await;
    let address = format!("{}/v3.0/healthcheck/connectivity", server.base_url());
    assert_eq!(
        get(&address, None).await,
        (200, json!({"status": "available"}))
    );
    let client = reqwest::Client::new();
    for request in [
        client.get(&address),
        client.get(&address).bearer_auth(TOKEN),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    assert_eq!(
        client
            .post(&address)
            .bearer_auth(KEY)
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
}

#[tokio::test]
async fn by_default_posted_records_are_no_cloud_activities() {
    let server = filled(StandIn::builder()).await;
    assert_eq!(
        search(&server, DAY, "*").await,
        (200, json!({"progressRate": 100, "items": []}))
    );
    let count = search(&server, &format!("{DAY}&mode=countOnly"), "eventID:id-001").await;
    assert_eq!(count, (200, json!({"totalCount": 0})));
    assert_eq!(server.counts().kept, 121);
}

#[tokio::test]
async fn pretending_finds_them_and_says_so() {
    let server = filled(StandIn::builder().pretend_native(true)).await;
    let count = async |query: &str| {
        let (status, body) = search(&server, &format!("{DAY}&mode=countOnly"), query).await;
        assert_eq!((status, &body["notice"]), (200, &json!(NOTICE)));
        body["totalCount"].as_u64().unwrap()
    };
    assert_eq!(count("*").await, 120);
    assert_eq!(count("eventID:\"id-007\"").await, 1);
    assert_eq!(count("eventName:put").await, 40);
    assert_eq!(count("not eventName:put and eventSource:s3*com").await, 80);
    assert_eq!(count("requestParameters:\"b 11\"").await, 11);
    assert_eq!(count("productCode:sct").await, 120);
    assert_eq!(count("productCode:tlc").await, 0);
    let (_, none) = search(&server, "mode=countOnly", "*").await;
    assert_eq!(none["totalCount"], 0, "the last day by default");
    let (_, some) = search(
        &server,
        "mode=countOnly&startDateTime=2026-01-02T03:00:30Z&endDateTime=2026-01-02T03:00:39Z",
        "*",
    )
    .await;
    assert_eq!(some["totalCount"], 10);

    let (_, body) = search(&server, DAY, "eventID:id-000").await;
    assert_eq!(
        (&body["progressRate"], &body["notice"]),
        (&json!(100), &json!(NOTICE))
    );
    let item = &body["items"][0];
    assert_eq!(item["eventTime"], 1_767_322_800_000_i64);
    assert_eq!(item["eventTimeDT"], "2026-01-02T03:00:00Z");
    assert_eq!(item["eventSubId"], "PutObject");
    assert_eq!(item["eventCase"], "s3.amazonaws.com");
    let (_, body) = search(
        &server,
        &format!("{DAY}&select=eventID,uuid"),
        "eventID:id-000",
    )
    .await;
    assert_eq!(body["items"][0].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn pages_follow_each_other_and_miss_nothing() {
    let server = filled(StandIn::builder().pretend_native(true)).await;
    let mut seen = BTreeSet::new();
    let mut address = format!(
        "{}/v3.0/search/cloudActivities?{DAY}&top=50",
        server.base_url()
    );
    let mut pages = 0;
    loop {
        pages += 1;
        let (status, body) = get(&address, Some("eventSource:s3")).await;
        assert_eq!((status, &body["notice"]), (200, &json!(NOTICE)));
        for item in body["items"].as_array().unwrap() {
            assert!(
                seen.insert(item["eventID"].as_str().unwrap().to_owned()),
                "twice"
            );
        }
        match body["nextLink"].as_str() {
            Some(next) => {
                assert!(body["progressRate"].as_u64().unwrap() < 100);
                next.clone_into(&mut address);
            }
            None => break,
        }
    }
    assert_eq!((pages, seen.len()), (3, 120));
    let (_, body) = search(&server, &format!("{DAY}&mode=performance&top=50"), "*").await;
    assert_eq!(
        body["items"].as_array().unwrap().len(),
        120,
        "performance ignores top"
    );
}

#[tokio::test]
async fn what_is_not_documented_to_be_taken_is_refused() {
    let server = filled(StandIn::builder().pretend_native(true)).await;
    let long = format!("eventID:{}", "a".repeat(2048));
    for (parameters, query, code) in [
        ("", "", "InvalidFilter"),
        ("", "eventID:", "InvalidFilter"),
        ("", "nosuch:1", "InvalidFilter"),
        ("", long.as_str(), "BadRequest"),
        ("top=51", "*", "BadRequest"),
        ("mode=fast", "*", "BadRequest"),
        ("startDateTime=yesterday", "*", "BadRequest"),
        ("startDateTime=2026-01-02T03:04:05.000Z", "*", "BadRequest"),
        (
            "startDateTime=2026-01-02T00:00:00Z&endDateTime=2026-01-01T00:00:00Z",
            "*",
            "BadRequest",
        ),
        ("skipToken=x", "*", "BadRequest"),
    ] {
        let (status, body) = search(&server, parameters, query).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (400, Some(code)),
            "{parameters} {query} {body}"
        );
        assert!(body["error"]["message"].is_string());
    }
    let address = format!("{}/v3.0/search/cloudActivities", server.base_url());
    let (status, body) = get(&address, None).await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("BadRequest"))
    );
}
