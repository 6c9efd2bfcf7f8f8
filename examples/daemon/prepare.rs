//! From settings to parts, as far as nothing is written or asked yet: what `--check` checks.

use std::sync::Arc;

use ctforward_core::key::{KeyFilter, Kind};
use ctforward_core::stage::{Filter, Redaction, RedactionKey, Rule, Rules};
use ctforward_core::{Error, Sink};
use ctforward_visionone::{TokenProvider, VisionOneSink};

use crate::admin::AdminSettings;
use crate::config::{Place, Problems, RecordSettings, Settings, SourceKind, TokenPlace};
use crate::rules_file;
use crate::tokens::Tokens;

/// Parts that are made of settings alone.
pub struct Parts {
    pub sink: Arc<dyn Sink>,
    /// The endpoint's address as it may be shown.
    pub endpoint: String,
    pub tokens: Arc<Tokens>,
    pub keys: KeyFilter,
    pub filters: Vec<Arc<Filter>>,
    pub redaction: Option<Arc<Redaction>>,
    pub admin: Option<AdminSettings>,
}

/// Makes the parts, and says everything that is wrong with what the settings name.
pub async fn parts(settings: &Settings, problems: &mut Problems) -> Option<Parts> {
    let tokens = tokens(settings, problems).await;
    let sink = match &tokens {
        Some(tokens) => sink(settings, tokens.provider(), problems),
        None => None,
    };
    let (filter, redaction) = shape(settings, problems);
    let own_calls = own_calls(settings, problems);
    let admin = admin(settings, problems).await;
    for source in &settings.sources {
        if let Err(error) = crate::sources::check(source) {
            let key = format!("source.{}", source.name);
            problems.add(settings.places.of(&key), &key, words(&error));
        }
    }
    let sink = sink?;
    Some(Parts {
        endpoint: sink.endpoint().to_owned(),
        sink: Arc::new(sink),
        tokens: tokens?,
        keys: keys(&settings.records),
        filters: filter.into_iter().chain(own_calls).collect(),
        redaction,
        admin,
    })
}

fn words(error: &Error) -> String {
    error.message().to_owned()
}

/// What hands out the token of a place; it must hold one now.
async fn readable(
    token: &TokenPlace,
    key: &str,
    settings: &Settings,
    problems: &mut Problems,
) -> Option<Arc<dyn TokenProvider>> {
    let key = format!("{key}_{}", token.key());
    let provider = token.provider();
    // Secrets Manager is asked when the token is needed, and as often as it takes.
    if matches!(token, TokenPlace::Secret(_)) {
        return Some(provider);
    }
    match provider.token(false).await {
        Ok(_) => Some(provider),
        Err(error) => {
            problems.add(settings.places.of(&key), &key, words(&error));
            None
        }
    }
}

async fn tokens(settings: &Settings, problems: &mut Problems) -> Option<Arc<Tokens>> {
    let endpoint = &settings.endpoint;
    let current = readable(&endpoint.token, "endpoint.token", settings, problems).await;
    // It may come later: it is read when it is needed.
    let next = endpoint.next.as_ref();
    let next = next.map(|place| (place.words(), place.provider()));
    Some(Arc::new(Tokens::new(
        (endpoint.token.words(), current?),
        next,
    )))
}

fn sink(
    settings: &Settings,
    token: Arc<dyn TokenProvider>,
    problems: &mut Problems,
) -> Option<VisionOneSink> {
    let endpoint = &settings.endpoint;
    let mut builder = VisionOneSink::builder(&endpoint.url, token)
        .request_bytes(endpoint.request_bytes)
        .gzip(endpoint.gzip)
        .final_newline(endpoint.final_newline)
        .allow_plain_http(endpoint.allow_plain_http)
        .request_timeout(endpoint.request_timeout);
    for header in &endpoint.headers {
        match header.split_once(':') {
            Some((name, value)) => builder = builder.header(name.trim(), value.trim()),
            None => {
                let place = settings.places.of("endpoint.headers");
                problems.add(place, "endpoint.headers", "each must be NAME:VALUE");
            }
        }
    }
    if let Some(file) = &endpoint.ca_file {
        match std::fs::read(file) {
            Ok(pem) => builder = builder.ca_pem(pem),
            Err(error) => {
                let place = settings.places.of("endpoint.ca_file");
                let what = format!("{}: {error}", file.display());
                problems.add(place, "endpoint.ca_file", what);
            }
        }
    }
    match builder.build() {
        Ok(sink) => Some(sink),
        Err(error) => {
            let place = settings.places.of("endpoint.url");
            problems.add(place, "endpoint", words(&error));
            None
        }
    }
}

fn keys(records: &RecordSettings) -> KeyFilter {
    let mut keys = KeyFilter::new();
    if !records.accounts.is_empty() {
        keys = keys.accounts(records.accounts.iter().cloned());
    }
    if !records.regions.is_empty() {
        keys = keys.regions(records.regions.iter().cloned());
    }
    if !records.kinds.is_empty() {
        keys = keys.kinds(records.kinds.iter().filter_map(|kind| Kind::parse(kind)));
    }
    keys
}

/// Rules and redaction, compiled.
fn shape(
    settings: &Settings,
    problems: &mut Problems,
) -> (Option<Arc<Filter>>, Option<Arc<Redaction>>) {
    let records = &settings.records;
    let Some(file) = &records.rules else {
        return (None, None);
    };
    let place = settings.places.of("records.rules");
    let mut wrong = |place: Place, key: &str, what: String| problems.add(place, key, what);
    let rules = match rules_file::load(file) {
        Ok(rules) => rules,
        Err(lines) => {
            for line in lines {
                wrong(place.clone(), "records.rules", line);
            }
            return (None, None);
        }
    };
    let filter = rules.compile().map(Arc::new);
    if let Err(found) = &filter {
        for problem in found.iter() {
            wrong(place.clone(), "records.rules", problem.to_string());
        }
    }
    let redaction = match (rules.redact(), &records.redact_key_file) {
        (None, None) => None,
        (None, Some(_)) => {
            let place = settings.places.of("records.redact_key_file");
            let what = "is for rules with a redact section; there is none";
            wrong(place, "records.redact_key_file", what.to_owned());
            None
        }
        (Some(redact), own) => {
            let named = redact.hmac_key_file().map(std::path::Path::new);
            let file = own.as_deref().or(named);
            let key = match file.map(RedactionKey::read).transpose() {
                Ok(key) => key,
                Err(error) => {
                    let place = settings.places.of("records.redact_key_file");
                    wrong(place, "records.redact_key_file", words(&error));
                    return (filter.ok(), None);
                }
            };
            match redact.build(key) {
                Ok(redaction) => Some(Arc::new(redaction)),
                Err(found) => {
                    wrong(place, "records.rules", found.to_string());
                    None
                }
            }
        }
    };
    (filter.ok(), redaction)
}

/// Our own role's calls on the buckets that are read.
fn own_calls(settings: &Settings, problems: &mut Problems) -> Option<Arc<Filter>> {
    let role = settings.records.own_calls.as_ref()?;
    let key = "records.own_calls";
    let buckets = settings
        .sources
        .iter()
        .flat_map(|source| match &source.kind {
            SourceKind::S3(s3) => std::slice::from_ref(&s3.bucket),
            SourceKind::Sqs(sqs) => sqs.buckets.as_slice(),
            SourceKind::Directory { .. } => &[],
        });
    let mut rules = Rules::new();
    for bucket in buckets.collect::<std::collections::BTreeSet<_>>() {
        rules = rules.exclude(Rule::own_calls(role, bucket));
    }
    if rules.excludes().is_empty() {
        let what = "is for the buckets that are read; no source is one or names one";
        problems.add(settings.places.of(key), key, what);
        return None;
    }
    match rules.compile() {
        Ok(filter) => Some(Arc::new(filter)),
        Err(found) => {
            problems.add(settings.places.of(key), key, found.to_string());
            None
        }
    }
}

async fn admin(settings: &Settings, problems: &mut Problems) -> Option<AdminSettings> {
    let places = settings.admin.as_ref()?;
    let token = match &places.token {
        None => None,
        Some(token) => readable(token, "admin.token", settings, problems).await,
    };
    Some(AdminSettings {
        listen: places.listen,
        metrics_listen: places.metrics_listen,
        hosts: places.hosts.clone(),
        token,
        token_file: match &places.token {
            Some(TokenPlace::File(path)) => Some(path.clone()),
            _ => None,
        },
    })
}
