//! `GET /v3.0/search/cloudActivities`.

mod item;
mod options;
mod pages;
mod query;

use ctforward_core::Result;
use serde_json::Value;
use url::Url;

pub use item::CloudActivity;
pub use options::{PageSize, SearchOptions};
pub use pages::{CloudActivities, CloudActivityPages, CutWindow};
pub use query::SearchQuery;

use super::{TimeRange, VisionOneClient, malformed};

const HEADER: &str = "tmv1-query";

impl VisionOneClient {
    /// How many cloud activities match (`mode=countOnly`).
    ///
    /// Data of the vendor's own CloudTrail client is cloud activity data; records that
    /// were posted to HTTP event collection are not documented to be.
    ///
    /// # Errors
    /// `Rejected` for a query that the service does not take, `Malformed` for an answer
    /// without a count, else as for [`connectivity`](Self::connectivity).
    pub async fn count_cloud_activities(
        &self,
        query: &SearchQuery,
        range: &TimeRange,
    ) -> Result<u64> {
        let mut url = self.search_url(range);
        url.query_pairs_mut().append_pair("mode", "countOnly");
        let answer = self.get(url, Some((HEADER, query.as_str()))).await?;
        answer
            .get("totalCount")
            .and_then(Value::as_u64)
            .ok_or_else(|| malformed("the answer to a count holds no totalCount"))
    }

    /// The cloud activities that match, page by page.
    ///
    /// Each range is counted first. One that holds more than the service shows of a
    /// range is split; see [`window_rows`](super::VisionOneClientBuilder::window_rows).
    pub fn search_cloud_activities(
        &self,
        query: &SearchQuery,
        range: &TimeRange,
        options: &SearchOptions,
    ) -> CloudActivityPages {
        CloudActivityPages::new(self.clone(), query.clone(), *range, options.clone())
    }

    fn search_url(&self, range: &TimeRange) -> Url {
        let mut url = self.base.at("/v3.0/search/cloudActivities");
        let (start, end) = range.texts();
        url.query_pairs_mut()
            .append_pair("startDateTime", &start)
            .append_pair("endDateTime", &end);
        url
    }
}
