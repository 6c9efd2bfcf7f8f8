use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::event::RecordBuf;
use crate::event::index::tests::{json, object};

/// Reads, writes, reads again: equal, and nothing gone.
fn round_trip(raw: &str) -> Event {
    let event = Event::from_slice(raw.as_bytes()).unwrap();
    let written = serde_json::to_string(&event).unwrap();
    let again = Event::from_slice(written.as_bytes()).unwrap();
    assert_eq!(event, again, "{written}");
    event
}

/// As [`round_trip`], and the values are the same JSON but for the order of keys.
fn exact(raw: &str) -> Event {
    let event = round_trip(raw);
    let before: Value = serde_json::from_str(raw).unwrap();
    assert_eq!(serde_json::to_value(&event).unwrap(), before);
    assert!(event.extra.is_empty(), "{:?}", event.extra);
    event
}

#[test]
fn a_management_event_with_every_part() {
    let event = exact(
        r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:s","arn":"arn:aws:sts::111122223333:assumed-role/r/s","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE","userName":"u","invokedBy":"lambda.amazonaws.com","identityProvider":"idp","credentialId":"c",
        "sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/r","accountId":"111122223333","userName":"r"},"webIdFederationData":{"federatedProvider":"p","attributes":{"aud":"x"}},"attributes":{"creationDate":"2024-01-02T03:04:05Z","mfaAuthenticated":"false","sessionCredentialFromConsole":"true"},"sourceIdentity":"alice","ec2RoleDelivery":"2.0","ec2IssuedInVpc":"vpc-1","assumedRoot":true},
        "onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-1"},
        "inScopeOf":{"sourceArn":"arn:aws:lambda:us-east-1:111122223333:function:f","sourceAccount":"111122223333","issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn:aws:lambda:us-east-1:111122223333:function:f"},
        "invokedByDelegate":{"accountId":"444455556666"}},
        "eventTime":"2024-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"a","errorCode":"AccessDenied","errorMessage":"no","requestParameters":{"n":1624.0},"responseElements":{"b":9007199254740993},"additionalEventData":{"x":[]},"requestID":"q","eventID":"e","eventType":"AwsApiCall","apiVersion":"2006-03-01","managementEvent":false,"readOnly":false,
        "resources":[{"ARN":"arn:aws:s3:::b/k","accountId":"111122223333","type":"AWS::S3::Object"}],"recipientAccountId":"111122223333","serviceEventDetails":{"s":1},"sharedEventID":"s","vpcEndpointId":"vpce-1","vpcEndpointAccountId":"111122223333","eventCategory":"Data","addendum":{"reason":"UPDATED_DATA","updatedFields":"errorCode","originalRequestID":"q0","originalEventID":"e0"},"sessionCredentialFromConsole":"true","edgeDeviceDetails":{"d":1},
        "tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"h","keyExchange":"X25519MLKEM768"},"eventContext":{"requestContext":{"k":"v"},"tagContext":{"t":[]}}}"#,
    );
    assert_eq!(event.version(), Some(EventVersion::new(1, 11)));
    assert_eq!(
        event.timestamp().unwrap().to_string(),
        "2024-01-02T03:04:05Z"
    );
    assert_eq!(event.id(), Some("e"));
    assert_eq!(event.account(), Some("111122223333"));
    assert_eq!(
        event.response_elements.unwrap().get(),
        r#"{"b":9007199254740993}"#
    );
    let who = event.user_identity.unwrap();
    assert_eq!(who.kind.unwrap(), IdentityType::ASSUMED_ROLE);
    let session = who.session_context.unwrap();
    assert!(session.extra.is_empty());
    assert_eq!(session.assumed_root, Some(true));
}

#[test]
fn an_insights_event() {
    let event = exact(
        r#"{"eventVersion":"1.08","eventTime":"2024-01-02T03:04:00Z","awsRegion":"us-east-1","eventID":"e","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","sharedEventID":"s","eventCategory":"Insight",
        "insightDetails":{"state":"Start","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","insightType":"ApiErrorRateInsight","errorCode":"Client.Fault","insightContext":{"statistics":{"baseline":{"average":0.0017857143},"insight":{"average":4.1},"insightDuration":7.0,"baselineDuration":11169.0},
        "attributions":[{"attribute":"userIdentityArn","insight":[{"value":"arn:aws:iam::111122223333:user/a","average":4.0}],"baseline":[]}]}}}"#,
    );
    let details = event.insight_details.unwrap();
    let context = details.insight_context.unwrap();
    assert!(context.extra.is_empty());
    let statistics = context.statistics.unwrap();
    assert_eq!(statistics.insight_duration, Some(7.0));
    assert_eq!(statistics.baseline.unwrap().average, Some(0.001_785_714_3));
    assert_eq!(context.attributions.unwrap().len(), 1);
}

#[test]
fn an_aggregated_event() {
    let event = exact(
        r#"{"eventVersion":"1.0","accountId":"111122223333","eventId":"a","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"us-west-2","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2025-01-02T03:00:00Z","windowEnd":"2025-01-02T03:05:00Z","windowSize":"PT5M"},"summary":{"primaryDimension":{"dimension":"eventName"}}}"#,
    );
    assert_eq!(event.id(), Some("a"));
    assert_eq!(event.account(), Some("111122223333"));
    assert_eq!(event.event_category.unwrap(), EventCategory::AGGREGATED);
}

#[test]
fn strange_and_unknown_fields_are_kept() {
    let event = round_trip(
        r#"{"eventVersion":1.05,"userIdentity":"root","readOnly":"true","resources":[{"ARN":5},null],"tlsDetails":null,"eventTime":["x"],"new":{"z":1,"a":2},"eventName":"A","eventName":"B","recipientAccountId":111122223333,"responseElements":null,"addendum":{"reason":{"deep":[1]},"more":null},"eventType":"AwsSomethingNew"}"#,
    );
    assert_eq!(event.version(), Some(EventVersion::new(1, 5)));
    assert_eq!(event.read_only, Some(true));
    assert_eq!(event.event_name.as_deref(), Some("B"));
    assert_eq!(event.account(), Some("111122223333"));
    assert_eq!(event.event_type.unwrap(), "AwsSomethingNew");
    let kept: Vec<_> = event.extra.keys().map(String::as_str).collect();
    assert_eq!(kept, ["eventTime", "new", "resources", "userIdentity"]);
    assert_eq!(event.extra["new"].get(), r#"{"z":1,"a":2}"#);
    let addendum = event.addendum.unwrap();
    assert_eq!(addendum.extra["reason"].get(), r#"{"deep":[1]}"#);
    assert_eq!(addendum.extra["more"].get(), "null");
}

#[test]
fn a_field_that_was_set_wins_over_what_was_kept() {
    let mut event = Event::from_slice(br#"{"eventTime":[1]}"#).unwrap();
    event.event_time = Some("2024-01-02T03:04:05Z".to_owned());
    let written = serde_json::to_string(&event).unwrap();
    assert_eq!(written, r#"{"eventTime":"2024-01-02T03:04:05Z"}"#);
}

#[test]
fn what_is_no_object_is_an_error_that_quotes_nothing() {
    for bad in ["", "[]", "\"secret\"", "{} x", "{\"a\":}"] {
        let error = Event::from_slice(bad.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn it_is_read_from_readers_and_values_too() {
    let raw = r#"{"eventName":"A","userIdentity":{"type":"Root","new":[1]},"n":1.5}"#;
    let event = round_trip(raw);
    assert_eq!(
        serde_json::from_reader::<_, Event>(raw.as_bytes()).unwrap(),
        event
    );
    let value: Value = serde_json::from_str(raw).unwrap();
    assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in ["requestParameters", "resources", "userIdentity", "new"] {
        round_trip(&format!("{{\"{field}\":{deep}}}"));
    }
    round_trip(&format!("{{\"userIdentity\":{{\"x\":{deep}}}}}"));
}

/// Names that the model knows, at any depth of it.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "eventVersion",
        "userIdentity",
        "eventID",
        "eventId",
        "readOnly",
        "resources",
        "ARN",
        "sessionContext",
        "sessionIssuer",
        "attributes",
        "assumedRoot",
        "insightDetails",
        "insightContext",
        "statistics",
        "baseline",
        "average",
        "attributions",
        "type",
        "accountId",
        "tlsDetails",
        "summary",
        "requestParameters",
        "event\\u0054ime",
        "x",
    ])
    .prop_map(|name| format!("\"{name}\""))
}

fn shaped() -> impl Strategy<Value = String> {
    json().prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec((name(), inner.clone()), 0..6).prop_map(object),
            prop::collection::vec(inner, 0..3).prop_map(|v| format!("[{}]", v.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_is_read_and_written_without_loss(members in prop::collection::vec((name(), shaped()), 0..10)) {
        let raw = object(members);
        let event = round_trip(&raw);
        // Every member that is not null is there under its name.
        let before: serde_json::Map<String, Value> = serde_json::from_str(&raw).unwrap();
        let after = serde_json::to_value(&event).unwrap();
        for (name, value) in before.iter().filter(|(_, value)| !value.is_null()) {
            prop_assert!(after.get(name).is_some(), "{name}: {value}");
        }
    }

    #[test]
    fn header_and_event_agree(text in any::<String>(), null in any::<bool>()) {
        let text = serde_json::to_string(&text).unwrap();
        let recipient = if null { "null" } else { text.as_str() };
        let raw = format!(r#"{{"recipientAccountId":{recipient},"userIdentity":{{"accountId":{text}}},"eventId":{text},"eventVersion":{text},"eventTime":{text},"readOnly":{text}}}"#);
        let buf = RecordBuf::parse(raw).unwrap();
        let record = buf.as_record();
        let (header, event) = (record.header(), Event::from_record(&record).unwrap());
        let (account, id) = (header.account_id(), header.event_id());
        prop_assert_eq!(account.as_deref(), event.account());
        prop_assert_eq!(id.as_deref(), event.id());
        prop_assert_eq!(header.event_version(), event.version());
        prop_assert_eq!(header.event_time(), event.timestamp());
        prop_assert_eq!(header.read_only(), event.read_only);
    }
}
