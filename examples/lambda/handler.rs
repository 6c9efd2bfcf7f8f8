//! One call: from the event to the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ctforward_aws::lambda::{Event, EventSource, Outcome, Times};
use ctforward_core::deliver::{PacePolicy, Pacer, RetryPolicy};
use ctforward_core::pipeline::{End, FileCounts, PipelineLimits, RecordBooks};
use ctforward_core::read::ReadLimits;
use ctforward_core::{Error, Pipeline, Report, Result};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::gate::Gate;
use crate::parts::Parts;

/// A lease of the ledger, which is renewed while the call goes on: a call that is cut off
/// leaves its files to others so soon.
const LEASE: Duration = Duration::from_secs(60);

/// How often it is looked whether the breaker opened.
const LOOKED: Duration = Duration::from_millis(50);

/// Handles events, one at a time.
pub struct Handler {
    settings: Settings,
    parts: Parts,
    gate: Gate,
}

/// What became of an event.
pub struct Handled {
    /// What Lambda is answered; an error fails the call as a whole.
    pub answer: Result<String>,
    pub messages: usize,
    pub unfinished: usize,
    pub files: FileCounts,
    pub records: RecordBooks,
}

impl Handled {
    /// Nothing is known of it.
    pub fn failed(error: Error) -> Self {
        Self {
            answer: Err(error),
            messages: 0,
            unfinished: 0,
            files: FileCounts::default(),
            records: RecordBooks::default(),
        }
    }
}

impl Handler {
    /// Makes what every call uses.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub async fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            parts: Parts::of(&settings).await?,
            gate: Gate::default(),
            settings,
        })
    }

    /// How long before its deadline a call stops taking records.
    pub fn stop_before(&self) -> Duration {
        self.settings.stop_before
    }

    /// Handles one event within these times.
    pub async fn handle(&self, event: Bytes, times: Times) -> Handled {
        let began = Instant::now();
        let event = Event::parse(event);
        let hold_until = began + times.stop + times.drain;
        let parts = &self.parts;
        let source = EventSource::new(event, &parts.reader, &parts.allow, Some(hold_until));
        let outcome = source.outcome();
        if let Some(why) = self.gate.shut(Timestamp::now()) {
            tracing::warn!(%why, "the event is given back unread");
            source.refuse(&why);
            return self.answered(outcome, None, began, times).await;
        }
        let ran = self.run(source, began, times).await;
        match ran {
            Err(error) => Handled {
                messages: outcome.messages(),
                unfinished: outcome.messages(),
                ..Handled::failed(error)
            },
            Ok(report) => self.answered(outcome, report, began, times).await,
        }
    }

    /// Runs a pipeline over the event; `None` where it did not end in time.
    async fn run(
        &self,
        source: EventSource,
        began: Instant,
        times: Times,
    ) -> Result<Option<Report>> {
        let pipeline = self.pipeline(source, times)?;
        let pacer = pipeline.pacer();
        let stop = CancellationToken::new();
        let watch = {
            let (pacer, stop) = (pacer.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = sleep_until(began + times.stop) => {
                        tracing::warn!("the deadline is near: nothing more is begun");
                    }
                    // Waiting for a sink that is away is paid for by the millisecond.
                    () = opened(&pacer) => {}
                }
                stop.cancel();
            })
        };
        let report = timeout_at(began + times.answer, pipeline.run(stop))
            .await
            .ok();
        watch.abort();
        let accepted = report.as_ref().is_some_and(|ran| ran.records.accepted > 0);
        self.learn(&pacer, accepted);
        if report.is_none() {
            tracing::error!("the call is answered before all that was begun had ended");
        }
        match report {
            // The sink takes nothing from us, or is none: that is not a message's fault.
            Some(Report {
                end: End::Failed(error),
                ..
            }) => Err(error),
            report => Ok(report),
        }
    }

    /// What the breaker was told is kept for the next call.
    fn learn(&self, pacer: &Pacer, accepted: bool) {
        if pacer.is_open() {
            let left = pacer.open_until().map(|until| until - Instant::now());
            let why = pacer.why().map(|error| error.message().to_owned());
            let why = why.unwrap_or_default();
            tracing::warn!(%why, "the breaker is open");
            self.gate
                .shut_for(Timestamp::now(), left.unwrap_or_default(), &why);
        } else if accepted {
            self.gate.open();
        }
    }

    fn pipeline(&self, source: EventSource, times: Times) -> Result<Pipeline> {
        let (settings, parts) = (&self.settings, &self.parts);
        let concurrency = settings.concurrency;
        let mut limits = PipelineLimits::default();
        limits.files_reading = concurrency;
        limits.deliveries = concurrency;
        limits.drain = times.drain;
        limits.lease = LEASE;
        let least = settings
            .endpoint
            .request_bytes
            .saturating_mul(2 * concurrency + 2);
        limits.bytes_held = limits.bytes_held.max(least);
        let records = &settings.records;
        let mut pace = PacePolicy::default().with_ceiling(concurrency);
        if self.gate.doubts() {
            // One request, and where it fails the breaker is open again.
            pace.failures = 1;
            pace = pace.with_concurrency(1, 1, concurrency);
        }
        let mut builder = Pipeline::builder(source, Arc::clone(&parts.sink))
            .limits(limits)
            .read_limits(
                ReadLimits::default()
                    .with_record_bytes(records.max_record_bytes)
                    .with_inflated_bytes(records.max_inflated_bytes),
            )
            .pace(pace)
            // What cannot be sent before the deadline is given back; never given up.
            .retry(RetryPolicy::default().with_give_up_after(None));
        if let Some(ledger) = &parts.ledger {
            builder = builder.ledger(Arc::clone(ledger));
        }
        if let Some(quarantine) = &parts.quarantine {
            builder = builder.quarantine(Arc::clone(quarantine));
        }
        for filter in &parts.filters {
            builder = builder.stage(Arc::clone(filter));
        }
        if let Some(redaction) = &parts.redaction {
            builder = builder.redactor(Arc::clone(redaction));
        }
        builder.build()
    }

    /// Says when what is not finished shall come again, and makes the answer.
    async fn answered(
        &self,
        outcome: Outcome,
        report: Option<Report>,
        began: Instant,
        times: Times,
    ) -> Handled {
        let unfinished = outcome.unfinished();
        for one in unfinished.iter().take(SHOWN) {
            let (id, why) = (&one.message.id, &one.why);
            tracing::warn!(message_id = %id, receives = one.message.receives, %why, "not finished");
        }
        // Of what is left between making the answer and the deadline, half.
        let until = began + times.answer + (times.left.saturating_sub(times.answer)) / 2;
        match timeout_at(until, self.parts.visibility.put_off(&unfinished)).await {
            Ok((_, None)) => {}
            Ok((set, Some(error))) => {
                tracing::warn!(%error, set, "messages come again after their visibility timeout");
            }
            Err(_) => tracing::warn!("the queue was not told in time when messages come again"),
        }
        let report = report.unwrap_or_default();
        Handled {
            answer: outcome.answer(),
            messages: outcome.messages(),
            unfinished: unfinished.len(),
            files: report.files,
            records: report.records,
        }
    }
}

/// How many unfinished messages the log names.
const SHOWN: usize = 10;

/// Resolves once the breaker is open.
async fn opened(pacer: &Pacer) {
    while !pacer.is_open() {
        sleep(LOOKED).await;
    }
}
