//! Settings of a ledger.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

use super::error::ORIGIN;
use super::ledger::DynamoLedger;

/// Settings of a [`DynamoLedger`].
#[derive(Clone)]
#[must_use]
pub struct DynamoLedgerBuilder {
    client: Client,
    table: String,
    /// How long a finished row is kept, and how far back the source looks.
    forget: Option<(Duration, Duration)>,
    timeout: Duration,
}

impl DynamoLedgerBuilder {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self {
            client,
            table,
            forget: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// Let the rows of finished files expire after `keep` (default: they stay for good).
    ///
    /// `look_back` is how far back the source looks: the age of the oldest file that a
    /// listing offers, or how long a queue keeps its messages. A row that expired while
    /// its file is still offered would have the file sent again, so a `keep` shorter
    /// than that is refused. Files whose row expired are unknown to the ledger, and no
    /// count of it is one of missing files.
    ///
    /// The table must have its TTL on the attribute `ttl` for the rows to be deleted
    /// ([`create_table`](super::create_table) can set it); for the ledger a row ends when
    /// its time has come, whether or not it was deleted yet.
    pub fn forget_after(mut self, keep: Duration, look_back: Duration) -> Self {
        self.forget = Some((keep, look_back));
        self
    }

    /// How long each try of a request may take (default: 10 s). A client that has limits
    /// of its own keeps them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The ledger. Nothing is asked of the table yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the table's name is none, the timeout is
    /// zero, or rows would expire before the source stops looking for their files.
    pub fn build(self) -> Result<DynamoLedger> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let named = (3..=255).contains(&self.table.len()) && self.table.chars().all(plain);
        if !named && !self.table.starts_with("arn:") {
            let shown = excerpt(&self.table, 64);
            let why = "is no name of a table (3 to 255 letters, digits, _ . -) and no ARN";
            return Err(config(format!("{shown:?} {why}")));
        }
        if self.timeout.is_zero() {
            return Err(config("the timeout is zero".to_owned()));
        }
        if let Some((keep, look_back)) = self.forget
            && (keep < look_back || keep.is_zero())
        {
            return Err(config(format!(
                "rows would expire after {} s, while the source looks back {} s: files \
                 would be sent again; keep them at least as long",
                keep.as_secs(),
                look_back.as_secs()
            )));
        }
        Ok(DynamoLedger {
            client: limited(&self.client, self.timeout),
            table: self.table,
            keep: self.forget.map(|(keep, _)| keep),
        })
    }
}

/// By itself the SDK waits without end for a server that accepts and never answers.
fn limited(client: &Client, attempt: Duration) -> Client {
    let set = client.config().timeout_config();
    let limited = set.is_some_and(|t| {
        t.operation_attempt_timeout().is_some()
            || t.operation_timeout().is_some()
            || t.read_timeout().is_some()
    });
    if limited {
        return client.clone();
    }
    let mut timeouts = TimeoutConfig::builder();
    if let Some(set) = set {
        timeouts.set_connect_timeout(set.connect_timeout());
    }
    let timeouts = timeouts.operation_attempt_timeout(attempt).build();
    let config = client.config().to_builder().timeout_config(timeouts);
    Client::from_conf(config.build())
}

fn config(why: String) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, why)
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for DynamoLedgerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoLedgerBuilder")
            .field("table", &self.table)
            .field("forget", &self.forget)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
