//! A client for each bucket: in its own region, with the credentials meant for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{ProvideCredentials, Region, SharedCredentialsProvider};
use aws_sdk_s3::operation::head_bucket::HeadBucketOutput;
use ctforward_core::text::{excerpt, printable};
use ctforward_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use super::reader::Patience;
use crate::error::{Asked, ORIGIN, classify, region, said};
use crate::facts::{Facts, Stage, facts};

/// So many clients are held; one more, and all are found anew.
const MOST: usize = 10_000;

/// Clients of S3 for buckets of several regions and accounts.
///
/// The first time that a bucket is met, its region is asked for with `HeadBucket`
/// (`s3:ListBucket`; S3 names the region to those too whom it denies the rest). Where it is not
/// named, the region that was set is used. The client is kept. Failures are not: the
/// next call asks again.
///
/// One run stays in one partition: S3 of another does not know the credentials.
///
/// Clones share what was found.
#[derive(Clone)]
pub struct BucketClients(Arc<Inner>);

struct Inner {
    base: Client,
    rules: Vec<Rule>,
    patience: Patience,
    found: Mutex<HashMap<Place, Arc<OnceCell<Client>>>>,
}

/// A bucket, and which of the rules holds for it.
type Place = (String, Option<usize>);

/// Settings of [`BucketClients`].
#[derive(Clone)]
#[must_use]
pub struct BucketClientsBuilder {
    base: Client,
    rules: Vec<Rule>,
}

#[derive(Clone)]
struct Rule {
    of: Of,
    pattern: String,
    credentials: SharedCredentialsProvider,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Bucket,
    Account,
}

impl BucketClientsBuilder {
    /// Use these credentials for buckets whose name fits, `*` standing for any
    /// characters. The rules of buckets come before those of
    /// accounts, and of each the first that fits holds; where none does, the
    /// client's own credentials are used.
    pub fn bucket(
        self,
        pattern: impl Into<String>,
        credentials: impl ProvideCredentials + 'static,
    ) -> Self {
        self.rule(Of::Bucket, pattern.into(), credentials)
    }

    /// Use these credentials for log files of accounts whose number fits, as the key
    /// names it, `*` standing for any characters.
    pub fn account(
        self,
        pattern: impl Into<String>,
        credentials: impl ProvideCredentials + 'static,
    ) -> Self {
        self.rule(Of::Account, pattern.into(), credentials)
    }

    fn rule(
        mut self,
        of: Of,
        pattern: String,
        credentials: impl ProvideCredentials + 'static,
    ) -> Self {
        self.rules.push(Rule {
            of,
            pattern,
            credentials: SharedCredentialsProvider::new(credentials),
        });
        self
    }

    /// The clients. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where a pattern can fit no name of a bucket or no
    /// number of an account.
    pub fn build(self) -> Result<BucketClients> {
        for rule in &self.rules {
            let fits = |c: char| match rule.of {
                Of::Bucket => c.is_ascii_alphanumeric() || "-._*".contains(c),
                Of::Account => c.is_ascii_digit() || c == '*',
            };
            let pattern = &rule.pattern;
            let digits = pattern.chars().filter(char::is_ascii_digit).count();
            let number = match pattern.contains('*') {
                true => digits <= 12,
                false => digits == 12,
            };
            if pattern.is_empty()
                || !pattern.chars().all(fits)
                || (rule.of == Of::Account && !number)
            {
                let what = match rule.of {
                    Of::Bucket => "bucket's name",
                    Of::Account => "account's number",
                };
                let why = format!("{:?} can be no {what}", excerpt(pattern, 64));
                return Err(Error::new(ErrorKind::Config, ORIGIN, why));
            }
        }
        Ok(BucketClients(Arc::new(Inner {
            base: self.base,
            rules: self.rules,
            patience: Patience::default(),
            found: Mutex::default(),
        })))
    }
}

impl BucketClients {
    /// Clients with the settings of `base`, apart from region and credentials.
    pub fn builder(base: Client) -> BucketClientsBuilder {
        BucketClientsBuilder {
            base,
            rules: Vec::new(),
        }
    }

    /// The client for a bucket, and for the log files of an account in it.
    ///
    /// # Errors
    /// [`Unauthorized`](ErrorKind::Unauthorized) where there are no credentials, or a
    /// role could not be assumed; [`Config`](ErrorKind::Config) where there is no such
    /// bucket; what else kept its region from being found.
    pub async fn client(&self, bucket: &str, account: Option<&str>) -> Result<Client> {
        let fits = |rule: &Rule| match rule.of {
            Of::Bucket => matches(&rule.pattern, bucket),
            Of::Account => account.is_some_and(|account| matches(&rule.pattern, account)),
        };
        // Who names the bucket was there first: an account comes from a key, which whoever
        // writes a notification chooses.
        let by = |of: Of| {
            let of = move |rule: &Rule| rule.of == of;
            self.0.rules.iter().position(|rule| of(rule) && fits(rule))
        };
        let rule = by(Of::Bucket).or_else(|| by(Of::Account));
        let cell = {
            let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.len() >= MOST {
                found.clear();
            }
            Arc::clone(found.entry((bucket.to_owned(), rule)).or_default())
        };
        let client = cell.get_or_try_init(|| self.find(bucket, rule)).await?;
        Ok(client.clone())
    }

    async fn find(&self, bucket: &str, rule: Option<usize>) -> Result<Client> {
        let rule = rule.and_then(|rule| self.0.rules.get(rule));
        let client = match rule {
            Some(rule) => {
                let config = self.0.base.config().to_builder();
                Client::from_conf(
                    config
                        .credentials_provider(rule.credentials.clone())
                        .build(),
                )
            }
            None => self.0.base.clone(),
        };
        let head = client
            .head_bucket()
            .bucket(bucket)
            .customize()
            .config_override(self.0.patience.overrides(&client))
            .send()
            .await;
        let named = match head.map_err(|error| facts(&error)) {
            Ok(head) => of_head(&head),
            Err(facts) => match facts.region.as_deref().and_then(region) {
                Some(region) => Some(region.to_owned()),
                // Reading may be allowed all the same; if not, that is said then.
                None if facts.stage == Stage::Answer && facts.status == Some(403) => None,
                None => return Err(failed(&facts, bucket, rule.is_some())),
            },
        };
        let set = client.config().region().map(ToString::to_string);
        match named {
            Some(named) if set.as_ref() != Some(&named) => {
                let config = client.config().to_builder();
                Ok(Client::from_conf(config.region(Region::new(named)).build()))
            }
            _ => Ok(client),
        }
    }
}

fn of_head(head: &HeadBucketOutput) -> Option<String> {
    head.bucket_region().and_then(region).map(str::to_owned)
}

fn failed(facts: &Facts, bucket: &str, with_rule: bool) -> Error {
    if facts.stage == Stage::Credentials && with_rule {
        let why = format!(
            "there are no credentials for the bucket {} ({}); see that the role's trust policy \
             names these credentials and the external id, and that they may sts:AssumeRole it",
            printable(bucket),
            said(facts)
        );
        return Error::new(ErrorKind::Unauthorized, ORIGIN, why);
    }
    if facts.stage == Stage::Answer && facts.status == Some(404) {
        // An answer to HEAD has no body, and so no code.
        let why = format!(
            "there is no bucket {}; check its name, and that it lies in the partition of the \
             credentials: one run cannot cross partitions",
            printable(bucket)
        );
        return Error::new(ErrorKind::Config, ORIGIN, why);
    }
    classify(facts, Asked::List { bucket })
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

impl fmt::Debug for BucketClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketClients")
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for BucketClientsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketClientsBuilder")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.of, self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, name, fits) in [
            ("logs", "logs", true),
            ("logs", "logs2", false),
            ("log.", "logs", false),
            ("*", "", true),
            ("*", "anything", true),
            ("logs-*", "logs-", true),
            ("logs-*", "xlogs-1", false),
            ("*-logs", "a-logs", true),
            ("*-logs", "a-logs-2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
