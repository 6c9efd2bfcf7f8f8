//! What is sent of the records: rules, redaction, duplicates.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use ctforward_core::duplicates::Duplicates;
use ctforward_core::pipeline::PipelineBuilder;
use ctforward_core::stage::{Filter, Redaction, RedactionKey, Rule, Rules};
use ctforward_core::text::printable;

use super::keep::Memory;
use crate::args::ShapeArgs;
use crate::failure::Failure;
use crate::rules::load;
use crate::sources::Place;
use crate::times;

/// A key is read up to here; a longer file is no key.
const MOST: u64 = 64 * 1024;

/// Rules and redaction, compiled once.
pub struct Shape {
    filters: Vec<Arc<Filter>>,
    redaction: Option<Arc<Redaction>>,
    duplicates: Option<Duplicates>,
}

impl Shape {
    pub fn of(args: &ShapeArgs, places: &[Place]) -> Result<Self, Failure> {
        let wrong = |lines: Vec<String>| Failure::usage(lines.join("\n"));
        let mut filters = Vec::new();
        let mut redaction = None;
        if let Some(file) = &args.rules {
            let rules = load::load(file).map_err(wrong)?;
            let filter = rules
                .compile()
                .map_err(|problems| Failure::usage(problems.to_string()))?;
            filters.push(Arc::new(filter));
            if let Some(settings) = rules.redact() {
                let named = settings.hmac_key_file().map(Path::new);
                let key = match args.redact_key_file.as_deref().or(named) {
                    Some(file) => Some(key(file)?),
                    None => None,
                };
                let built = settings
                    .build(key)
                    .map_err(|problems| Failure::usage(problems.to_string()))?;
                redaction = Some(Arc::new(built));
            }
        }
        if args.redact_key_file.is_some() && redaction.is_none() {
            return Err(Failure::usage(
                "--redact-key-file is for rules with a redact section; there is none",
            ));
        }
        if let Some(role) = &args.own_calls {
            filters.push(Arc::new(own_calls(role, places)?));
        }
        let duplicates = match args.deduplicate {
            false => None,
            true => Some(
                Duplicates::new()
                    .with_most(args.dedup_records)
                    .with_age(times::duration("--dedup-age", &args.dedup_age)?),
            ),
        };
        Ok(Self {
            filters,
            redaction,
            duplicates,
        })
    }

    /// Gives all of it to a pipeline.
    pub fn give(
        &self,
        mut builder: PipelineBuilder,
        memory: &Memory,
    ) -> Result<PipelineBuilder, Failure> {
        for filter in &self.filters {
            builder = builder.stage(Arc::clone(filter));
        }
        if let Some(redaction) = &self.redaction {
            builder = builder.redactor(Arc::clone(redaction));
        }
        if let Some(duplicates) = self.duplicates.clone() {
            builder = builder.duplicates(match &memory.ledger {
                Some(ledger) => duplicates.with_store(Arc::clone(ledger)),
                None => duplicates,
            });
        }
        Ok(builder)
    }
}

/// Our own role's calls on the buckets that are read.
fn own_calls(role: &str, places: &[Place]) -> Result<Filter, Failure> {
    let buckets = places.iter().filter_map(|place| match place {
        Place::Bucket { bucket, .. } => Some(bucket),
        Place::Path(_) => None,
    });
    let mut rules = Rules::new();
    for bucket in buckets.collect::<std::collections::BTreeSet<_>>() {
        rules = rules.exclude(Rule::own_calls(role, bucket));
    }
    if rules.excludes().is_empty() {
        return Err(Failure::usage(
            "--own-calls is for the buckets that are read; no source is one",
        ));
    }
    rules
        .compile()
        .map_err(|problems| Failure::usage(problems.to_string()))
}

/// The key of hashes that stand for redacted values, from a file of its own.
fn key(path: &Path) -> Result<RedactionKey, Failure> {
    let name = printable(&path.to_string_lossy()).into_owned();
    let wrong = |what: String| Failure::usage(format!("{name}: {what}"));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file
            .metadata()
            .map_err(|error| wrong(error.to_string()))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(wrong(
                "others can read the key of the redaction; chmod 600 it".to_owned(),
            ));
        }
    }
    let mut bytes = Vec::new();
    file.take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    // Editors and echo end a file with a line feed that is no part of the key.
    let key = bytes.trim_ascii_end();
    RedactionKey::new(key).map_err(|error| wrong(error.message().to_owned()))
}
