//! Log files listed from a bucket and streamed from it.
//!
//! [`S3Source`] lists once, [`Rounds`] again and again, [`S3Reader`] opens what was listed (or named by a message),
//! and [`client`](client()) makes an SDK client for an endpoint of one's own.

mod body;
mod builder;
pub(crate) mod client;
mod clients;
pub(crate) mod page;
pub mod quarantine;
mod reader;
#[cfg(feature = "roles")]
mod role;
pub mod rounds;
mod scope;
mod source;
mod stats;
mod walk;

pub use crate::shell::restore_command;
pub use builder::S3SourceBuilder;
pub use client::{PlainHttp, client};
pub use clients::{BucketClients, BucketClientsBuilder};
pub use quarantine::S3Quarantine;
pub use reader::{S3Reader, S3ReaderBuilder};
#[cfg(feature = "roles")]
pub use role::AssumedRole;
pub use rounds::Rounds;
pub use source::S3Source;
pub use stats::{ListStats, StatsHandle};

/// An ETag without the quotes around it.
///
/// A listing and a GET's head show `"abc"`, a notification shows `abc`; without
/// quotes the three compare equal.
pub fn bare_etag(etag: &str) -> &str {
    etag.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(etag)
}

/// Whether objects of this storage class must be restored before they can be read.
///
/// What Intelligent-Tiering keeps in its archive tiers shows as `INTELLIGENT_TIERING`
/// in a listing and is not known by it, nor is an object that was restored already.
#[must_use]
pub fn needs_restore(storage_class: &str) -> bool {
    // GLACIER_IR is read at once.
    matches!(storage_class, "GLACIER" | "DEEP_ARCHIVE")
}

#[cfg(test)]
mod tests {
    use super::{bare_etag, needs_restore};

    #[test]
    fn two_storage_classes_need_a_restore() {
        for class in ["GLACIER", "DEEP_ARCHIVE"] {
            assert!(needs_restore(class), "{class}");
        }
        for class in [
            "STANDARD",
            "GLACIER_IR",
            "INTELLIGENT_TIERING",
            "glacier",
            "",
        ] {
            assert!(!needs_restore(class), "{class}");
        }
    }

    #[test]
    fn an_etag_loses_its_own_quotes_only() {
        assert_eq!(bare_etag("\"abc-2\""), "abc-2");
        assert_eq!(bare_etag("abc"), "abc");
        assert_eq!(bare_etag("W/\"abc\""), "W/\"abc\"");
        assert_eq!(bare_etag("\""), "\"");
    }
}
