//! One call, its answer, and how often it is sent.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result, Retry};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER,
};
use serde_json::Value;
use url::Url;

use super::answer::{Answer, Judge, judge};
use super::settings::HttpSettings;
use crate::connect::Connect;
use crate::endpoint::shown;
use crate::secret::Secret;
use crate::sink::exchange::{chain, is_certificate, text};
use crate::sink::redact::redact;
use crate::sink::retry_after;
use crate::token::TokenProvider;

/// How much of an error's body is read.
const REFUSAL: usize = 64 * 1024;

/// A call as it is sent, without its key.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Call {
    pub(crate) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// A call that changes something; an empty body is sent as one.
    pub(crate) fn post(url: Url, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            url,
            headers: HeaderMap::new(),
            body: Some(body),
        }
    }

    /// The same call with one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Sends calls with a key.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    settings: HttpSettings,
    key: Arc<dyn TokenProvider>,
    /// The word before the key.
    scheme: &'static str,
    /// Where errors come from.
    origin: &'static str,
}

impl Http {
    pub(crate) fn new(
        origin: &'static str,
        scheme: &'static str,
        key: Arc<dyn TokenProvider>,
        loopback: bool,
        settings: HttpSettings,
    ) -> Result<Self> {
        settings.check()?;
        let client = Connect {
            loopback,
            connect_timeout: settings.connect_timeout,
            request_timeout: settings.request_timeout,
            proxy: settings.proxy.as_deref(),
            ca: &settings.ca,
        }
        .client(HeaderMap::new())?;
        Ok(Self {
            client,
            settings,
            key,
            scheme,
            origin,
        })
    }

    pub(crate) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// The key as it is now.
    pub(crate) async fn key(&self) -> Result<Secret> {
        self.key.token(false).await
    }

    /// Sends `call` and reads its answer. What only reads is sent again where that
    /// may help, and once more with another key where the key was refused.
    pub(crate) async fn send(&self, call: &Call) -> Result<Value> {
        let mut key = self.key().await?;
        let mut refused = Vec::new();
        let mut attempt = 1;
        loop {
            let error = match self.once(call, &key).await {
                Ok(value) => return Ok(value),
                Err(error) if call.method != Method::GET => return Err(error),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Unauthorized && refused.len() < 2 {
                refused.push(key);
                match self.key.instead_of(&refused).await? {
                    Some(other) if !refused.contains(&other) => key = other,
                    _ => return Err(error),
                }
                continue;
            }
            let wait = match error.retry() {
                Retry::Never => return Err(error),
                Retry::After(wait) => wait,
                Retry::Backoff => self.backoff(attempt),
            };
            if attempt >= self.settings.attempts || wait > self.settings.longest_wait {
                return Err(error);
            }
            tracing::debug!(
                at = shown(&call.url),
                attempt,
                kind = error.kind().as_str(),
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "asking again"
            );
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Between half and all of the doubled wait, so that clients do not come in step.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self
            .settings
            .first_wait
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(self.settings.longest_wait);
        let half = doubled / 2;
        let drawn = RandomState::new().build_hasher().finish() % 1024;
        half + half * u32::try_from(drawn).unwrap_or(0) / 1024
    }

    async fn once(&self, call: &Call, key: &Secret) -> Result<Value> {
        let mut request = self
            .client
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        // A `Secret` is visible ASCII, so this never falls back to an error inside reqwest.
        if let Ok(mut value) = HeaderValue::from_str(&format!("{} {}", self.scheme, key.expose())) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(body) = &call.body {
            if body.is_empty() {
                // Not set by itself for a body of nothing, and some servers insist on it.
                request = request.header(CONTENT_LENGTH, HeaderValue::from(0));
            }
            request = request.body(body.clone());
        }
        let at = shown(&call.url);
        let secrets = secrets(key);
        let failed = |error| self.failed(error, call, &at, &secrets);
        let mut response = request.send().await.map_err(failed)?;
        let success = response.status().is_success();
        let most = if success {
            self.settings.answer_bytes
        } else {
            REFUSAL
        };
        let mut body = BytesMut::new();
        let mut whole = true;
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.len() > most - body.len() => {
                    body.extend_from_slice(&chunk[..most - body.len()]);
                    whole = false;
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) if success => return Err(failed(error)),
                // Any other status says what it says without its body.
                Err(_) => break,
            }
        }
        let headers = response.headers();
        let mut body = body.freeze();
        if let Some(coding) = text(headers, &CONTENT_ENCODING) {
            (body, whole) = inflated(coding, body, whole, most);
        }
        let named = |name| text(headers, &HeaderName::from_static(name));
        judge(
            &Answer {
                status: response.status().as_u16(),
                content_type: text(headers, &CONTENT_TYPE),
                retry_after: text(headers, &RETRY_AFTER),
                rate_limit: named("ratelimit-limit"),
                trace_id: named("x-trace-id"),
                body: &body,
                whole,
            },
            &Judge {
                origin: self.origin,
                at: &at,
                secrets: &secrets,
                now: text(headers, &DATE)
                    .and_then(retry_after::date)
                    .unwrap_or_else(Timestamp::now),
                window: self.settings.window,
                most: self.settings.answer_bytes,
            },
        )
    }

    /// The error of a call that got no whole answer.
    fn failed(&self, error: reqwest::Error, call: &Call, at: &str, secrets: &[&str]) -> Error {
        let error = error.without_url();
        let why = excerpt(&redact(&chain(&error), secrets), 512);
        let (kind, what) = if error.is_builder() {
            (ErrorKind::Config, "cannot be asked at all")
        } else if error.is_timeout() {
            (ErrorKind::Timeout, "gave no answer in time")
        } else if error.is_connect() && is_certificate(&error) {
            (
                ErrorKind::Unavailable,
                "showed a certificate that is not accepted; if a proxy opens the connection on its way, \
                 add its CA certificate (PEM)",
            )
        } else if error.is_connect() {
            (
                ErrorKind::Unavailable,
                "cannot be reached; is the region right?",
            )
        } else {
            (
                ErrorKind::Unavailable,
                "ended the connection without a whole answer",
            )
        };
        let retry = match kind {
            ErrorKind::Config => Retry::Never,
            _ => Retry::Backoff,
        };
        let unknown = match call.method == Method::GET || error.is_connect() || error.is_builder() {
            true => "",
            false => "; whether it did what was asked is not known",
        };
        Error::new(kind, self.origin, format!("{at} {what}: {why}{unknown}")).with_retry(retry)
    }
}

/// The key, and what follows its id.
fn secrets(key: &Secret) -> Vec<&str> {
    let key = key.expose();
    let behind = key.split_once(':').map(|(_, behind)| behind);
    std::iter::once(key)
        .chain(behind.filter(|behind| behind.len() >= 4))
        .collect()
}

/// An answer that is compressed though that was not asked for.
fn inflated(coding: &str, body: Bytes, whole: bool, most: usize) -> (Bytes, bool) {
    let coding = coding.trim();
    if body.is_empty() || coding.eq_ignore_ascii_case("identity") {
        return (body, whole);
    }
    if !coding.eq_ignore_ascii_case("gzip") {
        return (Bytes::new(), false);
    }
    let mut out = Vec::new();
    let mut reader = MultiGzDecoder::new(&body[..]).take(most as u64 + 1);
    let read = reader.read_to_end(&mut out);
    let fits = out.len() <= most;
    out.truncate(most);
    (Bytes::from(out), whole && fits && read.is_ok())
}
