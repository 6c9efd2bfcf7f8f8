//! What a search asks for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded;

use super::item::seconds;
use super::query::{LONGEST, Query};
use crate::standin::api::CLOUD_ACTIVITIES;
use crate::standin::reply::{self, Reply};

/// How many items a page may be asked to hold.
const TOPS: [usize; 5] = [50, 100, 500, 1000, 5000];
const DEFAULT_TOP: usize = 500;
/// The longest list of fields to select.
const SELECT: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Default,
    CountOnly,
    Performance,
}

#[derive(Debug)]
pub(super) struct Search {
    pub(super) query: Query,
    pub(super) mode: Mode,
    pub(super) top: usize,
    pub(super) window: RangeInclusive<Timestamp>,
    pub(super) select: Option<BTreeSet<String>>,
    /// The number of the line to go on from.
    pub(super) from: u64,
}

/// Why a search is refused.
#[derive(Debug)]
pub(in crate::standin) struct Wrong {
    pub(in crate::standin) code: &'static str,
    pub(in crate::standin) message: Cow<'static, str>,
}

impl Wrong {
    pub(in crate::standin) fn reply(&self) -> Reply {
        reply::error_with_code(StatusCode::BAD_REQUEST, self.code, &self.message)
    }
}

pub(in crate::standin) fn bad<T>(message: impl Into<Cow<'static, str>>) -> Result<T, Wrong> {
    Err(Wrong {
        code: "BadRequest",
        message: message.into(),
    })
}

impl Search {
    pub(super) fn parse(head: &Parts) -> Result<Self, Wrong> {
        let Some(query) = head.headers.get("TMV1-Query") else {
            return bad("the header TMV1-Query is required");
        };
        let Ok(query) = query.to_str() else {
            return bad("the header TMV1-Query holds more than visible ASCII");
        };
        if query.len() > LONGEST {
            return bad("the header TMV1-Query is longer than 2048 characters");
        }
        let query = Query::parse(query).map_err(|message| Wrong {
            code: "InvalidFilter",
            message: message.into(),
        })?;
        let now = seconds(Timestamp::now());
        let (mut start, mut end) = (None, None);
        let mut search = Self {
            query,
            mode: Mode::Default,
            top: DEFAULT_TOP,
            window: now..=now,
            select: None,
            from: 0,
        };
        for (name, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
        {
            match &*name {
                "startDateTime" => start = Some(date(&value)?),
                "endDateTime" => end = Some(date(&value)?),
                "top" => match value.parse() {
                    Ok(top) if TOPS.contains(&top) => search.top = top,
                    _ => return bad("top must be 50, 100, 500, 1000 or 5000"),
                },
                "mode" => {
                    search.mode = match &*value {
                        "default" => Mode::Default,
                        "countOnly" => Mode::CountOnly,
                        "performance" => Mode::Performance,
                        _ => return bad("mode must be default, countOnly or performance"),
                    }
                }
                "select" if value.len() > SELECT => {
                    return bad("select is longer than 2048 characters");
                }
                "select" => {
                    search.select = Some(value.split(',').map(|f| f.trim().to_owned()).collect());
                }
                "skipToken" => match value.parse() {
                    Ok(from) => search.from = from,
                    Err(_) => return bad("skipToken is not one that was given out"),
                },
                _ => {}
            }
        }
        if search.mode == Mode::Performance {
            search.top = DEFAULT_TOP;
        }
        let end = end.unwrap_or(now);
        let start = start.unwrap_or_else(|| {
            end.saturating_sub(SignedDuration::from_hours(24))
                .unwrap_or(Timestamp::MIN)
        });
        if start > end {
            return bad("startDateTime lies after endDateTime");
        }
        search.window = start..=end;
        Ok(search)
    }

    /// The address of the page that begins at line `from`.
    pub(super) fn link(&self, base_url: &str, from: u64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("startDateTime", &self.window.start().to_string())
            .append_pair("endDateTime", &self.window.end().to_string());
        match self.mode {
            Mode::Performance => query.append_pair("mode", "performance"),
            Mode::Default | Mode::CountOnly => query.append_pair("top", &self.top.to_string()),
        };
        if let Some(select) = &self.select {
            let fields: Vec<&str> = select.iter().map(String::as_str).collect();
            query.append_pair("select", &fields.join(","));
        }
        query.append_pair("skipToken", &from.to_string());
        format!("{base_url}{CLOUD_ACTIVITIES}?{}", query.finish())
    }
}

pub(in crate::standin) fn date(text: &str) -> Result<Timestamp, Wrong> {
    match text.parse() {
        Ok(date) if text.len() <= 20 => Ok(date),
        _ => bad("a date must look like 2026-01-02T03:04:05Z"),
    }
}
