//! Calls of the public APIs: which goes where, who may call, and how often.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::json;

use super::reply::{self, Reply};
use super::serve::bearer_is;
use super::{Shared, alerts, cloudone, search, statistics};

const CONNECTIVITY: &str = "/v3.0/healthcheck/connectivity";
pub(super) const CLOUD_ACTIVITIES: &str = "/v3.0/search/cloudActivities";
const STATISTICS: &str = "/v3.0/search/activityStatistics";
pub(super) const ALERTS: &str = "/v3.0/workbench/alerts";
const STACKS: &str = "/api/stacks";
const KEYS: &str = "/api/apikeys";

/// The calls that are known, by what their paths begin with.
const CALLS: [&str; 6] = [
    CONNECTIVITY,
    CLOUD_ACTIVITIES,
    STATISTICS,
    ALERTS,
    STACKS,
    KEYS,
];

/// Answers what is no post of log lines.
pub(super) async fn answer(shared: &Arc<Shared>, head: &Parts, body: &mut Incoming) -> Reply {
    let path = head.uri.path();
    let known = CALLS.into_iter().find_map(|call| {
        let rest = path.strip_prefix(call)?;
        let one = rest
            .strip_prefix('/')
            .filter(|id| !id.is_empty() && !id.contains('/'));
        match (call, one) {
            (ALERTS | KEYS, Some(id)) => Some((call, Some(id))),
            (KEYS, None) => None,
            _ => rest.is_empty().then_some((call, None)),
        }
    });
    let Some((call, id)) = known else {
        return reply::error(StatusCode::NOT_FOUND, "there is nothing at this address");
    };
    let mut reply = match limited(shared, call) {
        Some(refusal) => refusal,
        None => known_call(shared, head, body, call, id).await,
    };
    let trace = format!(
        "00000000-0000-4000-9000-{:012x}",
        shared.store.counts().requests
    );
    if let Ok(trace) = HeaderValue::from_str(&trace) {
        reply
            .headers_mut()
            .insert(HeaderName::from_static("x-trace-id"), trace);
    }
    reply
}

async fn known_call(
    shared: &Arc<Shared>,
    head: &Parts,
    body: &mut Incoming,
    call: &'static str,
    id: Option<&str>,
) -> Reply {
    let allowed = if call == STACKS {
        Method::POST
    } else {
        Method::GET
    };
    if head.method != allowed {
        return reply::not_allowed(if call == STACKS { "POST" } else { "GET" });
    }
    match call {
        STACKS => return cloudone::stacks(shared, head, body).await,
        KEYS => return cloudone::key(shared, head, id.unwrap_or_default()),
        _ => {}
    }
    if !bearer_is(&head.headers, shared.settings.api_token.as_ref()) {
        return reply::error(
            StatusCode::UNAUTHORIZED,
            "the API key is missing or not the right one",
        );
    }
    match (call, id) {
        (CONNECTIVITY, _) => reply::json_value(&json!({"status": "available"})),
        (STATISTICS, _) => statistics::statistics(shared, head).await,
        (ALERTS, Some(id)) => alerts::one(shared, id).await,
        (ALERTS, None) => alerts::list(shared, head).await,
        _ => search::search(shared, head).await,
    }
}

/// The refusal of a call that is one too many.
fn limited(shared: &Shared, call: &'static str) -> Option<Reply> {
    let (most, span) = shared.settings.api_limit?;
    let rest = shared.limiter.take(call, most, span)?;
    let mut reply = reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many API requests");
    let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
    let headers = reply.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(
        HeaderName::from_static("ratelimit-limit"),
        HeaderValue::from(most),
    );
    Some(reply)
}
