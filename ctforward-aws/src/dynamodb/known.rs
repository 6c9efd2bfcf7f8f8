//! Which files are finished, a hundred at a time.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use ctforward_core::ledger::Known;
use ctforward_core::{Error, ErrorKind, Object, Result, Retry};

use super::decide::finished;
use super::error::{Asked, ORIGIN, from_sdk};
use super::ledger::{DynamoLedger, now};
use super::row::{ID, Item, Row, id, s, text};

/// BatchGetItem takes so many keys.
const TOGETHER: usize = 100;

/// So often what was left unprocessed is asked for again without one more answer.
const TRIES: u32 = 8;

/// One request for up to a hundred files, with consistent reads; needs
/// `dynamodb:BatchGetItem`.
#[async_trait]
impl Known for DynamoLedger {
    async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
        let mut rows: HashMap<String, Option<Row>> = objects
            .iter()
            .map(|object| (id(&object.id), None))
            .collect();
        // A key that comes twice in one request would be refused.
        let ids: Vec<String> = rows.keys().cloned().collect();
        for ids in ids.chunks(TOGETHER) {
            self.many(ids, &mut rows).await?;
        }
        let now = now();
        let known = |object: &Object| {
            // A row that is not understood is no word that the file is finished.
            let row = rows.get(&id(&object.id)).and_then(Option::as_ref);
            row.is_some_and(|row| finished(row, object, now))
        };
        Ok(objects.iter().map(known).collect())
    }
}

impl DynamoLedger {
    async fn many(&self, ids: &[String], rows: &mut HashMap<String, Option<Row>>) -> Result<()> {
        let keys = ids.iter().map(|id| Item::from([(ID.to_owned(), s(id))]));
        let mut left: Vec<Item> = keys.collect();
        let mut idle = 0;
        while !left.is_empty() {
            let asked = left.len();
            let request = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .consistent_read(true)
                .build()
                .map_err(|error| {
                    Error::new(ErrorKind::Other, ORIGIN, "the request could not be made")
                        .with_source(error)
                })?;
            let sent = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await;
            let output = sent.map_err(|error| from_sdk(&error, Asked::Many))?;
            // The only table asked, by whichever of its names it is answered.
            for item in output
                .responses
                .into_iter()
                .flatten()
                .flat_map(|(_, items)| items)
            {
                if let Some(row) = text(&item, ID).and_then(|id| rows.get_mut(id)) {
                    *row = Row::read(&item);
                }
            }
            let unprocessed = output.unprocessed_keys.into_iter().flatten();
            left = unprocessed.flat_map(|(_, keys)| keys.keys).collect();
            if left.len() < asked {
                idle = 0;
            } else {
                idle += 1;
            }
            if left.is_empty() {
                break;
            }
            if idle >= TRIES {
                let why = "reading rows: the service left them unprocessed again and again";
                return Err(
                    Error::new(ErrorKind::Throttled, ORIGIN, why).with_retry(Retry::Backoff)
                );
            }
            let most = 25_u64 << idle;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
        }
        Ok(())
    }
}
