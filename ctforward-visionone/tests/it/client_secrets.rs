//! No secret of a client is shown, whatever a server echoes.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use ctforward_visionone::{
    CloudOneClient, HttpSettings, SearchOptions, SearchQuery, StackLink, StackRequest,
    VisionOneClient,
};

use crate::client_raw::{client, day, settings};
use crate::raw::{Raw, Step, answer};
use crate::secret;
use crate::secrets::everything;

const API_KEY: &str = "eyJ2aXNpb24iOiJvbmUifQ.a2V5LW9mLXRoaXMtdGVzdA.c2lnbmVkLWhlcmU";
const CLOUD_KEY: &str = "tmckeyid01:Zm9ydGhlY2xvdWRvbmVjbGllbnRvZnRoaXN0ZXN0";
const LINK_TOKEN: &str = "c2VydmljZS10b2tlbi1vZi10aGUtY2xpZW50LXN0YWNr";

fn link() -> String {
    format!(
        "https://console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate?templateUrl=https%3A%2F%2Fb.s3.amazonaws.com%2Ft&param_ServiceToken={LINK_TOKEN}"
    )
}

fn assert_clean(said: &str) {
    let secrets = [API_KEY, CLOUD_KEY.split_once(':').unwrap().1, LINK_TOKEN];
    for secret in secrets {
        for at in 0..secret.len() - 12 {
            assert!(
                !said.contains(&secret[at..at + 12]),
                "part of a secret in {said}"
            );
        }
    }
    assert!(!said.contains(['\u{1b}', '\r']), "{said:?}");
}

/// Answers that repeat the keys, in every shape that is read.
fn echoes() -> Vec<Vec<u8>> {
    let keys = format!("\u{1b}[31m Bearer {API_KEY} ApiKey {CLOUD_KEY}\r\n");
    let json =
        serde_json::json!({"error": {"code": CLOUD_KEY, "message": keys, "innererror": API_KEY}})
            .to_string();
    let several = format!(r#"[{{"status":400,"body":{json}}}]"#);
    let flat = serde_json::json!({"message": keys}).to_string();
    let trace = format!(
        "connection: close\r\nx-trace-id: {API_KEY}{CLOUD_KEY}\r\nretry-after: {API_KEY}\r\nratelimit-limit: 7\r\n"
    );
    let mut answers = Vec::new();
    for status in [
        "400 A", "401 B", "404 C", "413 D", "429 E", "491 F", "500 G", "200 OK", "207 H", "302 I",
    ] {
        for body in [keys.as_str(), &json, &several, &flat, "<html>", ""] {
            answers.push(answer(status, &trace, body));
        }
    }
    let location =
        format!("connection: close\r\nlocation: https://x.example/{API_KEY}?{CLOUD_KEY}\r\n");
    answers.push(answer("307 J", &location, &keys));
    answers.push(format!("garbage {API_KEY} {CLOUD_KEY}\r\n\r\n").into_bytes());
    answers.push(
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9999\r\n\r\n{keys}")
            .into_bytes(),
    );
    answers
}

fn cloud_one(server: &Raw) -> CloudOneClient {
    CloudOneClient::builder(secret(CLOUD_KEY))
        .region("us-1".parse().unwrap())
        .base_url(format!("http://{}", server.address))
        .http(settings().attempts(1))
        .build()
        .unwrap()
}

#[tokio::test]
async fn no_error_shows_a_key_that_the_server_echoes() {
    let answers = echoes();
    // One for each of three calls.
    let steps = answers
        .iter()
        .flat_map(|answer| (0..3).map(|_| Step::AnswerAndClose(answer.clone())));
    let server = Raw::start(steps).await;
    let vision_one = VisionOneClient::builder(secret(API_KEY))
        .base_url(format!("http://{}", server.address))
        .http(settings().attempts(1))
        .build()
        .unwrap();
    let cloud_one = cloud_one(&server);
    let cloud_secret = CLOUD_KEY.split_once(':').unwrap().1;
    for _ in &answers {
        // A client knows its own key only.
        if let Err(error) = vision_one.connectivity().await {
            assert_clean(&everything(&error).replace(cloud_secret, ""));
        }
        for error in [
            cloud_one.account().await.err(),
            cloud_one.create_stack(&StackRequest::empty()).await.err(),
        ] {
            assert_clean(&everything(&error.unwrap()).replace(API_KEY, ""));
        }
    }
    assert_eq!(server.requests().len(), answers.len() * 3);
}

#[tokio::test]
async fn no_error_shows_the_link_of_a_stack() {
    for body in [
        serde_json::json!({"createStackURL": link().replace("param_", "")}),
        serde_json::json!({"createStackURL": link().replace("templateUrl", "template")}),
        serde_json::json!({"deploymentURL": link().replace("console.", "c0nsole.")}),
        serde_json::json!({"another": link()}),
        serde_json::json!([link()]),
        serde_json::json!(link()),
    ] {
        let server = Raw::start([Step::Answer(answer("200 OK", "", &body.to_string()))]).await;
        let error = cloud_one(&server)
            .create_stack(&StackRequest::empty())
            .await
            .unwrap_err();
        assert_clean(&everything(&error));
    }
    let body = serde_json::json!({"createStackUrl": link()}).to_string();
    let server = Raw::start([Step::Answer(answer("201 Made", "", &body))]).await;
    let made = cloud_one(&server)
        .create_stack(&StackRequest::empty())
        .await
        .unwrap();
    assert_eq!(made, StackLink::parse(&link()).unwrap());
    let parameters = made.parameters();
    assert_eq!(parameters.get("ServiceToken"), Some(LINK_TOKEN));
    assert_clean(&format!(
        "{made:?} {made:#?} {} {:?}",
        made.url(),
        parameters.shown().collect::<Vec<_>>()
    ));
}

#[tokio::test]
async fn no_debug_shows_a_secret() {
    let server = Raw::start([]).await;
    let http = HttpSettings::new().proxy(format!("http://u:{API_KEY}@proxy.example"));
    let base = format!("https://u:{API_KEY}@api.example/{CLOUD_KEY}");
    let vision = VisionOneClient::builder(secret(API_KEY))
        .base_url(&base)
        .http(http.clone());
    let cloud = CloudOneClient::builder(secret(CLOUD_KEY))
        .base_url(&base)
        .http(http.clone());
    assert_clean(&format!(
        "{http:?} {vision:?} {cloud:?} {vision:#?} {cloud:#?}"
    ));
    assert_clean(&everything(&vision.build().unwrap_err()));
    assert_clean(&everything(&cloud.build().unwrap_err()));
    let client = client(&server, API_KEY);
    let pages =
        client.search_cloud_activities(&SearchQuery::cloudtrail(), &day(), &SearchOptions::new());
    assert_clean(&format!("{client:?} {pages:?} {:?}", cloud_one(&server)));
}

/// Keeps every field of every span and event, at every level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl tracing::field::Visit for Everything {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn no_trace_shows_a_secret() {
    let seen = Everything::default();
    // This test's runtime has one thread, so all that the clients do is seen.
    let guard = tracing::subscriber::set_default(seen.clone());
    let page =
        format!(r#"{{"items":[],"nextLink":"https://{API_KEY}.example/v3.0/x?t={API_KEY}"}}"#);
    let down = format!("retry-after: 0\r\nx-trace-id: {API_KEY}\r\n");
    let body = serde_json::json!({"deploymentURL": link()}).to_string();
    let server = Raw::start([
        Step::Answer(answer("503 Down", &down, API_KEY)),
        Step::Answer(answer("200 OK", "", r#"{"totalCount":1}"#)),
        Step::Answer(answer("200 OK", "", &page)),
        Step::Answer(answer("200 OK", "", r#"{"items":[]}"#)),
        Step::Answer(answer("200 OK", "", &body)),
    ])
    .await;
    let query = SearchQuery::cloudtrail();
    let pages =
        client(&server, API_KEY).search_cloud_activities(&query, &day(), &SearchOptions::new());
    assert!(pages.gather(1).await.unwrap().items.is_empty());
    cloud_one(&server)
        .create_stack(&StackRequest::empty())
        .await
        .unwrap();
    drop(guard);
    let said = seen.0.lock().unwrap().clone();
    assert!(
        said.contains("asking again") && said.contains("another host"),
        "{said}"
    );
    assert_clean(&said);
    // A host's name comes in lower case.
    assert!(
        !said.contains(&API_KEY.to_ascii_lowercase()[..12]),
        "{said}"
    );
}
