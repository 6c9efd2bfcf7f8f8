//! Settings of the sink.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{BatchLimits, Error, ErrorKind, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::VisionOneSink;
use crate::connect::Connect;
use crate::endpoint::Endpoint;
use crate::token::TokenProvider;

/// One megabyte: the documented cap of the public API, and below what the one
/// known client of the ingest endpoint sends. The endpoint's own is not documented.
const REQUEST_BYTES: usize = 1_000_000;

/// More than any service takes; keeps lengths far from 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// Headers that the sink or the connection sets; a second one would contradict it.
const OURS: [&str; 12] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Settings of a [`VisionOneSink`]. All are checked by [`build`](Self::build).
#[must_use]
pub struct VisionOneSinkBuilder {
    endpoint: String,
    token: Arc<dyn TokenProvider>,
    allow_plain_http: bool,
    request_bytes: usize,
    records: usize,
    record_bytes: Option<usize>,
    accept: Vec<u16>,
    gzip: bool,
    final_newline: bool,
    headers: Vec<(String, String)>,
    connect_timeout: Duration,
    request_timeout: Duration,
    proxy: Option<String>,
    ca: Vec<Vec<u8>>,
}

impl VisionOneSinkBuilder {
    pub(super) fn new(endpoint: &str, token: Arc<dyn TokenProvider>) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            token,
            allow_plain_http: false,
            request_bytes: REQUEST_BYTES,
            records: BatchLimits::new(REQUEST_BYTES).records,
            record_bytes: None,
            accept: vec![200, 201, 202, 204],
            gzip: false,
            final_newline: false,
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            proxy: None,
            ca: Vec::new(),
        }
    }

    /// Whether `http://` to another machine is allowed. Default: no. It sends the
    /// token and the records in plain text.
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// The most bytes of one request's body before compression. Default: 1,000,000.
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// The most records of one request. Default: 10,000.
    pub fn records(mut self, records: usize) -> Self {
        self.records = records;
        self
    }

    /// The most bytes of one record. Default: what one request takes.
    pub fn record_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = Some(bytes);
        self
    }

    /// The statuses that mean "accepted". Default: 200, 201, 202 and 204.
    pub fn accept_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.accept = statuses.into_iter().collect();
        self
    }

    /// Whether bodies are sent with `Content-Encoding: gzip`. Default: no, as the
    /// endpoint is not documented to take it.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Whether a line feed follows the last record too. Default: no.
    pub fn final_newline(mut self, newline: bool) -> Self {
        self.final_newline = newline;
        self
    }

    /// One more header of every request, such as `TMV1-Log-Vendor`. Not for
    /// secrets: what a server echoes of it may end up in an error.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long to wait for a connection. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request may take, from connecting to the answer's end. Default: 60 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The proxy to go through, instead of what `HTTPS_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` say. A loopback endpoint is never reached through a proxy.
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Certificates (PEM) to trust beside the system's. On Linux the environment
    /// variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca.push(pem.into());
        self
    }

    /// The sink.
    ///
    /// # Errors
    /// `Config`, with one line that says which setting is wrong and what to do.
    pub fn build(self) -> Result<VisionOneSink> {
        let endpoint = Endpoint::parse(&self.endpoint, self.allow_plain_http)?;
        let limits = self.limits()?;
        if self.accept.is_empty() || !self.accept.iter().all(|s| (200..=299).contains(s)) {
            return Err(wrong(
                "accepted statuses must be of 200 to 299, and at least one",
            ));
        }
        let client = Connect {
            loopback: endpoint.is_loopback(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            proxy: self.proxy.as_deref(),
            ca: &self.ca,
        }
        .client(headers(&self.headers)?)?;
        Ok(VisionOneSink {
            client,
            endpoint,
            token: self.token,
            limits,
            accept: self.accept,
            gzip: self.gzip,
            final_newline: self.final_newline,
        })
    }

    fn limits(&self) -> Result<BatchLimits> {
        if !(2..=MOST_BYTES).contains(&self.request_bytes) {
            return Err(wrong("the request size must lie between 2 bytes and 1 GiB"));
        }
        if self.records == 0 {
            return Err(wrong("a request must take at least one record"));
        }
        let bytes = self.request_bytes - usize::from(self.final_newline);
        let record_bytes = self.record_bytes.unwrap_or(bytes);
        if record_bytes == 0 || record_bytes > bytes {
            return Err(wrong(format!(
                "the record size must lie between 1 and {bytes} bytes, what one request takes"
            )));
        }
        Ok(BatchLimits::new(bytes)
            .with_records(self.records)
            .with_record_bytes(record_bytes))
    }
}

impl fmt::Debug for VisionOneSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No endpoint: it is not checked yet, and may hold a secret.
        f.debug_struct("VisionOneSinkBuilder")
            .field("request_bytes", &self.request_bytes)
            .field("records", &self.records)
            .field("gzip", &self.gzip)
            .field("final_newline", &self.final_newline)
            .finish_non_exhaustive()
    }
}

fn wrong(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, "visionone", what)
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
            return Err(wrong("an extra header has a name that no header may have"));
        };
        if OURS.contains(&name.as_str()) {
            return Err(wrong(format!(
                "the header {name} is set by the sink itself; leave it out of the extra headers"
            )));
        }
        let Ok(mut value) = HeaderValue::from_str(value.trim()) else {
            return Err(wrong(format!(
                "the extra header {name} has a value that no header may have"
            )));
        };
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}
