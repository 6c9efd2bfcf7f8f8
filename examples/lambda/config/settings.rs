//! What is set.

use std::path::PathBuf;
use std::time::Duration;

use super::values::Values;
use crate::parts::Place;
use crate::token::TokenPlace;

/// The token's variable where no place of it is set.
const TOKEN: &str = "VISIONONE_INGEST_TOKEN";

#[derive(Clone, Debug)]
pub struct Settings {
    pub endpoint: EndpointSettings,
    pub event: EventSettings,
    pub records: RecordSettings,
    pub ledger: Option<PathBuf>,
    pub quarantine: Option<PathBuf>,
    pub concurrency: usize,
    pub stop_before: Duration,
    pub log: LogSettings,
}

#[derive(Clone)]
pub struct EndpointSettings {
    pub url: String,
    pub token: TokenPlace,
    pub request_bytes: usize,
    pub request_timeout: Duration,
    pub gzip: bool,
    pub final_newline: bool,
    pub headers: Vec<(String, String)>,
    pub allow_plain_http: bool,
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

/// What an event may name, and how that is read.
#[derive(Clone, Debug)]
pub struct EventSettings {
    pub buckets: Vec<String>,
    pub prefixes: Vec<String>,
    pub organisations: Vec<String>,
    pub accounts: Vec<String>,
    pub kinds: Vec<String>,
    pub bucket_owner: Option<String>,
    pub s3_endpoint_url: Option<String>,
    pub sqs_endpoint_url: Option<String>,
    pub allow_plain_http: bool,
    pub backoff: (Duration, Duration),
}

#[derive(Clone, Debug)]
pub struct RecordSettings {
    pub rules: Option<PathBuf>,
    pub redact_key_file: Option<PathBuf>,
    pub own_calls: Option<String>,
    pub max_record_bytes: usize,
    pub max_inflated_bytes: u64,
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

impl Settings {
    /// What the environment says, or a line for each thing that is wrong with it.
    pub fn of_environment(place: Place) -> Result<Self, Vec<String>> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // What is no text names no setting, and is no value of one.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::of(Values::of(environment), place)
    }

    /// What these values say.
    pub fn of(mut values: Values, place: Place) -> Result<Self, Vec<String>> {
        let values_ = &mut values;
        let settings = Self {
            endpoint: endpoint(values_),
            event: event(values_),
            records: RecordSettings {
                rules: values_.text("RECORDS_RULES").map(Into::into),
                redact_key_file: values_.text("RECORDS_REDACT_KEY_FILE").map(Into::into),
                own_calls: values_.text("RECORDS_OWN_CALLS"),
                max_record_bytes: values_.size("RECORDS_MAX_RECORD_BYTES", 1 << 20, 1024, 1 << 30),
                max_inflated_bytes: values_.number(
                    "RECORDS_MAX_INFLATED_BYTES",
                    4 << 30,
                    1024,
                    1 << 40,
                ),
            },
            ledger: values_.text("KEEP_LEDGER").map(Into::into),
            quarantine: values_.text("KEEP_QUARANTINE").map(Into::into),
            concurrency: values_.size("PACE_CONCURRENCY", 4, 1, 64),
            stop_before: values_.seconds("RUN_STOP_BEFORE_SECONDS", 10, 1, 300),
            log: log(values_),
        };
        if settings.quarantine.is_some() && place == Place::Lambda {
            // What was acknowledged because it lies there would be lost with the machine.
            let what = "a function's disk does not last: what it refuses is left unfinished";
            values.wrong("KEEP_QUARANTINE", what);
        }
        if values.problems.is_empty() {
            Ok(settings)
        } else {
            Err(values.problems)
        }
    }
}

fn endpoint(values: &mut Values) -> EndpointSettings {
    let places = [
        values.text("ENDPOINT_TOKEN_SECRET").map(TokenPlace::Secret),
        values
            .text("ENDPOINT_TOKEN_FILE")
            .map(|file| TokenPlace::File(file.into())),
        values.text("ENDPOINT_TOKEN_ENV").map(TokenPlace::Variable),
    ];
    let mut places: Vec<TokenPlace> = places.into_iter().flatten().collect();
    if places.len() > 1 {
        let what = "only one of ENDPOINT_TOKEN_SECRET, _FILE and _ENV may be set";
        values.wrong("ENDPOINT_TOKEN_SECRET", what);
    }
    let token = places.pop();
    let mut headers = Vec::new();
    for header in values.list("ENDPOINT_HEADERS") {
        match header.split_once(':') {
            Some((name, value)) => {
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            None => values.wrong("ENDPOINT_HEADERS", "each must be NAME:VALUE"),
        }
    }
    EndpointSettings {
        url: values.needed("ENDPOINT_URL"),
        token: token.unwrap_or_else(|| TokenPlace::Variable(TOKEN.to_owned())),
        request_bytes: values.size("ENDPOINT_REQUEST_BYTES", 1_000_000, 1024, 1 << 30),
        request_timeout: values.seconds("ENDPOINT_REQUEST_SECONDS", 30, 1, 900),
        gzip: values.flag("ENDPOINT_GZIP"),
        final_newline: values.flag("ENDPOINT_FINAL_NEWLINE"),
        headers,
        allow_plain_http: values.flag("ENDPOINT_ALLOW_PLAIN_HTTP"),
    }
}

fn event(values: &mut Values) -> EventSettings {
    let buckets = values.list("EVENT_BUCKETS");
    if buckets.is_empty() {
        values.wrong("EVENT_BUCKETS", "is needed");
    }
    let first = values.seconds("EVENT_BACKOFF_SECONDS", 10, 1, 43_200);
    let longest = values.seconds("EVENT_BACKOFF_LONGEST_SECONDS", 900, 1, 43_200);
    EventSettings {
        buckets,
        prefixes: values.list("EVENT_PREFIXES"),
        organisations: values.list("EVENT_ORGANISATIONS"),
        accounts: values.list("EVENT_ACCOUNTS"),
        kinds: values.list("EVENT_KINDS"),
        bucket_owner: values.text("EVENT_BUCKET_OWNER"),
        s3_endpoint_url: values.text("EVENT_S3_ENDPOINT_URL"),
        sqs_endpoint_url: values.text("EVENT_SQS_ENDPOINT_URL"),
        allow_plain_http: values.flag("EVENT_ALLOW_PLAIN_HTTP"),
        backoff: (first, longest),
    }
}

fn log(values: &mut Values) -> LogSettings {
    let form = match values.text("LOG_FORMAT").as_deref() {
        None | Some("json") => Form::Json,
        Some("text") => Form::Text,
        Some(_) => {
            values.wrong("LOG_FORMAT", "must be json or text");
            Form::Json
        }
    };
    let level = values
        .text("LOG_LEVEL")
        .unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
        let error = error.to_string();
        let error = ctforward_core::text::excerpt(&error, 200);
        values.wrong("LOG_LEVEL", format!("cannot be read: {error}"));
    }
    LogSettings { form, level }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], place: Place) -> Result<Settings, Vec<String>> {
        let environment = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        Settings::of(Values::of(environment), place)
    }

    const LEAST: [(&str, &str); 2] = [
        ("CTFORWARD_ENDPOINT_URL", "https://xlogr.example/x"),
        ("CTFORWARD_EVENT_BUCKETS", "one, two"),
    ];

    #[test]
    fn little_is_needed_and_what_is_empty_is_not_set() {
        let mut variables = LEAST.to_vec();
        variables.push(("CTFORWARD_EVENT_ACCOUNTS", " "));
        let settings = of(&variables, Place::Lambda).unwrap();
        assert_eq!(settings.event.buckets, ["one", "two"]);
        assert!(settings.event.accounts.is_empty());
        assert!(matches!(settings.endpoint.token, TokenPlace::Variable(name) if name == TOKEN));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let problems = of(
            &[
                ("CTFORWARD_EVENT_PREFIXS", "AWSLogs/"),
                ("CTFORWARD_ENDPOINT_TOKEN_ENV", "A"),
                ("CTFORWARD_ENDPOINT_TOKEN_FILE", "/b"),
                ("CTFORWARD_ENDPOINT_GZIP", "yes"),
                ("CTFORWARD_PACE_CONCURRENCY", "0"),
                ("CTFORWARD_LOG_FORMAT", "xml"),
                ("CTFORWARD_LOG_LEVEL", "a=b=c"),
                ("OTHER", "x"),
            ],
            Place::Lambda,
        );
        let problems = problems.unwrap_err().join("\n");
        for name in [
            "EVENT_PREFIXS",
            "ENDPOINT_TOKEN_SECRET",
            "ENDPOINT_GZIP",
            "PACE_CONCURRENCY",
            "LOG_FORMAT",
            "LOG_LEVEL",
            "ENDPOINT_URL",
            "EVENT_BUCKETS",
        ] {
            assert!(problems.contains(name), "{name}: {problems}");
        }
        assert!(!problems.contains("OTHER"));
    }

    #[test]
    fn a_folder_that_goes_with_the_machine_is_no_quarantine() {
        let mut variables = LEAST.to_vec();
        variables.push(("CTFORWARD_KEEP_QUARANTINE", "/tmp/quarantine"));
        let problems = of(&variables, Place::Lambda).unwrap_err();
        assert!(problems[0].contains("KEEP_QUARANTINE"), "{problems:?}");
        assert!(of(&variables, Place::Elsewhere).is_ok());
    }
}
