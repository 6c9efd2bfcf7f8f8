//! What an answer of an API means: one pure function.
//!
//! Vision One documents `{"error":{"code","message","number"?,"innererror"?}}`. What
//! also occurs is taken too: `errror`, an error in a success, an array of answers
//! (207), a web page and plain text. Cloud One documents no shape of its errors: a
//! `message` or `error` member is looked for, else the text is taken as it is.

use std::fmt;
use std::time::Duration;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Retry};
use jiff::Timestamp;
use serde_json::Value;

use crate::sink::classify::{unescaped, without_mark};
use crate::sink::redact::redact;
use crate::sink::retry_after;

/// How much of what a server says goes into an error.
const SAID: usize = 1024;

/// What a service said of a call that it refused; the source of the [`Error`].
///
/// Every text is cut, escaped and freed of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status; of an array of answers (207) that of the first failed one.
    pub status: u16,
    /// The code, such as `InvalidFilter`, where the answer holds one.
    pub code: Option<String>,
    /// The number beside the code, where there is one.
    pub number: Option<i64>,
    /// The header `x-trace-id`: what the vendor's support asks for.
    pub trace_id: Option<String>,
    /// What the service said, in at most 1 KiB.
    pub message: String,
}

impl ApiError {
    /// What the service said, if `error` is a service's refusal.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        if let Some(number) = self.number {
            write!(f, " ({number})")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(id) = &self.trace_id {
            write!(f, " [x-trace-id {id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

/// An answer as it came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) retry_after: Option<&'a str>,
    pub(crate) rate_limit: Option<&'a str>,
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(crate) whole: bool,
}

/// What the answer is judged by.
pub(crate) struct Judge<'a> {
    /// Where an error comes from.
    pub(crate) origin: &'static str,
    /// The address without its query, safe to print.
    pub(crate) at: &'a str,
    pub(crate) secrets: &'a [&'a str],
    pub(crate) now: Timestamp,
    /// How long to wait after a 429 that does not say.
    pub(crate) window: Duration,
    /// The most bytes of an answer, for the message.
    pub(crate) most: usize,
}

/// The content of a success.
pub(crate) fn judge(answer: &Answer<'_>, judge: &Judge<'_>) -> Result<Value, Error> {
    let status = answer.status;
    if !(200..=299).contains(&status) {
        return Err(judge.refused(answer, status, None));
    }
    if !answer.whole {
        return Err(Error::new(
            ErrorKind::TooLarge,
            judge.origin,
            format!(
                "the answer of {} is longer than {} bytes, or cut, or compressed in an unknown way; \
                 ask for fewer items at a time",
                judge.at, judge.most
            ),
        ));
    }
    let Ok(value) = serde_json::from_slice::<Value>(without_mark(answer.body.trim_ascii())) else {
        return Err(if is_html(answer) {
            Error::new(
                ErrorKind::Config,
                judge.origin,
                format!(
                    "{} answered with a web page, so the address is not that of the API or a proxy stands before it",
                    judge.at
                ),
            )
        } else {
            Error::new(
                ErrorKind::Malformed,
                judge.origin,
                format!("{} answered with something that is not JSON", judge.at),
            )
        });
    };
    if status == 207
        && let Value::Array(items) = value
    {
        return judge.several(answer, items);
    }
    match error_of(&value) {
        Some(error) => Err(judge.refused(answer, status, Some(error))),
        None => Ok(value),
    }
}

/// The error member of an object, also misspelt as the vendor's specification once does.
fn error_of(value: &Value) -> Option<&Value> {
    let object = value.as_object()?;
    ["error", "errror"]
        .iter()
        .filter_map(|key| object.get(*key))
        .find(|error| match error {
            Value::Object(map) => !map.is_empty(),
            Value::String(text) => !text.is_empty(),
            _ => false,
        })
}

impl Judge<'_> {
    /// An array of answers: the first that failed is the error, the only one the content.
    fn several(&self, answer: &Answer<'_>, mut items: Vec<Value>) -> Result<Value, Error> {
        for item in &items {
            let status = item.get("status").and_then(Value::as_u64).unwrap_or(0);
            let status = u16::try_from(status).unwrap_or(500);
            let error = item
                .get("body")
                .and_then(error_of)
                .or_else(|| error_of(item));
            if status >= 400 || error.is_some() {
                return Err(self.refused(answer, status, error));
            }
        }
        match (items.pop(), items.is_empty()) {
            (Some(Value::Object(mut only)), true) if only.contains_key("body") => {
                Ok(only.remove("body").unwrap_or_default())
            }
            _ => Err(Error::new(
                ErrorKind::Malformed,
                self.origin,
                format!("{} answered with several answers to one call", self.at),
            )),
        }
    }

    /// The error of a refusal. `inner` is the error object where it was found already.
    fn refused(&self, answer: &Answer<'_>, status: u16, inner: Option<&Value>) -> Error {
        let whole: Option<Value> = serde_json::from_slice(without_mark(answer.body)).ok();
        let inner = inner.or_else(|| {
            whole.as_ref().map(|value| {
                let value = value.get(0).unwrap_or(value);
                value
                    .get("body")
                    .and_then(error_of)
                    .or_else(|| error_of(value))
                    .unwrap_or(value)
            })
        });
        let said = self.said(answer, status, inner);
        let (kind, retry, what) = self.meaning(answer, status, said.code.as_deref(), &said.message);
        let mut message = format!("{} {what} ({said})", self.at);
        if let Some(limit) = answer.rate_limit.filter(|_| kind == ErrorKind::Throttled) {
            message.push_str(&format!("; the limit is {} a minute", excerpt(limit, 32)));
        }
        Error::new(kind, self.origin, message)
            .with_retry(retry)
            .with_source(said)
    }

    fn meaning(
        &self,
        answer: &Answer<'_>,
        status: u16,
        code: Option<&str>,
        message: &str,
    ) -> (ErrorKind, Retry, &'static str) {
        use ErrorKind::{
            Config, NotFound, Rejected, Throttled, Timeout, TooLarge, Unauthorized, Unavailable,
        };
        let never = |kind, what| (kind, Retry::Never, what);
        // The body names what went wrong where the status does not.
        let status = match (status, code) {
            (200..=299, Some("TooManyRequests")) => 429,
            (200..=299, Some("AccessDenied")) => 403,
            (200..=299, Some("NotFound")) => 404,
            (200..=299, Some("RequestTimeout")) => 408,
            (200..=299, Some("RequestEntityTooLarge")) => 413,
            (200..=299, Some("BadRequest" | "InvalidFilter")) => 400,
            (other, _) => other,
        };
        match status {
            300..=399 => never(
                Config,
                "points elsewhere, which is not followed; the address is wrong",
            ),
            400 | 409 | 412 | 422 => never(Rejected, "refused what was asked"),
            401 => never(
                Unauthorized,
                "refused the key; it may be wrong, expired or disabled, or of another region",
            ),
            403 => never(
                Unauthorized,
                "does not allow this with this key; its role may lack the right, or the key may be disabled",
            ),
            404 => never(
                NotFound,
                "has nothing at this address; is the region right?",
            ),
            405 | 410 | 415 => never(
                Config,
                "is not the API that was expected; is the address right?",
            ),
            413 => never(TooLarge, "says the request is too large"),
            402 | 406 | 407 | 411 | 414 | 417 | 426 | 428 | 431 | 451 => never(
                Config,
                "takes no request like this one; a setting, the proxy or the subscription must change",
            ),
            408 | 504 => (Timeout, self.pace(answer), "ran out of time"),
            429 => {
                let retry = match self.pace(answer) {
                    Retry::After(wait) => Retry::After(wait),
                    _ => Retry::After(self.window),
                };
                (Throttled, retry, "asks for a slower pace")
            }
            _ if message.contains("timeout of") && message.contains("exceeded") => {
                (Timeout, self.pace(answer), "ran out of time")
            }
            _ => (Unavailable, self.pace(answer), "did not answer the call"),
        }
    }

    fn pace(&self, answer: &Answer<'_>) -> Retry {
        answer
            .retry_after
            .and_then(|value| retry_after::parse(value, self.now))
            .map_or(Retry::Backoff, Retry::After)
    }

    fn said(&self, answer: &Answer<'_>, status: u16, error: Option<&Value>) -> ApiError {
        let text = |key: &str| error?.get(key)?.as_str();
        let shown = |text: &str, most| excerpt(&redact(text, self.secrets), most);
        let message = match error {
            Some(Value::String(text)) => Some(text.as_str()),
            _ => ["message", "Message", "error", "detail", "title"]
                .iter()
                .find_map(|key| text(key)),
        };
        let message = match message {
            Some(message) => shown(message, SAID),
            None if answer.body.trim_ascii().is_empty() => String::new(),
            None if is_html(answer) => "a web page".to_owned(),
            // Taken out before anything is cut, or a cut could leave half a secret.
            None => shown(
                unescaped(&String::from_utf8_lossy(answer.body)).trim(),
                SAID,
            ),
        };
        ApiError {
            status,
            code: text("code")
                .or_else(|| text("__type"))
                .map(|code| shown(code, 64)),
            number: error.and_then(|error| error.get("number")?.as_i64()),
            trace_id: answer
                .trace_id
                .filter(|id| !id.is_empty())
                .map(|id| shown(id, 128)),
            message,
        }
    }
}

fn is_html(answer: &Answer<'_>) -> bool {
    let by_header = answer.content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/html")
    });
    by_header || without_mark(answer.body.trim_ascii_start()).starts_with(b"<")
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
