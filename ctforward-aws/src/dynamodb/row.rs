//! A row as an item of the table.
//!
//! Times are milliseconds since 1970, `ttl` seconds. What is not known is left out;
//! `lease` is there only while somebody holds the file.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ctforward_core::ledger::{Finished, Mark};
use ctforward_core::pipeline::RecordBooks;
use ctforward_core::{Object, ObjectId};
use sha2::{Digest, Sha256};

pub(super) type Item = HashMap<String, AttributeValue>;

/// The version of the rows that this code writes.
pub(super) const VERSION: u64 = 1;

/// A partition key's bytes, at most.
const MOST: usize = 2048;

pub(super) const ID: &str = "id";
pub(super) const STATE: &str = "state";
pub(super) const FENCE: &str = "fence";
pub(super) const LEASE: &str = "lease";
pub(super) const OWNER: &str = "owner";
/// Names the last write, so that one whose answer was lost is known again.
pub(super) const CALL: &str = "call";
pub(super) const ETAG: &str = "etag";
pub(super) const SIZE: &str = "size";
pub(super) const TTL: &str = "ttl";

pub(super) const IN_PROGRESS: &str = "in_progress";
pub(super) const DELIVERED: &str = "delivered";
pub(super) const QUARANTINED: &str = "quarantined";

/// What a file's end, or its progress, leaves in its row besides ETag and size.
pub(super) const DECIDED: [&str; 16] = [
    TTL,
    "low_water",
    "records_in",
    "accepted",
    "filtered",
    "duplicate",
    "quarantined",
    "undecided",
    "resumed",
    "compressed",
    "inflated",
    "sent",
    "sha256",
    "first_event",
    "last_event",
    "accepted_at",
];

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InProgress,
    Delivered,
    Quarantined,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => IN_PROGRESS,
            Self::Delivered => DELIVERED,
            Self::Quarantined => QUARANTINED,
        }
    }
}

/// A row, as far as decisions hang on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) fence: u64,
    /// Until when somebody holds the file.
    pub(super) lease: Option<i64>,
    pub(super) call: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) mark: Mark,
    /// From when on the row counts no more, in seconds.
    pub(super) ttl: Option<i64>,
}

impl Row {
    /// The row of an item; `None` where it is none that this code wrote.
    pub(super) fn read(item: &Item) -> Option<Self> {
        if number(item, "v")? != VERSION {
            return None;
        }
        let state = match text(item, STATE)? {
            IN_PROGRESS => State::InProgress,
            DELIVERED => State::Delivered,
            QUARANTINED => State::Quarantined,
            _ => return None,
        };
        let count = |name| optional(item, name, number).map(Option::unwrap_or_default);
        let mut books = RecordBooks::default();
        books.read = count("records_in")?;
        books.accepted = count("accepted")?;
        books.filtered = count("filtered")?;
        books.duplicate = count("duplicate")?;
        books.quarantined = count("quarantined")?;
        books.undecided = count("undecided")?;
        books.resumed = count("resumed")?;
        Some(Self {
            state,
            fence: number(item, FENCE)?,
            lease: optional(item, LEASE, signed)?,
            call: optional(item, CALL, |item, name| text(item, name).map(str::to_owned))?,
            etag: optional(item, ETAG, |item, name| text(item, name).map(str::to_owned))?,
            size: optional(item, SIZE, number)?,
            mark: Mark::new(count("low_water")?, books),
            ttl: optional(item, TTL, signed)?,
        })
    }
}

/// An attribute that need not be there, but must be one if it is.
fn optional<T>(
    item: &Item,
    name: &str,
    read: impl Fn(&Item, &str) -> Option<T>,
) -> Option<Option<T>> {
    match item.get(name) {
        None | Some(AttributeValue::Null(_)) => Some(None),
        Some(_) => read(item, name).map(Some),
    }
}

pub(super) fn text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn signed(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The partition key of a file: its bucket, with its length before it, and its key. No
/// two files have the same, and people can read it. A path that is longer than a
/// partition key may be goes by its SHA-256; a key of S3 (1024 bytes) never is.
pub(super) fn id(object: &ObjectId) -> String {
    let (bucket, key) = (&object.bucket, &object.key);
    let id = format!("{}:{bucket}/{key}", bucket.len());
    if id.len() <= MOST {
        return id;
    }
    let mut short = "sha256:".to_owned();
    for byte in Sha256::digest(id.as_bytes()) {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

/// Attributes to set; those that are `None` are to be removed.
pub(super) type Values = Vec<(&'static str, Option<AttributeValue>)>;

/// What is known of the file itself.
pub(super) fn of_object(object: &Object) -> Values {
    vec![
        (ETAG, object.etag.clone().map(s)),
        (SIZE, object.size.map(n)),
    ]
}

pub(super) fn of_books(books: &RecordBooks) -> Values {
    vec![
        ("records_in", Some(n(books.read))),
        ("accepted", Some(n(books.accepted))),
        ("filtered", Some(n(books.filtered))),
        ("duplicate", Some(n(books.duplicate))),
        ("quarantined", Some(n(books.quarantined))),
        ("undecided", Some(n(books.undecided))),
        ("resumed", Some(n(books.resumed))),
    ]
}

pub(super) fn of_finished(finished: &Finished) -> Values {
    let books = &finished.books;
    let (first, last) = finished.events.unzip();
    let sha256 = finished
        .sha256
        .map(|hash| AttributeValue::B(Blob::new(hash)));
    let mut values = of_books(&books.records);
    values.extend([
        ("compressed", Some(n(books.compressed))),
        ("inflated", Some(n(books.inflated))),
        ("sent", Some(n(books.sent))),
        ("sha256", sha256),
        ("first_event", first.map(|at| n(at.as_millisecond()))),
        ("last_event", last.map(|at| n(at.as_millisecond()))),
        ("accepted_at", Some(n(finished.at.as_millisecond()))),
    ]);
    values
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_files_share_a_partition_key_and_none_is_too_long() {
        let long = "k".repeat(1024);
        let path = format!("file:///{}", "p".repeat(4000));
        let all = [
            ("b", "k"),
            ("b/a", "b"),
            ("b", "a/b"),
            ("b\u{0}a", "b"),
            ("", ""),
            ("", "/"),
            ("1:b", "k"),
            ("b", long.as_str()),
            (path.as_str(), "a"),
            (path.as_str(), "b"),
        ];
        let ids: HashSet<String> = all
            .iter()
            .map(|(b, k)| id(&ObjectId::new(*b, *k)))
            .collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.iter().all(|id| (1..=MOST).contains(&id.len())));
        assert_eq!(id(&ObjectId::new("trail", "a/b")), "5:trail/a/b");
    }

    fn item() -> Item {
        let mut item = Item::new();
        for (name, value) in [
            ("v", n(VERSION)),
            (STATE, s(DELIVERED)),
            (FENCE, n(u64::MAX)),
            (SIZE, n(7)),
            ("low_water", n(u64::MAX)),
            ("accepted", n(3)),
        ] {
            item.insert(name.to_owned(), value);
        }
        item
    }

    #[test]
    fn a_row_is_read_whole_or_not_at_all() {
        let row = Row::read(&item()).unwrap();
        assert_eq!(
            (row.state, row.fence, row.size),
            (State::Delivered, u64::MAX, Some(7))
        );
        assert_eq!(
            (row.mark.low_water, row.mark.records.accepted),
            (u64::MAX, 3)
        );
        for (name, value) in [
            ("v", Some(n(2))),
            ("v", None),
            (STATE, Some(s("done"))),
            (STATE, None),
            (FENCE, Some(n(-1))),
            (FENCE, None),
            (LEASE, Some(s("1"))),
            (ETAG, Some(n(1))),
            ("accepted", Some(AttributeValue::N("1.5".to_owned()))),
            (TTL, Some(s("soon"))),
        ] {
            let mut item = item();
            item.remove(name);
            if let Some(value) = value.clone() {
                item.insert(name.to_owned(), value);
            }
            assert_eq!(Row::read(&item), None, "{name} {value:?}");
        }
    }
}
