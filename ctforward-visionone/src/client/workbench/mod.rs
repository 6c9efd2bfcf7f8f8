//! `GET /v3.0/workbench/alerts`.

mod alert;
mod filter;
mod pages;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};
use serde_json::Value;

pub use alert::{
    Alert, AlertEntity, AlertIndicator, ImpactScope, MatchedEvent, MatchedFilter, MatchedRule,
};
pub use filter::{AlertFilter, AlertOptions, AlertTime};
pub use pages::AlertPages;

use super::{ORIGIN, TimeRange, VisionOneClient, malformed};

const PATH: &str = "/v3.0/workbench/alerts";
const HEADER: &str = "tmv1-filter";

impl VisionOneClient {
    /// The alerts of Workbench that match, page by page (of ten at most, as the
    /// service has it).
    pub fn alerts(
        &self,
        filter: Option<&AlertFilter>,
        range: &TimeRange,
        options: &AlertOptions,
    ) -> AlertPages {
        let mut url = self.base.at(PATH);
        let (start, end) = range.texts();
        url.query_pairs_mut()
            .append_pair("startDateTime", &start)
            .append_pair("endDateTime", &end);
        options.apply(&mut url);
        AlertPages::new(self.clone(), filter.cloned(), url)
    }

    /// One alert, with its impact scope, indicators and matched rules.
    ///
    /// # Errors
    /// `Config` for an id that is none, `NotFound` where there is no such alert, else
    /// as for [`connectivity`](Self::connectivity).
    pub async fn alert(&self, id: &str) -> Result<Alert> {
        let id = id.trim();
        let fits = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits {
            return Err(Error::new(
                ErrorKind::Config,
                ORIGIN,
                format!(
                    "{} is not the id of an alert, which looks like WB-9002-20220906-00022",
                    excerpt(id, 64)
                ),
            ));
        }
        match self
            .get(self.base.at(&format!("{PATH}/{id}")), None)
            .await?
        {
            Value::Object(map) => Ok(Alert::of(map)),
            _ => Err(malformed("the alert is no object")),
        }
    }
}
