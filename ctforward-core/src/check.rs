//! What a look at one setting of the world outside came to.
//!
//! Adapters look before a run: at permissions, at a queue, at an endpoint. Each look
//! is a [`Check`]; programs print them.

use serde::Serialize;

use crate::text::excerpt;

/// No text of a check is longer than this: whole policies are shown, no floods.
const LONGEST: usize = 16 * 1024;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// It is as it should be.
    Pass,
    /// It works, but something will hurt one day.
    Warn,
    /// It does not work, or data would be missed.
    Fail,
    /// It could not be found out; what was seen says why.
    Unknown,
    /// It does not apply here.
    Skipped,
}

impl Outcome {
    /// The outcome in one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// One check: what was looked at, what was seen, and what mends it.
///
/// Texts from outside are made printable (see [`text`](crate::text)), so that a check
/// can be shown on a terminal as it is; each is one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// A short name that does not change between versions, such as `bucket-region`.
    pub id: &'static str,
    /// What is looked at, in a few words.
    pub title: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen, and what it means.
    pub seen: String,
    /// What mends it: a command or a policy statement to copy, or what to do.
    pub fix: Option<String>,
}

impl Check {
    /// A check with what was seen; `seen` is made printable.
    #[must_use]
    pub fn new(
        id: &'static str,
        title: &'static str,
        outcome: Outcome,
        seen: impl AsRef<str>,
    ) -> Self {
        Self {
            id,
            title,
            outcome,
            seen: excerpt(seen.as_ref(), LONGEST),
            fix: None,
        }
    }

    /// The same check with what mends it, made printable.
    #[must_use]
    pub fn with_fix(mut self, fix: impl AsRef<str>) -> Self {
        self.fix = Some(excerpt(fix.as_ref(), LONGEST));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text_and_the_form_is_stable() {
        let check =
            Check::new("a", "A", Outcome::Unknown, "x\u{1b}[2J\ny").with_fix("\u{202e}run this");
        assert_eq!(check.seen, "x\\u{1b}[2J\\u{a}y");
        assert_eq!(check.fix.as_deref(), Some("\\u{202e}run this"));
        let json = serde_json::to_value(&check).unwrap();
        assert_eq!(json["outcome"], check.outcome.as_str());
        assert_eq!(json["id"], "a");
        let long = Check::new("a", "A", Outcome::Pass, "x".repeat(1 << 20));
        assert!(long.seen.len() < 17 * 1024);
    }
}
