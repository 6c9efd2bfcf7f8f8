//! The account behind a key.

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::{CloudOneRegion, ORIGIN};

/// The account that an API key belongs to, read from the key's URN.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloudOneAccount {
    id: String,
    region: CloudOneRegion,
}

impl CloudOneAccount {
    /// The account's id in Cloud One (not an AWS account).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The region that the account is bound to.
    #[must_use]
    pub fn region(&self) -> &CloudOneRegion {
        &self.region
    }

    /// Reads `urn`, parted by colons: region at 3, account at 4, as the vendor's own
    /// deployment code reads it.
    pub(super) fn parse(answer: &Value) -> Result<Self> {
        let wrong = |what: &str| {
            let what = format!("the answer about the API key {what}; give the region as a setting");
            Err(Error::new(ErrorKind::Malformed, ORIGIN, what))
        };
        let Some(urn) = answer.get("urn").and_then(Value::as_str) else {
            return wrong("holds no urn");
        };
        let mut parts = urn.split(':').skip(3);
        let (Some(region), Some(id)) = (parts.next(), parts.next()) else {
            return wrong("holds a urn without region and account");
        };
        match region.parse() {
            Ok(region) if !id.is_empty() => Ok(Self {
                id: excerpt(id, 64),
                region,
            }),
            _ => wrong("holds a urn whose region or account is none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn region_and_account_lie_in_the_urn() {
        let urn = "urn:cloudone:identity:jp-1:012345678901:apikey/abc";
        let account = CloudOneAccount::parse(&json!({"urn": urn})).unwrap();
        assert_eq!(
            (account.id(), account.region().as_str()),
            ("012345678901", "jp-1")
        );
        for bad in [
            json!({}),
            json!({"urn": 7}),
            json!({"urn": "urn:cloudone:identity"}),
            json!({"urn": "urn:cloudone:identity:us-1:"}),
            json!({"urn": "urn:cloudone:identity:evil.example/:1"}),
            json!([]),
        ] {
            let error = CloudOneAccount::parse(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{bad}");
        }
    }
}
