//! The public API v3.0 of Trend Vision One: connectivity, search, alerts, statistics.

mod builder;
mod filter;
mod object;
mod range;
mod region;
mod search;
mod statistics;
mod workbench;

use std::fmt;
use std::sync::Arc;

use ctforward_core::{Error, ErrorKind, Result};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

pub use builder::VisionOneClientBuilder;
pub use range::TimeRange;
pub use region::VisionOneRegion;
pub use search::{
    CloudActivities, CloudActivity, CloudActivityPages, CutWindow, PageSize, SearchOptions,
    SearchQuery,
};
pub use statistics::{ActivityStatistics, StatisticsPeriod};
pub use workbench::{
    Alert, AlertEntity, AlertFilter, AlertIndicator, AlertOptions, AlertPages, AlertTime,
    ImpactScope, MatchedEvent, MatchedFilter, MatchedRule,
};

use crate::api::{Base, Call, Http};
use crate::token::TokenProvider;

/// Where errors come from.
const ORIGIN: &str = "visionone";

/// Asks the public API of Trend Vision One with an API key.
///
/// All its calls only read, so all are sent again where that may help; see
/// [`HttpSettings`](crate::HttpSettings). A `nextLink` is followed by its path and
/// query only, on the host of this client.
#[derive(Clone)]
pub struct VisionOneClient {
    http: Http,
    base: Base,
    window_rows: u64,
    most_pages: usize,
}

/// What the connectivity check says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connectivity {
    /// `available` where all is well; the one value that is documented.
    pub status: String,
}

impl Connectivity {
    /// Whether the service calls itself available.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }
}

impl VisionOneClient {
    /// A client with the API key that `key` hands out.
    pub fn builder(key: impl TokenProvider + 'static) -> VisionOneClientBuilder {
        VisionOneClientBuilder::new(Arc::new(key))
    }

    /// The base address, safe to print.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.base.shown()
    }

    /// Whether address and key are right: `GET /v3.0/healthcheck/connectivity`.
    ///
    /// # Errors
    /// `Unauthorized` for a refused key, `Config` for a wrong address, `Unavailable`
    /// and the like for a service that does not work.
    pub async fn connectivity(&self) -> Result<Connectivity> {
        let answer = self
            .get(self.base.at("/v3.0/healthcheck/connectivity"), None)
            .await?;
        match answer.get("status").and_then(Value::as_str) {
            Some(status) => Ok(Connectivity {
                status: ctforward_core::text::excerpt(status, 64),
            }),
            None => Err(malformed("the connectivity check's answer holds no status")),
        }
    }

    /// One reading call with what selects, which travels in a header.
    async fn get(&self, url: Url, selector: Option<(&'static str, &str)>) -> Result<Value> {
        let mut call = Call::get(url);
        if let Some((name, text)) = selector {
            let Ok(mut value) = HeaderValue::from_str(text) else {
                return Err(Error::new(
                    ErrorKind::Config,
                    ORIGIN,
                    "the query holds a character that no header may hold",
                ));
            };
            // It may hold names and addresses of people.
            value.set_sensitive(true);
            call = call.header(HeaderName::from_static(name), value);
        }
        self.http.send(&call).await
    }
}

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, ORIGIN, what)
}

impl fmt::Debug for VisionOneClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VisionOneClient")
            .field("base_url", &self.base_url())
            .field("window_rows", &self.window_rows)
            .field("most_pages", &self.most_pages)
            .field("http", self.http.settings())
            .finish_non_exhaustive()
    }
}
