//! Making a table.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification,
};
use ctforward_core::{Error, ErrorKind, Result, Retry};

use super::error::{Asked, ORIGIN, from_sdk};
use super::row::{ID, TTL};

/// A table is usable within a minute or so.
const LOOKS: u32 = 240;
const BETWEEN: Duration = Duration::from_millis(500);

/// Makes a table for a [`DynamoLedger`](super::DynamoLedger), paid by request, and waits
/// until it can be used. One that is there already is left as it is.
///
/// With `expire`, rows are deleted after the time in their attribute `ttl`. For tests
/// and set-up by hand; a deployment is better served by a template, and a worker needs
/// none of these rights.
///
/// # Permissions
/// `dynamodb:CreateTable`, `dynamodb:DescribeTable`, and with `expire`
/// `dynamodb:UpdateTimeToLive`.
///
/// # Errors
/// What kept the table from being made, or from being usable in two minutes.
pub async fn create_table(client: &Client, table: &str, expire: bool) -> Result<()> {
    let made = |error: BuildError| {
        let message = "the request could not be made";
        Error::new(ErrorKind::Other, ORIGIN, message).with_source(error)
    };
    let id = AttributeDefinition::builder()
        .attribute_name(ID)
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name(ID)
        .key_type(KeyType::Hash);
    let created = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(id.build().map_err(made)?)
        .key_schema(key.build().map_err(made)?)
        .send()
        .await;
    match created {
        Err(SdkError::ServiceError(answer))
            if answer.err().code() == Some("ResourceInUseException") => {}
        Err(error) => return Err(from_sdk(&error, Asked::Create)),
        Ok(_) => {}
    }
    wait(client, table).await?;
    if expire {
        let specification = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build()
            .map_err(made)?;
        let set = client
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(specification)
            .send()
            .await;
        match set {
            // It is on already.
            Err(SdkError::ServiceError(answer))
                if answer.err().code() == Some("ValidationException")
                    && answer
                        .err()
                        .message()
                        .is_some_and(|m| m.contains("already enabled")) => {}
            Err(error) => return Err(from_sdk(&error, Asked::Expire)),
            Ok(_) => {}
        }
    }
    Ok(())
}

async fn wait(client: &Client, table: &str) -> Result<()> {
    for _ in 0..LOOKS {
        let found = client.describe_table().table_name(table).send().await;
        let found = found.map_err(|error| from_sdk(&error, Asked::Describe))?;
        let status = found.table.and_then(|table| table.table_status);
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let why = "the table was made, and cannot be used yet; look again later";
    Err(Error::new(ErrorKind::Unavailable, ORIGIN, why).with_retry(Retry::Backoff))
}
