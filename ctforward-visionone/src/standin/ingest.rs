//! Posts of log lines.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use jiff::Timestamp;

use super::Shared;
use super::fault::{Wait, retry_after};
use super::reply::{self, Reply};
use super::serve::bearer_is;
use super::store::LineCounter;

/// How much of a refused body is read, so that the client sees the answer and
/// not a reset; and for how long.
const DRAINED: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Why a post is not taken.
#[derive(Clone, Copy)]
struct Refusal {
    status: StatusCode,
    message: &'static str,
    wait: Option<Wait>,
}

fn refusal(status: StatusCode, message: &'static str) -> Refusal {
    Refusal {
        status,
        message,
        wait: None,
    }
}

impl Refusal {
    fn reply(self) -> Reply {
        let mut reply = match self.status {
            StatusCode::METHOD_NOT_ALLOWED => reply::not_allowed("POST"),
            status => reply::error(status, self.message),
        };
        retry_after(&mut reply, self.wait);
        reply
    }
}

pub(super) async fn ingest(shared: &Shared, head: &Parts, body: &mut Incoming) -> Reply {
    let gzip = match check(shared, head, body) {
        Ok(gzip) => gzip,
        Err(refusal) => return refusal.reply(),
    };
    match tokio::time::timeout(BODY_TIME, receive(shared, gzip, body)).await {
        Ok(Ok(status)) => reply::status(status),
        Ok(Err(refusal)) => refusal.reply(),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long").reply(),
    }
}

/// Whether the body is compressed, or why it is not taken.
fn check(shared: &Shared, head: &Parts, body: &Incoming) -> Result<bool, Refusal> {
    if head.method != Method::POST {
        return Err(refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "log lines are posted",
        ));
    }
    if !bearer_is(&head.headers, shared.settings.token.as_ref()) {
        return Err(refusal(
            StatusCode::UNAUTHORIZED,
            "the token is missing or not the right one",
        ));
    }
    let header = |name| {
        head.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::trim)
    };
    let essence = header(CONTENT_TYPE)
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("text/plain") {
        return Err(refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "only text/plain is taken",
        ));
    }
    let gzip = match header(CONTENT_ENCODING) {
        None => false,
        Some(coding) if coding.eq_ignore_ascii_case("identity") => false,
        Some(coding) if coding.eq_ignore_ascii_case("gzip") && shared.settings.gzip => true,
        Some(_) => {
            return Err(refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "this content encoding is not taken",
            ));
        }
    };
    if body.size_hint().lower() > shared.settings.max_body_bytes as u64 {
        return Err(too_large());
    }
    Ok(gzip)
}

fn too_large() -> Refusal {
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large")
}

async fn receive(shared: &Shared, gzip: bool, body: &mut Incoming) -> Result<StatusCode, Refusal> {
    let most = shared.settings.max_body_bytes;
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut taker = Taker::new(
        shared.store.keeps() || shared.injector.looks_inside(),
        expected,
        most,
    );
    let mut received = 0;
    if gzip {
        let mut decoder = MultiGzDecoder::new(taker);
        while let Some(chunk) = next(body).await? {
            received += chunk.len();
            if received > most {
                return Err(too_large());
            }
            if decoder.write_all(&chunk).is_err() {
                return Err(if decoder.get_ref().overflows {
                    too_large()
                } else {
                    refusal(StatusCode::BAD_REQUEST, "the body is not gzip")
                });
            }
        }
        taker = match decoder.finish() {
            Ok(taker) => taker,
            Err(_) => {
                return Err(refusal(
                    StatusCode::BAD_REQUEST,
                    "the body is not whole gzip",
                ));
            }
        };
    } else {
        while let Some(chunk) = next(body).await? {
            if taker.write_all(&chunk).is_err() {
                return Err(too_large());
            }
        }
    }
    if let Some(refused) = shared.injector.refuses(taker.bytes, taker.kept.as_deref()) {
        return Err(Refusal {
            status: refused.status,
            message: "the content is refused, as was asked for",
            wait: refused.wait,
        });
    }
    match taker.kept {
        Some(kept) if !shared.store.keeps() => {
            taker.counter.push(&kept);
            shared
                .store
                .count(taker.counter.finish(), kept.len() as u64);
        }
        Some(mut kept) => {
            kept.shrink_to_fit();
            shared.store.keep(Bytes::from(kept), Timestamp::now());
        }
        None => shared
            .store
            .count(taker.counter.finish(), taker.bytes as u64),
    }
    Ok(shared.settings.accept_status)
}

/// The next bytes of the body; a body that breaks off is not taken at all.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(refusal(StatusCode::BAD_REQUEST, "the body broke off"));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads what is left of the body of a request that is about to be answered.
pub(super) async fn drain(body: &mut Incoming) {
    if body.is_end_stream() {
        return;
    }
    let mut left = DRAINED;
    let reading = async {
        while let Ok(Some(chunk)) = next(body).await {
            let Some(rest) = left.checked_sub(chunk.len()) else {
                return;
            };
            left = rest;
        }
    };
    // Out of time is as good as read: the answer goes out either way.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// Keeps or counts what is written, up to a size.
struct Taker {
    kept: Option<Vec<u8>>,
    counter: LineCounter,
    bytes: usize,
    most: usize,
    overflows: bool,
}

impl Taker {
    fn new(keeps: bool, expected: usize, most: usize) -> Self {
        Self {
            kept: keeps.then(|| Vec::with_capacity(expected.min(most))),
            counter: LineCounter::default(),
            bytes: 0,
            most,
            overflows: false,
        }
    }
}

impl Write for Taker {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        self.bytes += chunk.len();
        if self.bytes > self.most {
            self.overflows = true;
            return Err(io::Error::other("too large"));
        }
        match &mut self.kept {
            Some(kept) => kept.extend_from_slice(chunk),
            None => self.counter.push(chunk),
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
