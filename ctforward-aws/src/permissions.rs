//! Every AWS action that the code of this project calls, in one place.
//!
//! The policies of `docs/permissions.md` are compared with this table, and this table
//! with the SDK calls in the source, by a test.

/// A way of running that needs a policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Way {
    /// Reading a bucket by listing it.
    List,
    /// Reading what a queue names.
    Queue,
    /// Objects encrypted with a key of KMS, in addition.
    Kms,
    /// The token kept in Secrets Manager, in addition.
    Secret,
    /// Looking before a run (`doctor`), in addition.
    Doctor,
    /// Setting up a bucket's notifications.
    NotifySetup,
    /// A ledger in a DynamoDB table, in addition.
    Ledger,
    /// Making such a table.
    LedgerSetup,
    /// A quarantine in a bucket, in addition.
    Quarantine,
    /// A role of another account, in addition.
    Role,
}

/// An action, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Action {
    /// As a policy names it.
    pub name: &'static str,
    /// The SDK's methods that need it; none where AWS makes the call for us.
    pub calls: &'static [&'static str],
    /// Where a minimal policy holds it.
    pub ways: &'static [Way],
    /// What fails or is missing without it.
    pub why: &'static str,
}

const fn action(
    name: &'static str,
    calls: &'static [&'static str],
    ways: &'static [Way],
    why: &'static str,
) -> Action {
    Action {
        name,
        calls,
        ways,
        why,
    }
}

/// All of them.
pub const ACTIONS: &[Action] = &[
    action(
        "s3:ListBucket",
        &["list_objects_v2", "head_bucket"],
        &[Way::List, Way::Queue, Way::Quarantine],
        "listing; from a queue: S3 calls a missing object forbidden without it",
    ),
    action(
        "s3:GetObject",
        &["get_object"],
        &[Way::List, Way::Queue, Way::Quarantine],
        "reading log files, and what lies in quarantine",
    ),
    action(
        "s3:GetObjectVersion",
        &["get_object"],
        &[Way::Queue],
        "reading the version that a message of a versioned bucket names",
    ),
    action(
        "sqs:ReceiveMessage",
        &["receive_message"],
        &[Way::Queue],
        "taking messages",
    ),
    action(
        "sqs:DeleteMessage",
        &["delete_message_batch"],
        &[Way::Queue],
        "deleting a message after its files are decided",
    ),
    action(
        "sqs:ChangeMessageVisibility",
        &[
            "change_message_visibility",
            "change_message_visibility_batch",
        ],
        &[Way::Queue],
        "holding a message while it is worked on, and releasing it",
    ),
    action(
        "sqs:GetQueueAttributes",
        &["get_queue_attributes"],
        &[Way::Queue, Way::Doctor],
        "looking at the queue's settings, and at how many messages it holds",
    ),
    action(
        "sqs:GetQueueUrl",
        &["get_queue_url"],
        &[Way::Doctor],
        "finding the dead-letter queue by its ARN",
    ),
    action(
        "kms:Decrypt",
        &[],
        &[Way::Kms],
        "S3 decrypts an object with the caller's rights; SQS a message",
    ),
    action(
        "secretsmanager:GetSecretValue",
        &["get_secret_value"],
        &[Way::Secret],
        "reading the collector's token",
    ),
    action(
        "sts:GetCallerIdentity",
        &["get_caller_identity"],
        &[Way::Doctor],
        "naming the caller; AWS lets everyone ask, it needs no statement",
    ),
    action(
        "s3:GetBucketNotification",
        &["get_bucket_notification_configuration"],
        &[Way::Doctor, Way::NotifySetup],
        "seeing whom the bucket notifies",
    ),
    action(
        "s3:GetBucketRequestPayment",
        &["get_bucket_request_payment"],
        &[Way::Doctor],
        "seeing who pays for requests",
    ),
    action(
        "s3:PutBucketNotification",
        &["put_bucket_notification_configuration"],
        &[Way::NotifySetup],
        "setting up the bucket's notifications",
    ),
    action(
        "cloudtrail:DescribeTrails",
        &["describe_trails"],
        &[Way::Doctor],
        "seeing which trails there are; it takes no resource but *",
    ),
    action(
        "cloudtrail:GetEventSelectors",
        &["get_event_selectors"],
        &[Way::Doctor],
        "seeing whether a trail records our own reads",
    ),
    action(
        "s3:PutObject",
        &["put_object"],
        &[Way::Quarantine],
        "keeping in a bucket what cannot be delivered",
    ),
    action(
        "dynamodb:PutItem",
        &["put_item"],
        &[Way::Ledger],
        "claiming a file for the first time",
    ),
    action(
        "dynamodb:UpdateItem",
        &["update_item"],
        &[Way::Ledger],
        "every later change of a file's row",
    ),
    action(
        "dynamodb:GetItem",
        &["get_item"],
        &[Way::Ledger],
        "reading a row that another worker changed at the same time",
    ),
    action(
        "dynamodb:BatchGetItem",
        &["batch_get_item"],
        &[Way::Ledger],
        "asking which files of a listing are finished",
    ),
    action(
        "dynamodb:CreateTable",
        &["create_table"],
        &[Way::LedgerSetup],
        "making the ledger's table",
    ),
    action(
        "dynamodb:DescribeTable",
        &["describe_table"],
        &[Way::LedgerSetup],
        "waiting until the table can be used",
    ),
    action(
        "dynamodb:UpdateTimeToLive",
        &["update_time_to_live"],
        &[Way::LedgerSetup],
        "having rows deleted when their time has come",
    ),
    action(
        "sts:AssumeRole",
        &[],
        &[Way::Role],
        "the SDK assumes the role that is set for a bucket or an account",
    ),
];
