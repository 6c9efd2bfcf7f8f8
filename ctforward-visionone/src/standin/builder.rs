//! Settings of the stand-in.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use hyper::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::fault::{Faults, Injector};
use super::limit::Limiter;
use super::store::Store;
use super::{Shared, StandIn, serve};
use crate::cloudone::CloudOneRegion;
use crate::secret::Secret;

/// The path that one public client of the endpoint posts to; not documented.
const PATH: &str = "/ingest/api/v1/third_party_log/raw";

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) path: String,
    pub(super) token: Option<Secret>,
    pub(super) api_token: Option<Secret>,
    pub(super) accept_status: StatusCode,
    pub(super) max_body_bytes: usize,
    pub(super) max_connections: usize,
    pub(super) gzip: bool,
    pub(super) pretend_native: bool,
    pub(super) cloud_one_key: Option<Secret>,
    pub(super) cloud_one_region: CloudOneRegion,
    pub(super) stack_template: String,
    /// Calls of the API that one path answers in a span.
    pub(super) api_limit: Option<(u32, Duration)>,
}

/// Settings of a [`StandIn`]. All are checked by [`start`](Self::start).
#[derive(Debug)]
#[must_use]
pub struct StandInBuilder {
    address: SocketAddr,
    allow_non_loopback: bool,
    accept_status: u16,
    keep: Option<usize>,
    faults: Faults,
    settings: Settings,
}

impl StandInBuilder {
    pub(super) fn new() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_non_loopback: false,
            accept_status: 200,
            keep: Some(256 << 20),
            faults: Faults::new(),
            settings: Settings {
                path: PATH.to_owned(),
                token: None,
                api_token: None,
                accept_status: StatusCode::OK,
                max_body_bytes: 1_000_000,
                max_connections: 256,
                gzip: false,
                pretend_native: false,
                cloud_one_key: None,
                cloud_one_region: CloudOneRegion::us_1(),
                stack_template: "https://standin.example/template.json".to_owned(),
                api_limit: None,
            },
        }
    }

    /// Where to listen. Default: a free port of 127.0.0.1.
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Whether other machines may reach it. Default: no. It speaks plain HTTP.
    pub fn allow_non_loopback(mut self, allow: bool) -> Self {
        self.allow_non_loopback = allow;
        self
    }

    /// The path log lines are posted to. Default:
    /// `/ingest/api/v1/third_party_log/raw`, an assumption.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.settings.path = path.into();
        self
    }

    /// The token that posts must carry. Default: any, but one.
    pub fn token(mut self, token: Secret) -> Self {
        self.settings.token = Some(token);
        self
    }

    /// The key that calls of the public API must carry. Default: any, but one.
    pub fn api_token(mut self, token: Secret) -> Self {
        self.settings.api_token = Some(token);
        self
    }

    /// The status of an accepted post. Default: 200, an assumption.
    pub fn accept_status(mut self, status: u16) -> Self {
        self.accept_status = status;
        self
    }

    /// The most bytes of one post, as sent and as inflated; beyond it the answer
    /// is 413. Default: 1,000,000, an assumption.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// The most connections at a time; more wait. Default: 256.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Whether `Content-Encoding: gzip` is taken; else the answer is 415. Default: no.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.settings.gzip = gzip;
        self
    }

    /// Keeps at most this many bytes of lines; the oldest go. Default: 256 MiB.
    pub fn keep_bytes(mut self, bytes: usize) -> Self {
        self.keep = Some(bytes);
        self
    }

    /// Keeps no line: bodies are counted as they come and never held.
    pub fn discard(mut self) -> Self {
        self.keep = None;
        self
    }

    /// Whether the search for cloud activities shows posted records. Default: no,
    /// as the real one is not documented to. If so, each answer says that it is
    /// simulated.
    pub fn pretend_native(mut self, pretend: bool) -> Self {
        self.settings.pretend_native = pretend;
        self
    }

    /// The Cloud One key (`<id>:<secret>`) that its calls must carry. Default: any.
    pub fn cloud_one_key(mut self, key: Secret) -> Self {
        self.settings.cloud_one_key = Some(key);
        self
    }

    /// The region that the Cloud One key belongs to. Default: `us-1`.
    pub fn cloud_one_region(mut self, region: CloudOneRegion) -> Self {
        self.settings.cloud_one_region = region;
        self
    }

    /// The template that the stack's link names. Default: an address that leads nowhere.
    pub fn stack_template(mut self, url: impl Into<String>) -> Self {
        self.settings.stack_template = url.into();
        self
    }

    /// How many calls of the API each path answers in a span, before it answers with
    /// 429, `Retry-After` and `RateLimit-Limit`. Default: any number. The real service
    /// counts over 60 seconds; its numbers are not known here.
    pub fn api_limit(mut self, calls: u32, span: Duration) -> Self {
        self.settings.api_limit = Some((calls, span));
        self
    }

    /// What goes wrong, and how often. Default: nothing.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Starts it, on the runtime this is called from.
    ///
    /// # Errors
    /// `Config` when a setting cannot work, `Unavailable` when the address is taken.
    pub async fn start(mut self) -> Result<StandIn> {
        let wrong = |what: String| Error::new(ErrorKind::Config, "standin", what);
        if !self.address.ip().is_loopback() && !self.allow_non_loopback {
            return Err(wrong(format!(
                "{} can be reached by other machines; listen on 127.0.0.1, or allow it explicitly",
                self.address
            )));
        }
        if !self.settings.path.starts_with('/') || self.settings.path.contains(['?', '#', ' ']) {
            return Err(wrong(
                "the path must begin with / and hold no ?, # or space".to_owned(),
            ));
        }
        self.faults.check()?;
        if self.settings.max_connections == 0
            || self.settings.max_connections > Semaphore::MAX_PERMITS
        {
            return Err(wrong(
                "the number of connections must be at least 1 and below 2^60".to_owned(),
            ));
        }
        if self.settings.max_body_bytes > 1 << 30 {
            return Err(wrong(
                "a post of more than 1 GiB cannot be taken".to_owned(),
            ));
        }
        self.settings.accept_status = StatusCode::from_u16(self.accept_status)
            .ok()
            .filter(StatusCode::is_success)
            .ok_or_else(|| {
                wrong("the status of an accepted post must be of 200 to 299".to_owned())
            })?;
        let listening = |e: std::io::Error| {
            let what = format!("cannot listen on {} ({})", self.address, e.kind());
            Error::new(ErrorKind::Unavailable, "standin", what)
        };
        let listener = TcpListener::bind(self.address).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let shared = Arc::new(Shared {
            store: Store::new(self.keep),
            injector: Injector::new(self.faults),
            settings: self.settings,
            base_url: format!("http://{address}"),
            limiter: Limiter::default(),
            stop: CancellationToken::new(),
            searches: Arc::new(Semaphore::new(2)),
        });
        let task = tokio::spawn(serve::listen(listener, Arc::clone(&shared)));
        Ok(StandIn {
            address,
            shared,
            task: tokio::sync::Mutex::new(Some(task)),
        })
    }
}
