//! The pages of alerts.

use std::fmt;

use ctforward_core::Result;
use serde_json::Value;
use url::Url;

use super::{Alert, AlertFilter, HEADER};
use crate::api::PageLinks;
use crate::client::{VisionOneClient, malformed};

/// The pages of alerts; see [`VisionOneClient::alerts`].
///
/// After an error [`next`](Self::next) may be called again and asks for the same page,
/// unless the error is `Malformed`. A dropped call loses nothing.
pub struct AlertPages {
    client: VisionOneClient,
    filter: Option<AlertFilter>,
    pages: PageLinks,
    total: Option<u64>,
}

impl AlertPages {
    pub(super) fn new(client: VisionOneClient, filter: Option<AlertFilter>, first: Url) -> Self {
        let pages = PageLinks::new(first, client.most_pages);
        Self {
            client,
            filter,
            pages,
            total: None,
        }
    }

    /// How many alerts match, as the last page said.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next page that holds an alert; `None` at the end.
    ///
    /// # Errors
    /// `Rejected` for a filter that the service does not take, `Malformed` for a
    /// `nextLink` that cannot be followed, repeats, or has no end, else as for
    /// [`connectivity`](VisionOneClient::connectivity).
    pub async fn next(&mut self) -> Result<Option<Vec<Alert>>> {
        while let Some(url) = self.pages.next().cloned() {
            let filter = self.filter.as_ref().map(|filter| (HEADER, filter.as_str()));
            let mut answer = self.client.get(url, filter).await?;
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
                return Err(malformed("the answer to a list of alerts holds no items"));
            };
            let mut alerts = Vec::with_capacity(items.len());
            for item in items {
                let Value::Object(map) = item else {
                    return Err(malformed("an alert is no object"));
                };
                alerts.push(Alert::of(map));
            }
            self.total = answer
                .get("totalCount")
                .and_then(Value::as_u64)
                .or(self.total);
            self.pages.follow(&self.client.base, &answer)?;
            if !alerts.is_empty() {
                return Ok(Some(alerts));
            }
        }
        Ok(None)
    }

    /// The alerts of all pages, `most` at most, and whether there were more.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn gather(mut self, most: usize) -> Result<(Vec<Alert>, bool)> {
        let mut alerts = Vec::new();
        while let Some(page) = self.next().await? {
            alerts.extend(page);
            if alerts.len() > most {
                alerts.truncate(most);
                return Ok((alerts, true));
            }
        }
        Ok((alerts, false))
    }
}

impl fmt::Debug for AlertPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertPages")
            .field("client", &self.client)
            .field("filter", &self.filter)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
