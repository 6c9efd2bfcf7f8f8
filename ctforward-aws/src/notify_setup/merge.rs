//! Ours put into a configuration, and taken out of it; pure.

use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, NotificationConfiguration, NotificationConfigurationFilter,
    QueueConfiguration, S3KeyFilter,
};
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::overlap::{Entry, entries, overlaps};
use crate::error::ORIGIN;

/// The entry that is ours: new objects of a prefix, to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ours {
    /// What marks the entry as ours, such as `ctforward`. One configuration may hold
    /// several of ours under several ids.
    pub id: String,
    /// The queue's ARN.
    pub queue_arn: String,
    /// What keys must begin with; empty for any.
    pub prefix: String,
    /// What keys must end with; empty for any.
    pub suffix: String,
}

impl Ours {
    /// All new objects of the bucket, to the queue.
    #[must_use]
    pub fn new(id: impl Into<String>, queue_arn: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            queue_arn: queue_arn.into(),
            prefix: String::new(),
            suffix: String::new(),
        }
    }

    /// Only keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only keys that end with `suffix`.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    fn entry(&self) -> Entry {
        Entry {
            id: Some(self.id.clone()),
            destination: self.queue_arn.clone(),
            events: vec![Event::S3ObjectCreated.as_str().to_owned()],
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
        }
    }

    fn configuration(&self) -> Result<QueueConfiguration> {
        let rule = |name, value: &str| FilterRule::builder().name(name).value(value).build();
        let mut rules = Vec::new();
        if !self.prefix.is_empty() {
            rules.push(rule(FilterRuleName::Prefix, &self.prefix));
        }
        if !self.suffix.is_empty() {
            rules.push(rule(FilterRuleName::Suffix, &self.suffix));
        }
        let filter = (!rules.is_empty()).then(|| {
            let key = S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
            NotificationConfigurationFilter::builder().key(key).build()
        });
        QueueConfiguration::builder()
            .id(&self.id)
            .queue_arn(&self.queue_arn)
            .events(Event::S3ObjectCreated)
            .set_filter(filter)
            .build()
            .map_err(|e| config(format!("the notification cannot be made: {e}")))
    }
}

/// What a merge or removal changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// Nothing; there is nothing to put.
    Nothing,
    /// An entry is added.
    Added(Entry),
    /// An entry of ours gives way to another.
    Replaced {
        /// The one before.
        was: Entry,
        /// The one now.
        now: Entry,
    },
    /// An entry of ours is taken out.
    Removed(Entry),
}

/// A whole configuration to put, and what is new in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Merged {
    /// All of it, foreign entries included.
    pub configuration: NotificationConfiguration,
    /// What differs from what was there.
    pub difference: Difference,
}

/// Puts ours into what is there, in place of an entry to a queue with the same id.
///
/// Nothing changes where the same keys already reach the queue by an entry for
/// `s3:ObjectCreated:*` under whatever id.
///
/// # Errors
/// `Config` where our id or ARN is empty, our id belongs to an entry that goes to no
/// queue, or S3 would refuse ours beside a foreign entry, which is named.
pub fn merge(existing: &NotificationConfiguration, ours: &Ours) -> Result<Merged> {
    if ours.id.is_empty() || ours.queue_arn.is_empty() {
        return Err(config("a notification needs an id and a queue".to_owned()));
    }
    let entry = ours.entry();
    let mut was = None;
    for other in entries(existing) {
        let queue = existing
            .queue_configurations()
            .iter()
            .any(|c| c.id() == other.id.as_deref() && c.queue_arn() == other.destination);
        if other.id == entry.id {
            if !queue {
                return Err(config(format!(
                    "the id {} already stands for a notification to {}; choose another id",
                    printable(&ours.id),
                    printable(&other.destination)
                )));
            }
            was = Some(other);
        } else if (Entry {
            id: entry.id.clone(),
            ..other.clone()
        }) == entry
        {
            return Ok(unchanged(existing));
        } else if overlaps(&entry, &other) {
            return Err(refused(&entry, &other));
        }
    }
    if was.as_ref() == Some(&entry) {
        return Ok(unchanged(existing));
    }
    let new = ours.configuration()?;
    let mut configuration = existing.clone();
    let queues = configuration.queue_configurations.get_or_insert_default();
    match queues.iter_mut().find(|c| c.id() == Some(ours.id.as_str())) {
        Some(old) => *old = new,
        None => queues.push(new),
    }
    let difference = match was {
        Some(was) => Difference::Replaced { was, now: entry },
        None => Difference::Added(entry),
    };
    Ok(Merged {
        configuration,
        difference,
    })
}

/// Takes the entry to a queue with this id out of what is there.
#[must_use]
pub fn remove(existing: &NotificationConfiguration, id: &str) -> Merged {
    let mut configuration = existing.clone();
    let mut removed = None;
    if let Some(queues) = configuration.queue_configurations.as_mut() {
        queues.retain(|c| {
            let ours = c.id() == Some(id);
            if ours {
                removed = Some(Entry::new(c.id(), c.queue_arn(), c.events(), c.filter()));
            }
            !ours
        });
    }
    match removed {
        None => unchanged(existing),
        Some(entry) => Merged {
            configuration,
            difference: Difference::Removed(entry),
        },
    }
}

fn unchanged(existing: &NotificationConfiguration) -> Merged {
    Merged {
        configuration: existing.clone(),
        difference: Difference::Nothing,
    }
}

fn refused(ours: &Entry, other: &Entry) -> Error {
    let name = other.id.as_deref().unwrap_or("without an id");
    config(format!(
        "S3 refuses a notification of {:?}…{:?} beside the entry {} to {} of {:?}…{:?}: they \
         overlap. Narrow one of them, let that one fan out (SNS), or switch on EventBridge, \
         which disturbs no entry",
        printable(&ours.prefix),
        printable(&ours.suffix),
        printable(name),
        printable(&other.destination),
        printable(&other.prefix),
        printable(&other.suffix),
    ))
}

fn config(why: String) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, why)
}

/// The configuration as `aws s3api put-bucket-notification-configuration` takes it.
#[must_use]
pub fn to_json(configuration: &NotificationConfiguration) -> Value {
    let mut all = Map::new();
    let mut list = |name: &str, key: &str, entries: Vec<Entry>| {
        if !entries.is_empty() {
            let entries = entries.iter().map(|e| one(key, e)).collect();
            all.insert(name.to_owned(), Value::Array(entries));
        }
    };
    let queues = configuration.queue_configurations().iter();
    let queues = queues.map(|c| Entry::new(c.id(), c.queue_arn(), c.events(), c.filter()));
    list("QueueConfigurations", "QueueArn", queues.collect());
    let topics = configuration.topic_configurations().iter();
    let topics = topics.map(|c| Entry::new(c.id(), c.topic_arn(), c.events(), c.filter()));
    list("TopicConfigurations", "TopicArn", topics.collect());
    let functions = configuration.lambda_function_configurations().iter();
    let functions =
        functions.map(|c| Entry::new(c.id(), c.lambda_function_arn(), c.events(), c.filter()));
    list(
        "LambdaFunctionConfigurations",
        "LambdaFunctionArn",
        functions.collect(),
    );
    if configuration.event_bridge_configuration().is_some() {
        all.insert("EventBridgeConfiguration".to_owned(), json!({}));
    }
    Value::Object(all)
}

fn one(key: &str, entry: &Entry) -> Value {
    let mut out = Map::new();
    if let Some(id) = &entry.id {
        out.insert("Id".to_owned(), json!(id));
    }
    out.insert(key.to_owned(), json!(entry.destination));
    out.insert("Events".to_owned(), json!(entry.events));
    let rules: Vec<Value> = [("prefix", &entry.prefix), ("suffix", &entry.suffix)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect();
    if !rules.is_empty() {
        out.insert("Filter".to_owned(), json!({"Key": {"FilterRules": rules}}));
    }
    Value::Object(out)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
