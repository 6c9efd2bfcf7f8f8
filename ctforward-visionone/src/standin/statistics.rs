//! `GET /v3.0/search/activityStatistics`.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use url::form_urlencoded;

use super::Shared;
use super::reply::{self, Reply};
use super::search::NOTICE;
use super::search::item::item;

/// Counts what was received; the shape is an assumption.
pub(super) async fn statistics(shared: &Arc<Shared>, head: &Parts) -> Reply {
    let query = head.uri.query().unwrap_or_default();
    let period = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "period")
        .map_or_else(|| "24h".to_owned(), |(_, period)| period.into_owned());
    let hours = match period.as_str() {
        "24h" => 24,
        "7d" => 7 * 24,
        "30d" => 30 * 24,
        _ => return reply::error(StatusCode::BAD_REQUEST, "period must be 24h, 7d or 30d"),
    };
    let from = Timestamp::now().saturating_sub(SignedDuration::from_hours(hours));
    let from = from.unwrap_or(Timestamp::MIN);
    let pretends = shared.settings.pretend_native;
    let count = shared.scan(move |shared| {
        let mut count: u64 = 0;
        if pretends {
            shared.store.each_line(|line, number, received| {
                if received >= from && item(line, number, received).is_some() {
                    count += 1;
                }
                !shared.stop.is_cancelled()
            });
        }
        count
    });
    match count.await {
        Some(count) => reply::json_value(&json!({
            "items": [{"source": "Cloud", "count": count}, {"source": "Email", "count": 0}],
            "notice": NOTICE,
        })),
        None => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the count was given up"),
    }
}
