//! For any key, any nesting and any damage.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::oracle::texts;
use super::*;

#[derive(Clone, Copy, Debug)]
enum Wrap {
    Sns,
    SnsToLambda,
    SqsToLambda,
    Destination,
}

fn wraps() -> impl Strategy<Value = Vec<Wrap>> {
    let one = select(vec![
        Wrap::Sns,
        Wrap::SnsToLambda,
        Wrap::SqsToLambda,
        Wrap::Destination,
    ]);
    vec(one, 0..=4)
}

fn wrapped(wraps: &[Wrap], body: String) -> String {
    wraps.iter().fold(body, |body, wrap| match wrap {
        Wrap::Sns => in_sns(&body),
        Wrap::SnsToLambda => sns_to_lambda(&body),
        Wrap::SqsToLambda => sqs_to_lambda(&[&body]),
        Wrap::Destination => lambda_destination(&body),
    })
}

/// Any key of S3.
fn any_key() -> impl Strategy<Value = String> {
    let near = "[A-Za-z0-9+% /%._=-]{1,40}";
    prop_oneof![near, any::<String>()].prop_filter("a key of 1 to 1,024 bytes", |key| {
        (1..=1024).contains(&key.len())
    })
}

/// As a form writes it; `slash` leaves slashes as they are, as AWS does.
fn encoded(key: &str, slash: bool, plus: bool) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            b'/' if slash => out.push('/'),
            b if b.is_ascii_alphanumeric() || b"-_.*".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

proptest! {
    #[test]
    fn any_key_comes_back_from_any_form_and_nesting(
        names in vec(any_key(), 1..5), wraps in wraps(), slash: bool, plus: bool,
    ) {
        let s3: Vec<_> = names
            .iter()
            .map(|key| record("ObjectCreated:Put", &encoded(key, slash, plus)))
            .collect();
        prop_assert_eq!(&keys(&wrapped(&wraps, records(&s3))), &names);
        let verbatim: Vec<&str> = names.iter().map(String::as_str).collect();
        prop_assert_eq!(&keys(&wrapped(&wraps, cloudtrail(&verbatim))), &names);
        let bridge = event_bridge("Object Created", &names[0]);
        prop_assert_eq!(&keys(&wrapped(&wraps, bridge)), &names[..1]);
    }

    #[test]
    fn a_damaged_message_names_nothing_that_it_does_not_hold(
        key in any_key(), wraps in wraps(), form in 0..3_u8,
        damage in vec((any::<Index>(), any::<Index>(), select(
            b"\0\"\\{}[]:,+%0a/e \x80\xffRMsu".to_vec()
        ), 0..4_u8), 0..6),
    ) {
        let body = match form {
            0 => records(&[
                record("ObjectCreated:Put", &encoded(&key, true, true)),
                record("ObjectRemoved:Delete", "gone"),
            ]),
            1 => cloudtrail(&[&key, "second"]),
            _ => event_bridge("Object Created", &key),
        };
        let mut body = wrapped(&wraps, body).into_bytes();
        for (at, to, byte, how) in damage {
            if body.is_empty() {
                break;
            }
            let (at, to) = (at.index(body.len()), to.index(body.len()));
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => body.truncate(at),
                // A part left out, or one that comes twice.
                _ if at < to => drop(body.drain(at..to.min(at + 8))),
                _ => {
                    let part = body[to..at].to_vec();
                    body.splice(to..to, part);
                }
            }
        }
        if let Ok(said) = decode(&body) {
            prop_assert!(!said.items.is_empty());
            let texts = texts(std::str::from_utf8(&body).unwrap());
            for object in said.created() {
                prop_assert!(texts.contains(&object.key), "{:?}", object);
                prop_assert!(texts.contains(&object.bucket), "{:?}", object);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(body: Vec<u8>) {
        let _ = decode(&body);
    }
}
