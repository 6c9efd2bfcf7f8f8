use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::fault::{self, unfit};
use super::file::LedgerFile;
use super::row::{COLUMNS, LedgerRow, RowState};
use super::schema::{Access, Found, connect, identify};
use super::status::LedgerStatus;
use crate::error::Result;
use crate::ledger::rewritten;
use crate::object::Object;

/// Which rows to read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct RowFilter {
    state: Option<RowState>,
    account: Option<String>,
}

impl RowFilter {
    /// Every row.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only rows of this state.
    pub fn state(mut self, state: RowState) -> Self {
        self.state = Some(state);
        self
    }

    /// Only rows whose key names this account.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }
}

/// Reads a ledger, also while other processes write it. Its calls block.
///
/// It creates no ledger, migrates none and changes no row. Like every reader of a
/// SQLite file it keeps its place in `<ledger>-shm`, and may leave that and an empty
/// `<ledger>-wal` behind.
#[derive(Debug)]
pub struct LedgerReader {
    path: PathBuf,
    connection: Connection,
}

impl LedgerReader {
    /// Opens a ledger for reading.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where there is none,
    /// [`Config`](crate::ErrorKind::Config) where the file is no ledger, is one of a
    /// newer version, or others can write to it; what kept it from being opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = LedgerFile::locate(path.as_ref(), false)?;
        file.check(false)?;
        let connection = connect(&file, Access::Read, Duration::from_secs(5))?;
        match identify(&file, &connection)? {
            Found::Empty => Err(unfit(file.path(), "this ledger holds nothing")),
            // The table of files has been the same since version 1.
            Found::Version(_) => Ok(Self {
                path: file.path().to_owned(),
                connection,
            }),
        }
    }

    /// The file, its folder without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds up all rows; the time grows with their number.
    ///
    /// # Errors
    /// What kept them from being read.
    pub fn status(&self) -> Result<LedgerStatus> {
        LedgerStatus::read(&self.connection)
    }

    /// Bytes noted as sent on a day, counted in days since 1970
    /// ([`SqliteLedger::add_sent`](super::SqliteLedger::add_sent)).
    ///
    /// # Errors
    /// What kept them from being read, and that of an older ledger, which does not
    /// count them.
    pub fn sent_on(&self, day: i64) -> Result<u64> {
        LedgerStatus::sent_on(&self.connection, day)
    }

    /// At most `limit` rows by bucket and key, those behind `after`. Each call sees
    /// the rows as they are at that moment; none is held back from writers between calls.
    ///
    /// # Errors
    /// What kept them from being read.
    pub fn rows(
        &self,
        after: Option<(&str, &str)>,
        limit: u32,
        filter: &RowFilter,
    ) -> Result<Vec<LedgerRow>> {
        // No bucket has an empty name and no object an empty key.
        let (bucket, key) = after.unwrap_or_default();
        self.select("bucket, key", (bucket, key), limit, filter)
    }

    /// At most `limit` rows, those that were decided or claimed last first.
    ///
    /// # Errors
    /// What kept them from being read.
    pub fn newest(&self, limit: u32, filter: &RowFilter) -> Result<Vec<LedgerRow>> {
        let order = "coalesce(accepted_at, claimed_at) DESC, bucket, key";
        self.select(order, ("", ""), limit, filter)
    }

    /// The state of an object's row; `None` where it has none, or was finished with
    /// another ETag or size and so would begin anew. What is finished for this object
    /// would not be read again.
    ///
    /// # Errors
    /// What kept the row from being read.
    pub fn state(&self, object: &Object) -> Result<Option<RowState>> {
        const SQL: &str = "SELECT state, etag, size FROM files WHERE bucket = ?1 AND key = ?2";
        let read = || -> rusqlite::Result<Option<RowState>> {
            let mut statement = self.connection.prepare(SQL)?;
            let row = statement.query_row((&object.id.bucket, &object.id.key), |row| {
                let size = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
                Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, size))
            });
            let Some((state, etag, size)) = row.optional()? else {
                return Ok(None);
            };
            let state = RowState::from_number(state);
            let finished = state != RowState::InProgress;
            let quarantined = state == RowState::Quarantined;
            let stale = finished && rewritten(etag.as_deref(), size, quarantined, object);
            Ok((!stale).then_some(state))
        };
        read().map_err(fault::sqlite)
    }

    fn select(
        &self,
        order: &str,
        (bucket, key): (&str, &str),
        limit: u32,
        filter: &RowFilter,
    ) -> Result<Vec<LedgerRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM files WHERE (bucket, key) > (:bucket, :key) \
             AND (:state IS NULL OR state = :state) AND (:account IS NULL OR account = :account) \
             ORDER BY {order} LIMIT :limit"
        );
        let read = || -> rusqlite::Result<Vec<LedgerRow>> {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map(
                named_params! {
                    ":bucket": bucket, ":key": key, ":limit": limit,
                    ":state": filter.state.map(RowState::number), ":account": filter.account,
                },
                LedgerRow::read,
            )?;
            rows.collect()
        };
        read().map_err(fault::sqlite)
    }
}
