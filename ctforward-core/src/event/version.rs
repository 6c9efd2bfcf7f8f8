//! The version of a record's format.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// `eventVersion`: two whole numbers, compared as numbers, so that 1.11 is later than 1.9.
///
/// AWS keeps the major number while old readers can still read the record and
/// lets the minor one grow
/// ([record contents](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html)).
///
/// ```
/// use ctforward_core::event::EventVersion;
///
/// let version: EventVersion = "1.11".parse()?;
/// assert!(version > EventVersion::new(1, 9));
/// assert_eq!("1.08".parse::<EventVersion>()?, EventVersion::new(1, 8));
/// # Ok::<(), ctforward_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventVersion {
    major: u32,
    minor: u32,
}

impl EventVersion {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The number before the point.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.major
    }

    /// The number behind the point: 8 in `1.08`.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.minor
    }

    /// Reads `1.08`, `1.11`, also `2`; further parts behind a second point are let be.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut number = || match parts.next() {
            Some(part) if part.bytes().all(|b| b.is_ascii_digit()) => {
                part.parse::<u32>().map(Some).ok()
            }
            Some(_) => None,
            None => Some(None),
        };
        let major = number()??;
        let minor = number()?.unwrap_or(0);
        while number()?.is_some() {}
        Some(Self { major, minor })
    }
}

/// As AWS writes it: `1.0`, then `1.01` to `1.09`, `1.10`.
impl fmt::Display for EventVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            0 => write!(f, "{}.0", self.major),
            minor => write!(f, "{}.{minor:02}", self.major),
        }
    }
}

impl FromStr for EventVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            Error::new(
                ErrorKind::Malformed,
                "record",
                "an event version is two whole numbers with a point between",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_print_as_aws_writes_them() {
        let all = [
            "1.0", "1.01", "1.02", "1.05", "1.08", "1.09", "1.10", "1.11", "2.0",
        ];
        let read: Vec<_> = all.iter().map(|v| EventVersion::read(v).unwrap()).collect();
        assert!(read.is_sorted());
        for (text, version) in all.iter().zip(&read) {
            assert_eq!(version.to_string(), *text);
        }
        assert_eq!(EventVersion::read("1.9"), EventVersion::read("1.09"));
        assert_eq!(EventVersion::read("3"), Some(EventVersion::new(3, 0)));
        assert_eq!(EventVersion::read("1.2.3"), Some(EventVersion::new(1, 2)));
    }

    #[test]
    fn anything_else_is_none() {
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "1.x",
            "+1.0",
            "1.4294967296",
            " 1.0",
            "1.2.x",
        ] {
            assert_eq!(EventVersion::read(bad), None, "{bad}");
            assert!(bad.parse::<EventVersion>().is_err());
        }
    }
}
