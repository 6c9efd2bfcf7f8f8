//! `TMV1-Query`.

use std::fmt;
use std::str::FromStr;

use ctforward_core::{Error, Result};

use crate::client::filter;

/// The longest query that the service takes.
const LONGEST: usize = 2048;

/// A query of a search: `field:"value"`, `and`, `or`, `not`, parentheses. It is never
/// longer than the 2,048 characters that the service takes.
///
/// Fields that are documented to be searchable of CloudTrail: eventID, eventName,
/// eventSource, requestParameters, resources, responseElements, sourceIPAddress,
/// userAgent, userIdentity, vpcEndpointId, uuid, productCode, tags; all match a part of
/// the value. That `\` escapes `"` and `\` inside quotation marks is an assumption.
///
/// ```
/// # fn main() -> ctforward_core::Result<()> {
/// use ctforward_visionone::SearchQuery;
///
/// let query = SearchQuery::cloudtrail().and(SearchQuery::has("eventName", "ConsoleLogin")?)?;
/// assert_eq!(query.as_str(), r#"(productCode:"sct") and (eventName:"ConsoleLogin")"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchQuery(String);

impl SearchQuery {
    /// Items whose field `name` has `value` in it, whatever the value holds.
    ///
    /// # Errors
    /// `Config` when the name is none, or the value is empty, too long, or holds
    /// anything but visible ASCII and blanks.
    pub fn has(name: &str, value: &str) -> Result<Self> {
        let name = filter::field(name)?;
        let value = filter::checked(value.to_owned(), LONGEST, "value of the query")?;
        let value = value.replace('\\', r"\\").replace('"', "\\\"");
        Self::checked(format!("{name}:\"{value}\""))
    }

    /// Items whose field has one of `values` in it.
    ///
    /// # Errors
    /// As for [`has`](Self::has), and where there is no value.
    pub fn has_any<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let terms = values
            .into_iter()
            .map(|value| Self::has(name, value).map(|term| term.0))
            .collect::<Result<Vec<_>>>()?;
        Self::checked(terms.join(" or "))
    }

    /// Everything of CloudTrail that came by the vendor's own client.
    #[must_use]
    pub fn cloudtrail() -> Self {
        Self(r#"productCode:"sct""#.to_owned())
    }

    /// Both.
    ///
    /// # Errors
    /// `Config` when it gets longer than 2,048 characters.
    pub fn and(self, other: Self) -> Result<Self> {
        let Self(other) = other;
        Self::checked(format!("({}) and ({other})", self.0))
    }

    /// One or the other.
    ///
    /// # Errors
    /// As for [`and`](Self::and).
    pub fn or(self, other: Self) -> Result<Self> {
        let Self(other) = other;
        Self::checked(format!("({}) or ({other})", self.0))
    }

    /// Everything else.
    ///
    /// # Errors
    /// As for [`and`](Self::and).
    pub fn negated(self) -> Result<Self> {
        Self::checked(format!("not ({})", self.0))
    }

    /// The query as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(text: String) -> Result<Self> {
        filter::checked(text, LONGEST, "query").map(Self)
    }
}

/// A query in the service's own language, as it is.
impl FromStr for SearchQuery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::checked(text.trim().to_owned())
    }
}

impl fmt::Display for SearchQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_put_together_as_they_read() {
        let name = SearchQuery::has("eventName", "Put").unwrap();
        let ids = SearchQuery::has_any("eventID", ["a", "b"]).unwrap();
        let query = name.and(ids).unwrap().negated().unwrap();
        assert_eq!(
            query.as_str(),
            r#"not ((eventName:"Put") and (eventID:"a" or eventID:"b"))"#
        );
        let either = SearchQuery::cloudtrail().or("*".parse().unwrap()).unwrap();
        assert_eq!(either.to_string(), r#"(productCode:"sct") or (*)"#);
    }

    #[test]
    fn a_query_too_long_or_odd_is_refused() {
        assert!(SearchQuery::has("eventID", &"x".repeat(2048 - 10)).is_ok());
        let error = SearchQuery::has("eventID", &"x".repeat(2048 - 9)).unwrap_err();
        assert!(error.message().contains("2049"), "{error}");
        let long = SearchQuery::has("eventID", &"x".repeat(1100)).unwrap();
        assert!(long.clone().and(long.clone()).is_err() && long.clone().or(long).is_err());
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:b", "x"),
            ("1", "x"),
            ("a", ""),
            ("a", "ü"),
            ("a", "x\r\ny"),
        ] {
            assert!(SearchQuery::has(name, value).is_err(), "{name} {value:?}");
        }
        assert!("".parse::<SearchQuery>().is_err() && "a\nb".parse::<SearchQuery>().is_err());
        assert!(SearchQuery::has_any("eventID", []).is_err());
    }

    proptest! {
        #[test]
        fn no_value_ends_its_quotation_marks(value in "[ -~]{1,60}") {
            prop_assume!(!value.trim().is_empty());
            let query = SearchQuery::has("userAgent", &value).unwrap();
            let inner = query.as_str().strip_prefix("userAgent:\"").and_then(|q| q.strip_suffix('"')).unwrap();
            let mut read = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"');
                read.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            prop_assert_eq!(read, value);
        }
    }
}
