//! The smaller parts of an event, and its open lists.

use super::lenient::{Json, model, open_text};

open_text! {
    /// `eventType`: what made the event.
    pub struct EventType {
        /// A call of an API.
        AWS_API_CALL = "AwsApiCall",
        /// Something a service did by itself.
        AWS_SERVICE_EVENT = "AwsServiceEvent",
        /// An action in the console that is no call of an API.
        AWS_CONSOLE_ACTION = "AwsConsoleAction",
        /// A sign-in to the console.
        AWS_CONSOLE_SIGN_IN = "AwsConsoleSignIn",
        /// A call through a VPC endpoint.
        AWS_VPCE_EVENTS = "AwsVpceEvents",
        /// Unusual activity.
        AWS_CLOUDTRAIL_INSIGHT = "AwsCloudTrailInsight",
        /// A summary of data events.
        AWS_AGGREGATED_EVENT = "AwsAggregatedEvent",
    }
}

open_text! {
    /// `eventCategory`: which of a trail's settings the event belongs to.
    pub struct EventCategory {
        /// Operations on resources.
        MANAGEMENT = "Management",
        /// Operations in resources, such as reading an object.
        DATA = "Data",
        /// Calls through VPC endpoints.
        NETWORK_ACTIVITY = "NetworkActivity",
        /// Unusual activity.
        INSIGHT = "Insight",
        /// Summaries of data events.
        AGGREGATED = "Aggregated",
    }
}

model! {
    /// One of `resources`.
    pub struct Resource {
        /// `ARN`, so written.
        arn: String = "ARN",
        /// `accountId` of the owner.
        account_id: String = "accountId",
        /// `type`, such as `AWS::S3::Object`.
        kind: String = "type",
    }
}

model! {
    /// `tlsDetails`: how the client's connection was secured.
    pub struct TlsDetails {
        /// `tlsVersion`, such as `TLSv1.3`.
        tls_version: String = "tlsVersion",
        /// `cipherSuite`.
        cipher_suite: String = "cipherSuite",
        /// `clientProvidedHostHeader`: the host name the client asked for.
        client_provided_host_header: String = "clientProvidedHostHeader",
        /// `keyExchange`: the key exchange used.
        key_exchange: String = "keyExchange",
    }
}

model! {
    /// `addendum`: the event is late, or updates an earlier one. It is an event
    /// of its own, and no duplicate of the original.
    pub struct Addendum {
        /// `reason`: `DELIVERY_DELAY`, `UPDATED_DATA` or `SERVICE_OUTAGE`.
        reason: String = "reason",
        /// `updatedFields`: names joined by commas.
        updated_fields: String = "updatedFields",
        /// `originalRequestID`: the request of the earlier event.
        original_request_id: String = "originalRequestID",
        /// `originalEventID`: the earlier event.
        original_event_id: String = "originalEventID",
    }
}

model! {
    /// `eventContext`: added in event data stores; trails do not deliver it.
    pub struct EventContext {
        /// `requestContext`: condition keys of the request; an open object.
        request_context: Json = "requestContext",
        /// `tagContext`: tags of resources and principal; an open object.
        tag_context: Json = "tagContext",
    }
}

model! {
    /// `timeWindow` of an aggregated event.
    pub struct TimeWindow {
        /// `windowStart`: its beginning, ISO 8601 in UTC.
        window_start: String = "windowStart",
        /// `windowEnd`: its end, not included.
        window_end: String = "windowEnd",
        /// `windowSize`: an ISO 8601 duration, such as `PT5M`.
        window_size: String = "windowSize",
    }
}
