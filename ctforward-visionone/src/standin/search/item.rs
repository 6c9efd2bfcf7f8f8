//! A CloudTrail record as the item that a cloud activity search shows.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

/// Fields that go from the record into the item as they are.
const COPIED: [&str; 27] = [
    "additionalEventData",
    "apiVersion",
    "awsRegion",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventType",
    "eventVersion",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "vpcEndpointAccountId",
    "vpcEndpointId",
];

/// The item of a line, and when its event happened; `None` where the line is no
/// CloudTrail record.
pub(in crate::standin) fn item(
    line: &[u8],
    number: u64,
    received: Timestamp,
) -> Option<(Map<String, Value>, Timestamp)> {
    let Ok(Value::Object(mut record)) = serde_json::from_slice(line) else {
        return None;
    };
    if !record.contains_key("eventID") && !record.contains_key("eventName") {
        return None;
    }
    let happened = record
        .get("eventTime")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(received);
    let mut item = Map::new();
    for field in COPIED {
        if let Some(value) = record.remove(field) {
            item.insert(field.to_owned(), value);
        }
    }
    for (field, same_as) in [("eventSubId", "eventName"), ("eventCase", "eventSource")] {
        if let Some(value) = item.get(same_as).cloned() {
            item.insert(field.to_owned(), value);
        }
    }
    let uuid = format!("00000000-0000-4000-8000-{:012x}", number & 0xffff_ffff_ffff);
    for (field, value) in [
        ("customerId", json!("00000000-0000-4000-8000-000000000000")),
        ("eventTime", json!(happened.as_millisecond())),
        ("eventTimeDT", json!(seconds(happened).to_string())),
        ("logReceivedTime", json!(received.as_millisecond())),
        ("packageTraceId", json!(uuid)),
        ("productCode", json!("sct")),
        ("tags", json!([])),
        ("uuid", json!(uuid)),
    ] {
        item.insert(field.to_owned(), value);
    }
    Some((item, happened))
}

/// A point in time without its fraction of a second.
pub(in crate::standin) fn seconds(at: Timestamp) -> Timestamp {
    let mode = jiff::TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Floor);
    at.round(mode).unwrap_or(at)
}

/// A field of an item as the text that a query is matched with.
pub(super) fn text(item: &Map<String, Value>, field: &str) -> Option<String> {
    match item.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_the_documented_fields() {
        let line = br#"{"eventVersion":"1.09","eventID":"e","eventName":"GetObject","eventSource":"s3.amazonaws.com","eventTime":"2026-01-02T03:04:05Z","readOnly":true}"#;
        let (item, happened) = item(line, 7, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(happened.to_string(), "2026-01-02T03:04:05Z");
        for (field, value) in [
            ("eventTime", json!(1_767_323_045_000_i64)),
            ("eventTimeDT", json!("2026-01-02T03:04:05Z")),
            ("eventSubId", json!("GetObject")),
            ("eventCase", json!("s3.amazonaws.com")),
            ("productCode", json!("sct")),
            ("readOnly", json!(true)),
        ] {
            assert_eq!(item.get(field), Some(&value), "{field}");
        }
    }

    #[test]
    fn what_is_no_record_makes_no_item() {
        for line in [&b"CEF:0|x"[..], b"{}", b"[]", b"{\"eventID\":", b"\xff"] {
            assert!(item(line, 0, Timestamp::UNIX_EPOCH).is_none());
        }
        let deep = format!(
            "{{\"eventID\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(item(deep.as_bytes(), 0, Timestamp::UNIX_EPOCH).is_none());
    }
}
