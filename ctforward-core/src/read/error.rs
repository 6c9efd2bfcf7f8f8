use crate::error::{Error, ErrorKind};

/// Why a file cannot be read as a log file.
///
/// Offsets are in the inflated file, except where they are said to be in the
/// stored one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file holds no byte but white space.
    #[error("not JSON: the file is empty")]
    Empty,
    /// The file is no JSON from its first byte on: a CSV, a flow log, an image.
    #[error("not JSON: it begins with {first:#04x}, and is not valid at byte {offset}")]
    NotJson {
        /// The first byte that is no white space.
        first: u8,
        /// Where it stops being JSON.
        offset: u64,
    },
    /// The file begins as JSON but breaks its grammar outside of a record.
    #[error("broken JSON at byte {offset}: {what}")]
    BrokenJson {
        /// Where.
        offset: u64,
        /// What was expected, or found.
        what: &'static str,
    },
    /// The file is JSON but holds no list of records.
    #[error("not a CloudTrail log file: {what}")]
    NotCloudTrail {
        /// What it has instead.
        what: &'static str,
    },
    /// The file ends in the middle.
    #[error("cut: the file ends in {within} after {offset} bytes")]
    Cut {
        /// What was not finished.
        within: &'static str,
        /// Inflated bytes seen.
        offset: u64,
    },
    /// The compressed stream is damaged.
    #[error("corrupt gzip at stored byte {stored}: {what}")]
    Corrupt {
        /// Where in the stored file.
        stored: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file inflates to more than the cap.
    #[error("over the cap: more than {cap} inflated bytes")]
    TooLarge {
        /// The cap.
        cap: u64,
    },
    /// The file inflates to more times its stored size than the cap.
    #[error("over the cap: inflates to more than {cap} times its stored size")]
    TooDense {
        /// The cap.
        cap: u64,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let kind = match error {
            ReadError::NotCloudTrail { .. } => ErrorKind::NotCloudTrail,
            ReadError::TooLarge { .. } | ReadError::TooDense { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::Malformed,
        };
        Self::new(kind, "reader", error.to_string())
    }
}
