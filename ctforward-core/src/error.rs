//! The one error of the workspace: what a caller can act on, and whether trying again helps.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong, or the endpoint is not what it was taken for.
    Config,
    /// The credentials were refused, or do not allow this.
    Unauthorized,
    /// The object, bucket or folder is not there.
    NotFound,
    /// The object lies in an archive storage class and must be restored first.
    Archived,
    /// The object changed while it was read.
    Changed,
    /// The other side asks for a slower pace.
    Throttled,
    /// The other side, or the way to it, does not work at the moment.
    Unavailable,
    /// No answer came in time.
    Timeout,
    /// Larger than a limit: a file's cap, or what a sink takes in one request.
    TooLarge,
    /// Not readable: cut, corrupt, or not JSON.
    Malformed,
    /// Readable, but not a CloudTrail log file.
    NotCloudTrail,
    /// The sink refused the content of a batch, and will refuse it again.
    Rejected,
    /// Work was given up because the pipeline stops.
    Cancelled,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind's name in reports and metrics: lower case, words joined by `_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Archived => "archived",
            Self::Changed => "changed",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::NotCloudTrail => "not_cloudtrail",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail the same way.
    Never,
    /// It may succeed; wait as the caller's own backoff says.
    Backoff,
    /// It may succeed, and the other side said not to come back earlier than this.
    After(Duration),
}

/// The error of every fallible call in ctforward.
///
/// `Display` shows `origin: message` and never a source: the chain is reached by
/// [`std::error::Error::source`]. Messages hold no token, no address with user
/// information or a query, and no raw control characters from outside
/// (see [`crate::text::printable`]); adapters keep to that when they make one.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct Error {
    kind: ErrorKind,
    retry: Retry,
    origin: &'static str,
    message: Cow<'static, str>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` that came from `origin` (`"s3"`, `"sink"`, …), not worth a retry.
    pub fn new(
        kind: ErrorKind,
        origin: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind,
            retry: Retry::Never,
            origin,
            message: message.into(),
            source: None,
        }
    }

    /// The same error with other retry advice.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Which part the error came from.
    #[must_use]
    pub fn origin(&self) -> &'static str {
        self.origin
    }

    /// The message without its origin.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self.retry, Retry::Never)
    }

    /// A copy without the source, for a second receiver of the same news.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            retry: self.retry,
            origin: self.origin,
            message: self.message.clone(),
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_shows_origin_and_message_and_source_is_reached_by_source() {
        let e = Error::new(ErrorKind::Timeout, "sink", "no answer within 30 s")
            .with_retry(Retry::Backoff)
            .with_source(std::io::Error::other("inner"));
        assert_eq!(e.to_string(), "sink: no answer within 30 s");
        assert_eq!(StdError::source(&e).unwrap().to_string(), "inner");
        assert!(e.is_retryable());
    }

    #[test]
    fn an_error_is_small_enough_for_every_result() {
        assert!(size_of::<Error>() <= 96, "{}", size_of::<Error>());
    }
}
