//! What SQS answered, turned into the error of the workspace: the one place that decides.

use std::error::Error as StdError;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use ctforward_core::{Error, ErrorKind, Retry};

use crate::caller::{Nobody, slow};
use crate::error::{named, pace, said};
use crate::facts::{Facts, Stage, facts};

/// Where every error of the queue says it came from.
pub(crate) const ORIGIN: &str = "sqs";

/// What was asked of the queue when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The queue's settings.
    Attributes,
    /// Messages.
    Receive,
    /// To keep messages invisible for longer, or to show them again.
    Visibility,
    /// To delete messages.
    Delete,
}

impl Asked {
    fn permission(self) -> &'static str {
        match self {
            Self::Attributes => "sqs:GetQueueAttributes",
            Self::Receive => "sqs:ReceiveMessage",
            Self::Visibility => "sqs:ChangeMessageVisibility",
            Self::Delete => "sqs:DeleteMessage",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Attributes => "asking for the queue's settings",
            Self::Receive => "receiving messages",
            Self::Visibility => "changing the visibility of messages",
            Self::Delete => "deleting messages",
        }
    }
}

/// The error for a failed SDK call.
pub(crate) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, asked: Asked) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    classify(&facts(error), asked)
}

/// A code without the prefix that the older of SQS's two protocols writes.
fn bare(code: &str) -> &str {
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

/// Decides what the facts mean: kind, advice and words.
pub(crate) fn classify(facts: &Facts, asked: Asked) -> Error {
    let retryable = |kind, why: &str| fail(kind, asked, why).with_retry(pace(facts));
    match facts.stage {
        Stage::Answer => answer(facts, asked),
        Stage::Timeout => retryable(ErrorKind::Timeout, "no answer in time"),
        Stage::Dispatch => {
            let why = format!("no connection ({})", said(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        Stage::Credentials => {
            let why = format!(
                "no AWS credentials could be loaded ({}); set a profile, the \
                 AWS_ACCESS_KEY_ID variables, or give the machine a role",
                said(facts)
            );
            fail(ErrorKind::Unauthorized, asked, &why)
        }
        Stage::Construction => {
            let why = format!("the request could not be made ({})", said(facts));
            fail(ErrorKind::Config, asked, &why)
        }
        Stage::Unreadable => {
            let why = format!("the answer could not be understood ({})", said(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
    }
}

/// An error answer of the service: by its code, else by its status.
fn answer(facts: &Facts, asked: Asked) -> Error {
    let code = bare(facts.code.as_deref().unwrap_or_default());
    let status = facts.status.unwrap_or_default();
    let retryable = |kind, why: &str| fail(kind, asked, why).with_retry(pace(facts));
    if let Some(nobody) = Nobody::of(code) {
        return fail(ErrorKind::Unauthorized, asked, nobody.why());
    }
    match (code, status) {
        ("QueueDoesNotExist" | "NonExistentQueue", _) => {
            let why = "there is no such queue for these credentials; check its address, and that \
                       the client's region is the queue's";
            fail(ErrorKind::Config, asked, why)
        }
        ("QueueDeletedRecently", _) => {
            let why = "the queue was deleted a moment ago";
            retryable(ErrorKind::Unavailable, why)
        }
        _ if slow(code, status) => {
            let why = format!("the service asks for a slower pace ({})", named(facts));
            retryable(ErrorKind::Throttled, &why)
        }
        // Too many messages in flight, of all consumers together.
        ("OverLimit", _) => {
            let why = format!(
                "the queue has as many messages in flight as it allows ({})",
                named(facts)
            );
            retryable(ErrorKind::Throttled, &why)
        }
        ("ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidIdFormat", _) => {
            let why = format!("the message is no longer held here ({})", named(facts));
            fail(ErrorKind::Changed, asked, &why)
        }
        (code, _) if code.starts_with("Kms") || code.starts_with("KMS.") => {
            let why = format!(
                "the key the queue is encrypted with may not be used ({}); grant kms:Decrypt on it",
                named(facts)
            );
            fail(ErrorKind::Unauthorized, asked, &why)
        }
        ("AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "InvalidSecurity", _)
        | (_, 401 | 403) => {
            let why = format!(
                "access was denied ({}); grant {} on the queue to these credentials",
                named(facts),
                asked.permission()
            );
            fail(ErrorKind::Unauthorized, asked, &why)
        }
        ("InvalidAddress", _) | (_, 300..=399 | 404 | 405 | 410) => {
            let why = format!(
                "that is no address of a queue ({}); check it, the endpoint and the proxy",
                named(facts)
            );
            fail(ErrorKind::Config, asked, &why)
        }
        ("RequestTimeout" | "RequestTimeoutException", _) | (_, 408) => {
            retryable(ErrorKind::Timeout, "the service gave up waiting")
        }
        (_, 500..=599) | ("InternalError" | "InternalFailure" | "ServiceUnavailable", _) => {
            let why = format!("the service failed ({})", named(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        (_, 400..=499) => {
            let why = format!("the request was refused ({})", named(facts));
            fail(ErrorKind::Config, asked, &why)
        }
        _ => {
            let why = format!("an answer nobody expected ({})", named(facts));
            fail(ErrorKind::Other, asked, &why).with_retry(Retry::Backoff)
        }
    }
}

/// What the answer for one message of a batch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The message is no longer held by this receipt handle.
    Gone,
    /// It may go well a moment later.
    Later,
    /// It will not.
    Refused,
}

/// Decides by the code of a batch's failed entry, and whose fault it says it is.
pub(crate) fn entry(code: &str, ours: bool, message: &str) -> Entry {
    match bare(code) {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => Entry::Gone,
        // So SQS answers where the handle expired or the message was deleted: "…
        // for parameter ReceiptHandle is invalid. Reason: …".
        "InvalidParameterValue" if message.contains("ReceiptHandle") => Entry::Gone,
        "RequestThrottled"
        | "Throttling"
        | "ThrottlingException"
        | "OverLimit"
        | "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable" => Entry::Later,
        _ if ours => Entry::Refused,
        _ => Entry::Later,
    }
}

fn fail(kind: ErrorKind, asked: Asked, why: &str) -> Error {
    Error::new(kind, ORIGIN, format!("{}: {why}", asked.what()))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
