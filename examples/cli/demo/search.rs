//! One event, found again.

use std::time::Duration;

use ctforward_core::event::RecordBuf;
use jiff::Timestamp;
use serde_json::Value;

use super::bucket::Bucket;
use crate::failure::Failure;
use crate::table::{Cell, Column, Table};

/// Fields of the answer to show; the last ones are Vision One's, not CloudTrail's.
const SHOWN: [&str; 9] = [
    "eventID",
    "eventTimeDT",
    "eventName",
    "eventSource",
    "awsRegion",
    "recipientAccountId",
    "sourceIPAddress",
    "userAgent",
    "productCode",
];

/// The eventID of a sign-in to the console, or of any event.
pub fn interesting_id(bucket: &Bucket) -> Option<String> {
    let login = bucket
        .records
        .iter()
        .find(|r| r.contains("\"eventName\":\"ConsoleLogin\""));
    let record = RecordBuf::parse(login.or(bucket.records.first())?.clone()).ok()?;
    record
        .as_record()
        .header()
        .event_id()
        .map(std::borrow::Cow::into_owned)
}

/// Asks the public API's search for an event, and shows what it found as a table.
pub async fn find(
    base_url: &str,
    id: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<Table, Failure> {
    // A proxy of the environment has no business between this process and itself.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| Failure::work(format!("no HTTP client: {error}")))?;
    let url = format!(
        "{base_url}/v3.0/search/cloudActivities?startDateTime={first}&endDateTime={last}&top=50"
    );
    let failed = |error: reqwest::Error| {
        Failure::work(format!("the search failed: {}", error.without_url()))
    };
    let answer: Value = client
        .get(url)
        .bearer_auth("demo")
        .header("TMV1-Query", format!("eventID:\"{id}\""))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)?;
    match answer
        .get("items")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([item]) => Ok(table(item)),
        Some(items) => Err(Failure::work(format!(
            "the search found {} events with the eventID {id}, not one",
            items.len()
        ))),
        None => Err(Failure::work("the search's answer holds no items")),
    }
}

fn table(item: &Value) -> Table {
    let mut table = Table::new([Column::left("field"), Column::left("value").at_most(60)]);
    for field in SHOWN {
        let value = match item.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        table.row([Cell::text(field), Cell::text(value)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_is_there_and_nothing_steers() {
        let item =
            serde_json::json!({"eventName": "a\u{1b}[2J", "readOnly": true, "eventID": null});
        let text = table(&item).to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("eventName  a\\u{1b}[2J"), "{text}");
    }
}
