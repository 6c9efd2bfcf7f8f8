use jiff::Timestamp;
use rusqlite::Row;
use serde::{Serialize, Serializer};

use super::store::{DELIVERED, IN_PROGRESS, QUARANTINED, books, number};
use crate::pipeline::RecordBooks;

/// The columns that [`LedgerRow::read`] takes, in its order.
pub(super) const COLUMNS: &str = "bucket, key, version, etag, size, account, region, state, \
    records_in, accepted, filtered, duplicate, quarantined, undecided, resumed, compressed, \
    inflated, low_water, sha256, first_event, last_event, claimed_at, accepted_at, owner, fence, \
    lease, sent";

/// How far a log file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RowState {
    /// Claimed once, and not finished; somebody may or may not be at it.
    InProgress,
    /// Every record is decided.
    Delivered,
    /// The whole file is in quarantine, or its end from some record on.
    Quarantined,
}

impl RowState {
    /// The state's name: lower case, words joined by `_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Delivered => "delivered",
            Self::Quarantined => "quarantined",
        }
    }

    pub(super) fn number(self) -> i64 {
        match self {
            Self::InProgress => IN_PROGRESS,
            Self::Delivered => DELIVERED,
            Self::Quarantined => QUARANTINED,
        }
    }

    /// What is none of the known states is not finished.
    pub(super) fn from_number(number: i64) -> Self {
        match number {
            DELIVERED => Self::Delivered,
            QUARANTINED => Self::Quarantined,
            _ => Self::InProgress,
        }
    }
}

/// What a ledger knows of one log file. In JSON, times are in RFC 3339 and the hash
/// is in hexadecimal digits.
///
/// Its texts come from outside: print them by [`printable`](crate::text::printable).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerRow {
    /// The bucket; for a folder, `file://` and its path.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version that was asked for, where one was.
    pub version: Option<String>,
    /// The ETag when it was last opened, once it was.
    pub etag: Option<String>,
    /// The size as stored, in bytes, when it was last opened.
    pub size: Option<u64>,
    /// The account that the key names, where the key is CloudTrail's.
    pub account: Option<String>,
    /// The region that the key names, where the key is CloudTrail's.
    pub region: Option<String>,
    /// How far it is.
    pub state: RowState,
    /// Its books; while it is in progress, those of what lies below the low-water mark.
    pub records: RecordBooks,
    /// Bytes read as stored, once it is finished.
    pub compressed: u64,
    /// Bytes after inflation, once it is finished.
    pub inflated: u64,
    /// Bytes of accepted records as the run that finished it sent them, with a line feed each.
    pub sent: u64,
    /// Every record that starts before this byte of the inflated file was decided
    /// when progress was last noted.
    pub low_water: u64,
    /// SHA-256 of the inflated file, where it was asked for.
    #[serde(serialize_with = "hex")]
    pub sha256: Option<[u8; 32]>,
    /// The earliest eventTime among its records.
    #[serde(serialize_with = "time")]
    pub first_event: Option<Timestamp>,
    /// The latest eventTime among its records.
    #[serde(serialize_with = "time")]
    pub last_event: Option<Timestamp>,
    /// When it was first claimed; a file that was written anew begins anew.
    #[serde(serialize_with = "some_time")]
    pub claimed_at: Timestamp,
    /// When its last record was decided, once it is finished.
    #[serde(serialize_with = "time")]
    pub accepted_at: Option<Timestamp>,
    /// Who claimed it last.
    pub owner: String,
    /// How often it was granted.
    pub fence: u64,
    /// Until when somebody holds it, if that process lives.
    #[serde(serialize_with = "time")]
    pub lease_until: Option<Timestamp>,
}

impl LedgerRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let at = |column| -> rusqlite::Result<Option<Timestamp>> {
            Ok(row.get::<_, Option<i64>>(column)?.map(timestamp))
        };
        Ok(Self {
            bucket: row.get(0)?,
            key: row.get(1)?,
            version: row.get(2)?,
            etag: row.get(3)?,
            size: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            account: row.get(5)?,
            region: row.get(6)?,
            state: RowState::from_number(row.get(7)?),
            records: books(row, 8)?,
            compressed: number(row, 15)?,
            inflated: number(row, 16)?,
            sent: number(row, 26)?,
            low_water: number(row, 17)?,
            sha256: row.get(18)?,
            first_event: at(19)?,
            last_event: at(20)?,
            claimed_at: timestamp(row.get(21)?),
            accepted_at: at(22)?,
            owner: row.get(23)?,
            fence: number(row, 24)?,
            lease_until: at(25)?,
        })
    }
}

/// Milliseconds since 1970; what is beyond the calendar is its end.
pub(super) fn timestamp(millisecond: i64) -> Timestamp {
    let end = if millisecond < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(millisecond).unwrap_or(end)
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
fn hex<S: Serializer>(bytes: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    match bytes {
        None => to.serialize_none(),
        Some(bytes) => to.collect_str(
            &bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
                .collect::<String>(),
        ),
    }
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
pub(super) fn time<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        None => to.serialize_none(),
        Some(at) => to.collect_str(at),
    }
}

pub(super) fn some_time<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}
