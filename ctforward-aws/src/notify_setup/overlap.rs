//! Which entries of a notification configuration S3 refuses beside each other.
//!
//! [S3 user guide](https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html):
//! two entries with event types in common may not have overlapping prefixes and
//! overlapping suffixes, whatever their destinations are.

use aws_sdk_s3::types::{
    Event, FilterRuleName, NotificationConfiguration, NotificationConfigurationFilter,
};

/// An entry of a configuration, whatever its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name within the configuration.
    pub id: Option<String>,
    /// The ARN of the queue, topic or function.
    pub destination: String,
    /// Event types, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What keys must begin with; empty for any.
    pub prefix: String,
    /// What keys must end with; empty for any.
    pub suffix: String,
}

impl Entry {
    pub(crate) fn new(
        id: Option<&str>,
        destination: &str,
        events: &[Event],
        filter: Option<&NotificationConfigurationFilter>,
    ) -> Self {
        let mut entry = Self {
            id: id.map(str::to_owned),
            destination: destination.to_owned(),
            events: events.iter().map(|e| e.as_str().to_owned()).collect(),
            prefix: String::new(),
            suffix: String::new(),
        };
        let rules = filter.and_then(|f| f.key()).map(|key| key.filter_rules());
        for rule in rules.unwrap_or_default() {
            let value = rule.value().unwrap_or_default().to_owned();
            match rule.name() {
                Some(FilterRuleName::Prefix) => entry.prefix = value,
                Some(FilterRuleName::Suffix) => entry.suffix = value,
                // S3 also answers with `Prefix` and `Suffix`.
                Some(name) if name.as_str().eq_ignore_ascii_case("prefix") => entry.prefix = value,
                Some(name) if name.as_str().eq_ignore_ascii_case("suffix") => entry.suffix = value,
                _ => {}
            }
        }
        entry
    }

    /// Whether a key that is written passes this entry's filter.
    #[must_use]
    pub fn takes(&self, key: &str) -> bool {
        key.len() >= self.prefix.len().max(self.suffix.len())
            && key.starts_with(&self.prefix)
            && key.ends_with(&self.suffix)
    }

    /// Whether it is told of objects written by one `PutObject`, as CloudTrail does.
    #[must_use]
    pub fn sees_puts(&self) -> bool {
        self.events.iter().any(|e| share(e, "s3:ObjectCreated:Put"))
    }
}

/// The entries of a configuration. EventBridge is a switch, and no entry.
#[must_use]
pub fn entries(configuration: &NotificationConfiguration) -> Vec<Entry> {
    let queues = configuration
        .queue_configurations()
        .iter()
        .map(|c| Entry::new(c.id(), c.queue_arn(), c.events(), c.filter()));
    let topics = configuration
        .topic_configurations()
        .iter()
        .map(|c| Entry::new(c.id(), c.topic_arn(), c.events(), c.filter()));
    let functions = configuration
        .lambda_function_configurations()
        .iter()
        .map(|c| Entry::new(c.id(), c.lambda_function_arn(), c.events(), c.filter()));
    queues.chain(topics).chain(functions).collect()
}

/// Whether S3 refuses the two entries beside each other.
#[must_use]
pub fn overlaps(one: &Entry, other: &Entry) -> bool {
    let within = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
    let ends = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
    one.events
        .iter()
        .any(|a| other.events.iter().any(|b| share(a, b)))
        && within(&one.prefix, &other.prefix)
        && ends(&one.suffix, &other.suffix)
}

/// Whether two event types have an event in common; `:*` stands for all of its kind.
fn share(a: &str, b: &str) -> bool {
    let covers = |wide: &str, narrow: &str| {
        wide.strip_suffix('*')
            .is_some_and(|stem| narrow.starts_with(stem))
    };
    a == b || covers(a, b) || covers(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(events: &[&str], prefix: &str, suffix: &str) -> Entry {
        Entry {
            id: None,
            destination: "arn".to_owned(),
            events: events.iter().map(|e| (*e).to_owned()).collect(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }
    }

    #[test]
    fn the_examples_of_the_user_guide() {
        let all: &[&str] = &["s3:ObjectCreated:*"];
        let put: &[&str] = &["s3:ObjectCreated:Put"];
        let gone: &[&str] = &["s3:ObjectRemoved:*"];
        let cases = [
            (entry(all, "", ""), entry(all, "images", ""), true),
            (entry(put, "images", ""), entry(all, "", ""), true),
            (
                entry(all, "images/", ".jpg"),
                entry(all, "images/", ".png"),
                false,
            ),
            (entry(all, "images/", ""), entry(all, "logs/", ""), false),
            (entry(all, "", ".jpg"), entry(all, "images", ""), true),
            (entry(all, "", ""), entry(gone, "", ""), false),
            (entry(all, "", "jpg"), entry(all, "", ".jpg"), true),
            (
                entry(&["s3:ObjectCreated:Copy"], "", ""),
                entry(put, "", ""),
                false,
            ),
        ];
        for (one, other, expected) in cases {
            assert_eq!(overlaps(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(overlaps(&other, &one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_filter_takes_keys_by_both_ends() {
        let one = entry(&["s3:ObjectCreated:*"], "AWSLogs/", ".json.gz");
        assert!(one.takes("AWSLogs/1/x.json.gz") && one.sees_puts());
        assert!(!one.takes("AWSLogs/1/x.json") && !one.takes("x/AWSLogs/x.json.gz"));
        assert!(!entry(&["s3:ObjectCreated:Copy"], "", "").sees_puts());
    }
}
