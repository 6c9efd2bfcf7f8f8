//! A few simple rules, of this crate's own.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::standin::search::item::{item, seconds};

/// How many refused calls of one principal make a burst, and within which span.
const BURST: usize = 5;
const BURST_SPAN: SignedDuration = SignedDuration::from_mins(5);
/// How many principals are watched at a time.
const PRINCIPALS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    LoginWithoutMfa,
    RootUse,
    StopLogging,
    DeleteTrail,
    DeniedBurst,
}

impl Rule {
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::LoginWithoutMfa => "AWS Console Login Without MFA",
            Self::RootUse => "AWS Root User Activity",
            Self::StopLogging => "AWS CloudTrail Logging Stopped",
            Self::DeleteTrail => "AWS CloudTrail Trail Deleted",
            Self::DeniedBurst => "AWS Burst of Refused API Calls",
        }
    }

    /// Severity, score and technique of MITRE ATT&CK.
    pub(super) fn weight(self) -> (&'static str, u32, &'static str) {
        match self {
            Self::LoginWithoutMfa => ("medium", 45, "T1078.004"),
            Self::RootUse => ("high", 65, "T1078.004"),
            Self::StopLogging | Self::DeleteTrail => ("high", 70, "T1562.008"),
            Self::DeniedBurst => ("medium", 40, "T1580"),
        }
    }

    /// A digit of ids.
    pub(super) fn digit(self) -> u64 {
        match self {
            Self::LoginWithoutMfa => 1,
            Self::RootUse => 2,
            Self::StopLogging => 3,
            Self::DeleteTrail => 4,
            Self::DeniedBurst => 5,
        }
    }
}

/// A rule that a line matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) rule: Rule,
    /// The number of the line.
    pub(super) number: u64,
    pub(super) received: Timestamp,
}

impl Found {
    /// In the shape of the service's ids.
    pub(super) fn id(&self) -> String {
        let date = self.received.strftime("%Y%m%d");
        let number = self.number.saturating_mul(10) + self.rule.digit();
        format!("WB-9002-{date}-{number:05}")
    }

    /// In whole seconds.
    pub(super) fn created(&self) -> Timestamp {
        seconds(self.received)
    }
}

/// What must be kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Watch {
    denied: HashMap<String, VecDeque<Timestamp>>,
}

impl Watch {
    /// The rules that a line matches.
    pub(super) fn see(&mut self, line: &[u8], number: u64, received: Timestamp) -> Vec<Found> {
        let Some((item, happened)) = item(line, number, received) else {
            return Vec::new();
        };
        let text = |pointer: &str| text(&item, pointer);
        let name = text("eventName").unwrap_or_default();
        let refused = text("errorCode").is_some();
        let mut rules = Vec::new();
        if name == "ConsoleLogin"
            && text("responseElements/ConsoleLogin") == Some("Success")
            && text("additionalEventData/MFAUsed") == Some("No")
        {
            rules.push(Rule::LoginWithoutMfa);
        }
        if text("userIdentity/type") == Some("Root") && text("userIdentity/invokedBy").is_none() {
            rules.push(Rule::RootUse);
        }
        if text("eventSource") == Some("cloudtrail.amazonaws.com") && !refused {
            match name {
                "StopLogging" => rules.push(Rule::StopLogging),
                "DeleteTrail" => rules.push(Rule::DeleteTrail),
                _ => {}
            }
        }
        if text("errorCode").is_some_and(is_denied) && self.bursts(&item, happened) {
            rules.push(Rule::DeniedBurst);
        }
        rules
            .into_iter()
            .map(|rule| Found {
                rule,
                number,
                received,
            })
            .collect()
    }

    /// Whether this refused call fills a burst; the next one begins anew.
    fn bursts(&mut self, item: &Map<String, Value>, happened: Timestamp) -> bool {
        let Some(principal) = principal(item) else {
            return false;
        };
        if self.denied.len() >= PRINCIPALS && !self.denied.contains_key(principal) {
            self.denied.clear();
        }
        let times = self.denied.entry(principal.to_owned()).or_default();
        times.push_back(happened);
        while times
            .front()
            .is_some_and(|first| happened.duration_since(*first).abs() > BURST_SPAN)
        {
            times.pop_front();
        }
        let full = times.len() >= BURST;
        if full {
            times.clear();
        }
        full
    }
}

fn is_denied(code: &str) -> bool {
    code.starts_with("AccessDenied") || code.ends_with("UnauthorizedOperation")
}

/// Who made the call, as far as the record says it.
pub(super) fn principal(item: &Map<String, Value>) -> Option<&str> {
    ["arn", "userName", "principalId", "invokedBy"]
        .iter()
        .find_map(|field| item.get("userIdentity")?.get(*field)?.as_str())
}

/// The text at names parted by `/`.
pub(super) fn text<'a>(item: &'a Map<String, Value>, path: &str) -> Option<&'a str> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let value = item.get(first)?;
    let value = if rest.is_empty() {
        value
    } else {
        value.get(rest)?
    };
    value.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(records: &[Value]) -> Vec<(u64, Rule)> {
        let mut watch = Watch::default();
        (0..)
            .zip(records)
            .flat_map(|(number, record)| {
                watch.see(record.to_string().as_bytes(), number, Timestamp::UNIX_EPOCH)
            })
            .map(|found| (found.number, found.rule))
            .collect()
    }

    #[test]
    fn each_rule_finds_its_record_and_no_other() {
        let login = |mfa: &str, outcome: &str| {
            json!({"eventName": "ConsoleLogin", "eventSource": "signin.amazonaws.com",
                "additionalEventData": {"MFAUsed": mfa}, "responseElements": {"ConsoleLogin": outcome}})
        };
        let trail =
            |name: &str| json!({"eventName": name, "eventSource": "cloudtrail.amazonaws.com"});
        let mut refused = trail("StopLogging");
        refused["errorCode"] = json!("AccessDenied");
        let found = seen(&[
            login("No", "Success"),
            login("Yes", "Success"),
            login("No", "Failure"),
            json!({"eventName": "CreateUser", "userIdentity": {"type": "Root"}}),
            json!({"eventName": "x", "userIdentity": {"type": "Root", "invokedBy": "a.amazonaws.com"}}),
            trail("StopLogging"),
            trail("DeleteTrail"),
            trail("DescribeTrails"),
            refused,
            json!({"eventName": "StopLogging", "eventSource": "other.amazonaws.com"}),
        ]);
        assert_eq!(
            found,
            [
                (0, Rule::LoginWithoutMfa),
                (3, Rule::RootUse),
                (5, Rule::StopLogging),
                (6, Rule::DeleteTrail)
            ]
        );
    }

    #[test]
    fn a_burst_is_five_refusals_of_one_principal_within_five_minutes() {
        let refusal = |who: &str, minute: u32| {
            json!({"eventName": "GetObject", "errorCode": "AccessDenied",
                "eventTime": format!("2026-01-02T03:{minute:02}:00Z"),
                "userIdentity": {"arn": who}})
        };
        let quick: Vec<_> = [0, 1, 2, 3, 4, 4].map(|minute| refusal("a", minute)).into();
        assert_eq!(seen(&quick), [(4, Rule::DeniedBurst)]);
        let slow: Vec<_> = [0, 10, 20, 30, 40]
            .map(|minute| refusal("a", minute))
            .into();
        assert!(seen(&slow).is_empty());
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|who| refusal(who, 0)).into();
        assert!(seen(&many).is_empty());
    }
}
