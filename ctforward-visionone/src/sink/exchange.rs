//! One request and its answer, and what a failed connection means.

use std::error::Error as StdError;
use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result, Retry};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};

use super::classify::{Answer, Judge, classify};
use super::redact::redact;
use super::{VisionOneSink, retry_after};
use crate::secret::Secret;

/// How much of an answer is read.
const ANSWER: usize = 64 * 1024;

impl VisionOneSink {
    /// Sends `body` and judges the answer. A connection that was closed before any
    /// answer is opened anew once: a kept connection may have ended unseen, and
    /// delivery is at least once anyway.
    pub(super) async fn exchange(&self, body: Bytes, token: &Secret) -> Result<()> {
        let response = match self.send(body.clone(), token).await {
            Err(e) if was_closed(&e) => {
                tracing::debug!(
                    endpoint = self.endpoint.shown(),
                    "connection closed before an answer, trying once more"
                );
                self.send(body, token).await
            }
            other => other,
        };
        let mut response = response.map_err(|e| self.failed(e, token))?;
        let status = response.status();
        let mut said = BytesMut::new();
        let mut whole = true;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // A success whose body is cut short is none: the rest may be the error.
                Err(e) if status.is_success() => return Err(self.failed(e, token)),
                // Any other status says what it says without its body.
                Err(_) => {
                    whole = false;
                    break;
                }
            };
            let room = ANSWER - said.len();
            if chunk.len() > room {
                said.extend_from_slice(&chunk[..room]);
                whole = false;
                break;
            }
            said.extend_from_slice(&chunk);
        }
        let headers = response.headers();
        let location = text(headers, &LOCATION).and_then(|to| self.endpoint.target(to));
        let mut said = said.freeze();
        if let Some(coding) = text(headers, &CONTENT_ENCODING) {
            (said, whole) = decoded(coding, said, whole);
        }
        let answer = Answer {
            status: status.as_u16(),
            content_type: text(headers, &CONTENT_TYPE),
            retry_after: text(headers, &RETRY_AFTER),
            location: location.as_deref(),
            body: &said,
            whole,
        };
        classify(
            &answer,
            &Judge {
                accept: &self.accept,
                endpoint: self.endpoint.shown(),
                secrets: &self.secrets(token),
                now: text(headers, &DATE)
                    .and_then(retry_after::date)
                    .unwrap_or_else(Timestamp::now),
            },
        )
    }

    async fn send(&self, body: Bytes, token: &Secret) -> reqwest::Result<reqwest::Response> {
        let mut request = self
            .client
            .post(self.endpoint.url().clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if self.gzip {
            request = request.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // A `Secret` is visible ASCII, so this never falls back to an error inside reqwest.
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(body).send().await
    }

    /// The error of a request that got no whole answer.
    fn failed(&self, error: reqwest::Error, token: &Secret) -> Error {
        let error = error.without_url();
        let at = self.endpoint.shown();
        let why = excerpt(&redact(&chain(&error), &self.secrets(token)), 512);
        let (kind, retry, what) = if error.is_timeout() {
            (ErrorKind::Timeout, Retry::Backoff, "gave no answer in time")
        } else if error.is_builder() {
            (ErrorKind::Config, Retry::Never, "cannot be asked at all")
        } else if error.is_connect() && is_certificate(&error) {
            // Not `Config`: certificates also expire and are mended on the other side.
            (
                ErrorKind::Unavailable,
                Retry::Backoff,
                "showed a certificate that is not accepted; if a proxy opens the connection on its way, \
                 add its CA certificate (PEM)",
            )
        } else if error.is_connect() {
            (ErrorKind::Unavailable, Retry::Backoff, "cannot be reached")
        } else {
            (
                ErrorKind::Unavailable,
                Retry::Backoff,
                "ended the connection without a whole answer",
            )
        };
        Error::new(kind, "visionone", format!("{at} {what}: {why}")).with_retry(retry)
    }

    fn secrets<'a>(&'a self, token: &'a Secret) -> Vec<&'a str> {
        let mut secrets = vec![token.expose()];
        secrets.extend(self.endpoint.secrets());
        secrets
    }
}

/// An answer that is compressed though none was asked for: an error must not hide in it.
fn decoded(coding: &str, said: Bytes, whole: bool) -> (Bytes, bool) {
    let coding = coding.trim();
    if said.is_empty() || coding.eq_ignore_ascii_case("identity") {
        return (said, whole);
    }
    if !coding.eq_ignore_ascii_case("gzip") {
        return (Bytes::new(), false);
    }
    let mut inflated = Vec::new();
    let mut reader = MultiGzDecoder::new(&said[..]).take(ANSWER as u64 + 1);
    let read = reader.read_to_end(&mut inflated);
    let fits = inflated.len() <= ANSWER;
    inflated.truncate(ANSWER);
    (Bytes::from(inflated), whole && fits && read.is_ok())
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e| (*e).source())
}

/// The messages of an error and its sources in one line. The error itself is not
/// kept as a source: its type is not ours to promise, nor what it may one day show.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in sources(error).map(ToString::to_string) {
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts.join(": ")
}

/// Whether the connection was closed or reset before the answer began.
fn was_closed(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    if !error.is_request() || error.is_connect() || error.is_timeout() {
        return false;
    }
    sources(error).any(|e| {
        if let Some(e) = e.downcast_ref::<hyper::Error>() {
            return e.is_incomplete_message() || e.is_closed() || e.is_canceled();
        }
        e.downcast_ref::<std::io::Error>().is_some_and(|e| {
            matches!(
                e.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            )
        })
    })
}

/// Whether a connection failed for its certificate. Only decides the words.
pub(crate) fn is_certificate(error: &reqwest::Error) -> bool {
    sources(error).any(|e| e.to_string().to_ascii_lowercase().contains("certificate"))
}
