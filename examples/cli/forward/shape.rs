//! What is sent of the records: rules, redaction, duplicates.

use std::path::Path;
use std::sync::Arc;

use ctforward_core::duplicates::Duplicates;
use ctforward_core::pipeline::PipelineBuilder;
use ctforward_core::stage::{Filter, Problems, Redaction, RedactionKey, Rule, Rules};

use super::keep::Memory;
use crate::args::ShapeArgs;
use crate::failure::Failure;
use crate::rules::load;
use crate::sources::Place;
use crate::times;

/// Rules and redaction, compiled once.
pub struct Shape {
    filters: Vec<Arc<Filter>>,
    redaction: Option<Arc<Redaction>>,
    duplicates: Option<Duplicates>,
}

impl Shape {
    pub fn of(args: &ShapeArgs, places: &[Place]) -> Result<Self, Failure> {
        let mut shape = Self::rules(args.rules.as_deref(), args.redact_key_file.as_deref())?;
        if let Some(role) = &args.own_calls {
            shape.filters.push(Arc::new(own_calls(role, places)?));
        }
        if args.deduplicate {
            let age = times::duration("--dedup-age", &args.dedup_age)?;
            let duplicates = Duplicates::new().with_most(args.dedup_records);
            shape.duplicates = Some(duplicates.with_age(age));
        }
        Ok(shape)
    }

    /// What a rules file says, and nothing else.
    pub fn rules(file: Option<&Path>, key_file: Option<&Path>) -> Result<Self, Failure> {
        let mut shape = Self {
            filters: Vec::new(),
            redaction: None,
            duplicates: None,
        };
        let Some(file) = file else {
            return Ok(shape);
        };
        let rules = load::load(file).map_err(|lines| Failure::usage(lines.join("\n")))?;
        let wrong = |problems: Problems| Failure::usage(problems.to_string());
        shape
            .filters
            .push(Arc::new(rules.compile().map_err(wrong)?));
        match rules.redact() {
            Some(settings) => {
                let named = settings.hmac_key_file().map(Path::new);
                let key = key_file.or(named).map(RedactionKey::read).transpose();
                let key = key.map_err(|error| Failure::usage(error.message().to_owned()))?;
                shape.redaction = Some(Arc::new(settings.build(key).map_err(wrong)?));
            }
            None if key_file.is_some() => {
                return Err(Failure::usage(
                    "--redact-key-file is for rules with a redact section; there is none",
                ));
            }
            None => {}
        }
        Ok(shape)
    }

    /// Gives all of it to a pipeline.
    pub fn give(&self, mut builder: PipelineBuilder) -> PipelineBuilder {
        for filter in &self.filters {
            builder = builder.stage(Arc::clone(filter));
        }
        self.redact(builder)
    }

    /// Whether anything is redacted.
    pub fn redacts(&self) -> bool {
        self.redaction.is_some()
    }

    /// Gives the redaction alone to a pipeline.
    pub fn redact(&self, builder: PipelineBuilder) -> PipelineBuilder {
        match &self.redaction {
            Some(redaction) => builder.redactor(Arc::clone(redaction)),
            None => builder,
        }
    }

    /// The removal of duplicates, where it is asked for; remembered by the ledger.
    pub fn duplicates(&self, memory: &Memory) -> Option<Duplicates> {
        let duplicates = self.duplicates.clone()?;
        Some(match &memory.ledger {
            Some(ledger) => duplicates.with_store(Arc::clone(ledger)),
            None => duplicates,
        })
    }
}

/// Our own role's calls on the buckets that are read.
fn own_calls(role: &str, places: &[Place]) -> Result<Filter, Failure> {
    let buckets = places.iter().filter_map(|place| match place {
        Place::Bucket { bucket, .. } => Some(bucket),
        Place::Path(_) | Place::Queue { .. } => None,
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
