//! Redaction against a naive one that knows how its records were written.

use ctforward_core::stage::{Redacted, Redaction, RedactionKey, Redactor};
use proptest::prelude::*;

use crate::rules_json::{Json, record};

const KEYS: &[&str] = &["a", "b", "c", "sessionToken", "*", "ü"];
const WORDS: &[&str] = &["x", "{\"a\":\"x\"}", "a.b", "\"", "ü", ""];

fn paths() -> impl Strategy<Value = Vec<String>> {
    let step = prop::sample::select(&["a", "b", "c", "sessionToken", "*", "ü", "none"][..]);
    let path = prop::collection::vec(step, 1..4).prop_map(|keys| keys.join("."));
    prop::collection::vec(path, 1..5)
}

type Tails = Vec<Vec<String>>;

/// The record's text with the mark in place of what the paths name.
fn expected(record: &Json, paths: &[String]) -> String {
    let all: Tails = paths
        .iter()
        .map(|path| path.split('.').map(str::to_owned).collect())
        .collect();
    record.render(
        &mut |tails: &Tails, (key, value)| {
            let next: Tails = tails
                .iter()
                .filter(|tail| tail[0] == "*" || tail[0] == key)
                .map(|tail| tail[1..].to_vec())
                .collect();
            if next.is_empty() {
                None
            } else if next.iter().any(Vec::is_empty) {
                let null = matches!(value, Json::Scalar(raw) if raw == "null");
                (!null).then(|| Ok("\"[redacted]\"".to_owned()))
            } else {
                Some(Err(next))
            }
        },
        &all,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn what_the_paths_name_is_replaced_and_no_other_byte(
        record in record(KEYS, WORDS), paths in paths(),
    ) {
        let redaction = Redaction::new(paths.clone()).unwrap();
        let text = record.text();
        let expected = expected(&record, &paths);
        let mut out = Vec::new();
        let said = redaction.redact(text.as_bytes(), &mut out);
        if expected == text {
            prop_assert_eq!(said, Redacted::Unchanged, "{}", text);
        } else {
            prop_assert_eq!(said, Redacted::Changed, "{}", text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn damage_is_unsure_or_leaves_valid_json(
        record in record(KEYS, WORDS), paths in paths(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"{}[]\",:\\u1 \n\xff".to_vec()),
    ) {
        let mut text = record.text().into_bytes();
        let at = at.index(text.len());
        text[at] = with;
        let mut out = Vec::new();
        let valid = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        match Redaction::new(paths).unwrap().redact(&text, &mut out) {
            Redacted::Unsure => prop_assert!(!valid),
            Redacted::Changed => {
                // A half surrogate is the one thing that only one of the two minds.
                prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&out).is_ok());
            }
            _ => {}
        }
    }
}

fn redact(paths: &[&str], record: &str) -> Option<String> {
    let mut out = Vec::new();
    match Redaction::new(paths.iter().copied())
        .unwrap()
        .redact(record.as_bytes(), &mut out)
    {
        Redacted::Unchanged => Some(record.to_owned()),
        Redacted::Changed => Some(String::from_utf8(out).unwrap()),
        _ => None,
    }
}

#[test]
fn hostile_records() {
    let token = "a.sessionToken";
    for (path, record, expected) in [
        (
            token,
            r#"{"a":{"sessionToken":"S"}}"#,
            r#"{"a":{"sessionToken":"[redacted]"}}"#,
        ),
        (
            token,
            r#"{"a":{"session\u0054oken":"S"}}"#,
            r#"{"a":{"session\u0054oken":"[redacted]"}}"#,
        ),
        (
            token,
            r#"{"a":{"sessionToken":1,"sessionToken":{"x":2}},"a":{"sessionToken":[3]}}"#,
            r#"{"a":{"sessionToken":"[redacted]","sessionToken":"[redacted]"},"a":{"sessionToken":"[redacted]"}}"#,
        ),
        (
            token,
            r#"{"a":[{"sessionToken":"S"},[[{"sessionToken":"S"}]],"S",null]}"#,
            r#"{"a":[{"sessionToken":"[redacted]"},[[{"sessionToken":"[redacted]"}]],"S",null]}"#,
        ),
        // Texts that hold JSON, or the path, are texts.
        (
            token,
            r#"{"a":"{\"sessionToken\":\"S\"}","b":"a.sessionToken"}"#,
            r#"{"a":"{\"sessionToken\":\"S\"}","b":"a.sessionToken"}"#,
        ),
        (
            token,
            r#"{"a":{"x":"\"sessionToken\":\"S\"}","sessionToken":"S"}}"#,
            r#"{"a":{"x":"\"sessionToken\":\"S\"}","sessionToken":"[redacted]"}}"#,
        ),
        // What hides nothing stays.
        (
            token,
            r#"{"a":{"sessionToken":null}}"#,
            r#"{"a":{"sessionToken":null}}"#,
        ),
        (
            token,
            r#"{"sessionToken":"S","a":{"SessionToken":"S"}}"#,
            r#"{"sessionToken":"S","a":{"SessionToken":"S"}}"#,
        ),
        (
            "*.sessionToken",
            r#"{"z":{"sessionToken":0}, "y": 1624.0}"#,
            r#"{"z":{"sessionToken":"[redacted]"}, "y": 1624.0}"#,
        ),
        (
            "a",
            r#"{"a":[ ] ,"b":9007199254740993}"#,
            r#"{"a":"[redacted]" ,"b":9007199254740993}"#,
        ),
    ] {
        assert_eq!(
            redact(&[path], record).as_deref(),
            Some(expected),
            "{record}"
        );
    }
}

#[test]
fn what_cannot_be_followed_is_unsure() {
    let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    assert!(redact(&["a.b"], &deep(12)).is_some());
    assert_eq!(redact(&["a.b"], &deep(20)), None);
    assert_eq!(redact(&["a.b"], &deep(100_000)), None);
    // Depth beside the path costs nothing.
    assert_eq!(redact(&["b"], &deep(100_000)), Some(deep(100_000)));
    for record in [
        "",
        "[]",
        "{} {}",
        r#"{"a":{"b":1]}"#,
        r#"{"a":1,"x":tru}"#,
        r#"{"a":{"\ud800":1}}"#,
        r#"{"a":{"b":"\x"}}"#,
    ] {
        assert_eq!(redact(&["a.b"], record), None, "{record}");
    }
    let mut out = Vec::new();
    let redaction = Redaction::new(["a"]).unwrap();
    assert_eq!(
        redaction.redact(b"{\"a\":\"\xff\"}", &mut out),
        Redacted::Unsure
    );
}

#[test]
fn hashes_are_of_the_decoded_text_and_a_mark_is_escaped() {
    let key = RedactionKey::new([7; 16]).unwrap();
    let hashed = Redaction::new(["a"]).unwrap().with_key(key);
    let of = |record: &str| {
        let mut out = Vec::new();
        assert_eq!(
            hashed.redact(record.as_bytes(), &mut out),
            Redacted::Changed
        );
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        value["a"].as_str().unwrap().to_owned()
    };
    assert_eq!(of(r#"{"a":"x"}"#), of(r#"{"a":"\u0078"}"#));
    assert_ne!(of(r#"{"a":"x"}"#), of(r#"{"a":"y"}"#));
    let hash = of(r#"{"a":{"b":1}}"#);
    assert!(hash.starts_with("hmac:") && hash.len() == 5 + 32, "{hash}");
    assert!(!format!("{hashed:?}").contains('7'));
    let marked = Redaction::new(["a"]).unwrap().with_mark("\"-\\\n");
    let mut out = Vec::new();
    marked.redact(br#"{"a":1}"#, &mut out);
    assert_eq!(out, br#"{"a":"\"-\\\n"}"#);
}

#[test]
fn hits_name_the_path_and_the_place() {
    let redaction = Redaction::new(["x.y", "a.*.c", "a.b.c"]).unwrap();
    let record = br#"{"a":{"b":{"c":"S"}}}"#;
    let hits = redaction.hits(record).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(redaction.paths()[hits[0].path()], "a.*.c");
    assert_eq!(&record[hits[0].value()], b"\"S\"");
    assert_eq!(redaction.hits(b"{"), None);
}

#[test]
fn the_known_secrets_are_paths() {
    let redaction = Redaction::new(Redaction::secrets_paths().iter().copied()).unwrap();
    let record =
        br#"{"responseElements":{"credentials":{"accessKeyId":"ASIA","sessionToken":"AQo"}}}"#;
    let hits = redaction.hits(record).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(&record[hits[0].value()], b"\"AQo\"");
}
