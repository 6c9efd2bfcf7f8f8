//! `TMV1-Filter` of alerts, and the rest of what selects and orders them.

use std::fmt;
use std::str::FromStr;

use ctforward_core::{Error, ErrorKind, Result};
use url::Url;

use crate::client::{ORIGIN, filter};

/// The longest filter that the service takes of alerts.
const LONGEST: usize = 5000;

/// A filter of alerts: `field eq 'value'` and `and`, `or`, `not`, parentheses; never
/// longer than the 5,000 characters that the service takes.
///
/// Documented fields: id, status, investigationResult, alertProvider, modelId, model,
/// modelType, severity, impactScopeEntityValue, indicatorValue, incidentId. For
/// `contains` and whatever else the service knows, parse a text.
///
/// ```
/// # fn main() -> ctforward_core::Result<()> {
/// use ctforward_visionone::AlertFilter;
///
/// let filter = AlertFilter::is("severity", "high")?.and(AlertFilter::is("status", "Open")?)?;
/// assert_eq!(filter.as_str(), "(severity eq 'high') and (status eq 'Open')");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlertFilter(String);

impl AlertFilter {
    /// Alerts whose field `name` is `value`.
    ///
    /// # Errors
    /// `Config` when the name is none, or the value is empty, too long, or holds a `'`
    /// (how to escape it is not documented) or anything but visible ASCII and blanks.
    pub fn is(name: &str, value: &str) -> Result<Self> {
        let name = filter::field(name)?;
        if value.is_empty() || value.contains('\'') {
            let what = "a value of the filter must hold something, and no single quotation mark";
            return Err(Error::new(ErrorKind::Config, ORIGIN, what));
        }
        Self::checked(format!("{name} eq '{value}'"))
    }

    /// Both.
    ///
    /// # Errors
    /// `Config` when it gets longer than 5,000 characters.
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

    /// The filter as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(text: String) -> Result<Self> {
        filter::checked(text, LONGEST, "filter").map(Self)
    }
}

/// A filter in the service's own language, as it is.
impl FromStr for AlertFilter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::checked(text.trim().to_owned())
    }
}

impl fmt::Display for AlertFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of an alert's times the range is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertTime {
    /// When it was made.
    #[default]
    Created,
    /// When it last changed.
    Updated,
    /// When somebody first looked into it.
    FirstInvestigated,
}

/// What the range is about, and the order of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct AlertOptions {
    time: AlertTime,
    order_by: Option<String>,
}

impl AlertOptions {
    /// By the time they were made, in the service's own order.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which time the range is about. Default: created.
    pub fn time(mut self, time: AlertTime) -> Self {
        self.time = time;
        self
    }

    /// The order, such as `createdDateTime desc`. Default: the service's.
    ///
    /// # Errors
    /// `Config` when it is not names, commas and blanks.
    pub fn order_by(mut self, order: &str) -> Result<Self> {
        let fits = (1..=256).contains(&order.len())
            && order
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b',');
        if !fits {
            let what = "the order looks like createdDateTime desc";
            return Err(Error::new(ErrorKind::Config, ORIGIN, what));
        }
        self.order_by = Some(order.to_owned());
        Ok(self)
    }

    pub(super) fn apply(&self, url: &mut Url) {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair(
            "dateTimeTarget",
            match self.time {
                AlertTime::Created => "createdDateTime",
                AlertTime::Updated => "updatedDateTime",
                AlertTime::FirstInvestigated => "firstInvestigatedDateTime",
            },
        );
        if let Some(order) = &self.order_by {
            pairs.append_pair("orderBy", order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_sent_is_refused() {
        assert!(AlertFilter::is("model", &"x".repeat(4988)).is_ok());
        for (name, value) in [
            ("model", "it's"),
            ("model", ""),
            ("a b", "x"),
            ("model", "a\nb"),
        ] {
            assert!(AlertFilter::is(name, value).is_err(), "{name} {value:?}");
        }
        assert!(AlertFilter::is("model", &"x".repeat(5000)).is_err());
        let either = AlertFilter::is("id", "1")
            .unwrap()
            .or("not (id eq '2')".parse().unwrap());
        assert_eq!(
            either.unwrap().to_string(),
            "(id eq '1') or (not (id eq '2'))"
        );
        assert!(AlertOptions::new().order_by("a&b=c").is_err());
    }
}
