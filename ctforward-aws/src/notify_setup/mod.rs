//! A bucket's notifications to a queue, set up beside those of others.
//!
//! A bucket has one notification configuration, and
//! [PutBucketNotificationConfiguration](https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html)
//! replaces all of it. So ours is merged into what is there: [`read`] it, [`merge`] or
//! [`remove`], [`put`] it back. Entries are ours by their [`id`](Ours::id) alone;
//! every other entry is handed back as it was read.
//!
//! # What cannot be kept
//! - S3 has no conditional write of this configuration: what somebody else puts
//!   between our read and our put is lost. Read again afterwards.
//! - A kind of destination that this version of the SDK does not know is not read,
//!   and would be lost by the put.

mod merge;
mod overlap;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput;
use aws_sdk_s3::types::NotificationConfiguration;
use ctforward_core::Result;

pub use merge::{Difference, Merged, Ours, merge, remove, to_json};
pub use overlap::{Entry, entries, overlaps};

use crate::facts::facts;
use crate::preflight::fault::Fault;

/// The bucket's whole notification configuration.
///
/// # Errors
/// `Unauthorized` without `s3:GetBucketNotification`; `Config` where there is no such
/// bucket; otherwise what the call came to.
pub async fn read(
    client: &Client,
    bucket: &str,
    owner: Option<&str>,
) -> Result<NotificationConfiguration> {
    get(client, bucket, owner).await.map_err(|fault| {
        fault.into_error(
            "reading the bucket's notifications",
            "s3:GetBucketNotification",
        )
    })
}

/// Replaces the bucket's whole notification configuration.
///
/// S3 tries each destination with a test message before it takes the configuration.
///
/// # Errors
/// As [`read`], of `s3:PutBucketNotification`; `Config` too where S3 refuses the
/// configuration, as when the queue's policy does not let S3 send.
pub async fn put(
    client: &Client,
    bucket: &str,
    owner: Option<&str>,
    configuration: NotificationConfiguration,
) -> Result<()> {
    client
        .put_bucket_notification_configuration()
        .bucket(bucket)
        .set_expected_bucket_owner(owner.map(str::to_owned))
        .notification_configuration(configuration)
        .send()
        .await
        .map(|_| ())
        .map_err(|e| {
            Fault::of(&facts(&e)).into_error(
                "setting the bucket's notifications",
                "s3:PutBucketNotification",
            )
        })
}

pub(crate) async fn get(
    client: &Client,
    bucket: &str,
    owner: Option<&str>,
) -> std::result::Result<NotificationConfiguration, Fault> {
    client
        .get_bucket_notification_configuration()
        .bucket(bucket)
        .set_expected_bucket_owner(owner.map(str::to_owned))
        .send()
        .await
        .map(whole)
        .map_err(|e| Fault::of(&facts(&e)))
}

fn whole(output: GetBucketNotificationConfigurationOutput) -> NotificationConfiguration {
    NotificationConfiguration::builder()
        .set_queue_configurations(output.queue_configurations)
        .set_topic_configurations(output.topic_configurations)
        .set_lambda_function_configurations(output.lambda_function_configurations)
        .set_event_bridge_configuration(output.event_bridge_configuration)
        .build()
}
