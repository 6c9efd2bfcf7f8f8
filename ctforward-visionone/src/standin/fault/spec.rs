//! Faults in words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind};
use hyper::StatusCode;
use hyper::header::HeaderValue;

/// Where a redirect points unless told otherwise: a name that no machine ever has.
const ELSEWHERE: &str = "http://elsewhere.invalid/";

/// One fault, read from text.
///
/// | text | what befalls a request |
/// | --- | --- |
/// | `STATUS:RATE` | it is answered with this status of 400 to 599; nothing is stored |
/// | `STATUS:bytes=N` | it is answered so where its lines have more than N bytes |
/// | `STATUS:match=TEXT` | it is answered so where a line contains TEXT (all that follows, commas too) |
/// | `STATUS:after=N` | it is answered so once N requests have come; with `for=M` only M are |
/// | `reset-before:RATE` | the connection is reset before the body is read |
/// | `reset-after:RATE` | the lines are **stored**, then the connection is reset |
/// | `slow:RATE,ms=N` | the lines are stored, and the answer comes N milliseconds later |
/// | `stuck:RATE` | the body is read and no answer ever comes; with `stored` the lines are stored |
/// | `html:RATE` | a web page is answered with status 200; nothing is stored |
/// | `redirect:RATE` | it is sent elsewhere with `status=N` (307) and `to=URL` (all that follows) |
/// | `endless:RATE` | it is answered with `status=N` (500) and a body that never ends |
/// | `truncated:RATE` | the lines are **stored**, and the answer breaks off behind its head |
/// | `echo-headers` | the bodies of all error answers and web pages repeat the request's head, token included |
///
/// RATE is the share of requests, from 0 to 1. Every `STATUS:…` may name
/// `retry-after=SECONDS`, or `retry-after-date=SECONDS` for the same as a date.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    text: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Befalls a share of the requests.
    Drawn(f64, Drawn),
    /// Befalls the requests from number `after` on.
    Window {
        status: StatusCode,
        wait: Option<Wait>,
        after: u64,
        span: Option<u64>,
    },
    /// Befalls large bodies.
    Over {
        status: StatusCode,
        wait: Option<Wait>,
        most: usize,
    },
    /// Befalls bodies with a line that contains the text.
    Match {
        status: StatusCode,
        wait: Option<Wait>,
        text: String,
    },
    EchoHeaders,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Drawn {
    Status(StatusCode, Option<Wait>),
    ResetBefore,
    ResetAfter,
    Slow(Duration),
    Stuck { stored: bool },
    Html,
    Redirect(StatusCode, HeaderValue),
    Endless(StatusCode),
    Truncated,
}

/// What Retry-After says, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::standin) enum Wait {
    Seconds(u64),
    Date(u32),
}

impl Fault {
    /// Its share of the requests, where it has one.
    pub(super) fn rate(&self) -> Option<f64> {
        match self.kind {
            Kind::Drawn(rate, _) => Some(rate),
            _ => None,
        }
    }
}

/// The text it was read from.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&excerpt(&self.text, 200))
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let kind = read(text).map_err(|why| {
            let shown = excerpt(text, 60);
            Error::new(
                ErrorKind::Config,
                "standin",
                format!("{shown} is no fault: {why}"),
            )
        })?;
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }
}

fn read(text: &str) -> Result<Kind, String> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let mut options = Options::read(rest)?;
    let kind = match name {
        "echo-headers" => Kind::EchoHeaders,
        "reset-before" => Kind::Drawn(options.rate()?, Drawn::ResetBefore),
        "reset-after" => Kind::Drawn(options.rate()?, Drawn::ResetAfter),
        "slow" => {
            let rate = options.rate()?;
            let ms: u32 = options
                .number("ms")?
                .ok_or("it needs ms=N, as in slow:0.1,ms=500")?;
            Kind::Drawn(rate, Drawn::Slow(Duration::from_millis(ms.into())))
        }
        "stuck" => {
            let stored = options.flag("stored");
            Kind::Drawn(options.rate()?, Drawn::Stuck { stored })
        }
        "html" => Kind::Drawn(options.rate()?, Drawn::Html),
        "redirect" => {
            let status = options
                .status(300..=399)?
                .unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            let to = options.take("to").unwrap_or(ELSEWHERE);
            let to = HeaderValue::from_str(to).map_err(|_| "to= must be an address")?;
            Kind::Drawn(options.rate()?, Drawn::Redirect(status, to))
        }
        "endless" => {
            let status = options.status(200..=599)?;
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Kind::Drawn(options.rate()?, Drawn::Endless(status))
        }
        "truncated" => Kind::Drawn(options.rate()?, Drawn::Truncated),
        _ => answer(status(name, 400..=599).map_err(|_| NAMES)?, &mut options)?,
    };
    options.end(name)?;
    Ok(kind)
}

const NAMES: &str = "it must begin with a status of 400 to 599 or with one of reset-before, \
    reset-after, slow, stuck, html, redirect, endless, truncated and echo-headers";

/// A fault that is a status.
fn answer(status: StatusCode, options: &mut Options<'_>) -> Result<Kind, String> {
    let wait = match (
        options.number("retry-after")?,
        options.number("retry-after-date")?,
    ) {
        (None, None) => None,
        (Some(seconds), None) => Some(Wait::Seconds(seconds)),
        (None, Some(seconds)) => Some(Wait::Date(seconds)),
        (Some(_), Some(_)) => return Err("Retry-After is seconds or a date, not both".into()),
    };
    let after = options.number("after")?;
    let most = options.number("bytes")?;
    let text = options.take("match");
    let rate = options.has_rate().then(|| options.rate()).transpose()?;
    match (rate, after, most, text) {
        (Some(rate), None, None, None) => Ok(Kind::Drawn(rate, Drawn::Status(status, wait))),
        (None, Some(after), None, None) => Ok(Kind::Window {
            status,
            wait,
            after,
            span: options.number("for")?,
        }),
        (None, None, Some(most), None) => Ok(Kind::Over { status, wait, most }),
        (None, None, None, Some(text)) if text.is_empty() || text.contains(['\r', '\n']) => {
            Err("the text to match must lie within one line and not be empty".into())
        }
        (None, None, None, Some(text)) => Ok(Kind::Match {
            status,
            wait,
            text: text.to_owned(),
        }),
        _ => Err("a status needs one of a rate (0.1), bytes=N, match=TEXT and after=N".into()),
    }
}

fn status(text: &str, allowed: std::ops::RangeInclusive<u16>) -> Result<StatusCode, String> {
    let code = text.parse().ok().filter(|code| allowed.contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| {
            let (from, to) = (allowed.start(), allowed.end());
            format!("the status must be of {from} to {to}")
        })
}

/// What follows the colon.
struct Options<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Options<'a> {
    fn read(mut rest: &'a str) -> Result<Self, String> {
        let mut all = Vec::new();
        while !rest.is_empty() {
            // These take all that follows: text and addresses may hold commas.
            let to_the_end = rest.starts_with("match=") || rest.starts_with("to=");
            let (part, after) = match rest.split_once(',') {
                Some(split) if !to_the_end => split,
                _ => (rest, ""),
            };
            let option = part
                .split_once('=')
                .map_or((part, None), |(name, value)| (name, Some(value)));
            if all.iter().any(|(name, _)| *name == option.0) {
                return Err(format!("{} is said twice", excerpt(option.0, 40)));
            }
            all.push(option);
            rest = after;
        }
        Ok(Self(all))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(n, v)| *n == name && v.is_some())?;
        self.0.remove(at).1
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|(n, v)| *n == name && v.is_none());
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let number = |value: &str| {
            let digits = value.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| value.parse().ok()).flatten()
        };
        self.take(name)
            .map(|value| {
                number(value).ok_or_else(|| format!("{name}= needs a whole number that fits"))
            })
            .transpose()
    }

    fn status(
        &mut self,
        allowed: std::ops::RangeInclusive<u16>,
    ) -> Result<Option<StatusCode>, String> {
        let said = self.take("status");
        said.map(|text| status(text, allowed)).transpose()
    }

    /// Whether something is said that has no name.
    fn has_rate(&self) -> bool {
        self.0.iter().any(|(_, value)| value.is_none())
    }

    fn rate(&mut self) -> Result<f64, String> {
        let at = self.0.iter().position(|(_, value)| value.is_none());
        at.map(|at| self.0.remove(at).0)
            .and_then(|text| text.parse().ok())
            .filter(|rate| (0.0..=1.0).contains(rate))
            .ok_or_else(|| "it needs a rate from 0 to 1, such as 0.1".into())
    }

    /// That nothing is left.
    fn end(&self, name: &str) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((option, _)) => Err(format!("{name} knows no {}", excerpt(option, 40))),
        }
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
