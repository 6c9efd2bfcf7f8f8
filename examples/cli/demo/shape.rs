//! How a made-up record is written: keys in AWS's order, values as they are.

use jiff::Timestamp;

use super::random::Random;

/// Addresses that are reserved for documentation.
const ADDRESSES: [&str; 4] = ["192.0.2.17", "198.51.100.4", "203.0.113.99", "2001:db8::2a"];

/// Where and when a record is made.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    pub account: &'p str,
    pub region: &'p str,
    pub time: Timestamp,
}

/// A JSON object with its keys in this order; values are JSON already.
pub fn object(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// JSON text of something that needs no escape, or has its escapes.
pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// What differs between kinds of events.
pub struct Shape<'s> {
    pub version: &'s str,
    pub identity: String,
    pub source: &'s str,
    pub name: &'s str,
    pub region: &'s str,
    pub agent: String,
    pub error: Option<&'s str>,
    pub request: String,
    pub response: String,
    pub additional: Option<String>,
    pub resources: Option<String>,
    pub read_only: bool,
    pub event_type: &'s str,
    pub category: &'s str,
}

impl Shape<'_> {
    pub fn write(&self, place: Place<'_>, random: &mut Random) -> String {
        let time = quoted(&place.time.to_string());
        let id = quoted(&random.uuid());
        let request_id = quoted(&random.uuid());
        let text = [
            self.source,
            self.name,
            self.region,
            self.event_type,
            self.category,
        ];
        let [source, name, region, event_type, category] = text.map(quoted);
        let (version, agent) = (quoted(self.version), quoted(&self.agent));
        let address = *random.pick(&ADDRESSES);
        let address = quoted(address);
        let account = quoted(place.account);
        let error = self.error.map(quoted);
        let management = if self.category == "Management" {
            "true"
        } else {
            "false"
        };
        let mut fields = vec![
            ("eventVersion", version.as_str()),
            ("userIdentity", &self.identity),
            ("eventTime", &time),
            ("eventSource", &source),
            ("eventName", &name),
            ("awsRegion", &region),
            ("sourceIPAddress", &address),
            ("userAgent", &agent),
        ];
        if let Some(error) = &error {
            fields.push(("errorCode", error));
            fields.push((
                "errorMessage",
                "\"User is not authorized to perform this\\naction\"",
            ));
        }
        fields.push(("requestParameters", &self.request));
        fields.push(("responseElements", &self.response));
        if let Some(additional) = &self.additional {
            fields.push(("additionalEventData", additional));
        }
        fields.push(("requestID", &request_id));
        fields.push(("eventID", &id));
        fields.push(("readOnly", if self.read_only { "true" } else { "false" }));
        if let Some(resources) = &self.resources {
            fields.push(("resources", resources));
        }
        fields.extend([
            ("eventType", event_type.as_str()),
            ("managementEvent", management),
            ("recipientAccountId", &account),
            ("eventCategory", &category),
        ]);
        object(&fields)
    }
}
