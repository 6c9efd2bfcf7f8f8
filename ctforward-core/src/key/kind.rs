//! The kinds of files that CloudTrail delivers.

use std::fmt;

/// What a CloudTrail folder or file holds, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind<'k> {
    /// `CloudTrail`: management and data events.
    CloudTrail,
    /// `CloudTrail-Digest`: hashes of delivered log files; holds no events.
    Digest,
    /// `CloudTrail-Insight`: unusual rates of calls and errors.
    Insight,
    /// `CloudTrail-NetworkActivity`: calls through VPC endpoints.
    NetworkActivity,
    /// `CloudTrail-Aggregated`: five-minute summaries of data events.
    Aggregated,
    /// Another name that starts with `CloudTrail-`, which this version does not
    /// know and takes for log files, so that a new kind is not left out in silence.
    Other(&'k str),
}

impl<'k> Kind<'k> {
    /// The kind of this name; `None` if it is no CloudTrail kind.
    ///
    /// `CloudTrail-Lake` is none: query results lie there, not log files.
    ///
    /// ```
    /// use ctforward_core::key::Kind;
    ///
    /// assert_eq!(Kind::parse("CloudTrail-Insight"), Some(Kind::Insight));
    /// assert_eq!(Kind::parse("Config"), None);
    /// ```
    #[must_use]
    pub fn parse(name: &'k str) -> Option<Self> {
        Some(match name {
            "CloudTrail" => Self::CloudTrail,
            "CloudTrail-Digest" => Self::Digest,
            "CloudTrail-Insight" => Self::Insight,
            "CloudTrail-NetworkActivity" => Self::NetworkActivity,
            "CloudTrail-Aggregated" => Self::Aggregated,
            "CloudTrail-Lake" => return None,
            other => {
                let rest = other.strip_prefix("CloudTrail-")?;
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
                if rest.is_empty() || !rest.bytes().all(plain) {
                    return None;
                }
                Self::Other(other)
            }
        })
    }

    /// The name, as it stands in keys.
    #[must_use]
    pub fn as_str(&self) -> &'k str {
        match self {
            Self::CloudTrail => "CloudTrail",
            Self::Digest => "CloudTrail-Digest",
            Self::Insight => "CloudTrail-Insight",
            Self::NetworkActivity => "CloudTrail-NetworkActivity",
            Self::Aggregated => "CloudTrail-Aggregated",
            Self::Other(name) => name,
        }
    }
}

/// The name, as it stands in keys.
impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for name in [
            "CloudTrail",
            "CloudTrail-Digest",
            "CloudTrail-Insight",
            "CloudTrail-NetworkActivity",
            "CloudTrail-Aggregated",
            "CloudTrail-Tomorrow",
        ] {
            assert_eq!(Kind::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "cloudtrail",
            "CloudTrail-",
            "CloudTrail-Lake",
            "CloudTrails",
            "CloudTrail-a_b",
        ] {
            assert_eq!(Kind::parse(name), None, "{name}");
        }
    }
}
