//! The settings with their defaults, and what they must be together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ctforward_core::key::Kind;

use super::keys::{NO_SECRETS, SOURCE, TYPES};
use super::problem::{Place, Problems};
use super::values::Values;
use crate::admin::AdminSettings;

/// The environment variable with the collector's token, unless another is named.
pub const TOKEN: &str = "VISIONONE_INGEST_TOKEN";

/// Bytes of one request.
const REQUEST: u64 = 1_000_000;

/// LIST requests a day that a bucket may take, unless told otherwise: five dollars a
/// day at the price of most regions, of $0.005 for 1,000.
const LIST_BUDGET: u64 = 1_000_000;

/// Where a setting stands, for what is found wrong with it later.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Of `section.key`; the file where it was not set.
    pub fn of(&self, key: &str) -> Place {
        self.0.get(key).cloned().unwrap_or(Place::File)
    }
}

/// All that the daemon is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub endpoint: EndpointSettings,
    pub keep: KeepSettings,
    pub records: RecordSettings,
    pub pace: PaceSettings,
    /// How long what is under way may take once the daemon is told to stop.
    pub drain: Duration,
    pub log: LogSettings,
    pub admin: Option<AdminPlaces>,
    pub sources: Vec<SourceSettings>,
    pub places: Places,
}

#[derive(Clone)]
pub struct EndpointSettings {
    pub url: String,
    pub token: TokenPlace,
    pub next: Option<TokenPlace>,
    pub gzip: bool,
    pub final_newline: bool,
    pub headers: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub allow_plain_http: bool,
    pub request_bytes: usize,
    pub request_timeout: Duration,
}

impl std::fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Address and headers may hold what is secret.
        f.debug_struct("EndpointSettings")
            .field("token", &self.token)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Where a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    File(PathBuf),
    Variable(String),
    Secret(String),
}

#[derive(Clone, Debug)]
pub struct KeepSettings {
    pub ledger: PathBuf,
    pub quarantine: PathBuf,
    pub copy_unreadable: Option<usize>,
    pub file_sha256: bool,
}

#[derive(Clone, Debug)]
pub struct RecordSettings {
    pub accounts: Vec<String>,
    pub regions: Vec<String>,
    pub kinds: Vec<String>,
    pub rules: Option<PathBuf>,
    pub redact_key_file: Option<PathBuf>,
    /// The ARN of our own role, whose calls on the buckets that are read are left out.
    pub own_calls: Option<String>,
    pub deduplicate: bool,
    pub dedup_records: usize,
    pub dedup_age: Duration,
    pub max_record_bytes: usize,
    pub max_inflated_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct PaceSettings {
    pub concurrency: usize,
    pub linger: Duration,
    pub bytes_per_second: Option<u64>,
    pub requests_per_second: Option<f64>,
    /// Bytes of records that a day of UTC may take.
    pub bytes_per_day: Option<u64>,
    /// How often an endpoint that refuses the token is tried.
    pub probe: Duration,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub form: Form,
    pub level: String,
}

#[derive(Clone, Debug)]
pub struct AdminPlaces {
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    pub hosts: Vec<String>,
    pub token: Option<TokenPlace>,
}

#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub name: String,
    pub kind: SourceKind,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    Directory { path: PathBuf, every: Duration },
    S3(S3Settings),
    Sqs(SqsSettings),
}

/// How objects of S3 are read.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    pub region: Option<String>,
    pub s3_endpoint_url: Option<String>,
    pub bucket_owner: Option<String>,
    pub allow_plain_http: bool,
}

/// A bucket that is listed.
#[derive(Clone, Debug)]
pub struct S3Settings {
    pub aws: AwsSettings,
    pub bucket: String,
    pub prefix: String,
    pub every: Duration,
    pub list_budget: u64,
    pub parallel_listings: usize,
    pub recent_days: u16,
    pub deep_days: u16,
}

/// A queue of notifications.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    pub aws: AwsSettings,
    pub queue_url: String,
    pub sqs_endpoint_url: Option<String>,
    pub buckets: Vec<String>,
    pub prefixes: Vec<String>,
    /// Whether what can never work is left to the queue's dead-letter queue.
    pub dead_letter_queue: bool,
    pub visibility: Option<Duration>,
    pub max_files: u64,
    pub max_bytes: u64,
}

impl SourceKind {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::S3(_) => "s3",
            Self::Sqs(_) => "sqs",
        }
    }
}

impl Settings {
    /// What was set, and the defaults of what was not; `None` where something is missing.
    pub fn of(values: &Values, problems: &mut Problems) -> Option<Self> {
        let endpoint = endpoint(values, problems);
        let keep = keep(values, problems);
        let records = records(values, problems);
        let sources = sources(values, problems);
        let admin = admin(values, problems);
        let seconds = |section, key, default| {
            Duration::from_secs(values.number(section, key).unwrap_or(default))
        };
        Some(Self {
            endpoint: endpoint?,
            keep: keep?,
            records,
            pace: PaceSettings {
                concurrency: size(values.number("pace", "concurrency").unwrap_or(4)),
                linger: Duration::from_millis(values.number("pace", "linger_ms").unwrap_or(1000)),
                bytes_per_second: values.number("pace", "max_bytes_per_second"),
                requests_per_second: values.decimal("pace", "max_requests_per_second"),
                bytes_per_day: bytes_per_day(values, problems),
                probe: seconds("pace", "probe_seconds", 60),
            },
            drain: seconds("run", "drain_seconds", 25),
            log: LogSettings {
                form: match values.text("log", "format").as_deref() {
                    Some("json") => Form::Json,
                    _ => Form::Text,
                },
                level: level(values, problems),
            },
            admin,
            sources,
            places: places(values),
        })
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn endpoint(values: &Values, problems: &mut Problems) -> Option<EndpointSettings> {
    let at = "endpoint";
    let url = required(values, at, "url", problems);
    let token = token(values, at, "token", problems).unwrap_or(TokenPlace::Variable(TOKEN.into()));
    Some(EndpointSettings {
        token,
        next: self::token(values, at, "next_token", problems),
        gzip: values.flag(at, "gzip"),
        final_newline: values.flag(at, "final_newline"),
        headers: values.list(at, "headers"),
        ca_file: values.text(at, "ca_file").map(PathBuf::from),
        allow_plain_http: values.flag(at, "allow_plain_http"),
        request_bytes: size(values.number(at, "request_bytes").unwrap_or(REQUEST)),
        request_timeout: Duration::from_secs(values.number(at, "request_seconds").unwrap_or(60)),
        url: url?,
    })
}

/// A token's place: one of three keys.
fn token(values: &Values, at: &str, name: &str, problems: &mut Problems) -> Option<TokenPlace> {
    let keys = ["file", "env", "secret"].map(|kind| format!("{name}_{kind}"));
    let set: Vec<_> = keys.iter().filter(|key| values.has(at, key)).collect();
    if let [first, second, ..] = set.as_slice() {
        let what = format!(
            "only one of {} may be set, and {at}.{first} is",
            keys.join(", ")
        );
        problems.add(values.place(at, second), &format!("{at}.{second}"), what);
    }
    // Whoever takes the key for the token's own place must not find it in a log.
    for key in &set {
        let text = values.text(at, key).unwrap_or_default();
        let variable = key.ends_with("_env");
        if is_token(&text) || variable && !is_variable(&text) {
            let what = if variable && !is_token(&text) {
                "must be the name of an environment variable: letters, digits and _"
            } else {
                NO_SECRETS
            };
            problems.add(values.place(at, key), &format!("{at}.{key}"), what);
            return None;
        }
    }
    let [file, variable, secret] = &keys;
    let file = values
        .text(at, file)
        .map(|path| TokenPlace::File(path.into()));
    let variable = || values.text(at, variable).map(TokenPlace::Variable);
    let secret = || values.text(at, secret).map(TokenPlace::Secret);
    file.or_else(variable).or_else(secret)
}

/// Whether a text has the form of a JWT, as tokens have: three parts, the first of
/// which begins like a JSON object.
fn is_token(text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3
        && text.starts_with("eyJ")
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(plain))
}

fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn keep(values: &Values, problems: &mut Problems) -> Option<KeepSettings> {
    let at = "keep";
    let ledger = PathBuf::from(required(values, at, "ledger", problems)?);
    let beside = || {
        let mut name = OsString::from(&ledger);
        name.push(".quarantine");
        name.into()
    };
    let quarantine = values.text(at, "quarantine").map(PathBuf::from);
    Some(KeepSettings {
        quarantine: quarantine.unwrap_or_else(beside),
        ledger,
        copy_unreadable: values.number(at, "copy_unreadable_bytes").map(size),
        file_sha256: values.flag(at, "file_sha256"),
    })
}

/// A day must take more than a request, or nothing would ever be sent.
fn bytes_per_day(values: &Values, problems: &mut Problems) -> Option<u64> {
    let most = values.number("pace", "max_bytes_per_day")?;
    let request = values
        .number("endpoint", "request_bytes")
        .unwrap_or(REQUEST);
    if most <= request {
        let what = format!("must be more than endpoint.request_bytes, which is {request}");
        let key = "pace.max_bytes_per_day";
        problems.add(values.place("pace", "max_bytes_per_day"), key, what);
    }
    Some(most)
}

fn own_calls(values: &Values, problems: &mut Problems) -> Option<String> {
    let (at, key) = ("records", "own_calls");
    let role = values.text(at, key)?;
    if !(role.starts_with("arn:") && role.contains(":iam::") && role.contains(":role/")) {
        let what = "must be the ARN of a role, such as arn:aws:iam::111122223333:role/NAME";
        problems.add(values.place(at, key), "records.own_calls", what);
    }
    Some(role)
}

fn records(values: &Values, problems: &mut Problems) -> RecordSettings {
    let at = "records";
    let accounts = values.list(at, "accounts");
    for account in &accounts {
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            let what = format!("\"{account}\": an account has 12 digits");
            problems.add(values.place(at, "accounts"), "records.accounts", what);
        }
    }
    let kinds = values.list(at, "kinds");
    for kind in &kinds {
        let named = Kind::parse(kind).filter(|kind| *kind != Kind::Digest);
        if named.is_none() {
            let what = format!(
                "\"{kind}\": must be CloudTrail, CloudTrail-Insight, CloudTrail-NetworkActivity, \
                 CloudTrail-Aggregated, or another name of that form, as it stands in keys"
            );
            problems.add(values.place(at, "kinds"), "records.kinds", what);
        }
    }
    let deduplicate = values.flag(at, "deduplicate");
    for key in ["dedup_records", "dedup_seconds"] {
        if values.has(at, key) && !deduplicate {
            let what = "is for records.deduplicate = true";
            problems.add(values.place(at, key), &format!("{at}.{key}"), what);
        }
    }
    let rules = values.text(at, "rules").map(PathBuf::from);
    if values.has(at, "redact_key_file") && rules.is_none() {
        let place = values.place(at, "redact_key_file");
        let what = "is for records.rules with a redact section";
        problems.add(place, "records.redact_key_file", what);
    }
    let age = values.number(at, "dedup_seconds").unwrap_or(86_400);
    RecordSettings {
        accounts,
        regions: values.list(at, "regions"),
        kinds,
        rules,
        redact_key_file: values.text(at, "redact_key_file").map(PathBuf::from),
        own_calls: own_calls(values, problems),
        deduplicate,
        dedup_records: size(values.number(at, "dedup_records").unwrap_or(100_000)),
        dedup_age: Duration::from_secs(age),
        max_record_bytes: size(values.number(at, "max_record_bytes").unwrap_or(1 << 20)),
        max_inflated_bytes: values.number(at, "max_inflated_bytes").unwrap_or(4 << 30),
    }
}

fn sources(values: &Values, problems: &mut Problems) -> Vec<SourceSettings> {
    let mut sources = Vec::new();
    for (name, place) in &values.sources {
        let at = format!("source.{name}");
        let Some(kind) = values.text(&at, "type") else {
            if !values.given(&at, "type") {
                let what = format!("a source needs a type: {}", TYPES.join(", "));
                problems.add(place.clone(), &at, what);
            }
            continue;
        };
        for (key, types) in SOURCE {
            if values.has(&at, key.name) && !types.is_empty() && !types.contains(&kind.as_str()) {
                let what = format!("is no key of a source of type {kind}");
                problems.add(
                    values.place(&at, key.name),
                    &format!("{at}.{}", key.name),
                    what,
                );
            }
        }
        let kind = source(&kind, values, &at, place, problems);
        sources.extend(kind.map(|kind| SourceSettings {
            name: name.clone(),
            kind,
        }));
    }
    if values.sources.is_empty() {
        let what = "there is no source: add [source.NAME] with a type";
        problems.add(Place::File, "source", what);
    }
    sources
}

fn source(
    kind: &str,
    values: &Values,
    at: &str,
    place: &Place,
    problems: &mut Problems,
) -> Option<SourceKind> {
    let mut needed = |key: &str| {
        let set = values.has(at, key);
        if !values.given(at, key) {
            let what = format!("a source of type {kind} needs {key}");
            problems.add(place.clone(), &format!("{at}.{key}"), what);
        }
        set
    };
    let text = |key| values.text(at, key);
    let number = |key, default| values.number(at, key).unwrap_or(default);
    let every = |default| Duration::from_secs(number("every_seconds", default));
    let aws = || AwsSettings {
        region: text("region"),
        s3_endpoint_url: text("s3_endpoint_url"),
        bucket_owner: text("bucket_owner"),
        allow_plain_http: values.flag(at, "allow_plain_http"),
    };
    let days = |key, default| u16::try_from(number(key, default)).unwrap_or(u16::MAX);
    match kind {
        "directory" => needed("path").then(|| SourceKind::Directory {
            path: text("path").unwrap_or_default().into(),
            every: every(60),
        }),
        "s3" => needed("bucket").then(|| {
            SourceKind::S3(S3Settings {
                aws: aws(),
                bucket: text("bucket").unwrap_or_default(),
                prefix: text("prefix").unwrap_or_default(),
                every: every(300),
                list_budget: number("list_budget", LIST_BUDGET),
                parallel_listings: size(number("parallel_listings", 16)),
                recent_days: days("recent_days", 2),
                deep_days: days("deep_days", 35),
            })
        }),
        "sqs" => {
            let both = [needed("queue_url"), needed("buckets")];
            both.iter().all(|set| *set).then(|| {
                SourceKind::Sqs(SqsSettings {
                    aws: aws(),
                    queue_url: text("queue_url").unwrap_or_default(),
                    sqs_endpoint_url: text("sqs_endpoint_url"),
                    buckets: values.list(at, "buckets"),
                    prefixes: values.list(at, "prefixes"),
                    dead_letter_queue: text("dead_letters").as_deref() == Some("queue"),
                    visibility: values
                        .number(at, "visibility_seconds")
                        .map(Duration::from_secs),
                    max_files: number("max_files", 1000),
                    max_bytes: number("max_bytes", 256 << 20),
                })
            })
        }
        _ => None,
    }
}

fn admin(values: &Values, problems: &mut Problems) -> Option<AdminPlaces> {
    let at = "admin";
    if values.has(at, "enabled") && !values.flag(at, "enabled") {
        return None;
    }
    let token = token(values, at, "token", problems);
    let listen = values.address(at, "listen");
    let listen = listen.unwrap_or_else(|| AdminSettings::default().listen);
    if !listen.ip().is_loopback() && token.is_none() {
        let what =
            "an address that is not 127.0.0.1 or ::1 needs admin.token_file or admin.token_env";
        problems.add(values.place(at, "listen"), "admin.listen", what);
    }
    Some(AdminPlaces {
        listen,
        metrics_listen: values.address(at, "metrics_listen"),
        hosts: values.list(at, "hosts"),
        token,
    })
}

fn level(values: &Values, problems: &mut Problems) -> String {
    let level = values.text("log", "level").unwrap_or_else(|| "info".into());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
        let what = format!("must be a filter such as info or warn,ctforward_core=debug: {error}");
        problems.add(values.place("log", "level"), "log.level", what);
    }
    level
}

fn required(values: &Values, at: &str, key: &str, problems: &mut Problems) -> Option<String> {
    let text = values.text(at, key);
    if text.is_none() && !values.given(at, key) {
        problems.add(Place::File, &format!("{at}.{key}"), "is missing");
    }
    text
}

/// Where each text stands that names something outside of the file.
fn places(values: &Values) -> Places {
    let outside = [
        ("endpoint", "url"),
        ("endpoint", "token_file"),
        ("endpoint", "token_env"),
        ("endpoint", "token_secret"),
        ("endpoint", "next_token_file"),
        ("endpoint", "next_token_env"),
        ("endpoint", "next_token_secret"),
        ("endpoint", "headers"),
        ("endpoint", "ca_file"),
        ("keep", "ledger"),
        ("keep", "quarantine"),
        ("records", "rules"),
        ("records", "redact_key_file"),
        ("records", "own_calls"),
        ("admin", "token_file"),
        ("admin", "token_env"),
    ];
    let mut places: BTreeMap<_, _> = outside
        .iter()
        .map(|(section, key)| (format!("{section}.{key}"), values.place(section, key)))
        .collect();
    let sources = values.sources.iter();
    places.extend(sources.map(|(name, place)| (format!("source.{name}"), place.clone())));
    Places(places)
}
