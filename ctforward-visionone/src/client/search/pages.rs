//! The pages of a search, its range split where the service would cut it off.

use std::collections::HashSet;
use std::fmt;

use ctforward_core::Result;
use serde_json::Value;

use super::{CloudActivity, HEADER, SearchOptions, SearchQuery};
use crate::api::PageLinks;
use crate::client::{TimeRange, VisionOneClient, malformed};

/// A part of the range of which fewer items were shown than counted. Items may also
/// have come or gone between the count and the last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutWindow {
    /// The part.
    pub range: TimeRange,
    /// How many items the service counted in it.
    pub counted: u64,
    /// How many it showed.
    pub shown: u64,
}

/// The items of a search, gathered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloudActivities {
    /// The items, in the service's order within each part of the range.
    pub items: Vec<CloudActivity>,
    /// Whether there were more than asked for.
    pub more: bool,
    /// Parts of the range that were not shown whole.
    pub cut: Vec<CutWindow>,
}

/// The pages of a search; see [`VisionOneClient::search_cloud_activities`].
///
/// After an error [`next`](Self::next) may be called again and asks for the same page,
/// unless the error is `Malformed`. A dropped call loses nothing.
pub struct CloudActivityPages {
    client: VisionOneClient,
    query: SearchQuery,
    options: SearchOptions,
    /// The parts still to search, the next one last.
    todo: Vec<TimeRange>,
    open: Option<Window>,
    cut: Vec<CutWindow>,
    /// The items of the second in which the last part ended: the next begins with it.
    shared: Option<(i64, HashSet<String>)>,
}

struct Window {
    range: TimeRange,
    pages: PageLinks,
    counted: u64,
    shown: u64,
    ends: HashSet<String>,
}

impl CloudActivityPages {
    pub(super) fn new(
        client: VisionOneClient,
        query: SearchQuery,
        range: TimeRange,
        options: SearchOptions,
    ) -> Self {
        Self {
            client,
            query,
            options,
            todo: vec![range],
            open: None,
            cut: Vec::new(),
            shared: None,
        }
    }

    /// The next page that holds an item; `None` at the end.
    ///
    /// # Errors
    /// As for [`count_cloud_activities`](VisionOneClient::count_cloud_activities);
    /// `Malformed` for a `nextLink` that cannot be followed, repeats, or has no end.
    pub async fn next(&mut self) -> Result<Option<Vec<CloudActivity>>> {
        loop {
            let Some(window) = &self.open else {
                if !self.open_next().await? {
                    return Ok(None);
                }
                continue;
            };
            let Some(url) = window.pages.next().cloned() else {
                self.close();
                continue;
            };
            let answer = self
                .client
                .get(url, Some((HEADER, self.query.as_str())))
                .await?;
            let items = self.take(answer)?;
            if !items.is_empty() {
                return Ok(Some(items));
            }
        }
    }

    /// Parts of the range, of those searched so far, that were not shown whole.
    #[must_use]
    pub fn cut(&self) -> &[CutWindow] {
        &self.cut
    }

    /// The items of all pages, `most` at most.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn gather(mut self, most: usize) -> Result<CloudActivities> {
        let mut items = Vec::new();
        let mut more = false;
        while let Some(page) = self.next().await? {
            items.extend(page);
            if items.len() > most {
                items.truncate(most);
                more = true;
                break;
            }
        }
        Ok(CloudActivities {
            items,
            more,
            cut: self.cut,
        })
    }

    /// Opens the next part, or splits it; false when there is none.
    async fn open_next(&mut self) -> Result<bool> {
        let Some(range) = self.todo.last().copied() else {
            return Ok(false);
        };
        let counted = self
            .client
            .count_cloud_activities(&self.query, &range)
            .await?;
        self.todo.pop();
        if counted >= self.client.window_rows
            && let Some((first, second)) = range.halves()
        {
            self.todo.extend([second, first]);
            return Ok(true);
        }
        if counted > 0 {
            let mut url = self.client.search_url(&range);
            self.options.apply(&mut url);
            self.open = Some(Window {
                range,
                pages: PageLinks::new(url, self.client.most_pages),
                counted,
                shown: 0,
                ends: HashSet::new(),
            });
        }
        Ok(true)
    }

    fn close(&mut self) {
        let Some(window) = self.open.take() else {
            return;
        };
        if window.shown < window.counted {
            self.cut.push(CutWindow {
                range: window.range,
                counted: window.counted,
                shown: window.shown,
            });
        }
        self.shared = Some((window.range.end_second(), window.ends));
    }

    fn take(&mut self, mut answer: Value) -> Result<Vec<CloudActivity>> {
        let Some(window) = &mut self.open else {
            return Ok(Vec::new());
        };
        let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
            return Err(malformed("the answer to a search holds no items"));
        };
        window.pages.follow(&self.client.base, &answer)?;
        window.shown += items.len() as u64;
        let end = window.range.end_second();
        let mut fresh = Vec::with_capacity(items.len());
        for item in items {
            let Some(item) = CloudActivity::of(item) else {
                return Err(malformed("an item of a search is no object"));
            };
            let second = item
                .event_time()
                .map(|at| at.as_millisecond().div_euclid(1000));
            if let (Some(second), Some(key)) = (second, item.key()) {
                if self
                    .shared
                    .as_ref()
                    .is_some_and(|(at, keys)| *at == second && keys.contains(&key))
                {
                    continue;
                }
                if second == end {
                    window.ends.insert(key);
                }
            }
            fresh.push(item);
        }
        Ok(fresh)
    }
}

impl fmt::Debug for CloudActivityPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudActivityPages")
            .field("client", &self.client)
            .field("query", &self.query)
            .field("todo", &self.todo)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}
