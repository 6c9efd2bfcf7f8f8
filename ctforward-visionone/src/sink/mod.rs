//! The sink: HTTP event collection of Trend Vision One.

mod builder;
pub(crate) mod classify;
pub(crate) mod exchange;
mod preflight;
pub(crate) mod redact;
pub(crate) mod retry_after;

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use ctforward_core::{Batch, BatchLimits, Delivery, Error, ErrorKind, Result, Sink};
use flate2::Compression;
use flate2::write::GzEncoder;

pub use builder::VisionOneSinkBuilder;

use crate::endpoint::Endpoint;
use crate::token::TokenProvider;

/// How many tokens one delivery tries: two, each as it was kept and as it was read anew.
const MOST_TOKENS: usize = 4;

/// Posts batches to an HTTP event collection endpoint: one record a line, byte for byte.
///
/// # What an answer means
/// | answer | outcome |
/// | --- | --- |
/// | 200, 201, 202, 204 (a setting), body neither a web page nor an error object | accepted |
/// | the same with an error object | `Throttled`, `TooLarge`, `Rejected`, `Unauthorized` or `Timeout` as its code says, else `Unavailable` |
/// | the same with a web page, another 2xx, 3xx, 404, 405, 410, 415 | `Config`: the endpoint is wrong. Redirects are never followed |
/// | a 2xx whose body is cut off, longer than 64 KiB or in a compression other than gzip | `Unavailable`: it may be an error |
/// | 400, 422 | `Rejected` |
/// | 413 | `TooLarge` |
/// | 401, 403 | the token is read again; if it is another one (or there is [a second one](crate::TokenPair)), one more try with it; then `Unauthorized` |
/// | 408, 504, no answer in time | `Timeout`, to be retried |
/// | 429 | `Throttled`, to be retried |
/// | 402, 406, 407, 411, 414, 417, 426, 428, 431, 451 | `Config`: a setting, the proxy or the subscription must change |
/// | anything else (409, 418, 425, 491, 5xx, 599, …), no connection, an untrusted certificate | `Unavailable`, to be retried |
///
/// `Retry-After`, seconds or a date, is passed on unshortened with what is to be
/// retried, however large; add it to a point in time with `checked_add`. A
/// connection that was closed before the answer began is opened anew once.
///
/// # Limits
/// A record that is empty or holds a line break is never sent, as it would arrive
/// as other lines than it is: the batch comes back as `Rejected`.
#[derive(Clone)]
pub struct VisionOneSink {
    client: reqwest::Client,
    endpoint: Endpoint,
    token: Arc<dyn TokenProvider>,
    limits: BatchLimits,
    accept: Vec<u16>,
    gzip: bool,
    final_newline: bool,
}

impl VisionOneSink {
    /// A sink that posts to `endpoint`, the address that the collector's page
    /// shows, with the token that `token` hands out.
    pub fn builder(endpoint: &str, token: impl TokenProvider + 'static) -> VisionOneSinkBuilder {
        VisionOneSinkBuilder::new(endpoint, Arc::new(token))
    }

    /// The endpoint without its query, safe to print.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.endpoint.shown()
    }

    async fn frame(&self, batch: &Batch) -> Result<Bytes> {
        let mut body = batch.body();
        if self.final_newline {
            let mut framed = BytesMut::with_capacity(body.len() + 1);
            framed.extend_from_slice(&body);
            framed.put_u8(b'\n');
            body = framed.freeze();
        }
        if !self.gzip {
            return Ok(body);
        }
        let failed = |what: String| Error::new(ErrorKind::Other, "visionone", what);
        // Tens of milliseconds for a megabyte: not on the runtime's threads.
        tokio::task::spawn_blocking(move || {
            let mut encoder =
                GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::default());
            encoder.write_all(&body).and_then(|()| encoder.finish())
        })
        .await
        .map_err(|_| failed("compressing a batch was given up".to_owned()))?
        .map(Bytes::from)
        .map_err(|e| failed(format!("compressing a batch failed: {e}")))
    }
}

#[async_trait]
impl Sink for VisionOneSink {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        if batch.is_empty() {
            return Ok(Delivery::accepted());
        }
        if let Some(index) = batch.records().position(is_no_line) {
            return Err(Error::new(
                ErrorKind::Rejected,
                "visionone",
                format!(
                    "record {index} of the batch is empty or holds a line break, and a record must be one line"
                ),
            ));
        }
        let body = self.frame(batch).await?;
        let mut token = self.token.token(false).await?;
        let mut refused = Vec::new();
        loop {
            let error = match self.exchange(body.clone(), &token).await {
                Err(e) if e.kind() == ErrorKind::Unauthorized => e,
                other => return other.map(|()| Delivery::accepted()),
            };
            refused.push(token);
            if refused.len() == MOST_TOKENS {
                return Err(error);
            }
            token = match self.token.instead_of(&refused).await? {
                Some(token) if !refused.contains(&token) => token,
                _ => return Err(error),
            };
            tracing::debug!(
                endpoint = self.endpoint.shown(),
                "token refused, trying once with another one"
            );
        }
    }
}

fn is_no_line(record: &[u8]) -> bool {
    record.is_empty() || record.contains(&b'\n') || record.contains(&b'\r')
}

impl fmt::Debug for VisionOneSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VisionOneSink")
            .field("endpoint", &self.endpoint.shown())
            .field("limits", &self.limits)
            .field("accept", &self.accept)
            .field("gzip", &self.gzip)
            .field("final_newline", &self.final_newline)
            .finish_non_exhaustive()
    }
}
