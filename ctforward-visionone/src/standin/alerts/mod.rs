//! `GET /v3.0/workbench/alerts`, made of what was received.

mod build;
mod request;
mod rules;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Map, json};

use super::Shared;
use super::reply::{self, Reply};
use super::search::NOTICE;
use request::Request;
use rules::{Found, Watch};

/// The most alerts that are shown, the oldest first.
const MOST: usize = 10_000;
/// As the service has it.
const PAGE: usize = 10;

pub(super) async fn list(shared: &Arc<Shared>, head: &Parts) -> Reply {
    let request = match Request::parse(head) {
        Ok(request) => request,
        Err(wrong) => return wrong.reply(),
    };
    if !shared.settings.pretend_native {
        // Posted records are third-party logs, which the vendor's models do not see.
        return reply::json_value(&json!({"totalCount": 0, "count": 0, "items": []}));
    }
    let body = shared.scan(move |shared| {
        let mut found = scan(shared);
        found.retain(|found| request.takes(found));
        if request.newest_first {
            found.reverse();
        }
        let page: Vec<_> = found.iter().skip(request.from).take(PAGE).collect();
        let mut body = Map::new();
        body.insert("totalCount".to_owned(), found.len().into());
        body.insert("count".to_owned(), page.len().into());
        body.insert("notice".to_owned(), NOTICE.into());
        let next = request.from.saturating_add(PAGE);
        if next < found.len() {
            let link = request.link(&shared.base_url, next);
            body.insert("nextLink".to_owned(), link.into());
        }
        let items = page.into_iter().map(|found| build::alert(shared, found));
        body.insert("items".to_owned(), items.collect());
        body
    });
    match body.await {
        Some(body) => reply::json_value(&body.into()),
        None => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the list was given up"),
    }
}

pub(super) async fn one(shared: &Arc<Shared>, id: &str) -> Reply {
    let id = id.to_owned();
    let pretends = shared.settings.pretend_native;
    let alert = shared.scan(move |shared| {
        let found = if pretends { scan(shared) } else { Vec::new() };
        let found = found.iter().find(|found| found.id() == id);
        found.map(|found| build::alert(shared, found))
    });
    match alert.await {
        Some(Some(alert)) => reply::json_value(&alert),
        Some(None) => reply::error(StatusCode::NOT_FOUND, "there is no such alert"),
        None => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the search was given up"),
    }
}

/// What the rules find in the kept lines.
fn scan(shared: &Shared) -> Vec<Found> {
    let mut found = Vec::new();
    let mut watch = Watch::default();
    shared.store.each_line(|line, number, received| {
        found.extend(watch.see(line, number, received));
        found.len() < MOST && !shared.stop.is_cancelled()
    });
    found.truncate(MOST);
    found
}
