//! What the ledger's calls do to its rows. Each call is one statement that writes,
//! so that one that is refused, or fails, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, named_params};

use super::fault;
use super::owners::Owners;
use super::seen::SeenTable;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyClass, classify};
use crate::ledger::{Claim, Finished, Mark, Resume, Ticket, rewritten};
use crate::object::Object;
use crate::pipeline::RecordBooks;

/// The wall clock in milliseconds since 1970.
pub(super) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

pub(super) fn wall_clock() -> Clock {
    Arc::new(|| Timestamp::now().as_millisecond())
}

pub(super) const IN_PROGRESS: i64 = 0;
pub(super) const DELIVERED: i64 = 1;
pub(super) const QUARANTINED: i64 = 2;

const FIND: &str = "SELECT state, fence, lease, instance, etag, size, low_water, records_in, \
    accepted, filtered, duplicate, quarantined, undecided, resumed \
    FROM files WHERE bucket = :bucket AND key = :key";

const ADD: &str = "INSERT INTO files \
    (bucket, key, state, fence, lease, instance, owner, version, account, region, claimed_at) \
    VALUES (:bucket, :key, 0, 1, :lease, :instance, :owner, :version, :account, :region, :now)";

const GRANT: &str = "UPDATE files \
    SET fence = :fence, lease = :lease, instance = :instance, owner = :owner, version = :version \
    WHERE bucket = :bucket AND key = :key";

/// A grant of a finished file that was written anew.
const BEGIN_ANEW: &str = "UPDATE files \
    SET fence = :fence, lease = :lease, instance = :instance, owner = :owner, version = :version, \
        state = 0, claimed_at = :now, accepted_at = NULL, low_water = 0, records_in = 0, \
        accepted = 0, filtered = 0, duplicate = 0, quarantined = 0, undecided = 0, resumed = 0, \
        compressed = 0, inflated = 0, sent = 0, sha256 = NULL, first_event = NULL, last_event = NULL \
    WHERE bucket = :bucket AND key = :key";

const ADD_SENT: &str = "INSERT INTO sent_by_day (day, bytes) VALUES (?1, ?2) \
    ON CONFLICT (day) DO UPDATE SET bytes = bytes + excluded.bytes";

/// Whose lease is lost has another fence, or none.
macro_rules! of_holder {
    ($set:literal) => {
        concat!(
            "UPDATE files SET ",
            $set,
            " WHERE bucket = :bucket AND key = :key AND fence = :fence AND lease IS NOT NULL"
        )
    };
}
const RENEW: &str = of_holder!("lease = :lease");
const RELEASE: &str = of_holder!("lease = NULL, instance = NULL");
const PROGRESS: &str = of_holder!(
    "etag = :etag, size = :size, low_water = :low_water, records_in = :in, accepted = :accepted, \
     filtered = :filtered, duplicate = :duplicate, quarantined = :quarantined, \
     undecided = :undecided, resumed = :resumed"
);
const FINISH: &str = of_holder!(
    "state = :state, lease = NULL, instance = NULL, etag = :etag, size = :size, \
     accepted_at = :at, records_in = :in, accepted = :accepted, filtered = :filtered, \
     duplicate = :duplicate, quarantined = :quarantined, undecided = :undecided, \
     resumed = :resumed, compressed = :compressed, inflated = :inflated, sent = :sent, sha256 = :sha256, \
     first_event = :first, last_event = :last"
);

/// The connection with its statements, as the writing thread uses it.
pub(super) struct Store<'c> {
    pub(super) connection: &'c Connection,
    pub(super) seen: SeenTable<'c>,
    clock: Clock,
    owners: Owners,
    find: Statement<'c>,
    add: Statement<'c>,
    grant: Statement<'c>,
    begin_anew: Statement<'c>,
    renew: Statement<'c>,
    progress: Statement<'c>,
    finish: Statement<'c>,
    release: Statement<'c>,
    add_sent: Statement<'c>,
}

/// What a claim looks at.
struct Known {
    state: i64,
    fence: i64,
    lease: Option<i64>,
    instance: Option<i64>,
    resume: Resume,
}

impl<'c> Store<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        seen: SeenTable<'c>,
        owners: Owners,
        clock: Clock,
    ) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql).map_err(fault::sqlite);
        Ok(Self {
            connection,
            seen,
            clock,
            owners,
            find: prepare(FIND)?,
            add: prepare(ADD)?,
            grant: prepare(GRANT)?,
            begin_anew: prepare(BEGIN_ANEW)?,
            renew: prepare(RENEW)?,
            progress: prepare(PROGRESS)?,
            finish: prepare(FINISH)?,
            release: prepare(RELEASE)?,
            add_sent: prepare(ADD_SENT)?,
        })
    }

    pub(super) fn add_sent(&mut self, day: i64, bytes: u64) -> Result<()> {
        let added = self.add_sent.execute([day, bytes.cast_signed()]);
        added.map(|_| ()).map_err(fault::sqlite)
    }

    pub(super) fn claim(
        &mut self,
        object: Object,
        owner: String,
        lease: Duration,
    ) -> Result<Claim> {
        let now = (self.clock)();
        let until = now.saturating_add(millis(lease));
        let me = self.owners.me();
        let id = &object.id;
        let known = self
            .find
            .query_row(named_params! {":bucket": id.bucket, ":key": id.key}, known)
            .optional()
            .map_err(fault::sqlite)?;
        let Some(known) = known else {
            let (account, region) = place(&id.key);
            self.add
                .execute(named_params! {
                    ":bucket": id.bucket, ":key": id.key, ":lease": until, ":instance": me,
                    ":owner": owner, ":version": id.version, ":account": account,
                    ":region": region, ":now": now,
                })
                .map_err(fault::sqlite)?;
            return Ok(Claim::Granted {
                ticket: Ticket::new(object, owner, 1),
                resume: Resume::start(),
            });
        };
        let finished = known.state != IN_PROGRESS;
        let quarantined = known.state == QUARANTINED;
        let (etag, size) = (known.resume.etag.as_deref(), known.resume.size);
        if finished && !rewritten(etag, size, quarantined, &object) {
            return Ok(Claim::Delivered);
        }
        if let Some(lease) = known.lease
            && lease > now
            && !known
                .instance
                .is_some_and(|other| self.owners.is_dead(other))
        {
            return Ok(Claim::HeldBy {
                remaining: Duration::from_millis(lease.abs_diff(now)),
            });
        }
        let fence = known.fence.saturating_add(1);
        let mut resume = known.resume;
        let changed = if finished {
            resume.mark = Mark::default();
            self.begin_anew.execute(named_params! {
                ":bucket": id.bucket, ":key": id.key, ":fence": fence, ":lease": until,
                ":instance": me, ":owner": owner, ":version": id.version, ":now": now,
            })
        } else {
            self.grant.execute(named_params! {
                ":bucket": id.bucket, ":key": id.key, ":fence": fence, ":lease": until,
                ":instance": me, ":owner": owner, ":version": id.version,
            })
        };
        changed.map_err(fault::sqlite)?;
        Ok(Claim::Granted {
            ticket: Ticket::new(object, owner, fence.cast_unsigned()),
            resume,
        })
    }

    pub(super) fn renew(&mut self, ticket: &Ticket, lease: Duration) -> Result<()> {
        let until = (self.clock)().saturating_add(millis(lease));
        let id = &ticket.object.id;
        let changed = self.renew.execute(named_params! {
            ":bucket": id.bucket, ":key": id.key, ":fence": ticket.fence.cast_signed(),
            ":lease": until,
        });
        held(ticket, changed)
    }

    pub(super) fn release(&mut self, ticket: &Ticket) -> Result<()> {
        let id = &ticket.object.id;
        let changed = self.release.execute(named_params! {
            ":bucket": id.bucket, ":key": id.key, ":fence": ticket.fence.cast_signed(),
        });
        held(ticket, changed)
    }

    pub(super) fn progress(&mut self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        let id = &ticket.object.id;
        let records = &mark.records;
        let changed = self.progress.execute(named_params! {
            ":bucket": id.bucket, ":key": id.key, ":fence": ticket.fence.cast_signed(),
            ":etag": object.etag, ":size": object.size.map(u64::cast_signed),
            ":low_water": mark.low_water.cast_signed(),
            ":in": records.read.cast_signed(), ":accepted": records.accepted.cast_signed(),
            ":filtered": records.filtered.cast_signed(),
            ":duplicate": records.duplicate.cast_signed(),
            ":quarantined": records.quarantined.cast_signed(),
            ":undecided": records.undecided.cast_signed(),
            ":resumed": records.resumed.cast_signed(),
        });
        held(ticket, changed)
    }

    pub(super) fn finish(
        &mut self,
        ticket: &Ticket,
        object: &Object,
        finished: &Finished,
    ) -> Result<()> {
        let id = &ticket.object.id;
        let (books, records) = (&finished.books, &finished.books.records);
        let state = if finished.quarantined {
            QUARANTINED
        } else {
            DELIVERED
        };
        let (first, last) = finished.events.unzip();
        let changed = self.finish.execute(named_params! {
            ":bucket": id.bucket, ":key": id.key, ":fence": ticket.fence.cast_signed(),
            ":etag": object.etag, ":size": object.size.map(u64::cast_signed), ":state": state,
            ":at": finished.at.as_millisecond(),
            ":in": records.read.cast_signed(), ":accepted": records.accepted.cast_signed(),
            ":filtered": records.filtered.cast_signed(),
            ":duplicate": records.duplicate.cast_signed(),
            ":quarantined": records.quarantined.cast_signed(),
            ":undecided": records.undecided.cast_signed(),
            ":resumed": records.resumed.cast_signed(),
            ":compressed": books.compressed.cast_signed(),
            ":inflated": books.inflated.cast_signed(),
            ":sent": books.sent.cast_signed(),
            ":sha256": finished.sha256,
            ":first": first.map(Timestamp::as_millisecond),
            ":last": last.map(Timestamp::as_millisecond),
        });
        held(ticket, changed)
    }
}

/// One row changed, or the lease is lost.
fn held(ticket: &Ticket, changed: rusqlite::Result<usize>) -> Result<()> {
    match changed.map_err(fault::sqlite)? {
        0 => Err(Error::new(
            ErrorKind::Changed,
            "ledger",
            format!("the lease of {} is lost", ticket.object.id),
        )),
        _ => Ok(()),
    }
}

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let mark = Mark::new(number(row, 6)?, books(row, 7)?);
    let size: Option<i64> = row.get(5)?;
    Ok(Known {
        state: row.get(0)?,
        fence: row.get(1)?,
        lease: row.get(2)?,
        instance: row.get(3)?,
        resume: Resume::at(mark, row.get(4)?, size.map(i64::cast_unsigned)),
    })
}

/// An unsigned number, kept bit for bit.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// The books in seven columns from `first` on.
pub(super) fn books(row: &Row<'_>, first: usize) -> rusqlite::Result<RecordBooks> {
    Ok(RecordBooks {
        read: number(row, first)?,
        accepted: number(row, first + 1)?,
        filtered: number(row, first + 2)?,
        duplicate: number(row, first + 3)?,
        quarantined: number(row, first + 4)?,
        undecided: number(row, first + 5)?,
        resumed: number(row, first + 6)?,
    })
}

/// The account and region that a key names, if it is CloudTrail's.
fn place(key: &str) -> (Option<&str>, Option<&str>) {
    match classify(key) {
        KeyClass::Log(key) | KeyClass::Digest(key) => (Some(key.account), Some(key.region)),
        KeyClass::FileOnly(name) => (Some(name.account), Some(name.region)),
        KeyClass::Misnamed(folder) => (folder.account, folder.region),
        _ => (None, None),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
