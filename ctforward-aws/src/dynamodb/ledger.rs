//! The ledger itself: conditional writes, one for most calls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use ctforward_core::ledger::{Claim, Finished, Ledger, Mark, Resume, Ticket};
use ctforward_core::{Error, ErrorKind, Object, ObjectId, Result, Retry};
use jiff::Timestamp;

use super::builder::DynamoLedgerBuilder;
use super::change::Change;
use super::decide::{Answer, answer};
use super::error::{Asked, ORIGIN, from_sdk};
use super::row::{
    CALL, DECIDED, FENCE, ID, Item, LEASE, OWNER, Row, STATE, State, TTL, VERSION, id, n, of_books,
    of_finished, of_object, s,
};

/// So often a claim looks again at a row that others change at the same time.
const TRIES: usize = 16;

/// A [`Ledger`] in a DynamoDB table, for any number of workers on any number of
/// machines.
///
/// # The table
/// Its partition key is `id`, a string, and it has no sort key; [`create_table`] makes
/// one. There is one item for each log file, by bucket and key. Every write is
/// conditional on what was read: of two workers one gets the file. A claim of a new
/// file, and each later call, is one write of at most 2 KB.
///
/// Who can write to the table can hide a loss: a row that says a file is delivered
/// keeps that file from being read.
///
/// # Durability
/// A call returns `Ok` only when DynamoDB has accepted its write, which then lies in
/// several availability zones. A call whose answer is lost is tried again by the SDK,
/// and known again by a number of its own; one that fails for good may have been done.
///
/// # Leases
/// They are kept by the workers' wall clocks, and a worker that died holds its files
/// until its lease runs out. Let the clocks agree to a small part of a lease: a worker
/// whose clock is ahead takes over too early. The first one then finishes nothing, and
/// its records are sent twice; none is lost.
///
/// # Expiry
/// Off unless [`forget_after`](DynamoLedgerBuilder::forget_after) is set; then for
/// finished files only. A row that expired is as one that never was: its file is
/// unknown, not missing.
///
/// # Permissions
/// `dynamodb:PutItem`, `dynamodb:UpdateItem`, `dynamodb:GetItem`, and
/// `dynamodb:BatchGetItem` where the ledger is asked what is finished, on the table.
///
/// [`create_table`]: super::create_table
#[derive(Clone)]
pub struct DynamoLedger {
    pub(super) client: Client,
    pub(super) table: String,
    /// How long a finished row is kept.
    pub(super) keep: Option<Duration>,
}

impl DynamoLedger {
    /// Settings for the ledger in this table, named or by its ARN.
    pub fn builder(client: Client, table: impl Into<String>) -> DynamoLedgerBuilder {
        DynamoLedgerBuilder::new(client, table.into())
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Adds the row of a file that has none; `Err` holds the row that was there.
    async fn add(&self, object: &Object, owner: &str, new: &Grant) -> Result<Tried> {
        let mut request = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(ID, s(id(&object.id)))
            .item("v", n(VERSION))
            .item(STATE, s(State::InProgress.as_str()))
            .item(FENCE, n(new.fence))
            .item(LEASE, n(new.until))
            .item(OWNER, s(owner))
            .item(CALL, s(&new.call))
            .item("claimed_at", n(new.now))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", ID)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(version) = &object.id.version {
            request = request.item("version", s(version));
        }
        match request.send().await {
            Ok(_) => Ok(Tried::Done(None)),
            Err(SdkError::ServiceError(answer))
                if matches!(
                    answer.err(),
                    PutItemError::ConditionalCheckFailedException(_)
                ) =>
            {
                let old = match answer.into_err() {
                    PutItemError::ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                Ok(Tried::Refused(self.row(&object.id, old).await?))
            }
            Err(error) => Err(from_sdk(&error, Asked::Add)),
        }
    }

    /// Changes a row where the change's condition holds.
    async fn change(&self, object: &ObjectId, change: Change) -> Result<Tried> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(ID, s(id(object)))
            .update_expression(change.update())
            .condition_expression(change.condition())
            .set_expression_attribute_names(Some(change.names()))
            .set_expression_attribute_values(Some(change.values()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => Ok(Tried::Done(output.attributes)),
            Err(SdkError::ServiceError(answer))
                if matches!(
                    answer.err(),
                    UpdateItemError::ConditionalCheckFailedException(_)
                ) =>
            {
                let old = match answer.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                Ok(Tried::Refused(self.row(object, old).await?))
            }
            Err(error) => Err(from_sdk(&error, Asked::Change)),
        }
    }

    /// The row that a condition met, asked for where the refusal did not bring it.
    async fn row(&self, object: &ObjectId, old: Option<Item>) -> Result<Option<Row>> {
        let item = match old.filter(|item| !item.is_empty()) {
            Some(item) => Some(item),
            None => {
                let sent = self
                    .client
                    .get_item()
                    .table_name(&self.table)
                    .key(ID, s(id(object)))
                    .consistent_read(true)
                    .send()
                    .await;
                sent.map_err(|error| from_sdk(&error, Asked::Read))?.item
            }
        };
        item.map(|item| read(&item, object)).transpose()
    }

    /// Changes a row that the ticket's holder still holds.
    async fn held(&self, ticket: &Ticket, change: Change) -> Result<()> {
        let call = call();
        let change = change
            .set(CALL, s(&call))
            .when(FENCE, n(ticket.fence))
            .when(OWNER, s(&ticket.owner))
            .when_there(LEASE, true);
        match self.change(&ticket.object.id, change).await? {
            Tried::Done(_) => Ok(()),
            // Done by a try of this very call whose answer was lost.
            Tried::Refused(Some(row)) if row.call.as_deref() == Some(&call) => Ok(()),
            Tried::Refused(_) => Err(Error::new(
                ErrorKind::Changed,
                ORIGIN,
                format!("the lease of {} is lost", ticket.object.id),
            )),
        }
    }

    /// Grants a row as it was read, if it is still so.
    async fn grant(
        &self,
        object: &Object,
        owner: &str,
        row: &Row,
        anew: bool,
        new: &Grant,
    ) -> Result<Tried> {
        let mut change = Change::new()
            .set(FENCE, n(new.fence))
            .set(LEASE, n(new.until))
            .set(OWNER, s(owner))
            .set(CALL, s(&new.call))
            .all(vec![("version", object.id.version.clone().map(s))])
            .when(FENCE, n(row.fence))
            .when(STATE, s(row.state.as_str()));
        change = match row.lease {
            Some(lease) => change.when(LEASE, n(lease)),
            None => change.when_there(LEASE, false),
        };
        if anew {
            change = change
                .set(STATE, s(State::InProgress.as_str()))
                .set("claimed_at", n(new.now));
            change = DECIDED.into_iter().fold(change, Change::remove);
        }
        self.change(&object.id, change).await
    }
}

/// What a grant writes.
struct Grant {
    fence: u64,
    now: i64,
    until: i64,
    call: String,
}

/// What came of a conditional write.
enum Tried {
    /// It was done; the row as it is now, where it was asked for.
    Done(Option<Item>),
    /// The condition did not hold; the row as it is, if there is one.
    Refused(Option<Row>),
}

fn read(item: &Item, object: &ObjectId) -> Result<Row> {
    Row::read(item).ok_or_else(|| {
        let why = format!(
            "the row of {object} is not one that this version understands; see whether the table \
             is another program's, or a newer ctforward's"
        );
        Error::new(ErrorKind::Config, ORIGIN, why)
    })
}

fn resume(row: &Row, anew: bool) -> Resume {
    let mark = if anew { Mark::default() } else { row.mark };
    Resume::at(mark, row.etag.clone(), row.size)
}

#[async_trait]
impl Ledger for DynamoLedger {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        let now = now();
        let mut new = Grant {
            // Not 1: were the row deleted and made anew, no ticket of before may fit it.
            fence: now.cast_unsigned(),
            now,
            until: now.saturating_add(millis(lease)),
            call: call(),
        };
        let granted = |fence, resume| {
            let ticket = Ticket::new(object.clone(), owner, fence);
            Ok(Claim::Granted { ticket, resume })
        };
        let mut met = match self.add(object, owner, &new).await? {
            Tried::Done(_) => return granted(new.fence, Resume::start()),
            Tried::Refused(row) => row,
        };
        for _ in 0..TRIES {
            let Some(row) = met else {
                // It was deleted a moment ago.
                new.fence = new.now.cast_unsigned();
                met = match self.add(object, owner, &new).await? {
                    Tried::Done(_) => return granted(new.fence, Resume::start()),
                    Tried::Refused(row) => row,
                };
                continue;
            };
            if row.call.as_deref() == Some(&new.call) {
                // Granted by a try of this very call whose answer was lost.
                return granted(row.fence, resume(&row, false));
            }
            let anew = match answer(&row, object, now) {
                Answer::Delivered => return Ok(Claim::Delivered),
                Answer::Held { remaining } => return Ok(Claim::HeldBy { remaining }),
                Answer::Free { anew } => anew,
            };
            new.fence = row.fence.saturating_add(1);
            met = match self.grant(object, owner, &row, anew, &new).await? {
                Tried::Done(Some(item)) => {
                    let row = read(&item, &object.id)?;
                    return granted(new.fence, resume(&row, anew));
                }
                Tried::Done(None) => return granted(new.fence, resume(&row, anew)),
                Tried::Refused(row) => row,
            };
        }
        let why = format!("the row of {} changes too often to be claimed", object.id);
        Err(Error::new(ErrorKind::Unavailable, ORIGIN, why).with_retry(Retry::Backoff))
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        let until = now().saturating_add(millis(lease));
        self.held(ticket, Change::new().set(LEASE, n(until))).await
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        let change = Change::new()
            .all(of_object(object))
            .set("low_water", n(mark.low_water))
            .all(of_books(&mark.records));
        self.held(ticket, change).await
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        let state = if finished.quarantined {
            State::Quarantined
        } else {
            State::Delivered
        };
        let mut change = Change::new()
            .set(STATE, s(state.as_str()))
            .all(of_object(object))
            .all(of_finished(finished))
            .remove(LEASE);
        if let Some(keep) = self.keep {
            // Not a second too early.
            let end = now().saturating_add(millis(keep)).saturating_add(999);
            change = change.set(TTL, n(end / 1000));
        }
        self.held(ticket, change).await
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        self.held(ticket, Change::new().remove(LEASE)).await
    }
}

impl fmt::Debug for DynamoLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoLedger")
            .field("table", &self.table)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A name for one call's writes.
fn call() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
