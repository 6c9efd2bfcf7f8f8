//! A local server that stands in for Vision One, for tests and trials.
//!
//! # What is documented of the real service, and what is assumed here
//! Documented of HTTP event collection are the method (POST), the bearer token,
//! `Content-Type: text/plain`, and that every line (LF or CRLF) is one log entry.
//! **Everything else of it is an assumption of this crate**, most of them settings:
//!
//! | assumed | setting |
//! | --- | --- |
//! | the path `/ingest/api/v1/third_party_log/raw` | [`path`](StandInBuilder::path) |
//! | 200 and an empty body for an accepted post | [`accept_status`](StandInBuilder::accept_status) |
//! | 401 without the token | [`token`](StandInBuilder::token) |
//! | 413 over 1,000,000 bytes | [`max_body_bytes`](StandInBuilder::max_body_bytes) |
//! | 415 for a compressed body | [`gzip`](StandInBuilder::gzip) |
//! | 415 for another content type, 405 for another method, 404 for another path, 408 for a body that takes a minute, 400 for one that breaks off or is no gzip | none |
//! | errors in the shape of the public API | none |
//! | blank lines are no entries | none |
//!
//! # Faults
//! By default it is in good health. [`faults`](StandInBuilder::faults) make it slow,
//! refuse, reset, stall, and answer what no such service should, each at a rate and
//! all from a seed; see [`Fault`]. They are invented, to see that a client bears
//! them: the real service is not documented to have any of them.
//!
//! # The public API
//! Of the public API these calls are answered as its specification describes them:
//! `GET /v3.0/healthcheck/connectivity`, `/v3.0/search/cloudActivities`,
//! `/v3.0/search/activityStatistics`, `/v3.0/workbench/alerts` and one alert by its id.
//! Assumed there: 401 without the [API key](StandInBuilder::api_token), the code
//! `InvalidFilter` for a query that cannot be read, matching without regard to
//! case, `*` for anything between two pieces of a value, the order of arrival, how
//! `progressRate` grows, the name `skipToken`, at most 16 MiB of items a page, and the
//! shape of the statistics. Each answer has an `x-trace-id`; with
//! [`api_limit`](StandInBuilder::api_limit) a path that is asked too often answers with
//! 429, `Retry-After` and `RateLimit-Limit`.
//!
//! Of the query language it knows `field:value`, `field:"value"`, `*`, `and`, `or`,
//! `not` and parentheses, over the fields that are documented of CloudTrail; of filters
//! of alerts `field eq 'value'` joined by `and`, over id, status, severity, model and
//! alertProvider; of orders `createdDateTime`, with `asc` or `desc`.
//!
//! # Cloud One
//! `GET /api/apikeys/<id>` and `POST /api/stacks`, in both forms that are public, with
//! `Authorization: ApiKey` and `Api-Version: v1`. The link that is answered has the
//! public shape; its token and template are made up. Errors are
//! `{"message": "…"}`, an assumption.
//!
//! # Alerts
//! Alerts are made of what was received, by five rules of this crate's own: a console
//! login without MFA, use of the root user, `StopLogging`, `DeleteTrail`, and a burst
//! of five refused calls of one principal within five minutes. The vendor's detection
//! models are others.
//!
//! # Posted records are third-party logs
//! What is posted to HTTP event collection becomes third-party logs (product code
//! `tlc`), and no public call is documented that searches those. So by default a
//! search for cloud activities finds nothing, and there are no alerts. With
//! [`pretend_native`](StandInBuilder::pretend_native) it shows posted records as
//! if they had come by the native way (product code `sct`), and each answer holds
//! `"notice": "simulated: the real service does not document this"`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> ctforward_core::Result<()> {
//! use ctforward_core::{BatchBuilder, Object, ObjectId, Sink};
//! use ctforward_visionone::standin::StandIn;
//! use ctforward_visionone::{Secret, VisionOneSink};
//!
//! let server = StandIn::builder().token(Secret::new("trial")?).start().await?;
//! let sink = VisionOneSink::builder(&server.endpoint(), Secret::new("trial")?).build()?;
//! let batch = BatchBuilder::of_records(
//!     Object::new(ObjectId::new("bucket", "key")),
//!     [br#"{"eventID":"1"}"#.as_slice()],
//! );
//! sink.deliver(&batch).await?;
//! assert_eq!(server.lines(), [r#"{"eventID":"1"}"#]);
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod alerts;
mod api;
mod builder;
mod cloudone;
mod fault;
mod ingest;
mod limit;
mod line;
mod reply;
mod search;
mod serve;
mod statistics;
mod store;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use builder::StandInBuilder;
pub use fault::{Fault, Faults};
pub use store::Counts;

use builder::Settings;
use fault::Injector;
use limit::Limiter;
use store::Store;

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    store: Store,
    injector: Injector,
    limiter: Limiter,
    base_url: String,
    stop: CancellationToken,
    searches: Arc<Semaphore>,
}

impl Shared {
    /// What `read` makes of the kept lines. Reading every one takes a while: few at a
    /// time, off the runtime's threads.
    async fn scan<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let slot = Arc::clone(&self.searches).acquire_owned().await.ok()?;
        let shared = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || {
            let found = read(&shared);
            drop(slot);
            found
        });
        found.await.ok()
    }
}

/// A running stand-in. Dropping it stops it; [`stop`](Self::stop) also waits.
///
/// It holds no more than the lines it keeps, one body for each connection, and
/// two pages of search results.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl StandIn {
    /// A stand-in with settings of its own.
    pub fn builder() -> StandInBuilder {
        StandInBuilder::new()
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of the public API, without a path.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// The address log lines are posted to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.shared.base_url, self.shared.settings.path)
    }

    /// The lines that are kept, byte for byte, in the order their posts were accepted.
    #[must_use]
    pub fn lines(&self) -> Vec<Bytes> {
        self.shared.store.lines()
    }

    /// Those of the [`lines`](Self::lines) that are JSON objects.
    #[must_use]
    pub fn records(&self) -> Vec<Bytes> {
        let mut lines = self.lines();
        lines.retain(|line| {
            line.trim_ascii_start().starts_with(b"{")
                && serde_json::from_slice::<&serde_json::value::RawValue>(line).is_ok()
        });
        lines
    }

    /// How much of everything there was.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.store.counts()
    }

    /// How often each of its [faults](StandInBuilder::faults) befell a request, in
    /// the order they were given.
    #[must_use]
    pub fn fault_counts(&self) -> Vec<(Fault, u64)> {
        self.shared.injector.counts()
    }

    /// Forgets the lines and the counts. The numbers that faults go by run on.
    pub fn clear(&self) {
        self.shared.store.clear();
        self.shared.injector.clear();
    }

    /// Takes no more requests and waits until those under way are answered, for
    /// two seconds at most. Lines and counts can still be read.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        // Awaited in its place: a call that is dropped leaves it to the next.
        let mut task = self.task.lock().await;
        if let Some(running) = task.as_mut() {
            // It ends by itself; that it panicked would be seen in its answers.
            let _ = running.await;
        }
        *task = None;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIn")
            .field("address", &self.address)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
