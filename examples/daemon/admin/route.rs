//! Which request is let in, and what answers it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use tracing::warn;

use ctforward_core::ErrorKind;
use ctforward_core::text::{excerpt, printable};

use super::gate::{Asked, Foreign, Names, was_forwarded};
use super::limits::{BODY_BYTES, Limits};
use super::page::Page;
use super::redrive::{Asking, Redrives};
use super::reply::{self, Reply, with};
use super::token::{AdminToken, Carried, Checked};
use super::view::View;

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    All,
    /// Everything but `/metrics`, which has a listener of its own.
    Pages,
    /// `/metrics`, `/healthz` and `/readyz`.
    Metrics,
}

/// What answers requests on one listener.
pub(super) struct Pages {
    pub(super) role: Role,
    /// Whether it listens at a loopback address.
    pub(super) loopback: bool,
    pub(super) names: Names,
    pub(super) limits: Limits,
    pub(super) token: Arc<AdminToken>,
    pub(super) view: Arc<View>,
    pub(super) redrives: Arc<Redrives>,
    pub(super) page: Arc<Page>,
    pub(super) metrics: PrometheusHandle,
}

/// Every request comes through here, and every answer leaves here.
pub(super) async fn answer(pages: &Pages, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    route(pages, peer, &head, body).await
}

async fn route(pages: &Pages, peer: IpAddr, head: &Parts, body: Incoming) -> Reply {
    let path = head.uri.path();
    let asked = match path {
        "/healthz" | "/readyz" => Asked::Machine,
        "/metrics" if pages.role != Role::Pages => Asked::Machine,
        _ => Asked::Page,
    };
    // Before it is said what there is.
    if let Err(foreign) = pages
        .names
        .admit(asked, &head.method, &head.uri, &head.headers)
    {
        return refuse(foreign);
    }
    let known = match path {
        "/healthz" | "/readyz" => true,
        "/metrics" => pages.role != Role::Pages,
        "/" | "/status" | "/redrive" => pages.role != Role::Metrics,
        _ => false,
    };
    if !known {
        return reply::text(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if path == "/redrive" {
        return redrive(pages, peer, head, body).await;
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return not_allowed("GET, HEAD");
    }
    if !body.is_end_stream() {
        // It would have to be read before the connection can be used again.
        let refused = reply::text(StatusCode::BAD_REQUEST, "this takes no body");
        return with(refused, CONNECTION, HeaderValue::from_static("close"));
    }
    match path {
        "/healthz" => reply::text(StatusCode::OK, "ok"),
        "/readyz" => ready(pages, peer, head).await,
        "/metrics" => {
            pages.view.meter().await;
            reply::metrics(pages.metrics.render())
        }
        _ => match look(pages, peer, head).await {
            Err(refused) => *refused,
            Ok(()) if path == "/" => reply::html(pages.page.html.clone(), &pages.page.policy),
            Ok(()) => pages.status().await,
        },
    }
}

impl Pages {
    async fn status(&self) -> Reply {
        match self.view.status(&self.redrives, self.token.is_set()).await {
            Ok(status) => reply::json(StatusCode::OK, &status),
            Err(error) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// Whether who asks must show the token to see anything.
    fn guarded(&self, head: &Parts) -> bool {
        !self.loopback
            || was_forwarded(&head.headers)
            || !self.names.is_local(&head.uri, &head.headers)
    }
}

fn refuse(foreign: Foreign) -> Reply {
    metrics::counter!("ctforward_admin_refused_total", "why" => foreign.why()).increment(1);
    let status = match foreign {
        Foreign::Host => StatusCode::MISDIRECTED_REQUEST,
        Foreign::Origin | Foreign::Site => StatusCode::FORBIDDEN,
    };
    let refused = reply::text(status, foreign.words());
    // A body that came with it is not read.
    with(refused, CONNECTION, HeaderValue::from_static("close"))
}

fn not_allowed(allowed: &'static str) -> Reply {
    let refused = reply::text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this takes {allowed}"),
    );
    let refused = with(refused, ALLOW, HeaderValue::from_static(allowed));
    with(refused, CONNECTION, HeaderValue::from_static("close"))
}

/// Whether somebody may see the pages.
async fn look(pages: &Pages, peer: IpAddr, head: &Parts) -> Result<(), Box<Reply>> {
    if !pages.guarded(head) {
        return Ok(());
    }
    let checked = pages.token.check(&head.headers, Carried::Login, peer).await;
    let ask = HeaderValue::from_static("Basic realm=\"ctforward\", charset=\"UTF-8\"");
    passed(&checked, peer, head).map_err(|refused| match refused.status() {
        StatusCode::UNAUTHORIZED => Box::new(with(*refused, WWW_AUTHENTICATE, ask)),
        _ => refused,
    })
}

/// What a checked token allows.
fn passed(checked: &Checked, peer: IpAddr, head: &Parts) -> Result<(), Box<Reply>> {
    let (why, status, words) = match checked {
        Checked::Right => return Ok(()),
        Checked::Missing => (
            "no_token",
            StatusCode::UNAUTHORIZED,
            "this needs the admin token".to_owned(),
        ),
        Checked::Wrong => {
            let path = printable(head.uri.path());
            warn!(%peer, %path, "a wrong admin token was refused");
            (
                "token",
                StatusCode::UNAUTHORIZED,
                "this is not the admin token".to_owned(),
            )
        }
        Checked::TooMany(_) => (
            "attempts",
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens; wait a little".to_owned(),
        ),
        Checked::Unset => (
            "unset",
            StatusCode::FORBIDDEN,
            "this needs the admin token, and none is configured".to_owned(),
        ),
        Checked::Unreadable(error) => {
            warn!(%error, "the admin token cannot be read");
            (
                "unreadable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the admin token cannot be read; the log says why".to_owned(),
            )
        }
    };
    metrics::counter!("ctforward_admin_refused_total", "why" => why).increment(1);
    let mut refused = reply::error(status, &words);
    if let Checked::TooMany(wait) = checked {
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        refused = with(refused, RETRY_AFTER, seconds);
    }
    // A body that came with it is not read.
    let refused = with(refused, CONNECTION, HeaderValue::from_static("close"));
    Err(Box::new(refused))
}

/// Whether anything can be delivered; why not is for those who may see the pages.
async fn ready(pages: &Pages, peer: IpAddr, head: &Parts) -> Reply {
    let Err(reasons) = pages.view.ready() else {
        return reply::text(StatusCode::OK, "ready");
    };
    let sent = head.headers.contains_key(hyper::header::AUTHORIZATION)
        || head.headers.contains_key(super::token::HEADER);
    let words = if !pages.guarded(head) || (sent && look(pages, peer, head).await.is_ok()) {
        let lines = reasons.iter().map(|reason| excerpt(reason, 1024));
        lines.collect::<Vec<_>>().join("\n")
    } else {
        "not ready; with the admin token this says why".to_owned()
    };
    reply::text(StatusCode::SERVICE_UNAVAILABLE, words)
}

/// What a redrive's body may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Only entries of this reason.
    #[serde(default)]
    reason: Option<String>,
}

async fn redrive(pages: &Pages, peer: IpAddr, head: &Parts, body: Incoming) -> Reply {
    if head.method != Method::POST {
        return not_allowed("POST");
    }
    let checked = pages
        .token
        .check(&head.headers, Carried::Explicit, peer)
        .await;
    if let Err(refused) = passed(&checked, peer, head) {
        return *refused;
    }
    if head.uri.query().is_some() {
        let words = "this takes no query: the reason goes into the body, the token into a header";
        return close(StatusCode::BAD_REQUEST, words);
    }
    let bytes = match read(pages, body).await {
        Ok(bytes) => bytes,
        Err((status, words)) => return close(status, words),
    };
    let wanted = if bytes.is_empty() {
        Wanted::default()
    } else {
        let kind = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            let words = "the body must be application/json";
            return close(StatusCode::UNSUPPORTED_MEDIA_TYPE, words);
        }
        match serde_json::from_slice(&bytes) {
            Ok(wanted) => wanted,
            Err(_) => {
                let words = "the body must be empty, or {\"reason\": \"…\"}";
                return close(StatusCode::BAD_REQUEST, words);
            }
        }
    };
    match pages
        .redrives
        .begin(wanted.reason, pages.limits.redrive)
        .await
    {
        Asking::Done(redriven) => {
            let redriven = serde_json::json!({ "done": true, "redriven": redriven });
            reply::json(StatusCode::OK, &super::view::made_printable(redriven))
        }
        Asking::GoesOn => {
            let words = "the redrive goes on; /status says what becomes of it";
            let answer = serde_json::json!({ "done": false, "note": words });
            reply::json(StatusCode::ACCEPTED, &answer)
        }
        Asking::Another => {
            let words = "another redrive is under way; /status says what becomes of it";
            reply::error(StatusCode::CONFLICT, words)
        }
        Asking::Failed(error) => {
            let status = match error.kind() {
                ErrorKind::Config => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            };
            reply::error(status, &excerpt(&error.to_string(), 1024))
        }
    }
}

fn close(status: StatusCode, words: &str) -> Reply {
    let refused = reply::error(status, words);
    with(refused, CONNECTION, HeaderValue::from_static("close"))
}

async fn read(pages: &Pages, body: Incoming) -> Result<Bytes, (StatusCode, &'static str)> {
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1 KiB");
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(too_large);
    }
    let collected = Limited::new(body, BODY_BYTES).collect();
    match tokio::time::timeout(pages.limits.body, collected).await {
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body broke off")),
    }
}
