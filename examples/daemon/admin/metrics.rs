//! The recorder, what each metric means, and what is metered when somebody looks.

mod process;
mod table;

use ctforward_core::quarantine::Reason;
use ctforward_core::{Error, ErrorKind, Result};
use metrics::gauge;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::status::{QuarantineGroup, SourceState, SourceStatus, Status};

/// Upper ends in seconds: from a minute, since CloudTrail itself takes minutes.
const AGES: [f64; 14] = [
    60., 120., 300., 600., 900., 1_800., 3_600., 7_200., 21_600., 43_200., 86_400., 259_200.,
    604_800., 2_592_000.,
];

/// Upper ends in seconds, for one request with its retries.
const REQUESTS: [f64; 11] = [0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 120.];

/// Makes the recorder of this process, with every metric there at 0 and described.
///
/// # Errors
/// `Config` where the process has a recorder already.
pub fn install() -> Result<PrometheusHandle> {
    let wrong = |words: &'static str| {
        move |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Config, "metrics", words).with_source(e)
        }
    };
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|e| wrong("this process has a recorder already")(e.to_string().into()))?;
    table::begin();
    process::begin();
    Ok(handle)
}

/// The recorder, which is nobody's yet.
fn recorder() -> Result<PrometheusRecorder> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(full("ctforward_event_age_seconds"), &AGES)
        .and_then(|b| b.set_buckets_for_metric(full("ctforward_delivery_seconds"), &REQUESTS))
        .map_err(|e| Error::new(ErrorKind::Config, "metrics", "no buckets").with_source(e))?;
    Ok(builder.build_recorder())
}

/// Keeps histograms from holding what nobody scrapes. To be called now and then.
pub(super) fn upkeep(handle: &PrometheusHandle) {
    handle.run_upkeep();
}

/// What is read off the status when somebody looks. Names from configurations and
/// from outside are no label values; what is labelled is a closed list.
#[allow(clippy::cast_precision_loss, reason = "counts, ages and times")]
pub(super) fn set(status: &Status, ready: bool, groups: Option<&[QuarantineGroup]>) {
    let flag = |is: bool| if is { 1.0 } else { 0.0 };
    gauge!("ctforward_ready").set(flag(ready));
    gauge!("ctforward_ledger_works").set(flag(status.ledger.works));
    gauge!("ctforward_files_in_flight").set(status.backlog.files_in_flight as f64);
    for state in table::SOURCE_STATES {
        let sources = status
            .sources
            .iter()
            .filter(|s| state_name(s.state) == state);
        gauge!("ctforward_sources", "state" => state).set(sources.count() as f64);
    }
    let queues = || status.sources.iter().filter_map(|source| source.queue);
    let depths: [(&'static str, u64); 3] = [
        ("waiting", queues().map(|q| q.waiting).sum()),
        ("in_flight", queues().map(|q| q.in_flight).sum()),
        ("delayed", queues().map(|q| q.delayed).sum()),
    ];
    // What is not known is not 0: the last values stay, and this says so.
    let unknown = |s: &&SourceStatus| s.kind == "sqs" && s.queue.is_none();
    let unknown = status.sources.iter().filter(unknown).count();
    gauge!("ctforward_queues_unknown").set(unknown as f64);
    if unknown == 0 {
        for (state, messages) in depths {
            gauge!("ctforward_queue_messages", "state" => state).set(messages as f64);
        }
    }
    for name in table::TOKENS {
        let tokens = status.tokens.iter().filter(|token| token.name == name);
        // The first to expire, where there are several endpoints.
        let expires = tokens.filter_map(|token| token.expires).min();
        let expires = expires.map_or(0.0, |at| at.as_second() as f64);
        gauge!("ctforward_token_expires_timestamp_seconds", "token" => name).set(expires);
    }
    let refused = status.tokens.iter().filter(|token| token.refused).count();
    gauge!("ctforward_tokens_refused").set(refused as f64);
    // What could not be read is not 0: the last value stays, and this says so.
    gauge!("ctforward_quarantine_readable").set(flag(groups.is_some()));
    if let Some(groups) = groups {
        for reason in Reason::ALL.map(Reason::as_str) {
            let of = groups.iter().filter(|group| group.reason == reason);
            let entries = of.map(|group| group.entries).sum::<u64>();
            gauge!("ctforward_quarantine_entries", "reason" => reason).set(entries as f64);
        }
        let known = |group: &&QuarantineGroup| Reason::named(&group.reason).is_none();
        let other = groups.iter().filter(known).map(|group| group.entries);
        gauge!("ctforward_quarantine_entries", "reason" => "other").set(other.sum::<u64>() as f64);
    }
    process::set();
}

fn state_name(state: SourceState) -> &'static str {
    match state {
        SourceState::Starting => "starting",
        SourceState::Running => "running",
        SourceState::Paused => "paused",
        SourceState::Failing => "failing",
        SourceState::Stopping => "stopping",
        SourceState::Ended => "ended",
    }
}

#[cfg(test)]
mod tests;
