//! What the checks of a queue ask SQS; decides nothing.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::Within;
use super::fault::Fault;
use super::queue::{Queue, Redrive};
use crate::facts::facts;

/// Everything that was seen of a queue.
pub(crate) struct Seen {
    pub(crate) queue: Result<Queue, Fault>,
    pub(crate) letters: Option<Result<Queue, Fault>>,
    pub(crate) change: Result<(), Fault>,
}

pub(crate) async fn ask(client: &Client, url: &str, within: Within) -> Seen {
    let queue = within.wait(attributes(client, url)).await;
    let redrive = queue.as_ref().ok().and_then(Redrive::of);
    let letters = match redrive {
        Some(Ok(redrive)) => Some(within.wait(by_arn(client, &redrive.target)).await),
        _ => None,
    };
    let change = match &queue {
        Ok(_) => within.wait(change(client, url)).await,
        Err(fault) => Err(fault.clone()),
    };
    Seen {
        queue,
        letters,
        change,
    }
}

async fn attributes(client: &Client, url: &str) -> Result<Queue, Fault> {
    let output = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .map_err(|e| Fault::of(&facts(&e)))?;
    let attributes: HashMap<QueueAttributeName, String> = output.attributes.unwrap_or_default();
    let attributes: BTreeMap<String, String> = attributes
        .into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect();
    Ok(Queue {
        url: url.to_owned(),
        attributes,
    })
}

/// A queue by its ARN: its address is asked for, never built.
async fn by_arn(client: &Client, arn: &str) -> Result<Queue, Fault> {
    let mut parts = arn.rsplit(':');
    let (name, account) = (parts.next(), parts.next());
    let output = client
        .get_queue_url()
        .set_queue_name(name.map(str::to_owned))
        .set_queue_owner_aws_account_id(account.map(str::to_owned))
        .send()
        .await
        .map_err(|e| Fault::of(&facts(&e)))?;
    attributes(client, output.queue_url().unwrap_or_default()).await
}

/// Extends a message that does not exist: who may, is told that the receipt is none.
async fn change(client: &Client, url: &str) -> Result<(), Fault> {
    client
        .change_message_visibility()
        .queue_url(url)
        .receipt_handle("ctforward-preflight-no-such-receipt")
        .visibility_timeout(0)
        .send()
        .await
        .map(|_| ())
        .map_err(|e| Fault::of(&facts(&e)))
}
