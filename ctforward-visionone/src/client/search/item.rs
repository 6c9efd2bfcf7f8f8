//! One cloud activity.

use jiff::Timestamp;
use serde_json::Value;

use crate::client::object::object;

object! {
    /// One cloud activity: the documented fields by name, and whatever else it holds.
    CloudActivity {
        /// CloudTrail's `eventID`.
        event_id: "eventID",
        /// The call, such as `PutObject`.
        event_name: "eventName",
        /// The service, such as `s3.amazonaws.com`.
        event_source: "eventSource",
        /// `Management`, `Data`, `Insight`.
        event_category: "eventCategory",
        /// Such as `AwsApiCall`.
        event_type: "eventType",
        /// The AWS region.
        aws_region: "awsRegion",
        /// The AWS account that the event was delivered to.
        recipient_account_id: "recipientAccountId",
        /// Where the call came from.
        source_ip_address: "sourceIPAddress",
        /// What made the call.
        user_agent: "userAgent",
        /// AWS's id of the request.
        request_id: "requestID",
        /// The error, if the call was refused.
        error_code: "errorCode",
        /// `sct`: the vendor's CloudTrail client.
        product_code: "productCode",
        /// The vendor's id of the item.
        uuid: "uuid",
    }
}

impl CloudActivity {
    /// When it happened.
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        let fields = self.fields();
        match fields.get("eventTime").and_then(Value::as_i64) {
            Some(millis) => Timestamp::from_millisecond(millis).ok(),
            None => ["eventTimeDT", "eventTime"]
                .iter()
                .find_map(|name| fields.get(*name)?.as_str()?.parse().ok()),
        }
    }

    /// Who made the call: an object, or its text.
    #[must_use]
    pub fn user_identity(&self) -> Option<&Value> {
        self.fields().get("userIdentity")
    }

    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    /// What tells it from others, where it holds that.
    pub(super) fn key(&self) -> Option<String> {
        match (self.uuid(), self.event_id()) {
            (Some(uuid), _) => Some(format!("u{uuid}")),
            (None, Some(id)) => Some(format!("e{id}")),
            (None, None) => None,
        }
    }
}
