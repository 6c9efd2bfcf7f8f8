//! Every metric, so that each is there from the start: an alert on one that is not
//! there never fires.

use ctforward_core::quarantine::Reason;
use metrics::{Label, Unit, counter, gauge, histogram};

pub(super) const SOURCE_STATES: [&str; 6] = [
    "starting", "running", "paused", "failing", "stopping", "ended",
];

/// The names that a token goes by; others are not metered.
pub(super) const TOKENS: [&str; 2] = ["current", "next"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    unit: Unit,
    words: &'static str,
    /// Its label, with each value it has from the start; none where it has several
    /// labels, or values that only errors bring about.
    label: Option<(&'static str, &'static [&'static str])>,
    /// Whether it is there at 0 from the start.
    touched: bool,
}

const fn metric(kind: Kind, name: &'static str, unit: Unit, words: &'static str) -> Metric {
    Metric {
        name,
        kind,
        unit,
        words,
        label: None,
        touched: true,
    }
}

const fn counted(name: &'static str, unit: Unit, words: &'static str) -> Metric {
    metric(Kind::Counter, name, unit, words)
}

const fn gauged(name: &'static str, unit: Unit, words: &'static str) -> Metric {
    metric(Kind::Gauge, name, unit, words)
}

impl Metric {
    #[cfg(test)]
    pub(super) const fn words(&self) -> &'static str {
        self.words
    }

    const fn by(mut self, label: &'static str, values: &'static [&'static str]) -> Self {
        self.label = Some((label, values));
        self
    }

    const fn untouched(mut self) -> Self {
        self.touched = false;
        self
    }
}

const OUTCOMES_OF_FILES: &[&str] = &["delivered", "skipped", "quarantined", "failed"];
const OUTCOMES_OF_RECORDS: &[&str] = &[
    "accepted",
    "filtered",
    "duplicate",
    "quarantined",
    "undecided",
];
const REFUSALS: &[&str] = &[
    "host",
    "origin",
    "site",
    "token",
    "no_token",
    "attempts",
    "unset",
    "unreadable",
    "connections",
];

/// All of them.
pub(super) const METRICS: &[Metric] = &[
    counted(
        "ctforward_files_total",
        Unit::Count,
        "Files that were decided, by how they ended.",
    )
    .by("outcome", OUTCOMES_OF_FILES),
    counted(
        "ctforward_records_total",
        Unit::Count,
        "Records of decided files, by what became of them.",
    )
    .by("outcome", OUTCOMES_OF_RECORDS),
    counted(
        "ctforward_stored_bytes_total",
        Unit::Bytes,
        "Bytes of decided files, as stored.",
    ),
    counted(
        "ctforward_inflated_bytes_total",
        Unit::Bytes,
        "Bytes of decided files, inflated.",
    ),
    counted(
        "ctforward_sent_bytes_total",
        Unit::Bytes,
        "Bytes of accepted records, as sent.",
    ),
    metric(
        Kind::Histogram,
        "ctforward_event_age_seconds",
        Unit::Seconds,
        "From a record's eventTime to the endpoint's word.",
    ),
    metric(
        Kind::Histogram,
        "ctforward_delivery_seconds",
        Unit::Seconds,
        "From the first request of a batch to its outcome, with retries.",
    ),
    counted(
        "ctforward_delivery_retries_total",
        Unit::Count,
        "Requests that were sent again.",
    ),
    counted(
        "ctforward_throttled_total",
        Unit::Count,
        "Answers that asked for a slower pace.",
    ),
    gauged(
        "ctforward_delivery_concurrency",
        Unit::Count,
        "Requests that may be under way at once, at the moment.",
    ),
    gauged(
        "ctforward_breaker_open",
        Unit::Count,
        "1 while the breaker is open.",
    ),
    counted(
        "ctforward_breaker_opens_total",
        Unit::Count,
        "How often the breaker opened.",
    ),
    counted(
        "ctforward_bucket_denied_total",
        Unit::Count,
        "How often a bucket was left alone because reading it was denied.",
    ),
    gauged(
        "ctforward_oldest_undelivered_seconds",
        Unit::Seconds,
        "For how long the oldest file under way waits; 0 where there is none.",
    ),
    gauged(
        "ctforward_files_in_flight",
        Unit::Count,
        "Files taken in and not decided.",
    ),
    gauged(
        "ctforward_account_regions",
        Unit::Count,
        "Accounts and regions of which a file was finished.",
    ),
    gauged(
        "ctforward_account_regions_silent",
        Unit::Count,
        "Those of them without an event for a day, or what is set.",
    ),
    gauged(
        "ctforward_account_regions_oldest_seconds",
        Unit::Seconds,
        "Since when the one heard of least recently is silent.",
    ),
    gauged(
        "ctforward_ready",
        Unit::Count,
        "1 while /readyz says ready.",
    ),
    gauged(
        "ctforward_ledger_works",
        Unit::Count,
        "1 where the ledger's last call went well.",
    ),
    gauged(
        "ctforward_sources",
        Unit::Count,
        "Sources, by what they do.",
    )
    .by("state", &SOURCE_STATES),
    gauged(
        "ctforward_queue_messages",
        Unit::Count,
        "Messages of all queues, about.",
    )
    .by("state", &["waiting", "in_flight", "delayed"]),
    gauged(
        "ctforward_queues_unknown",
        Unit::Count,
        "Queues that do not say how many messages they hold; the last numbers stay.",
    ),
    gauged(
        "ctforward_token_expires_timestamp_seconds",
        Unit::Seconds,
        "When a token of an endpoint says that it expires; 0 where it does not say.",
    )
    .by("token", &TOKENS),
    gauged(
        "ctforward_tokens_refused",
        Unit::Count,
        "Tokens that their endpoint refused last.",
    ),
    gauged(
        "ctforward_quarantine_readable",
        Unit::Count,
        "1 where the quarantine was read last.",
    ),
    gauged(
        "ctforward_quarantine_entries",
        Unit::Count,
        "What lies in quarantine, by reason.",
    )
    .by("reason", &REASONS),
    counted(
        "ctforward_admin_refused_total",
        Unit::Count,
        "Refused requests to the pages.",
    )
    .by("why", REFUSALS),
    counted(
        "ctforward_sqs_errors_total",
        Unit::Count,
        "Failed calls to SQS, by call and kind.",
    )
    .untouched(),
    counted(
        "ctforward_sqs_receives_total",
        Unit::Count,
        "Answers to calls for messages.",
    ),
    counted(
        "ctforward_sqs_messages_total",
        Unit::Count,
        "Messages received, redelivered ones too.",
    ),
    counted(
        "ctforward_sqs_foreign_total",
        Unit::Count,
        "Messages that could not be understood.",
    ),
    counted(
        "ctforward_sqs_extensions_total",
        Unit::Count,
        "Extensions of a message's visibility.",
    ),
    counted(
        "ctforward_sqs_deleted_total",
        Unit::Count,
        "Messages that were deleted: each of their files is decided.",
    ),
    counted(
        "ctforward_sqs_released_total",
        Unit::Count,
        "Messages that were given back; they come again.",
    ),
    counted(
        "ctforward_sqs_lost_total",
        Unit::Count,
        "Messages whose hold was lost before they were decided; they come again.",
    ),
    counted(
        "ctforward_sqs_delete_errors_total",
        Unit::Count,
        "Messages that could not be deleted; they come again.",
    ),
    gauged(
        "ctforward_sqs_messages_held",
        Unit::Count,
        "Messages received and not answered.",
    ),
    gauged(
        "ctforward_sqs_files_held",
        Unit::Count,
        "Their files that are not decided.",
    ),
    gauged(
        "ctforward_sqs_bytes_held",
        Unit::Bytes,
        "The bytes of those files, as stored.",
    ),
    gauged("ctforward_build_info", Unit::Count, "1, with the version.")
        .by("version", &[env!("CARGO_PKG_VERSION")]),
    counted(
        "process_cpu_seconds_total",
        Unit::Seconds,
        "Processor time of this process, in whole seconds.",
    ),
    gauged(
        "process_resident_memory_bytes",
        Unit::Bytes,
        "Resident memory of this process.",
    ),
    gauged(
        "process_open_fds",
        Unit::Count,
        "Open files of this process.",
    ),
    gauged(
        "process_start_time_seconds",
        Unit::Seconds,
        "When this process began, since 1970.",
    ),
];

/// Every reason, and `other` for one that a newer version wrote.
const REASONS: [&str; Reason::ALL.len() + 1] = [
    "not_an_object",
    "bad_text",
    "too_deep",
    "over_sink_limit",
    "over_reader_cap",
    "unredactable",
    "refused",
    "unreadable",
    "over_file_cap",
    "not_cloudtrail",
    "missing",
    "archived",
    "undecodable",
    "other",
];

/// Describes each and touches it, so that it is there at 0.
pub(super) fn begin() {
    for metric in METRICS {
        let (name, words) = (metric.name, metric.words);
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, metric.unit, words),
            Kind::Gauge => metrics::describe_gauge!(name, metric.unit, words),
            Kind::Histogram => metrics::describe_histogram!(name, metric.unit, words),
        }
        if !metric.touched {
            continue;
        }
        let one = [Vec::new()];
        let labels = |(label, values): (&'static str, &'static [&'static str])| {
            let made = values.iter().map(|value| vec![Label::new(label, *value)]);
            made.collect::<Vec<_>>()
        };
        for labels in metric.label.map_or_else(|| one.to_vec(), labels) {
            match metric.kind {
                Kind::Counter => counter!(name, labels).absolute(0),
                Kind::Gauge => gauge!(name, labels).set(0.0),
                Kind::Histogram => histogram!(name, labels).record_many(0.0, 0),
            }
        }
    }
    gauge!("ctforward_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_those_of_the_core() {
        let known = Reason::ALL.map(Reason::as_str);
        assert_eq!(REASONS[..known.len()], known);
    }
}
