//! Every variable that there is, and reading one.

use std::collections::BTreeMap;
use std::time::Duration;

use ctforward_core::text::excerpt;

/// What the name of each begins with.
pub const PREFIX: &str = "CTFORWARD_";

/// The variables without their prefix, each with what it is for.
pub const VARIABLES: &[(&str, &str)] = &[
    (
        "ENDPOINT_URL",
        "the HTTP event collection's address (needed)",
    ),
    (
        "ENDPOINT_TOKEN_SECRET",
        "the token's secret in Secrets Manager: ARN or name, #KEY behind it",
    ),
    (
        "ENDPOINT_TOKEN_FILE",
        "the token's file, which nobody else may read",
    ),
    (
        "ENDPOINT_TOKEN_ENV",
        "the token's environment variable (VISIONONE_INGEST_TOKEN)",
    ),
    (
        "ENDPOINT_REQUEST_BYTES",
        "bytes of one request before compression (1000000)",
    ),
    (
        "ENDPOINT_REQUEST_SECONDS",
        "how long one request may take (30)",
    ),
    ("ENDPOINT_GZIP", "send requests compressed (false)"),
    (
        "ENDPOINT_FINAL_NEWLINE",
        "a line feed behind the last record too (false)",
    ),
    (
        "ENDPOINT_HEADERS",
        "more headers, NAME:VALUE, separated by commas",
    ),
    (
        "ENDPOINT_ALLOW_PLAIN_HTTP",
        "http:// to another machine (false)",
    ),
    (
        "EVENT_BUCKETS",
        "buckets that an event may name, separated by commas (needed)",
    ),
    ("EVENT_PREFIXES", "only keys that begin with one of these"),
    ("EVENT_ORGANISATIONS", "only files of these organisations"),
    ("EVENT_ACCOUNTS", "only files of these accounts"),
    (
        "EVENT_KINDS",
        "only files of these kinds, such as CloudTrail",
    ),
    (
        "EVENT_BUCKET_OWNER",
        "the account that must own the buckets",
    ),
    ("EVENT_S3_ENDPOINT_URL", "another S3 than AWS's"),
    ("EVENT_SQS_ENDPOINT_URL", "another SQS than AWS's"),
    (
        "EVENT_ALLOW_PLAIN_HTTP",
        "http:// to these two on another machine (false)",
    ),
    (
        "EVENT_BACKOFF_SECONDS",
        "the first pause of a message that comes again (10)",
    ),
    ("EVENT_BACKOFF_LONGEST_SECONDS", "its longest pause (900)"),
    (
        "RECORDS_RULES",
        "a file of rules: which records, and what of them is redacted",
    ),
    (
        "RECORDS_REDACT_KEY_FILE",
        "the file of the key of redaction",
    ),
    (
        "RECORDS_OWN_CALLS",
        "the ARN of this function's role, whose reading is not forwarded",
    ),
    (
        "RECORDS_MAX_RECORD_BYTES",
        "bytes that one record may have (1048576)",
    ),
    (
        "RECORDS_MAX_INFLATED_BYTES",
        "bytes that a file may have inflated (4294967296)",
    ),
    (
        "KEEP_LEDGER",
        "a SQLite ledger's file; in /tmp it is this one machine's memory (none)",
    ),
    (
        "KEEP_QUARANTINE",
        "a quarantine's folder, only with --event (none)",
    ),
    (
        "PACE_CONCURRENCY",
        "files read and requests under way at once (4)",
    ),
    (
        "RUN_STOP_BEFORE_SECONDS",
        "how long before its deadline a call stops taking records (10)",
    ),
    ("LOG_FORMAT", "json or text (json)"),
    (
        "LOG_LEVEL",
        "what is logged, such as info or ctforward_aws=debug (info)",
    ),
];

/// The variables in a table.
pub fn described() -> String {
    let line = |(name, what): &(&str, &str)| format!("    {PREFIX}{name:<30} {what}");
    VARIABLES.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The variables that are set, and everything that is wrong with them.
pub struct Values {
    set: BTreeMap<String, String>,
    pub problems: Vec<String>,
}

impl Values {
    /// Those of ours in `environment`. An empty one counts as not set, as templates leave
    /// them; one that nobody knows is a problem, since it may be a limit that was misspelt.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values = Self {
            set: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if !VARIABLES.iter().any(|(known, _)| *known == key) {
                let name = excerpt(&name, 80);
                let what = format!("{name}: there is no such setting; see --help");
                values.problems.push(what);
            } else if !value.trim().is_empty() {
                values.set.insert(key.to_owned(), value.trim().to_owned());
            }
        }
        values
    }

    pub fn wrong(&mut self, key: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{PREFIX}{key}: {what}"));
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.set.get(key).cloned()
    }

    pub fn needed(&mut self, key: &str) -> String {
        self.text(key).unwrap_or_else(|| {
            self.wrong(key, "is needed");
            String::new()
        })
    }

    pub fn list(&self, key: &str) -> Vec<String> {
        let text = self.text(key).unwrap_or_default();
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    pub fn flag(&mut self, key: &str) -> bool {
        match self.text(key).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.wrong(key, "must be true or false");
                false
            }
        }
    }

    pub fn number(&mut self, key: &str, default: u64, least: u64, most: u64) -> u64 {
        let Some(text) = self.text(key) else {
            return default;
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                let what = format!("must be a whole number from {least} to {most}");
                self.wrong(key, what);
                default
            }
        }
    }

    pub fn seconds(&mut self, key: &str, default: u64, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(key, default, least, most))
    }

    pub fn size(&mut self, key: &str, default: usize, least: u64, most: u64) -> usize {
        let number = self.number(key, default as u64, least, most);
        usize::try_from(number).unwrap_or(default)
    }
}
