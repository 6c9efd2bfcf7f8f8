//! Every key that there is, and what it may be.

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text but none.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number between these.
    Number(u64, u64),
    /// A number above 0.
    Decimal,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts; in a variable, separated by commas.
    List,
    /// An IP address and a port.
    Address,
}

impl Kind {
    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Decimal => "a number above 0".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::List => "a list of texts".to_owned(),
            Self::Address => "an IP address and a port, such as 127.0.0.1:8734".to_owned(),
        }
    }
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

const MUCH: u64 = 1 << 40;
const DAY: u64 = 86_400;

/// The sections, each with its keys.
pub const SECTIONS: &[(&str, &[Key])] = &[
    (
        "endpoint",
        &[
            key("url", Kind::Text),
            key("token_file", Kind::Text),
            key("token_env", Kind::Text),
            key("token_secret", Kind::Text),
            key("next_token_file", Kind::Text),
            key("next_token_env", Kind::Text),
            key("next_token_secret", Kind::Text),
            key("gzip", Kind::Flag),
            key("final_newline", Kind::Flag),
            key("headers", Kind::List),
            key("ca_file", Kind::Text),
            key("allow_plain_http", Kind::Flag),
            key("request_bytes", Kind::Number(1024, 1 << 30)),
            key("request_seconds", Kind::Number(1, 3600)),
        ],
    ),
    (
        "keep",
        &[
            key("ledger", Kind::Text),
            key("quarantine", Kind::Text),
            key("copy_unreadable_bytes", Kind::Number(1, 1 << 30)),
            key("file_sha256", Kind::Flag),
        ],
    ),
    (
        "records",
        &[
            key("accounts", Kind::List),
            key("regions", Kind::List),
            key("kinds", Kind::List),
            key("rules", Kind::Text),
            key("redact_key_file", Kind::Text),
            key("own_calls", Kind::Text),
            key("deduplicate", Kind::Flag),
            key("dedup_records", Kind::Number(1, 100_000_000)),
            key("dedup_seconds", Kind::Number(1, 3650 * DAY)),
            key("max_record_bytes", Kind::Number(1024, 1 << 30)),
            key("max_inflated_bytes", Kind::Number(1024, MUCH)),
        ],
    ),
    (
        "pace",
        &[
            key("concurrency", Kind::Number(1, 256)),
            key("linger_ms", Kind::Number(0, 60_000)),
            key("max_bytes_per_second", Kind::Number(1, MUCH)),
            key("max_requests_per_second", Kind::Decimal),
            key("max_bytes_per_day", Kind::Number(1, MUCH)),
            key("probe_seconds", Kind::Number(1, DAY)),
        ],
    ),
    ("run", &[key("drain_seconds", Kind::Number(1, 3600))]),
    (
        "log",
        &[
            key("format", Kind::OneOf(&["text", "json"])),
            key("level", Kind::Text),
        ],
    ),
    (
        "admin",
        &[
            key("enabled", Kind::Flag),
            key("listen", Kind::Address),
            key("metrics_listen", Kind::Address),
            key("hosts", Kind::List),
            key("token_file", Kind::Text),
            key("token_env", Kind::Text),
        ],
    ),
];

const AWS: &[&str] = &["s3", "sqs"];
const S3: &[&str] = &["s3"];
const SQS: &[&str] = &["sqs"];

/// The keys of a source, and the types for which each is (none named: all).
pub const SOURCE: &[(Key, &[&str])] = &[
    (key("type", Kind::OneOf(TYPES)), &[]),
    (key("path", Kind::Text), &["directory"]),
    (
        key("every_seconds", Kind::Number(1, DAY)),
        &["directory", "s3"],
    ),
    (key("bucket", Kind::Text), S3),
    (key("prefix", Kind::Text), S3),
    (key("list_budget", Kind::Number(1, MUCH)), S3),
    (key("parallel_listings", Kind::Number(1, 256)), S3),
    (key("recent_days", Kind::Number(1, 3660)), S3),
    (key("deep_days", Kind::Number(1, 3660)), S3),
    (key("queue_url", Kind::Text), SQS),
    (key("sqs_endpoint_url", Kind::Text), SQS),
    (key("buckets", Kind::List), SQS),
    (key("prefixes", Kind::List), SQS),
    (
        key("dead_letters", Kind::OneOf(&["quarantine", "queue"])),
        SQS,
    ),
    (key("visibility_seconds", Kind::Number(2, 39_600)), SQS),
    (key("max_files", Kind::Number(1, 1_000_000)), SQS),
    (key("max_bytes", Kind::Number(1, MUCH)), SQS),
    (key("region", Kind::Text), AWS),
    (key("s3_endpoint_url", Kind::Text), AWS),
    (key("bucket_owner", Kind::Text), AWS),
    (key("allow_plain_http", Kind::Flag), AWS),
];

/// The types of sources.
pub const TYPES: &[&str] = &["sqs", "s3", "directory"];

/// Names that a secret would have. Whatever stands there is not shown.
pub const SECRETS: &[&str] = &[
    "token",
    "next_token",
    "admin_token",
    "password",
    "secret",
    "api_key",
    "apikey",
    "authorization",
    "secret_access_key",
    "access_key",
    "aws_secret_access_key",
];

/// Where a secret belongs instead.
pub const NO_SECRETS: &str = "a secret does not belong into this file; name the file (token_file), \
     the environment variable (token_env) or the secret of Secrets Manager (token_secret) that \
     holds it";

/// The keys of a section, or of a source (`source.NAME`).
pub fn keys_of(section: &str) -> Option<Vec<Key>> {
    if section.starts_with("source.") {
        return Some(SOURCE.iter().map(|(key, _)| *key).collect());
    }
    let found = SECTIONS.iter().find(|(name, _)| *name == section)?;
    Some(found.1.to_vec())
}

/// Names in a line.
pub fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
