//! What an answer of the ingest endpoint means: one pure function.
//!
//! The codes of the ingest endpoint are not documented. Two rules decide the open
//! ones. Nothing is taken as accepted unless it looks like it, and no record is
//! called bad unless the status says so (400, 422, 413); whatever else arrives
//! leaves the records undecided, to be sent again.

use std::borrow::Cow;
use std::time::Duration;

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Retry};
use jiff::Timestamp;
use serde_json::Value;

use super::redact::redact;
use super::retry_after;

/// How much of what a server says goes into an error.
const SAID: usize = 1024;

/// An answer, as far as it decides what becomes of the records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) retry_after: Option<&'a str>,
    /// Where a redirect points, already safe to print.
    pub(crate) location: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(crate) whole: bool,
}

/// What the answer is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    /// The statuses that stand for "accepted".
    pub(crate) accept: &'a [u16],
    /// The endpoint, safe to print.
    pub(crate) endpoint: &'a str,
    /// What must not be shown even if the server says it.
    pub(crate) secrets: &'a [&'a str],
    /// The server's clock where it told it, else ours.
    pub(crate) now: Timestamp,
}

/// `Ok` when every record was accepted.
pub(crate) fn classify(answer: &Answer<'_>, judge: &Judge<'_>) -> Result<(), Error> {
    let status = answer.status;
    match status {
        200..=299 => success(answer, judge),
        100..=199 => Err(wrong_endpoint(answer, judge)),
        300..=399 => Err(wrong_endpoint(answer, judge)),
        400 | 422 => Err(judge.error(answer, ErrorKind::Rejected, Retry::Never, "refused the content")),
        401 | 403 => Err(judge.error(
            answer,
            ErrorKind::Unauthorized,
            Retry::Never,
            "refused the token; it may have expired: make a new one on the collector's page",
        )),
        404 | 405 | 410 | 415 => Err(wrong_endpoint(answer, judge)),
        413 => Err(judge.error(answer, ErrorKind::TooLarge, Retry::Never, "says the request is too large")),
        408 | 504 => Err(judge.error(answer, ErrorKind::Timeout, judge.pace(answer), "ran out of time")),
        429 => Err(judge.error(answer, ErrorKind::Throttled, judge.pace(answer), "asks for a slower pace")),
        // Credit, content negotiation, proxy log-in, length, URI, expectation, protocol,
        // precondition, header size, law: somebody must change a setting, not a record.
        402 | 406 | 407 | 411 | 414 | 417 | 426 | 428 | 431 | 451 => Err(judge.error(
            answer,
            ErrorKind::Config,
            Retry::Never,
            "will take no request made like this one; a setting, the proxy or the subscription must change",
        )),
        _ => Err(judge.error(
            answer,
            ErrorKind::Unavailable,
            judge.pace(answer),
            "did not take the records",
        )),
    }
}

fn success(answer: &Answer<'_>, judge: &Judge<'_>) -> Result<(), Error> {
    if !judge.accept.contains(&answer.status) {
        return Err(wrong_endpoint(answer, judge));
    }
    if is_html(answer) {
        return Err(judge.error(
            answer,
            ErrorKind::Config,
            Retry::Never,
            "answered with a web page, so the endpoint is wrong or a proxy stands before it; \
             copy the endpoint from the collector's page",
        ));
    }
    match find_error(answer.body) {
        Found::Nothing if answer.whole => Ok(()),
        Found::Nothing => Err(judge.error(
            answer,
            ErrorKind::Unavailable,
            judge.pace(answer),
            "sent an answer too long or too odd to tell whether it is an error, so nothing counts as accepted",
        )),
        Found::Error { code } => {
            let (kind, retry) = match code.as_deref() {
                Some("TooManyRequests") => (ErrorKind::Throttled, judge.pace(answer)),
                Some("RequestEntityTooLarge") => (ErrorKind::TooLarge, Retry::Never),
                Some("BadRequest") => (ErrorKind::Rejected, Retry::Never),
                Some("AccessDenied") => (ErrorKind::Unauthorized, Retry::Never),
                Some("RequestTimeout") => (ErrorKind::Timeout, judge.pace(answer)),
                _ => (ErrorKind::Unavailable, judge.pace(answer)),
            };
            Err(judge.error(
                answer,
                kind,
                retry,
                "answered with an error in spite of its status",
            ))
        }
    }
}

fn wrong_endpoint(answer: &Answer<'_>, judge: &Judge<'_>) -> Error {
    let what: Cow<'static, str> = match (answer.status, answer.location) {
        (300..=399, Some(to)) => format!(
            "points to {}, which is not followed; the endpoint is wrong: copy it from the collector's page",
            excerpt(&redact(to, judge.secrets), 512)
        )
        .into(),
        (415, _) => "takes no text/plain (or no gzip, where that is set), so the endpoint or that setting is wrong".into(),
        _ => "is not an ingest endpoint; copy the address from the collector's page".into(),
    };
    judge.error(answer, ErrorKind::Config, Retry::Never, &what)
}

impl Judge<'_> {
    fn pace(&self, answer: &Answer<'_>) -> Retry {
        answer
            .retry_after
            .and_then(|value| retry_after::parse(value, self.now))
            .map_or(Retry::Backoff, |wait: Duration| Retry::After(wait))
    }

    fn error(&self, answer: &Answer<'_>, kind: ErrorKind, retry: Retry, what: &str) -> Error {
        let said = self.said(answer.body);
        let mut message = format!("{} {what} (status {})", self.endpoint, answer.status);
        if !said.is_empty() {
            message.push_str(": ");
            message.push_str(&said);
        }
        Error::new(kind, "visionone", message).with_retry(retry)
    }

    /// What the server said, without secrets, cut and safe to print.
    fn said(&self, body: &[u8]) -> String {
        // Taken out before anything is cut, or a cut could leave half a secret.
        let text = redact(
            unescaped(&String::from_utf8_lossy(body)).trim(),
            self.secrets,
        );
        let error = serde_json::from_slice::<Value>(without_mark(body)).ok();
        let parts = error.as_ref().and_then(|v| v.get("error")).map(|e| {
            ["code", "message"]
                .iter()
                .filter_map(|key| e.get(key)?.as_str())
                .collect::<Vec<_>>()
                .join(": ")
        });
        match parts {
            // Again: escapes inside JSON can hide a secret from the first pass.
            Some(parts) if !parts.is_empty() => excerpt(&redact(&parts, self.secrets), SAID),
            _ => excerpt(&text, SAID),
        }
    }
}

pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn is_html(answer: &Answer<'_>) -> bool {
    let by_header = answer.content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/html")
            || essence.eq_ignore_ascii_case("application/xhtml+xml")
    });
    let start = without_mark(answer.body.trim_ascii_start()).trim_ascii_start();
    // An empty page is none: some frameworks call every body text/html. Anything
    // that begins as a tag, a comment or a declaration is a page, or XML, and
    // neither is known as an acceptance.
    (by_header && !start.is_empty()) || start.starts_with(b"<")
}

enum Found {
    Nothing,
    Error { code: Option<String> },
}

/// Looks for an error object: `{"error":{…}}`, also in an array of answers, also
/// misspelt as the vendor's own specification once does.
fn find_error(body: &[u8]) -> Found {
    let body = without_mark(body.trim_ascii());
    // Text in another encoding cannot be looked into.
    if body.contains(&0) || body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Found::Error { code: None };
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Array(items)) => items
            .iter()
            .find_map(|item| error_of(item).or_else(|| error_of(item.get("body")?)))
            .unwrap_or(Found::Nothing),
        Ok(value) => error_of(&value).unwrap_or(Found::Nothing),
        // Cut or not quite JSON, and it names an error: nothing that can be called accepted.
        Err(_) if body.starts_with(b"{") || body.starts_with(b"[") => {
            let text = unescaped(&String::from_utf8_lossy(body)).to_ascii_lowercase();
            if text.contains("\"error") || text.contains("\"errror") {
                Found::Error { code: None }
            } else {
                Found::Nothing
            }
        }
        Err(_) => Found::Nothing,
    }
}

fn error_of(value: &Value) -> Option<Found> {
    let named = |key: &str| {
        ["error", "errror", "errors"]
            .iter()
            .any(|e| key.eq_ignore_ascii_case(e))
    };
    let tells = |key: &str, error: &Value| match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        // A map of errors by item may be empty, as a list of them may.
        Value::Object(map) => !(map.is_empty() && key.eq_ignore_ascii_case("errors")),
        Value::Bool(true) => true,
    };
    let members = value.as_object()?;
    let inner = members.values().filter_map(Value::as_object).flatten();
    // Here, or one level down, as in {"result":{"error":{…}}}.
    let error = members
        .iter()
        .chain(inner)
        .find(|(key, error)| named(key) && tells(key, error))
        .map(|(_, error)| error)?;
    let code = error.get("code").and_then(Value::as_str).map(str::to_owned);
    Some(Found::Error { code })
}

/// The text with the escapes of JSON strings read, four hex digits each: what
/// hides in them is found, and hidden.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let code = escape
            .get(2..6)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(c) = code.and_then(char::from_u32) {
            out.push(c);
            rest = &escape[6..];
        } else {
            out.push_str("\\u");
            rest = &escape[2..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{Config, Rejected, Throttled, Timeout, TooLarge, Unauthorized, Unavailable};

    const ACCEPT: [u16; 4] = [200, 201, 202, 204];

    fn judged(answer: &Answer<'_>, secrets: &[&str]) -> Result<(), Error> {
        classify(
            answer,
            &Judge {
                accept: &ACCEPT,
                endpoint: "https://in.example/raw",
                secrets,
                now: Timestamp::UNIX_EPOCH,
            },
        )
    }

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer {
            status,
            content_type: None,
            retry_after: None,
            location: None,
            body: body.as_bytes(),
            whole: true,
        }
    }

    #[test]
    fn every_status_has_one_meaning() {
        for status in 100..=999 {
            let got = judged(&answer(status, ""), &[])
                .err()
                .map(|e| (e.kind(), e.retry()));
            let want = match status {
                200 | 201 | 202 | 204 => None,
                100..=399 => Some((Config, Retry::Never)),
                400 | 422 => Some((Rejected, Retry::Never)),
                401 | 403 => Some((Unauthorized, Retry::Never)),
                404 | 405 | 410 | 415 => Some((Config, Retry::Never)),
                402 | 406 | 407 | 411 | 414 | 417 | 426 | 428 | 431 | 451 => {
                    Some((Config, Retry::Never))
                }
                413 => Some((TooLarge, Retry::Never)),
                408 | 504 => Some((Timeout, Retry::Backoff)),
                429 => Some((Throttled, Retry::Backoff)),
                // 409, 412, 416, 418, 421, 423, 424, 425, 491, 499, 5xx, 599, 6xx, …
                _ => Some((Unavailable, Retry::Backoff)),
            };
            assert_eq!(got, want, "status {status}");
        }
    }

    #[test]
    fn a_success_is_one_only_by_its_body() {
        for body in [
            "",
            "OK",
            "{}",
            "null",
            r#"{"error":null}"#,
            r#"{"accepted":3}"#,
            r#"{"errors":[]}"#,
            "[]",
            "{odd",
        ] {
            assert!(judged(&answer(200, body), &[]).is_ok(), "{body}");
        }
        let wait = Retry::Backoff;
        for (body, kind, retry) in [
            ("<!DOCTYPE html><p>", Config, Retry::Never),
            ("\u{feff} \r\n<HTML lang=en>", Config, Retry::Never),
            (
                r#"{"error":{"code":"TooManyRequests","message":"m"}}"#,
                Throttled,
                wait,
            ),
            (
                r#"{"error":{"code":"RequestEntityTooLarge"}}"#,
                TooLarge,
                Retry::Never,
            ),
            (r#"{"error":{"code":"BadRequest"}}"#, Rejected, Retry::Never),
            (
                r#"{"error":{"code":"AccessDenied"}}"#,
                Unauthorized,
                Retry::Never,
            ),
            (r#"{"error":{"code":"RequestTimeout"}}"#, Timeout, wait),
            (
                "\u{feff}{\"error\":{\"code\":\"InternalServerError\"}}",
                Unavailable,
                wait,
            ),
            (r#"{"error":{}}"#, Unavailable, wait),
            (r#"{"error":"no"}"#, Unavailable, wait),
            (r#"{"errror":{"code":"x"}}"#, Unavailable, wait),
            (
                r#"[{"status":200},{"status":400,"body":{"error":{"code":"BadRequest"}}}]"#,
                Rejected,
                Retry::Never,
            ),
            (r#"{"error":{"code":"#, Unavailable, wait),
        ] {
            let error = judged(&answer(200, body), &[]).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{body}");
        }
        let html = Answer {
            content_type: Some("Text/HTML; charset=utf-8"),
            ..answer(200, "hello")
        };
        assert_eq!(judged(&html, &[]).unwrap_err().kind(), Config);
        let empty = Answer {
            content_type: Some("text/html"),
            ..answer(200, " \n")
        };
        assert!(judged(&empty, &[]).is_ok());
        let cut = Answer {
            whole: false,
            ..answer(200, "aaaa")
        };
        assert_eq!(judged(&cut, &[]).unwrap_err().kind(), Unavailable);
    }

    #[test]
    fn pages_and_errors_in_disguise_are_no_acceptance() {
        let utf16: Vec<u8> = "{\"error\":1}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let bodies: [&[u8]; 10] = [
            b"<!-- x --><!DOCTYPE html><html>",
            b"<?xml version=\"1.0\"?><!DOCTYPE html>",
            b"<title>Sign in</title>",
            b"\xef\xbb\xbf <p>hi</p>",
            b"\xff\xfe<\0h\0",
            b"{\"Error\":{\"code\":\"x\"}}",
            b"{\"result\":{\"error\":{\"code\":\"x\"}}}",
            b"{\"\\u0065rror\":{}} x",
            b"[{\"ERRORS\":[1]}]",
            &utf16,
        ];
        for body in bodies {
            let mut answer = answer(200, "");
            answer.body = body;
            assert!(
                judged(&answer, &[]).is_err(),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn a_secret_in_escapes_is_hidden_too() {
        let body = r#"{"msg":"\u0050\u004fSTED-WITH-tok\u0065n-0123456789"}"#;
        let error = judged(&answer(401, body), &["POSTED-WITH-token-0123456789"]).unwrap_err();
        assert!(error.message().contains("[secret]"), "{error}");
        assert!(!error.message().contains("0123456789"), "{error}");
    }

    #[test]
    fn the_pace_is_the_servers() {
        for (status, kind) in [
            (408, Timeout),
            (429, Throttled),
            (500, Unavailable),
            (503, Unavailable),
            (504, Timeout),
            (599, Unavailable),
        ] {
            for (value, retry) in [
                ("7", Retry::After(Duration::from_secs(7))),
                (
                    "Thu, 01 Jan 1970 00:01:30 GMT",
                    Retry::After(Duration::from_secs(90)),
                ),
                (
                    "Wed, 31 Dec 1969 00:00:00 GMT",
                    Retry::After(Duration::ZERO),
                ),
                (
                    "99999999999999999999999",
                    Retry::After(Duration::from_secs(u64::MAX)),
                ),
                ("later", Retry::Backoff),
            ] {
                let answer = Answer {
                    retry_after: Some(value),
                    ..answer(status, "")
                };
                let error = judged(&answer, &[]).unwrap_err();
                assert_eq!(
                    (error.kind(), error.retry()),
                    (kind, retry),
                    "{status} {value}"
                );
            }
        }
    }

    #[test]
    fn what_a_server_says_is_cut_escaped_and_free_of_secrets() {
        let token = "aaaabbbbccccdddd/eeee";
        let echo = format!(
            "{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"Bearer {}\\u001b[31m\"}}}}",
            token.replace('/', "\\/")
        );
        let error = judged(&answer(400, &echo), &[token]).unwrap_err();
        assert_eq!(
            error.message(),
            "https://in.example/raw refused the content (status 400): BadRequest: Bearer [secret]\\u{1b}[31m"
        );
        // The secret straddles the cut.
        let long = format!("{}{token}", "x".repeat(SAID - 8));
        let error = judged(&answer(500, &long), &[token]).unwrap_err();
        assert!(!error.message().contains("aaaa"), "{error}");
        assert!(error.message().len() < SAID + 200);
        let to = Answer {
            location: Some("https://other.example/p"),
            ..answer(307, "")
        };
        assert!(
            judged(&to, &[])
                .unwrap_err()
                .message()
                .contains("points to https://other.example/p")
        );
    }
}
