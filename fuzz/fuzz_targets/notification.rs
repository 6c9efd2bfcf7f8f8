//! Bodies of messages: nothing panics, and what is named stands in the body.
#![no_main]

use std::collections::BTreeSet;

use ctforward_aws::notification::{Allow, Form, Item, Limits, decode, decode_with};
use ctforward_core::ErrorKind;
use ctforward_core::text::printable;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[path = "../../ctforward-aws/src/notification/tests/oracle.rs"]
mod oracle;

fuzz_target!(|body: &[u8]| {
    let plain = check(body);
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    // In an envelope it says the same.
    for (wrapped, more) in [
        (json!({"Type": "Notification", "Message": text}), 0),
        (json!({"Records": [{"eventSource": "aws:sqs", "body": text}]}), 0),
        // Beside another message it is taken whole or not at all.
        (
            json!({"Records": [
                {"eventSource": "aws:sqs", "body": text},
                {"eventSource": "aws:sqs", "body": "CloudTrail validation message."},
            ]}),
            1,
        ),
    ] {
        let items = check(wrapped.to_string().as_bytes());
        if let (Some(plain), Some(items)) = (&plain, &items) {
            assert_eq!(items.len(), plain.len() + more);
            assert_eq!(items[..plain.len()], plain[..]);
        } else if plain.is_none() {
            assert_eq!(items, None, "understood only in an envelope");
        }
    }
    check_key(text);
});

/// What `body` says, if it is understood.
fn check(body: &[u8]) -> Option<Vec<Item>> {
    let said = match decode(body) {
        Ok(said) => said,
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Malformed | ErrorKind::TooLarge));
            assert!(!error.is_retryable());
            let shown = error.to_string();
            assert_eq!(printable(&shown), shown);
            assert!(shown.len() < 4096, "{shown}");
            return None;
        }
    };
    assert!(!said.items.is_empty() && said.items.len() <= Limits::default().keys);
    assert!(said.shape.via.len() <= Limits::default().envelopes);
    let fewer = Limits::default().with_keys(said.items.len() - 1);
    assert!(decode_with(body, &fewer).is_err());

    let text = std::str::from_utf8(body).expect("what is understood is text");
    let texts = oracle::texts(text);
    for item in &said.items {
        let id = match item {
            Item::Created(object) => {
                check_allowed(object);
                object.id()
            }
            Item::Skip { object: Some(id), .. } => id.clone(),
            _ => continue,
        };
        assert!(said.shape.form != Form::SnsConfirmation);
        assert!(!id.key.is_empty() && id.key.len() <= 1024);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        assert!(id.bucket.bytes().all(plain) && !id.bucket.contains(".."));
        for held in [Some(&id.bucket), Some(&id.key), id.version.as_ref()].into_iter().flatten() {
            assert!(texts.contains(held), "{held:?} is not in {text:?}");
        }
    }
    Some(said.items)
}

fn check_allowed(object: &ctforward_aws::notification::NamedObject) {
    let allow = Allow::builder().buckets(["trail"]).prefixes(["AWSLogs/"]);
    let allow = allow.build().expect("a bucket is named");
    match allow.check(object) {
        Ok(()) => {
            assert!(object.bucket == "trail" && object.key.starts_with("AWSLogs/"));
            let parts: BTreeSet<&str> = object.key.split('/').collect();
            assert!(!parts.contains("..") && !parts.contains("."));
        }
        Err(error) => {
            let shown = error.to_string();
            assert_eq!(printable(&shown), shown);
        }
    }
}

/// The text as a key of each form.
fn check_key(key: &str) {
    let own = json!({"s3Bucket": "trail", "s3ObjectKey": [key]});
    let bridge = json!({
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "trail"}, "object": {"key": key}},
    });
    let s3 = |key: &str| -> Value {
        json!({"Records": [{
            "eventSource": "aws:s3", "eventVersion": "2.1", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "trail"}, "object": {"key": key}},
        }]})
    };
    let named = |body: Value| match &check(body.to_string().as_bytes())?[..] {
        [Item::Created(object)] => Some(object.key.clone()),
        other => panic!("{other:?}"),
    };
    let fits = (1..=1024).contains(&key.len());
    let expected = fits.then(|| key.to_owned());
    assert_eq!(named(own), expected);
    assert_eq!(named(bridge), expected);
    let encoded: String = key.bytes().map(|b| format!("%{b:02x}")).collect();
    assert_eq!(named(s3(&encoded)), expected);
    let _ = named(s3(key));
}
