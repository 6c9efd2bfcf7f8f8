//! Regions of Vision One and their hosts.

use std::fmt;
use std::str::FromStr;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

use super::ORIGIN;
use crate::api::is_label;

/// The first seven stand in the public API's specification, the next five in the
/// vendor's Terraform provider; `usgov` was seen in other public code only.
const KNOWN: [&str; 13] = [
    "us", "eu", "sg", "jp", "au", "in", "mea", "ca", "uk", "za", "id", "br", "usgov",
];

/// A region of Vision One, such as `us`. One that is not [known](Self::known) is
/// taken too, as long as it can be part of a host's name.
///
/// ```
/// # fn main() -> ctforward_core::Result<()> {
/// use ctforward_visionone::VisionOneRegion;
///
/// let host = |name: &str| name.parse::<VisionOneRegion>().map(|region| region.host());
/// assert_eq!(host("us")?, "api.xdr.trendmicro.com");
/// assert_eq!(host("jp")?, "api.xdr.trendmicro.co.jp");
/// assert_eq!(host("eu")?, "api.eu.xdr.trendmicro.com");
/// assert!(host("evil.example/").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VisionOneRegion(String);

impl VisionOneRegion {
    /// The names that public sources of the vendor give, and `usgov`.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.into_iter()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host of the public API, by the rule that the vendor's own client follows.
    #[must_use]
    pub fn host(&self) -> String {
        match self.0.as_str() {
            "us" => "api.xdr.trendmicro.com".to_owned(),
            "jp" => "api.xdr.trendmicro.co.jp".to_owned(),
            other => format!("api.{other}.xdr.trendmicro.com"),
        }
    }
}

impl FromStr for VisionOneRegion {
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
                "{} is not the name of a Vision One region; known are {}",
                excerpt(text, 64),
                KNOWN.join(", ")
            ),
        ))
    }
}

impl fmt::Display for VisionOneRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
