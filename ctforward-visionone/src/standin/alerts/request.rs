//! What a list of alerts is asked for.

use std::ops::RangeInclusive;

use hyper::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded;

use super::rules::Found;
use crate::standin::api::ALERTS;
use crate::standin::search::item::seconds;
use crate::standin::search::request::{Wrong, bad, date};

/// The longest filter that is documented to be taken, in characters.
const LONGEST: usize = 5000;
const FIELDS: [&str; 5] = ["id", "status", "severity", "model", "alertProvider"];

#[derive(Debug)]
pub(super) struct Request {
    window: RangeInclusive<Timestamp>,
    /// Whether the range is about a time that no alert here has.
    never: bool,
    filter: Vec<(&'static str, String)>,
    pub(super) newest_first: bool,
    pub(super) from: usize,
}

impl Request {
    pub(super) fn parse(head: &Parts) -> Result<Self, Wrong> {
        let now = seconds(Timestamp::now());
        let (mut start, mut end) = (None, None);
        let mut request = Self {
            window: now..=now,
            never: false,
            filter: Vec::new(),
            newest_first: false,
            from: 0,
        };
        if let Some(filter) = head.headers.get("TMV1-Filter") {
            let Ok(filter) = filter.to_str() else {
                return bad("the header TMV1-Filter holds more than visible ASCII");
            };
            request.filter = parse_filter(filter)?;
        }
        let query = head.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "startDateTime" => start = Some(date(&value)?),
                "endDateTime" => end = Some(date(&value)?),
                "dateTimeTarget" => match &*value {
                    "createdDateTime" | "updatedDateTime" => request.never = false,
                    "firstInvestigatedDateTime" => request.never = true,
                    _ => return bad("dateTimeTarget is not a time of an alert"),
                },
                "orderBy" => match &*value {
                    "createdDateTime" | "createdDateTime asc" => request.newest_first = false,
                    "createdDateTime desc" => request.newest_first = true,
                    _ => return bad("orderBy must be createdDateTime, with asc or desc"),
                },
                "skipToken" => match value.parse() {
                    Ok(from) => request.from = from,
                    Err(_) => return bad("skipToken is not one that was given out"),
                },
                _ => {}
            }
        }
        let end = end.unwrap_or(now);
        let start = start.unwrap_or_else(|| {
            end.saturating_sub(SignedDuration::from_hours(24))
                .unwrap_or(Timestamp::MIN)
        });
        if start > end {
            return bad("startDateTime lies after endDateTime");
        }
        request.window = start..=end;
        Ok(request)
    }

    pub(super) fn takes(&self, found: &Found) -> bool {
        let is = |(field, value): &(&str, String)| match *field {
            "id" => found.id() == *value,
            "status" => value.as_str() == "Open",
            "severity" => found.rule.weight().0 == value,
            "model" => found.rule.model() == value,
            _ => value.as_str() == "SAE",
        };
        !self.never && self.window.contains(&found.created()) && self.filter.iter().all(is)
    }

    /// The address of the page that begins with alert `from`.
    pub(super) fn link(&self, base_url: &str, from: usize) -> String {
        let order = if self.newest_first { "desc" } else { "asc" };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("startDateTime", &self.window.start().to_string())
            .append_pair("endDateTime", &self.window.end().to_string())
            .append_pair("orderBy", &format!("createdDateTime {order}"))
            .append_pair("skipToken", &from.to_string())
            .finish();
        format!("{base_url}{ALERTS}?{query}")
    }
}

/// `field eq 'value'`, joined by `and`; parentheses around terms are taken as such.
fn parse_filter(text: &str) -> Result<Vec<(&'static str, String)>, Wrong> {
    if text.len() > LONGEST {
        return bad("the header TMV1-Filter is longer than 5000 characters");
    }
    let wrong = |message: &'static str| Wrong {
        code: "InvalidFilter",
        message: message.into(),
    };
    let mut terms = Vec::new();
    let mut rest = text.trim();
    loop {
        let bare = rest.trim_start_matches(['(', ' ']);
        let (name, behind) = bare.split_once(" eq '").ok_or_else(|| {
            wrong("the stand-in reads filters like severity eq 'high' and status eq 'Open' only")
        })?;
        let field = FIELDS
            .into_iter()
            .find(|known| *known == name.trim())
            .ok_or_else(|| wrong("a field is not one that the stand-in filters by"))?;
        let (value, behind) = behind
            .split_once('\'')
            .ok_or_else(|| wrong("a quotation mark is never closed"))?;
        terms.push((field, value.to_owned()));
        let behind = behind.trim_start_matches([')', ' ']);
        if behind.is_empty() {
            return Ok(terms);
        }
        rest = behind
            .strip_prefix("and ")
            .or_else(|| behind.strip_prefix("and("))
            .ok_or_else(|| wrong("terms must be joined by and"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_terms_joined_by_and() {
        let parsed = |text| parse_filter(text).map_err(|wrong| wrong.code);
        assert_eq!(
            parsed("(severity eq 'high') and (status eq 'Open')").unwrap(),
            [
                ("severity", "high".to_owned()),
                ("status", "Open".to_owned())
            ]
        );
        for bad in [
            "severity",
            "severity eq 'high",
            "severity eq 'high' or status eq 'Open'",
            "score eq '1'",
            "severity eq high",
            "",
        ] {
            assert_eq!(parsed(bad).unwrap_err(), "InvalidFilter", "{bad}");
        }
        assert_eq!(parsed(&"x".repeat(5001)).unwrap_err(), "BadRequest");
    }
}
