//! The reader against serde_json, in every way its input can be cut.

use std::io::Write;

use ctforward_core::quarantine::Reason;
use ctforward_core::read::{LogReader, ReadError, ReadLimits, Step};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use crate::oracle::{self, Element};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(stored: &[u8]) -> Result<Vec<Element>, ReadError> {
    oracle::reader(stored, &[], ReadLimits::default())
}

fn records(stored: &[u8]) -> Vec<String> {
    let elements = read(stored).unwrap();
    elements
        .into_iter()
        .map(|element| match element {
            Element::Record(_, bytes) => String::from_utf8(bytes).unwrap(),
            Element::Bad(offset, bytes) => {
                panic!("bad at {offset}: {}", String::from_utf8_lossy(&bytes))
            }
        })
        .collect()
}

/// Compares with serde_json over every two-way split of a short input, and over
/// `cuts` of a long one, as plain text and as gzip of two members.
fn agree(document: &[u8], cuts: &[prop::sample::Index]) {
    let half = document.len() / 2;
    let two_members = [gzip(&document[..half]), gzip(&document[half..])].concat();
    for stored in [document, &two_members] {
        let whole = read(stored);
        oracle::compare(document, &whole);
        let check = |cuts: &[usize]| {
            let split = oracle::reader(stored, cuts, ReadLimits::default());
            match (&whole, split) {
                (Ok(whole), Ok(split)) => assert_eq!(whole, &split),
                (Err(_), Err(_)) => {}
                (whole, split) => panic!("cut at {cuts:?}: {split:?} instead of {whole:?}"),
            }
        };
        if stored.len() <= 256 {
            for at in 0..=stored.len() {
                check(&[at]);
            }
            check(&(0..stored.len()).collect::<Vec<_>>());
        } else {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stored.len())).collect();
            cuts.sort_unstable();
            check(&cuts);
        }
    }
}

/// White space between tokens, as compact, pretty and CRLF writers leave it.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just(""),
        1 => Just(" "),
        1 => Just("\n  "),
        1 => Just("\r\n\t"),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{0,6}",
        2 => prop::sample::select(vec![
            "Records", "\\u0052ecords", "Recor\\u0064s", "eventName", "}", "{", "]", "[", ",", ":",
            "\\\"", "\\\\", "\\n", "a\\\\\\\"b", "\\ud83d\\ude00", "\\ud800", "ü", "日本", "\u{1f600}",
        ]).prop_map(str::to_owned),
    ]
    .prop_map(|text| format!("\"{text}\""))
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        string(),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "-1.5",
            "1e9",
            "1E+2",
            "1624.0",
            "12345678901234567890123",
            "0.1e-3",
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            (prop::collection::vec((string(), inner), 0..5), space()).prop_map(|(items, s)| {
                let pairs: Vec<String> = items
                    .iter()
                    .map(|(k, v)| format!("{k}{s}:{s}{v}"))
                    .collect();
                format!("{{{s}{}{s}}}", pairs.join(&format!("{s},")))
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    value().prop_map(|v| {
        if v.starts_with('{') {
            v
        } else {
            format!("{{\"v\":{v}}}")
        }
    })
}

fn element() -> impl Strategy<Value = String> {
    prop_oneof![5 => object(), 1 => value()]
}

/// Log files, and documents that are nearly that.
fn document() -> impl Strategy<Value = String> {
    let list = || {
        (prop::collection::vec(element(), 0..5), space())
            .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}"))))
    };
    let wrapped = (
        prop::collection::vec((string(), value()), 0..3),
        list(),
        prop::collection::vec((string(), value()), 0..3),
        space(),
    )
        .prop_map(|(before, list, after, s)| {
            let pair = |(k, v): &(String, String)| format!("{k}{s}:{v}");
            let mut parts: Vec<String> = before.iter().map(pair).collect();
            parts.push(format!("\"Records\":{s}{list}"));
            parts.extend(after.iter().map(pair));
            format!("{s}{{{}{s}}}{s}", parts.join(","))
        });
    let bom = prop::sample::select(vec!["", "", "", "\u{feff}"]);
    (bom, prop_oneof![6 => wrapped, 2 => list(), 1 => value()]).prop_map(|(b, d)| format!("{b}{d}"))
}

/// One change that a damaged file may have.
#[derive(Clone, Debug)]
enum Damage {
    Cut,
    Delete,
    Insert(u8),
    Replace(u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || {
        prop_oneof![
            3 => prop::sample::select(br#"{}[]",:\ 0-.eEu/ntf"#.to_vec()),
            1 => any::<u8>(),
        ]
    };
    prop_oneof![
        Just(Damage::Cut),
        Just(Damage::Delete),
        byte().prop_map(Damage::Insert),
        byte().prop_map(Damage::Replace),
    ]
}

fn damaged(document: &str, harm: &[(Damage, prop::sample::Index)]) -> Vec<u8> {
    let mut bytes = document.as_bytes().to_vec();
    for (damage, at) in harm {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match damage {
            Damage::Cut => bytes.truncate(at),
            Damage::Delete => {
                bytes.remove(at);
            }
            Damage::Insert(byte) => bytes.insert(at, *byte),
            Damage::Replace(byte) => bytes[at] = *byte,
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sound_documents_read_as_serde_json_reads_them(
        document in document(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        agree(document.as_bytes(), &cuts);
    }

    #[test]
    fn damaged_documents_are_refused_where_serde_json_refuses_them(
        document in document(),
        harm in prop::collection::vec((damage(), any::<prop::sample::Index>()), 1..3),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        agree(&damaged(&document, &harm), &cuts);
    }

    #[test]
    fn a_file_larger_than_the_buffers_reads_the_same_in_any_pieces(
        sizes in prop::collection::vec(1usize..40_000, 1..16),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let items: Vec<String> = sizes
            .iter()
            .map(|size| format!("{{\"a\":\"{}\"}}", "x}".repeat(size / 2)))
            .collect();
        agree(format!("{{\"Records\":[{}]}}", items.join(",")).as_bytes(), &cuts);
    }
}

#[test]
fn a_cut_at_any_byte_is_an_error() {
    let document = br#"{"a":[1,{"Records":[]}],"Records":[{"x":"}"},{"y":[{}]}],"b":null}"#;
    for stored in [document.to_vec(), gzip(document)] {
        assert_eq!(records(&stored).len(), 2);
        for end in 0..stored.len() {
            assert!(read(&stored[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn what_is_no_log_file_is_told_from_what_is_no_json() {
    let foreign = [
        "{}",
        "null",
        "17",
        "\"x\"",
        "[1,2]",
        r#"{"Records":null}"#,
        r#"{"Records":{}}"#,
        r#"{"configurationItems":[{}]}"#,
        r#"[[{}]]"#,
    ];
    for document in foreign {
        let error = read(document.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadError::NotCloudTrail { .. }),
            "{document}: {error}"
        );
    }
    for document in ["1e999", r#""\ud800""#] {
        oracle::compare(document.as_bytes(), &read(document.as_bytes()));
    }
    let no_json = [
        "version,account\n2,1",
        "2 123456789012 eni-1",
        "<html>",
        "tru",
        "\u{feff}x",
        "\x1f",
    ];
    for document in no_json {
        let error = read(document.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadError::NotJson { .. }),
            "{document}: {error}"
        );
    }
    for document in ["", " \n", "\u{feff}"] {
        assert_eq!(
            read(document.as_bytes()),
            Err(ReadError::Empty),
            "{document:?}"
        );
    }
    let broken = [
        r#"{"Records":[{}]}x"#,
        r#"{"Records":[{},]}"#,
        r#"{"Records":[{}]]"#,
        r#"{"a" 1}"#,
    ];
    for document in broken {
        let error = read(document.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadError::BrokenJson { .. }),
            "{document}: {error}"
        );
    }
}

#[test]
fn records_are_found_anywhere_and_in_any_company() {
    assert_eq!(records(br#"[{"a":1},{}]"#), [r#"{"a":1}"#, "{}"]);
    assert_eq!(records(b"[]"), Vec::<String>::new());
    let escaped = br#"{"v":{"Records":[{"no":1}]},"\u0052ecords":[{"yes":1}]}"#;
    assert_eq!(records(escaped), [r#"{"yes":1}"#]);
    // Both lists of a doubled key: a parser that takes the last would lose the first.
    assert_eq!(
        records(br#"{"Records":[{"a":1}],"Records":[{"b":2}]}"#).len(),
        2
    );
}

#[test]
fn elements_that_cannot_be_forwarded_come_byte_for_byte_with_their_reason() {
    let deep = format!(
        "{}{}",
        "{\"d\":".repeat(126),
        "1".to_owned() + &"}".repeat(126)
    );
    let document = [
        &br#"{"Records":[{"a":1}, "text" ,[1,2],-1.5,{"c":"#[..],
        b"\"\x01\"},{\"u\":\"\xff\"},",
        deep.as_bytes(),
        br#",{"z":1}]}"#,
    ]
    .concat();
    let mut reader = LogReader::new();
    reader.push(document.clone().into());
    reader.finish();
    let mut reasons = Vec::new();
    let mut good = 0;
    loop {
        match reader.next().unwrap() {
            Step::Record(_) => good += 1,
            Step::Bad(bad) => {
                let at = usize::try_from(bad.offset).unwrap();
                assert_eq!(bad.bytes, &document[at..at + bad.bytes.len()]);
                reasons.push(bad.reason);
            }
            Step::End => break,
            _ => {}
        }
    }
    assert_eq!(good, 2);
    let no = Reason::NotAnObject;
    assert_eq!(
        reasons,
        [
            no,
            no,
            no,
            Reason::BadText,
            Reason::BadText,
            Reason::TooDeep
        ]
    );
}

#[test]
fn a_record_over_the_cap_is_named_by_place_length_and_hash_and_the_rest_goes_on() {
    use sha2::{Digest, Sha256};
    for (size, element) in [(9_000, true), (300_000, true), (300_000, false)] {
        let big = if element {
            format!("{{\"big\":\"{}\"}}", "x".repeat(size))
        } else {
            format!("\"{}\"", "x".repeat(size))
        };
        let document = format!(r#"{{"Records":[{{"a":1}},{big} ,{{"b":2}}]}}"#);
        for stored in [document.clone().into_bytes(), gzip(document.as_bytes())] {
            let mut reader = LogReader::with_limits(ReadLimits::default().with_record_bytes(4096));
            let mut records = 0;
            let mut oversized = None;
            for piece in stored.chunks(1000) {
                reader.push(piece.to_vec().into());
                loop {
                    match reader.next().unwrap() {
                        Step::Record(_) => records += 1,
                        Step::Oversized(big) => oversized = Some(big),
                        Step::NeedInput => break,
                        _ => {}
                    }
                }
                assert!(reader.held_bytes() < 200_000);
            }
            reader.finish();
            assert!(matches!(reader.next(), Ok(Step::End)));
            let oversized = oversized.unwrap();
            assert_eq!(records, 2);
            assert_eq!(oversized.offset, 20);
            assert_eq!(oversized.length, big.len() as u64);
            assert_eq!(oversized.sha256, <[u8; 32]>::from(Sha256::digest(&big)));
        }
    }
}

#[test]
fn caps_on_inflated_bytes_and_ratio_are_seen_as_bytes_appear() {
    let document = format!("{{\"pad\":\"{}\",\"Records\":[]}}", "0".repeat(100_000));
    let exact = ReadLimits::default().with_inflated_bytes(document.len() as u64);
    let stored = gzip(document.as_bytes());
    assert_eq!(oracle::reader(&stored, &[], exact), Ok(vec![]));
    let short = exact.with_inflated_bytes(document.len() as u64 - 1);
    let over = ReadError::TooLarge {
        cap: document.len() as u64 - 1,
    };
    assert_eq!(oracle::reader(&stored, &[], short), Err(over));

    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 20 * 1024 * 1024]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert_eq!(read(&bomb), Err(ReadError::TooDense { cap: 500 }));
    let mut reader = LogReader::new();
    reader.push(bomb.into());
    while reader.next().is_ok() {}
    assert!(reader.inflated_bytes() <= 16 * 1024 * 1024 + 64 * 1024);
}
