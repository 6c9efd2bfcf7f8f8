//! Regions of Cloud One.

use std::fmt;
use std::str::FromStr;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

use super::ORIGIN;
use crate::api::is_label;

/// The regions that the vendor lists, with the AWS region in which the stack of each
/// must be made.
const KNOWN: [(&str, &str); 8] = [
    ("us-1", "us-east-1"),
    ("in-1", "ap-south-1"),
    ("gb-1", "eu-west-2"),
    ("jp-1", "ap-northeast-1"),
    ("de-1", "eu-central-1"),
    ("au-1", "ap-southeast-2"),
    ("ca-1", "ca-central-1"),
    ("sg-1", "ap-southeast-1"),
];

/// A region of Cloud One, such as `us-1`. One that is not [known](Self::known) is
/// taken too, as long as it can be part of a host's name.
///
/// ```
/// # fn main() -> ctforward_core::Result<()> {
/// use ctforward_visionone::CloudOneRegion;
///
/// let region: CloudOneRegion = "jp-1".parse()?;
/// assert_eq!(region.aws_region(), Some("ap-northeast-1"));
/// assert!("us-1.example.com/".parse::<CloudOneRegion>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloudOneRegion(String);

impl CloudOneRegion {
    /// The names that the vendor lists.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _)| *name)
    }

    /// The region of the stand-in, if no other is set.
    #[cfg(feature = "standin")]
    pub(crate) fn us_1() -> Self {
        Self("us-1".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The AWS region that the vendor requires for it; `None` where it is not listed.
    #[must_use]
    pub fn aws_region(&self) -> Option<&'static str> {
        let found = KNOWN.iter().find(|(name, _)| *name == self.0);
        found.map(|(_, aws)| *aws)
    }
}

impl FromStr for CloudOneRegion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = text.trim().to_ascii_lowercase();
        if is_label(&name) {
            return Ok(Self(name));
        }
        Err(Error::new(
            ErrorKind::Config,
            ORIGIN,
            format!(
                "{} is not the name of a Cloud One region; known are {}",
                excerpt(text, 64),
                Self::known().collect::<Vec<_>>().join(", ")
            ),
        ))
    }
}

impl fmt::Display for CloudOneRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
