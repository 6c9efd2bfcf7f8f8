//! Log files listed from a bucket and streamed from it.
//!
//! [`S3Source`] lists, [`S3Reader`] opens what was listed (or named by a message),
//! and [`client`](client()) makes an SDK client for an endpoint of one's own.

mod body;
mod builder;
mod client;
mod page;
mod reader;
mod scope;
mod source;
mod stats;
mod walk;

pub use builder::S3SourceBuilder;
pub use client::{PlainHttp, client};
pub use reader::{S3Reader, S3ReaderBuilder};
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

#[cfg(test)]
mod tests {
    use super::bare_etag;

    #[test]
    fn an_etag_loses_its_own_quotes_only() {
        assert_eq!(bare_etag("\"abc-2\""), "abc-2");
        assert_eq!(bare_etag("abc"), "abc");
        assert_eq!(bare_etag("W/\"abc\""), "W/\"abc\"");
        assert_eq!(bare_etag("\""), "\"");
    }
}
