//! A post, and the fault that befalls it.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use super::body::{Body, Cut};
use super::{Drawn, Kind, Wait};
use crate::standin::reply::{self, Reply};
use crate::standin::{Shared, ingest};

/// The connection is to be reset instead of an answer.
#[derive(Debug)]
pub(in crate::standin) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset on purpose")
    }
}

impl std::error::Error for Broken {}

/// Answers a post of log lines, or does what its fault says.
pub(in crate::standin) async fn post(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Body>, Broken> {
    let whole = |reply: Reply| reply.map(Body::Whole);
    let (status, wait) = match shared.injector.next() {
        Some(Kind::Drawn(_, drawn)) => return suffer(shared, head, body, drawn).await,
        Some(Kind::Window { status, wait, .. }) => (*status, *wait),
        Some(Kind::Over { .. } | Kind::Match { .. } | Kind::EchoHeaders) | None => {
            let reply = ingest::ingest(shared, head, body).await;
            return Ok(whole(echoed(shared, head, reply).await));
        }
    };
    Ok(whole(refusal(shared, head, status, wait).await))
}

async fn suffer(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
    drawn: &Drawn,
) -> Result<Response<Body>, Broken> {
    let whole = |reply: Reply| Ok(reply.map(Body::Whole));
    match drawn {
        Drawn::Status(status, wait) => whole(refusal(shared, head, *status, *wait).await),
        Drawn::ResetBefore => Err(Broken),
        Drawn::ResetAfter => {
            ingest::ingest(shared, head, body).await;
            Err(Broken)
        }
        Drawn::Slow(time) => {
            let reply = ingest::ingest(shared, head, body).await;
            tokio::select! {
                () = sleep(*time) => {}
                () = shared.stop.cancelled() => {}
            }
            whole(echoed(shared, head, reply).await)
        }
        Drawn::Stuck { stored } => {
            if *stored {
                ingest::ingest(shared, head, body).await;
            }
            // All of it: only then is it seen that the client went away.
            ingest::drain(body).await;
            shared.stop.cancelled().await;
            Err(Broken)
        }
        Drawn::Html => {
            let mut page = "<!DOCTYPE html><title>Sign in</title><p>Please sign in.".to_owned();
            if shared.injector.echoes() {
                let _ = write!(page, "<pre>{}</pre>", said(head));
            }
            whole(text(StatusCode::OK, "text/html; charset=utf-8", page))
        }
        Drawn::Redirect(status, to) => {
            let mut page = String::new();
            if shared.injector.echoes() {
                page = said(head);
            }
            let mut reply = text(*status, "text/plain", page);
            reply.headers_mut().insert(LOCATION, to.clone());
            whole(reply)
        }
        Drawn::Endless(status) => {
            let mut piece = "no end of it, ".repeat(100);
            if shared.injector.echoes() {
                piece = said(head).repeat(8);
            }
            let mut reply = Response::new(Body::Endless {
                piece: Bytes::from(piece),
                stop: Box::pin(shared.stop.clone().cancelled_owned()),
            });
            *reply.status_mut() = *status;
            Ok(reply)
        }
        Drawn::Truncated => {
            let reply = ingest::ingest(shared, head, body).await;
            let mut cut = Response::new(Body::Cut(Cut::Piece(Bytes::from_static(b"{\"acc"))));
            *cut.status_mut() = reply.status();
            cut.headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from_static("99"));
            Ok(cut)
        }
    }
}

async fn refusal(shared: &Shared, head: &Parts, status: StatusCode, wait: Option<Wait>) -> Reply {
    let mut reply = reply::error(status, "this fault was asked for");
    retry_after(&mut reply, wait);
    echoed(shared, head, reply).await
}

/// Says when to come again.
pub(in crate::standin) fn retry_after(reply: &mut Reply, wait: Option<Wait>) {
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    };
    match wait {
        None => {}
        Some(Wait::Seconds(seconds)) => set(RETRY_AFTER, seconds.to_string()),
        Some(Wait::Date(seconds)) => {
            // Both dates from one clock, so that their difference is what was asked for.
            let now = Timestamp::now();
            let then = now
                .checked_add(SignedDuration::from_secs(seconds.into()))
                .unwrap_or(Timestamp::MAX);
            for (name, at) in [(DATE, now), (RETRY_AFTER, then)] {
                if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&at) {
                    set(name, date);
                }
            }
        }
    }
}

/// The same answer; if it is an error and that fault was asked for, with the
/// request's head in its message.
async fn echoed(shared: &Shared, head: &Parts, reply: Reply) -> Reply {
    if reply.status().as_u16() < 400 || !shared.injector.echoes() {
        return reply;
    }
    let (mut parts, body) = reply.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let at = |key| error.pointer(key).and_then(serde_json::Value::as_str);
    let message = format!(
        "{}; the request was: {}",
        at("/error/message").unwrap_or_default(),
        said(head)
    );
    let body = json!({"error": {"code": at("/error/code"), "message": message}}).to_string();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Full::new(Bytes::from(body)))
}

/// The head of a request as it came, secrets and all.
fn said(head: &Parts) -> String {
    let mut said = format!("{} {}\r\n", head.method, head.uri);
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let _ = write!(said, "{name}: {value}\r\n");
    }
    said
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
