//! Lambda's Runtime API: the next event, and what became of it.
//!
//! Four calls of a fixed interface (Lambda developer guide, *Using the Lambda runtime API
//! for custom runtimes*), made with the HTTP client that the sink brings anyway: the crate
//! `lambda_runtime` would add dozens of others to what is uploaded and loaded at a cold start.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ctforward_aws::lambda::Times;
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use serde_json::json;

use crate::config::Settings;
use crate::handler::{Handled, Handler};
use crate::log;
use crate::parts::Place;

const ORIGIN: &str = "runtime";

/// How often a call that did not come through is made again, and after what pause.
const AGAIN: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Takes events for ever; ends only where Lambda's API cannot be spoken to any more.
pub async fn serve(api: &str, began: Instant) -> ExitCode {
    let api = match Api::new(api) {
        Ok(api) => api,
        Err(error) => return gone(&error),
    };
    let handler = match begin().await {
        Ok(handler) => Arc::new(handler),
        Err(error) => {
            // Lambda writes it into the log, and tries again with the next event.
            if let Err(error) = api.failed("init", &error).await {
                return gone(&error);
            }
            eprintln!("ctforward: {error}");
            return ExitCode::from(1);
        }
    };
    let init_ms = milliseconds(began.elapsed());
    tracing::info!(init_ms, version = env!("CARGO_PKG_VERSION"), "started");
    let mut cold = true;
    loop {
        let call = match api.next().await {
            Ok(call) => call,
            Err(error) => return gone(&error),
        };
        let came = Instant::now();
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let times = Times::of(call.deadline, now, handler.stop_before());
        let id = call.id;
        let handled = {
            let handler = Arc::clone(&handler);
            // In a task of its own: a fault in the program fails the call, and nothing more.
            tokio::spawn(async move { handler.handle(call.event, times).await }).await
        };
        let handled = handled.unwrap_or_else(|_| {
            let why = "a fault in the program: the call panicked";
            Handled::failed(Error::new(ErrorKind::Other, ORIGIN, why))
        });
        tracing::info!(
            request_id = %id,
            cold,
            init_ms = if cold { init_ms } else { 0 },
            ms = milliseconds(came.elapsed()),
            left_ms = milliseconds(times.left.saturating_sub(came.elapsed())),
            messages = handled.messages,
            unfinished = handled.unfinished,
            files_delivered = handled.files.delivered,
            files_skipped = handled.files.skipped,
            files_quarantined = handled.files.quarantined,
            files_unfinished = handled.files.failed,
            records_accepted = handled.records.accepted,
            records_quarantined = handled.records.quarantined,
            error = handled.answer.as_ref().err().map(Error::message),
            "call"
        );
        cold = false;
        let told = match handled.answer {
            Ok(answer) => api.answer(&id, answer).await,
            Err(error) => api.failed(&format!("invocation/{id}"), &error).await,
        };
        // Lambda gave up on the call by itself, or will: it goes on with the next.
        if let Err(error) = told {
            tracing::error!(%error, request_id = %id, "the answer was not taken");
        }
    }
}

async fn begin() -> Result<Handler> {
    let settings = Settings::of_environment(Place::Lambda)
        .map_err(|problems| Error::new(ErrorKind::Config, "settings", problems.join("; ")))?;
    log::start(&settings.log);
    Handler::new(settings).await
}

fn gone(error: &Error) -> ExitCode {
    eprintln!("ctforward: {error}");
    ExitCode::from(1)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// One call of the function.
struct Call {
    id: String,
    /// In milliseconds since 1970.
    deadline: u64,
    event: Bytes,
}

struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    fn new(api: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // The machine may sleep for hours between two calls: no connection outlives one.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| unheard("the HTTP client cannot be made", error))?;
        Ok(Self {
            base: format!("http://{api}/2018-06-01/runtime"),
            client,
        })
    }

    /// Waits for the next event, for as long as it takes.
    async fn next(&self) -> Result<Call> {
        let mut tries = 0;
        loop {
            match self.ask().await {
                Err(error) if error.is_retryable() && tries < AGAIN => {
                    tries += 1;
                    tokio::time::sleep(PAUSE * tries).await;
                }
                asked => return asked,
            }
        }
    }

    async fn ask(&self) -> Result<Call> {
        let url = format!("{}/invocation/next", self.base);
        let answer = self.client.get(url).send().await;
        let answer = answer.map_err(|error| unheard("no next event", error))?;
        let status = answer.status();
        if !status.is_success() {
            let why = format!("the next event was answered with {status}");
            return Err(Error::new(ErrorKind::Unavailable, ORIGIN, why));
        }
        let header = |name| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let id = header("lambda-runtime-aws-request-id").unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || !id.bytes().all(plain) {
            let why = format!("an event with the request id {:?}", printable(&id));
            return Err(Error::new(ErrorKind::Malformed, ORIGIN, why));
        }
        let deadline = header("lambda-runtime-deadline-ms");
        let deadline = deadline.and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let event = answer.bytes().await;
        let event = event.map_err(|error| unheard("an event broke off", error))?;
        Ok(Call {
            id,
            deadline,
            event,
        })
    }

    async fn answer(&self, id: &str, answer: String) -> Result<()> {
        let path = format!("invocation/{id}/response");
        self.post(&path, None, answer).await
    }

    /// The start failed (`init`), or a call did (`invocation/ID`).
    async fn failed(&self, what: &str, error: &Error) -> Result<()> {
        let kind = format!("Ctforward.{}", error.kind().as_str());
        let body = json!({
            "errorType": kind,
            "errorMessage": printable(&error.to_string()),
            "stackTrace": [],
        });
        let path = format!("{what}/error");
        self.post(&path, Some(&kind), body.to_string()).await
    }

    async fn post(&self, path: &str, failed: Option<&str>, body: String) -> Result<()> {
        let url = format!("{}/{path}", self.base);
        let mut tries = 0;
        loop {
            let mut post = self.client.post(&url).body(body.clone());
            post = post.header("content-type", "application/json");
            if let Some(kind) = failed {
                post = post.header("lambda-runtime-function-error-type", kind);
            }
            match post.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let why = format!("it was answered with {}", answer.status());
                    return Err(Error::new(ErrorKind::Unavailable, ORIGIN, why));
                }
                Err(error) if tries >= AGAIN => return Err(unheard("nobody heard it", error)),
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(PAUSE * tries).await;
                }
            }
        }
    }
}

fn unheard(what: &'static str, error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unavailable, ORIGIN, what)
        .with_retry(ctforward_core::Retry::Backoff)
        .with_source(error.without_url())
}
