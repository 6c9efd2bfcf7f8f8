//! `GET /v3.0/search/activityStatistics`.

use ctforward_core::Result;
use serde_json::{Map, Value};

use super::{VisionOneClient, malformed};

/// The span that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatisticsPeriod {
    /// The last 24 hours.
    #[default]
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
}

/// How much each source of activity data brought. Its exact shape is not known here,
/// so everything is kept, and counts are read wherever they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityStatistics(Map<String, Value>);

impl ActivityStatistics {
    /// The answer as it is.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Names and counts: members that are numbers, and the objects of arrays that hold
    /// a text and a number.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u64)> {
        let mut counts = Vec::new();
        for (name, value) in &self.0 {
            match value {
                Value::Number(_) => counts.extend(value.as_u64().map(|n| (name.clone(), n))),
                Value::Array(items) => counts.extend(items.iter().filter_map(|item| {
                    let values = || item.as_object().into_iter().flat_map(Map::values);
                    let name = values().find_map(Value::as_str)?;
                    Some((name.to_owned(), values().find_map(Value::as_u64)?))
                })),
                _ => {}
            }
        }
        counts
    }

    /// The count whose name says that it is of cloud activity data.
    #[must_use]
    pub fn cloud(&self) -> Option<u64> {
        let mut counts = self.counts().into_iter();
        let found = counts.find(|(name, _)| name.to_ascii_lowercase().contains("cloud"));
        found.map(|(_, count)| count)
    }
}

impl VisionOneClient {
    /// How much each source of activity data brought in `period`.
    ///
    /// # Errors
    /// As for [`connectivity`](Self::connectivity).
    pub async fn activity_statistics(
        &self,
        period: StatisticsPeriod,
    ) -> Result<ActivityStatistics> {
        let mut url = self.base.at("/v3.0/search/activityStatistics");
        let period = match period {
            StatisticsPeriod::Day => "24h",
            StatisticsPeriod::Week => "7d",
            StatisticsPeriod::Month => "30d",
        };
        url.query_pairs_mut().append_pair("period", period);
        match self.get(url, None).await? {
            Value::Object(map) => Ok(ActivityStatistics(map)),
            other @ Value::Array(_) => Ok(ActivityStatistics(
                std::iter::once(("items".to_owned(), other)).collect(),
            )),
            _ => Err(malformed("the statistics are no object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_read_wherever_they_stand() {
        for answer in [
            json!({"items": [{"source": "Email", "count": 1}, {"source": "Cloud", "count": 7}]}),
            json!({"email": 1, "cloudActivityData": 7, "x": {"y": 1}}),
        ] {
            let Value::Object(map) = answer else {
                unreachable!()
            };
            let statistics = ActivityStatistics(map);
            assert_eq!(statistics.cloud(), Some(7));
            assert_eq!(statistics.counts().len(), 2);
        }
        assert_eq!(ActivityStatistics(Map::new()).cloud(), None);
    }
}
