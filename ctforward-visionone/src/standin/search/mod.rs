//! `GET /v3.0/search/cloudActivities`.

pub(super) mod item;
mod query;
pub(super) mod request;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use super::Shared;
use super::reply::{self, Reply};
use request::{Mode, Search};

/// What every answer says that shows posted records as cloud activities.
pub(super) const NOTICE: &str = "simulated: the real service does not document this";

/// One page stops at this many bytes even if it holds fewer items than asked for.
const PAGE_BYTES: usize = 16 << 20;

pub(super) async fn search(shared: &Arc<Shared>, head: &Parts) -> Reply {
    let search = match Search::parse(head) {
        Ok(search) => search,
        Err(wrong) => return wrong.reply(),
    };
    if !shared.settings.pretend_native {
        // Posted records are third-party logs: no call is documented that finds them.
        return reply::json_value(&match search.mode {
            Mode::CountOnly => json!({"totalCount": 0}),
            Mode::Default | Mode::Performance => json!({"progressRate": 100, "items": []}),
        });
    }
    match shared.scan(move |shared| run(shared, &search)).await {
        Some(body) => reply::json_bytes(StatusCode::OK, body),
        None => reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the search was given up"),
    }
}

/// The body of the answer.
fn run(shared: &Shared, search: &Search) -> Vec<u8> {
    let mut page = Page::default();
    let mut total: u64 = 0;
    let mut number = search.from;
    let mut next = None;
    'posts: while let Some(post) = shared.store.post_from(number) {
        if shared.stop.is_cancelled() {
            break;
        }
        let skipped = usize::try_from(number.saturating_sub(post.first)).unwrap_or(usize::MAX);
        number = number.max(post.first);
        for line in post.lines().skip(skipped) {
            if let Some((item, happened)) = item::item(&line, number, post.received)
                && search.window.contains(&happened)
                && search.query.matches(|field| item::text(&item, field))
            {
                total += 1;
                if search.mode != Mode::CountOnly && !page.push(search, &item) {
                    next = Some(number);
                    break 'posts;
                }
            }
            number += 1;
        }
    }
    if search.mode == Mode::CountOnly {
        return json!({"totalCount": total, "notice": NOTICE})
            .to_string()
            .into_bytes();
    }
    let mut body = Map::new();
    let progress = match next {
        None => 100,
        Some(next) => {
            body.insert(
                "nextLink".to_owned(),
                search.link(&shared.base_url, next).into(),
            );
            let kept = shared.store.range();
            let all = kept.end.saturating_sub(kept.start).max(1);
            (next.saturating_sub(kept.start) * 100 / all).min(99)
        }
    };
    body.insert("progressRate".to_owned(), progress.into());
    body.insert("notice".to_owned(), NOTICE.into());
    page.finish(&body)
}

/// The items of a page, written at once: as values they would take many times their size.
#[derive(Default)]
struct Page {
    items: Vec<u8>,
    count: usize,
}

impl Page {
    /// Adds an item, unless the page is full.
    fn push(&mut self, search: &Search, item: &Map<String, Value>) -> bool {
        if self.count == search.top || self.items.len() >= PAGE_BYTES {
            return false;
        }
        if self.count > 0 {
            self.items.push(b',');
        }
        // Writing a value to a vector cannot fail.
        let _ = match &search.select {
            None => serde_json::to_writer(&mut self.items, item),
            Some(fields) => {
                let some: Map<_, _> = item
                    .iter()
                    .filter(|(k, _)| fields.contains(*k))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                serde_json::to_writer(&mut self.items, &some)
            }
        };
        self.count += 1;
        true
    }

    fn finish(self, fields: &Map<String, Value>) -> Vec<u8> {
        let mut body = Value::Object(fields.clone()).to_string().into_bytes();
        body.pop();
        body.extend_from_slice(b",\"items\":[");
        body.extend_from_slice(&self.items);
        body.extend_from_slice(b"]}");
        body
    }
}
