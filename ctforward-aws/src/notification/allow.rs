//! Which of the objects that messages name may be read.

use std::collections::BTreeSet;

use ctforward_core::key::{KeyClass, Kind, classify};
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

use super::{NamedObject, ORIGIN};

/// Which of the objects that messages name may be read.
///
/// Whoever can write to a queue or topic can name any object; this holds each named
/// one against lists of what is expected. Buckets must be listed, by exact name. The
/// other lists narrow further, each if it names anything: an object must satisfy all.
///
/// Organisation, accounts and kinds are those that the key's folders *and* the
/// file's name say. Where any of these lists is set, a key that does not have
/// CloudTrail's layout is refused.
///
/// It judges one object. What becomes of a message that names allowed and foreign
/// ones is told with the [module](super#what-is-allowed-beside-what-is-not).
///
/// A key with `.` or `..` between slashes is always refused: CloudTrail writes none,
/// and a server that resolves them would read elsewhere than was allowed.
///
/// ```
/// use ctforward_aws::notification::{Allow, NamedObject};
///
/// let allow = Allow::builder().buckets(["trail"]).prefixes(["AWSLogs/"]).build()?;
/// assert!(allow.check(&NamedObject::new("trail", "AWSLogs/x.json.gz")).is_ok());
/// assert!(allow.check(&NamedObject::new("other", "AWSLogs/x.json.gz")).is_err());
/// assert!(allow.check(&NamedObject::new("trail", "private/x.json.gz")).is_err());
/// # Ok::<(), ctforward_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Allow {
    /// `None`: any.
    buckets: Option<BTreeSet<String>>,
    prefixes: Vec<String>,
    organisations: BTreeSet<String>,
    accounts: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Allow {
    /// Lists that allow nothing yet.
    pub fn builder() -> AllowBuilder {
        AllowBuilder(Self {
            buckets: Some(BTreeSet::new()),
            prefixes: Vec::new(),
            organisations: BTreeSet::new(),
            accounts: BTreeSet::new(),
            kinds: BTreeSet::new(),
        })
    }

    /// Whether the object may be read.
    ///
    /// # Errors
    /// [`Other`](ErrorKind::Other), never worth a retry, which names the object and
    /// the list that it is not on, escaped and cut.
    pub fn check(&self, object: &NamedObject) -> Result<()> {
        let refuse = |why: String| {
            Err(Error::new(
                ErrorKind::Other,
                ORIGIN,
                format!(
                    "s3://{}/{} may not be read: {why}",
                    excerpt(&object.bucket, 64),
                    excerpt(&object.key, 256)
                ),
            ))
        };
        if let Some(buckets) = &self.buckets
            && !buckets.contains(&object.bucket)
        {
            return refuse("the bucket is not among those allowed".to_owned());
        }
        if object.key.split('/').any(|part| matches!(part, "." | "..")) {
            return refuse("the key has a part `.` or `..`".to_owned());
        }
        let starts = |prefix: &String| object.key.starts_with(prefix.as_str());
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(starts) {
            return refuse("the key has none of the prefixes allowed".to_owned());
        }
        match self.outside(&object.key) {
            Some(why) => refuse(why),
            None => Ok(()),
        }
    }

    /// Why the key's own words are not on the lists.
    fn outside(&self, key: &str) -> Option<String> {
        if self.organisations.is_empty() && self.accounts.is_empty() && self.kinds.is_empty() {
            return None;
        }
        // Folders and name may differ in a key that somebody made; both must be allowed.
        let (organisation, accounts, kinds) = match classify(key) {
            KeyClass::Log(log) | KeyClass::Digest(log) => (
                log.organisation,
                [Some(log.account), Some(log.file.account)],
                [Some(log.kind), Some(log.file.kind)],
            ),
            KeyClass::Misnamed(folder) => {
                (folder.organisation, [folder.account; 2], [folder.kind; 2])
            }
            _ => return Some("the key does not have the layout of CloudTrail's".to_owned()),
        };
        let misses = |set: &BTreeSet<String>, name: Option<&str>| {
            !set.is_empty() && !name.is_some_and(|name| set.contains(name))
        };
        if misses(&self.organisations, organisation) {
            return Some(match organisation {
                Some(name) => format!("the organisation {} is not allowed", excerpt(name, 64)),
                None => "the key is of no organisation".to_owned(),
            });
        }
        if let Some(account) = accounts.into_iter().find(|a| misses(&self.accounts, *a)) {
            let account = account.unwrap_or_default();
            return Some(format!(
                "the account {} is not allowed",
                excerpt(account, 64)
            ));
        }
        let name = |kind: &Option<Kind<'_>>| kind.map(|kind| kind.as_str().to_owned());
        if let Some(kind) = kinds
            .iter()
            .map(name)
            .find(|k| misses(&self.kinds, k.as_deref()))
        {
            let kind = kind.unwrap_or_default();
            return Some(format!(
                "files of the kind {} are not allowed",
                excerpt(&kind, 64)
            ));
        }
        None
    }
}

/// Makes an [`Allow`].
#[derive(Clone, Debug)]
#[must_use]
pub struct AllowBuilder(Allow);

impl AllowBuilder {
    /// These buckets, by exact name; added to those named before.
    pub fn buckets<I: IntoIterator<Item: Into<String>>>(mut self, buckets: I) -> Self {
        let buckets = buckets.into_iter().map(Into::into);
        self.0.buckets.get_or_insert_default().extend(buckets);
        self
    }

    /// Any bucket that the credentials can read. Whoever can write to the queue then
    /// chooses what is read.
    pub fn any_bucket(mut self) -> Self {
        self.0.buckets = None;
        self
    }

    /// Only keys that start with one of these, compared as text: `AWSLogs/` rather
    /// than `AWSLogs`, which also starts `AWSLogs-of-others/`.
    pub fn prefixes<I: IntoIterator<Item: Into<String>>>(mut self, prefixes: I) -> Self {
        self.0.prefixes.extend(prefixes.into_iter().map(Into::into));
        self
    }

    /// Only files of these organisations (`o-…`).
    pub fn organisations<I: IntoIterator<Item: Into<String>>>(mut self, ids: I) -> Self {
        self.0.organisations.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Only files of these accounts (12 digits).
    pub fn accounts<I: IntoIterator<Item: Into<String>>>(mut self, accounts: I) -> Self {
        self.0.accounts.extend(accounts.into_iter().map(Into::into));
        self
    }

    /// Only files of these kinds. Digests are files of a kind too.
    pub fn kinds<'k, I: IntoIterator<Item = Kind<'k>>>(mut self, kinds: I) -> Self {
        let names = kinds.into_iter().map(|kind| kind.as_str().to_owned());
        self.0.kinds.extend(names);
        self
    }

    /// The lists.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where no bucket is named and
    /// [`any_bucket`](Self::any_bucket) was not asked for.
    pub fn build(self) -> Result<Allow> {
        if self.0.buckets.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(Error::new(
                ErrorKind::Config,
                ORIGIN,
                "no bucket is named that messages may speak of",
            ));
        }
        Ok(self.0)
    }
}
