//! Answers, each with the headers that keep browsers from doing more with it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(super) type Reply = Response<Full<Bytes>>;

/// For everything but the page: it may load nothing and be in no frame.
pub(super) const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// On every answer. There is no `Access-Control-…`: no other origin reads anything.
const ALWAYS: [(HeaderName, &str); 8] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (header::CONTENT_SECURITY_POLICY, NOTHING),
];

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// A few words. They end in a line feed.
pub(super) fn text(status: StatusCode, words: impl Into<String>) -> Reply {
    let mut words = words.into();
    words.push('\n');
    reply(status, "text/plain; charset=utf-8", words)
}

/// A JSON document.
pub(super) fn json(status: StatusCode, value: &Value) -> Reply {
    let mut body = value.to_string();
    body.push('\n');
    reply(status, "application/json; charset=utf-8", body)
}

/// An error as a JSON document, for what a script asks.
pub(super) fn error(status: StatusCode, message: &str) -> Reply {
    json(status, &json!({ "error": message }))
}

/// The metrics in Prometheus' text format.
pub(super) fn metrics(page: String) -> Reply {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    reply(StatusCode::OK, kind, page)
}

/// The page under its own policy.
pub(super) fn html(page: Bytes, policy: &HeaderValue) -> Reply {
    let mut reply = reply(StatusCode::OK, "text/html; charset=utf-8", page);
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    reply
}

/// The same with one more header.
pub(super) fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}
