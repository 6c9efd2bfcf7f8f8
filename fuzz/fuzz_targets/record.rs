//! What holds of each record that the reader yields.

use std::fmt;
use std::ops::Range;

use ctforward_core::event::{Event, Record};
use ctforward_core::quarantine::Reason;
use ctforward_core::read::one_line;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members that serde_json finds, as they lie there.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

pub(crate) fn check(record: Record<'_>) {
    let bytes = record.bytes();
    assert!(bytes.starts_with(b"{") && !is_dirty(bytes));
    let members = serde_json::from_slice::<Members<'_>>(bytes).ok();
    for field in record.fields() {
        // Whatever a fault left of them, they lie in the record.
        assert!(field.key().end <= bytes.len() && field.value().end <= bytes.len());
        assert!(field.key().start <= field.key().end);
        assert!(field.value().start <= field.value().end);
    }
    check_header(record);
    check_line(bytes, members.is_some());
    let event = Event::from_record(&record);
    if let Ok(event) = &event {
        let _ = (
            event.version(),
            event.timestamp(),
            event.id(),
            event.account(),
        );
        let written = serde_json::to_vec(event).expect("an event is written");
        let read = Event::from_slice(&written).expect("what is written is read");
        assert_eq!(&read, event);
    }
    let Some(Members(members)) = members else {
        return;
    };
    let place = |raw: &RawValue| -> Range<usize> {
        let start = raw.get().as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + raw.get().len()
    };
    let expected: Vec<_> = members
        .iter()
        .map(|(key, value)| {
            let key = place(key);
            (key.start + 1..key.end - 1, place(value))
        })
        .collect();
    let noted: Vec<_> = record
        .fields()
        .iter()
        .map(|f| (f.key(), f.value()))
        .collect();
    assert_eq!(noted, expected, "{:?}", String::from_utf8_lossy(bytes));
    let names: Vec<Option<String>> = members
        .iter()
        .map(|(key, _)| serde_json::from_str(key.get()).ok())
        .collect();
    for name in names.iter().flatten().take(16) {
        let last = names.iter().rposition(|n| n.as_ref() == Some(name));
        let value = last.map(|at| members[at].1.get().as_bytes());
        assert_eq!(record.field(name), value);
    }
    if names.iter().all(Option::is_some) {
        event.expect("no record is refused for its fields");
    }
}

fn check_header(record: Record<'_>) {
    let header = record.header();
    let same = |name: &str, read: Option<std::borrow::Cow<'_, str>>| {
        let raw = record.field(name);
        let text = raw.and_then(|raw| serde_json::from_slice::<String>(raw).ok());
        assert_eq!(read.as_deref(), text.as_deref(), "{name}");
    };
    same("eventTime", header.event_time_str());
    same("eventSource", header.event_source());
    same("eventName", header.event_name());
    same("awsRegion", header.aws_region());
    same("sourceIPAddress", header.source_ip_address());
    same("eventCategory", header.event_category());
    same("eventType", header.event_type());
    same("errorCode", header.error_code());
    same("recipientAccountId", header.recipient_account_id());
    same("sharedEventID", header.shared_event_id());
    let _ = (
        header.event_version(),
        header.event_time(),
        header.event_id(),
    );
    let _ = (header.read_only(), header.account_id());
    if let Some(who) = header.user_identity() {
        let _ = (who.kind(), who.arn(), who.account_id(), who.principal_id());
        let _ = (who.user_name(), who.session_issuer_account_id());
    }
}

/// One line of it holds the same tokens, and no line break.
fn check_line(bytes: &[u8], sound: bool) {
    let mut line = Vec::new();
    one_line(bytes, &mut line);
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    assert_eq!(tight(&line), tight(bytes));
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    if sound {
        assert_eq!(line, tight(bytes));
        assert_eq!(parse(&line), parse(bytes));
    } else {
        // A record that was refused does not become one with a meaning.
        assert!(serde_json::from_slice::<Members<'_>>(&line).is_err());
    }
}

/// Whether an element that was not taken for a record deserves that.
pub(crate) fn check_bad(bytes: &[u8], reason: Reason) {
    match reason {
        Reason::NotAnObject => assert!(!bytes.starts_with(b"{")),
        Reason::BadText => assert!(is_dirty(bytes)),
        Reason::TooDeep => {
            assert!(bytes.iter().filter(|b| matches!(b, b'{' | b'[')).count() > 125);
        }
        _ => panic!("the reader gives no other reason: {reason:?}"),
    }
}

/// Whether a line made of it would be no text or break in two.
fn is_dirty(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err() || tight(bytes).iter().any(|byte| *byte < 0x20)
}

/// The bytes without white space outside of strings.
fn tight(bytes: &[u8]) -> Vec<u8> {
    let (mut string, mut escaped) = (false, false);
    let keep = |byte: &u8| {
        let keep = string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            _ => {}
        }
        keep
    };
    bytes.iter().copied().filter(keep).collect()
}
