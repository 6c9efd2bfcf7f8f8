//! What an error of SQLite or of the file system means to a caller.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind, Retry};
use crate::text::printable;

const ORIGIN: &str = "ledger";

/// A path as it is shown.
pub(super) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// A ledger that is not to be used as it is.
pub(super) fn unfit(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, format!("{}: {why}", shown(path)))
}

/// An error of the file system while a ledger was opened.
pub(super) fn file(path: &Path, doing: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Unauthorized,
        _ => ErrorKind::Unavailable,
    };
    let text = format!("{}: {doing}: {error}", shown(path));
    Error::new(kind, ORIGIN, text).with_source(error)
}

/// The one place that says what an answer of SQLite is worth.
fn classify(code: Option<ErrorCode>) -> (ErrorKind, Retry, &'static str) {
    use ErrorCode as C;
    let (unavailable, config, other) =
        (ErrorKind::Unavailable, ErrorKind::Config, ErrorKind::Other);
    match code {
        Some(C::DatabaseBusy | C::DatabaseLocked) => (
            unavailable,
            Retry::Backoff,
            "the file is locked by another process",
        ),
        Some(C::DiskFull) => (unavailable, Retry::Backoff, "the disk is full"),
        Some(C::SystemIoFailure) => (unavailable, Retry::Backoff, "the disk did not do its part"),
        Some(
            C::CannotOpen
            | C::OutOfMemory
            | C::OperationInterrupted
            | C::OperationAborted
            | C::FileLockingProtocolFailed,
        ) => (
            unavailable,
            Retry::Backoff,
            "the file cannot be used at the moment",
        ),
        Some(C::ReadOnly | C::PermissionDenied | C::AuthorizationForStatementDenied) => {
            (config, Retry::Never, "the file cannot be written")
        }
        Some(C::DatabaseCorrupt | C::NotADatabase) => (other, Retry::Never, "the file is damaged"),
        _ => (other, Retry::Never, "an unexpected answer of SQLite"),
    }
}

/// An error of SQLite.
pub(super) fn sqlite(error: rusqlite::Error) -> Error {
    let (kind, retry, what) = classify(error.sqlite_error_code());
    // The text names tables and numbers of SQLite, never what a row holds.
    let text = format!("{what}: {}", printable(&error.to_string()));
    Error::new(kind, ORIGIN, text)
        .with_retry(retry)
        .with_source(error)
}

/// The thread that owns the file is gone.
pub(super) fn ended() -> Error {
    Error::new(
        ErrorKind::Other,
        ORIGIN,
        "the thread that writes the file has ended; open the ledger again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_stays_is_not() {
        use ErrorCode as C;
        for (code, kind, again) in [
            (C::DatabaseBusy, ErrorKind::Unavailable, true),
            (C::DatabaseLocked, ErrorKind::Unavailable, true),
            (C::DiskFull, ErrorKind::Unavailable, true),
            (C::SystemIoFailure, ErrorKind::Unavailable, true),
            (C::CannotOpen, ErrorKind::Unavailable, true),
            (C::ReadOnly, ErrorKind::Config, false),
            (C::PermissionDenied, ErrorKind::Config, false),
            (C::DatabaseCorrupt, ErrorKind::Other, false),
            (C::NotADatabase, ErrorKind::Other, false),
            (C::ConstraintViolation, ErrorKind::Other, false),
        ] {
            let (got, retry, _) = classify(Some(code));
            assert_eq!((got, retry != Retry::Never), (kind, again), "{code:?}");
        }
        assert_eq!(classify(None).0, ErrorKind::Other);
    }
}
