//! Settings of an [`S3Source`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use ctforward_core::key::{Folder, Kind, Level};
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};
use jiff::Timestamp;

use super::page::Lister;
use super::reader::{Patience, S3Reader};
use super::scope::Scope;
use super::source::S3Source;
use super::stats::StatsHandle;
use super::walk::Walk;
use crate::error::ORIGIN;

/// S3 allows no longer key, so no longer prefix can match one.
const LONGEST_KEY: usize = 1024;

/// Settings of an [`S3Source`]; made by [`S3Source::builder`].
///
/// # Narrowing
/// With any of [`accounts`](Self::accounts), [`regions`](Self::regions),
/// [`kinds`](Self::kinds), [`since`](Self::since) and [`until`](Self::until) the
/// folders of CloudTrail's key layout are walked,
/// `[prefix/]AWSLogs/[organisation/]account/kind/region/year/month/day/`, and
/// those not asked for are never listed, nor are folders of other services.
/// Objects that lie outside the layout are handed over: their content decides.
/// So every folder above `AWSLogs/` is visited, one request each; where the
/// bucket holds much else, set [`prefix`](Self::prefix).
///
/// Below a region's folder, keys are in the order of their days. A key there
/// that carries no time counts as of the day at which it sorts, give or take one.
#[derive(Clone)]
#[must_use]
pub struct S3SourceBuilder {
    client: Client,
    bucket: String,
    prefix: String,
    scope: Scope,
    owner: Option<String>,
    request_payer: bool,
    patience: Patience,
    page_size: i32,
    parallel: usize,
}

impl S3SourceBuilder {
    pub(crate) fn new(client: Client, bucket: String) -> Self {
        Self {
            client,
            bucket,
            prefix: String::new(),
            scope: Scope::default(),
            owner: None,
            request_payer: false,
            patience: Patience::default(),
            page_size: 1000,
            parallel: 4,
        }
    }

    /// Only keys that begin with this (default: all). It may end anywhere, also
    /// within a name or deep within the layout.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only these accounts, by their twelve digits (default, or none named: all).
    pub fn accounts<I: IntoIterator<Item: Into<String>>>(mut self, accounts: I) -> Self {
        self.scope.accounts = accounts.into_iter().map(Into::into).collect();
        self
    }

    /// Only these regions (default, or none named: all).
    pub fn regions<I: IntoIterator<Item: Into<String>>>(mut self, regions: I) -> Self {
        self.scope.regions = regions.into_iter().map(Into::into).collect();
        self
    }

    /// Only these kinds of files (default, or none named: every kind of CloudTrail's,
    /// digests and kinds unknown to this version included).
    pub fn kinds<'k, I: IntoIterator<Item = Kind<'k>>>(mut self, kinds: I) -> Self {
        let names = kinds.into_iter().map(|kind| kind.as_str().to_owned());
        self.scope.kinds = names.collect();
        self
    }

    /// Only files delivered at this time or later, by the time in their key.
    ///
    /// CloudTrail delivers late: a file holds events from before its time.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.scope.since = Some(time);
        self
    }

    /// Only files delivered before this time, by the time in their key.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.scope.until = Some(time);
        self
    }

    /// Refuse the bucket if it is not this account's (default: not checked).
    pub fn expected_bucket_owner(mut self, account: impl Into<String>) -> Self {
        self.owner = Some(account.into());
        self
    }

    /// Agree to pay for requests to a requester-pays bucket (default: no).
    pub fn request_payer(mut self, agree: bool) -> Self {
        self.request_payer = agree;
        self
    }

    /// As [`S3ReaderBuilder::idle_timeout`](super::S3ReaderBuilder::idle_timeout);
    /// a page of the listing has as long (default: 60 s).
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.patience.idle = timeout;
        self
    }

    /// As [`S3ReaderBuilder::resume_attempts`](super::S3ReaderBuilder::resume_attempts)
    /// (default: 5).
    pub fn resume_attempts(mut self, attempts: u32) -> Self {
        self.patience.resumes = attempts;
        self
    }

    /// How many keys a page holds, 1 to 1000 (default: 1000).
    pub fn page_size(mut self, keys: u16) -> Self {
        self.page_size = i32::from(keys);
        self
    }

    /// How many folders of a narrowed run are listed at the same time, 1 to 64
    /// (default: 4). With 1, files come in the order of their keys within a folder.
    pub fn parallel_listings(mut self, listings: usize) -> Self {
        self.parallel = listings;
        self
    }

    /// The source. Nothing is asked of S3 yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where a setting cannot be meant: an empty
    /// bucket name, an account that is not twelve digits, a region that is none,
    /// `since` not before `until`, a prefix that lies outside what was asked for.
    pub fn build(self) -> Result<S3Source> {
        let Parts {
            lister,
            reader,
            scope,
            prefix,
        } = self.parts()?;
        let walk = Walk::new(Arc::new(scope), prefix, lister.stats.clone());
        Ok(S3Source::new(lister, reader, walk))
    }

    /// The settings, checked, as what a listing is made of.
    pub(crate) fn parts(self) -> Result<Parts> {
        bucket_name(&self.bucket)?;
        if self.prefix.len() > LONGEST_KEY {
            return Err(config("the prefix is longer than a key can be"));
        }
        for account in &self.scope.accounts {
            account_id("accounts", account)?;
        }
        for region in &self.scope.regions {
            let path = format!("AWSLogs/000000000000/CloudTrail/{region}");
            if region.contains('/') || Folder::parse(&path).level != Level::Region {
                let region = printable(region);
                return Err(config(format!("regions: {region:?} is no region's name")));
            }
        }
        if !(1..=1000).contains(&self.page_size) {
            return Err(config("page_size must be 1 to 1000"));
        }
        if !(1..=64).contains(&self.parallel) {
            return Err(config("parallel_listings must be 1 to 64"));
        }
        self.scope.check(&self.prefix)?;
        // Directory buckets list in no order, so no listing of one may begin or end early.
        let ordered = !self.bucket.ends_with("--x-s3");
        if !ordered && self.scope.narrows() {
            return Err(config("a directory bucket can only be listed as a whole"));
        }
        let mut reader = S3Reader::builder(self.client.clone())
            .request_payer(self.request_payer)
            .idle_timeout(self.patience.idle)
            .resume_attempts(self.patience.resumes);
        if let Some(owner) = &self.owner {
            reader = reader.expected_bucket_owner(owner);
        }
        let reader = reader.build()?;
        let lister = Lister {
            client: self.client,
            bucket: self.bucket,
            owner: self.owner,
            request_payer: self.request_payer,
            page_size: self.page_size,
            parallel: self.parallel,
            patience: self.patience,
            stats: StatsHandle::expecting(&self.scope.accounts),
        };
        Ok(Parts {
            lister,
            reader,
            scope: self.scope,
            prefix: self.prefix,
        })
    }
}

/// What a listing is made of.
pub(crate) struct Parts {
    pub(crate) lister: Lister,
    pub(crate) reader: S3Reader,
    pub(crate) scope: Scope,
    pub(crate) prefix: String,
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for S3SourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3SourceBuilder")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("scope", &self.scope)
            .field("expected_bucket_owner", &self.owner)
            .field("request_payer", &self.request_payer)
            .field("patience", &self.patience)
            .field("page_size", &self.page_size)
            .field("parallel_listings", &self.parallel)
            .finish_non_exhaustive()
    }
}

pub(crate) fn config(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, why)
}

/// A bucket's name, or the ARN or alias of an access point.
fn bucket_name(name: &str) -> Result<()> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty() {
        return Err(config("the bucket has no name"));
    }
    if name.contains(odd) || name.contains("://") || name.contains('/') && !name.starts_with("arn:")
    {
        let name = printable(name);
        return Err(config(format!("{name:?} is no bucket's name")));
    }
    Ok(())
}

pub(crate) fn account_id(setting: &str, account: &str) -> Result<()> {
    let path = format!("AWSLogs/{account}");
    if !account.contains('/') && Folder::parse(&path).level == Level::Account {
        return Ok(());
    }
    let account = ctforward_core::text::excerpt(account, 64);
    Err(config(format!(
        "{setting}: {account:?} is no account number of twelve digits"
    )))
}
