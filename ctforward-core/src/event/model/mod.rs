//! The typed view of a whole record.

mod identity;
mod insight;
mod lenient;
mod parts;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use identity::{
    IdentityType, InScopeOf, InvokedByDelegate, OnBehalfOf, SessionAttributes, SessionContext,
    SessionIssuer, UserIdentity, WebIdFederationData,
};
pub use insight::{
    InsightAttribution, InsightContext, InsightDetails, InsightRate, InsightStatistics,
    InsightValue,
};
pub use lenient::{Extra, Json};
pub use parts::{
    Addendum, EventCategory, EventContext, EventType, Resource, TimeWindow, TlsDetails,
};

use super::record::Record;
use super::version::EventVersion;
use crate::{Error, ErrorKind};

lenient::model! {
    /// One event with all its documented fields, read from a record of any
    /// version: management, data, network activity, Insights or aggregated.
    ///
    /// No record is refused for its fields. A field that is absent or `null` is
    /// `None`; a number where a text should be, or `"true"` where a boolean
    /// should be, is taken for what it means; a value that makes no sense in its
    /// field, and every unknown field, is kept raw in `extra`. Open parts are
    /// [`Json`]. Where a key comes twice, the last one counts.
    ///
    /// An event is a view for looking at. Written out again it means the same,
    /// but has other bytes (order, white space, no `null`s); what is forwarded
    /// are a [`Record`]'s bytes. Field names are AWS's in snake case; see
    /// [record contents](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html).
    ///
    /// ```
    /// use ctforward_core::event::{Event, EventType};
    ///
    /// let event = Event::from_slice(br#"{
    ///     "eventVersion": "1.11", "eventName": "PutObject", "eventType": "AwsApiCall",
    ///     "userIdentity": {"type": "IAMUser", "userName": "alice"},
    ///     "requestParameters": {"size": 1624.0}, "newField": [1]
    /// }"#)?;
    /// assert_eq!(event.event_type.as_ref().map(EventType::as_str), Some(EventType::AWS_API_CALL));
    /// assert_eq!(event.user_identity.and_then(|who| who.user_name).as_deref(), Some("alice"));
    /// assert_eq!(event.request_parameters.expect("an object").get(), r#"{"size": 1624.0}"#);
    /// assert_eq!(event.extra["newField"].get(), "[1]");
    /// # Ok::<(), ctforward_core::Error>(())
    /// ```
    pub struct Event {
        /// `eventVersion`, such as `1.08`; see [`Event::version`].
        event_version: String = "eventVersion",
        /// `userIdentity`: who made the request. Insights and aggregated events have none.
        user_identity: Box<UserIdentity> = "userIdentity",
        /// `eventTime`: when the request was completed, ISO 8601 in UTC; see [`Event::timestamp`].
        event_time: String = "eventTime",
        /// `eventSource`: the service, such as `s3.amazonaws.com`.
        event_source: String = "eventSource",
        /// `eventName`: the action.
        event_name: String = "eventName",
        /// `awsRegion`: the region that the request was made to.
        aws_region: String = "awsRegion",
        /// `sourceIPAddress`: an address, a service's name, or `AWS Internal`.
        source_ip_address: String = "sourceIPAddress",
        /// `userAgent`: what the client called itself; at most 1 KB.
        user_agent: String = "userAgent",
        /// `errorCode`: absent where the request was granted; at most 1 KB.
        error_code: String = "errorCode",
        /// `errorMessage`: at most 1 KB.
        error_message: String = "errorMessage",
        /// `requestParameters`: an open object, left out by AWS above 100 KB.
        request_parameters: Json = "requestParameters",
        /// `responseElements`: an open object, left out by AWS above 100 KB; `null` for reads.
        response_elements: Json = "responseElements",
        /// `additionalEventData`: an open object, left out by AWS above 28 KB.
        additional_event_data: Json = "additionalEventData",
        /// `requestID`: given by the service; at most 1 KB.
        request_id: String = "requestID",
        /// `eventID`: a GUID; see [`Event::id`].
        event_id: String = "eventID",
        /// `eventType`: what made the event; an open list.
        event_type: EventType = "eventType",
        /// `apiVersion` of the service.
        api_version: String = "apiVersion",
        /// `managementEvent`: since version 1.06.
        management_event: bool = "managementEvent",
        /// `readOnly`: since version 1.01.
        read_only: bool = "readOnly",
        /// `resources` that were accessed.
        resources: Vec<Resource> = "resources",
        /// `recipientAccountId`: the account that received the event; see [`Event::account`].
        recipient_account_id: String = "recipientAccountId",
        /// `serviceEventDetails`: an open object, left out by AWS above 100 KB.
        service_event_details: Json = "serviceEventDetails",
        /// `sharedEventID`: the same in all events that stem from one action.
        shared_event_id: String = "sharedEventID",
        /// `vpcEndpointId`: the endpoint the request came through.
        vpc_endpoint_id: String = "vpcEndpointId",
        /// `vpcEndpointAccountId`: the endpoint's owner; since version 1.09.
        vpc_endpoint_account_id: String = "vpcEndpointAccountId",
        /// `eventCategory`: since version 1.07; an open list.
        event_category: EventCategory = "eventCategory",
        /// `addendum`: the event is late or updates another; since version 1.08.
        addendum: Addendum = "addendum",
        /// `sessionCredentialFromConsole`: `"true"`, written as a text; since version 1.08.
        session_credential_from_console: String = "sessionCredentialFromConsole",
        /// `edgeDeviceDetails`: an open object, left out by AWS above 28 KB; since version 1.08.
        edge_device_details: Json = "edgeDeviceDetails",
        /// `tlsDetails`: since version 1.08.
        tls_details: TlsDetails = "tlsDetails",
        /// `eventContext`: since version 1.11, only in event data stores.
        event_context: EventContext = "eventContext",
        /// `insightDetails`: Insights events only.
        insight_details: Box<InsightDetails> = "insightDetails",
        /// `accountId`: aggregated events only; the account that received the event.
        account_id: String = "accountId",
        /// `eventId`: aggregated events only, which write it so; see [`Event::id`].
        aggregated_event_id: String = "eventId",
        /// `timeWindow`: aggregated events only.
        time_window: TimeWindow = "timeWindow",
        /// `summary`: aggregated events only; an open object.
        summary: Json = "summary",
    }
}

impl Event {
    /// Reads the event that a record holds.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if a fault inside the record makes it no JSON object.
    pub fn from_record(record: &Record<'_>) -> Result<Self, Error> {
        Self::from_slice(record.bytes())
    }

    /// Reads the event that these bytes hold.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if they are not exactly one JSON object.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        // serde_json's message may quote the record: only the place is told.
        serde_json::from_slice(bytes).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            let message = format!("no JSON object, at line {line}, column {column}");
            Error::new(ErrorKind::Malformed, "record", message)
        })
    }

    /// `eventVersion` in numbers.
    #[must_use]
    pub fn version(&self) -> Option<EventVersion> {
        EventVersion::read(self.event_version.as_deref()?)
    }

    /// `eventTime` as an instant.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.event_time.as_deref()?.parse().ok()
    }

    /// `eventID`, or the `eventId` of an aggregated event.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.event_id
            .as_deref()
            .or(self.aggregated_event_id.as_deref())
    }

    /// The account the event belongs to, looked for in the order of
    /// [`Header::account_id`](super::Header::account_id).
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let of_identity = || {
            let who = self.user_identity.as_deref()?;
            let issuer = || {
                let session = who.session_context.as_deref()?;
                session.session_issuer.as_ref()?.account_id.as_deref()
            };
            who.account_id.as_deref().or_else(issuer)
        };
        self.recipient_account_id
            .as_deref()
            .or(self.account_id.as_deref())
            .or_else(of_identity)
    }
}
