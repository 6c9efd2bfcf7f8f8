//! What DynamoDB answered, turned into the error of the workspace: the one place that
//! decides.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use ctforward_core::{Error, ErrorKind, Retry};

use crate::caller::{Nobody, slow};
use crate::error::{named, pace, said};
use crate::facts::{Facts, Stage, facts, of_the_key};

/// Where every error of the ledger says it came from.
pub(crate) const ORIGIN: &str = "ledger";

/// What was asked of the table when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To add a row.
    Add,
    /// To change a row.
    Change,
    /// A row.
    Read,
    /// Many rows.
    Many,
    /// To make the table.
    Create,
    /// How the table is.
    Describe,
    /// To let rows expire.
    Expire,
}

impl Asked {
    fn permission(self) -> &'static str {
        match self {
            Self::Add => "dynamodb:PutItem",
            Self::Change => "dynamodb:UpdateItem",
            Self::Read => "dynamodb:GetItem",
            Self::Many => "dynamodb:BatchGetItem",
            Self::Create => "dynamodb:CreateTable",
            Self::Describe => "dynamodb:DescribeTable",
            Self::Expire => "dynamodb:UpdateTimeToLive",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Add => "adding a row",
            Self::Change => "changing a row",
            Self::Read => "reading a row",
            Self::Many => "reading rows",
            Self::Create => "creating the table",
            Self::Describe => "looking at the table",
            Self::Expire => "setting the table's TTL",
        }
    }
}

/// The error for a failed SDK call.
pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, asked: Asked) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    classify(&facts(error), asked)
}

/// Decides what the facts mean: kind, advice and words.
pub(super) fn classify(facts: &Facts, asked: Asked) -> Error {
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
    let code = facts.code.as_deref().unwrap_or_default();
    let status = facts.status.unwrap_or_default();
    let retryable = |kind, why: &str| fail(kind, asked, why).with_retry(pace(facts));
    if let Some(nobody) = Nobody::of(code) {
        return fail(ErrorKind::Unauthorized, asked, nobody.why());
    }
    match (code, status) {
        ("ResourceNotFoundException" | "TableNotFoundException", _) => {
            let why = "there is no such table for these credentials; check its name, and that \
                       the client's region and account are the table's";
            fail(ErrorKind::Config, asked, why)
        }
        _ if slow(code, status) => {
            let why = format!("the service asks for a slower pace ({})", named(facts));
            retryable(ErrorKind::Throttled, &why)
        }
        ("LimitExceededException" | "ResourceInUseException", _) => {
            let why = format!("the table is busy ({})", named(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        ("TransactionConflictException" | "ReplicatedWriteConflictException", _) => {
            let why = format!("another write of the row is under way ({})", named(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        ("AccessDenied" | "AccessDeniedException" | "NotAuthorized", _) | (_, 401 | 403) => {
            denied(facts, asked)
        }
        ("ValidationException" | "SerializationException", _) => {
            let why = format!(
                "the request was refused ({}); the table needs the partition key id, a string, \
                 and no sort key",
                named(facts)
            );
            fail(ErrorKind::Config, asked, &why)
        }
        ("RequestTimeout" | "RequestTimeoutException", _) | (_, 408) => {
            retryable(ErrorKind::Timeout, "the service gave up waiting")
        }
        (_, 500..=599) | ("InternalServerError" | "InternalFailure" | "ServiceUnavailable", _) => {
            let why = format!("the service failed ({})", named(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        (_, 300..=499) => {
            let why = format!(
                "the request was refused ({}); check the endpoint and the proxy",
                named(facts)
            );
            fail(ErrorKind::Config, asked, &why)
        }
        _ => {
            let why = format!("an answer nobody expected ({})", named(facts));
            fail(ErrorKind::Other, asked, &why).with_retry(Retry::Backoff)
        }
    }
}

fn denied(facts: &Facts, asked: Asked) -> Error {
    let message = facts.message.as_deref().unwrap_or_default();
    let why = if of_the_key(message) {
        format!(
            "the key the table is encrypted with may not be used ({}); grant kms:Decrypt on it, \
             and see that it is enabled",
            named(facts)
        )
    } else {
        format!(
            "access was denied ({}); grant {} on the table to these credentials",
            named(facts),
            asked.permission()
        )
    };
    fail(ErrorKind::Unauthorized, asked, &why)
}

pub(super) fn fail(kind: ErrorKind, asked: Asked, why: &str) -> Error {
    Error::new(kind, ORIGIN, format!("{}: {why}", asked.what()))
}

#[cfg(test)]
mod tests {
    use ErrorKind::{Config, Other, Throttled, Timeout, Unauthorized, Unavailable};

    use super::*;

    #[test]
    fn each_answer_has_its_kind_and_advice() {
        for (status, code, kind, again) in [
            (400, "ResourceNotFoundException", Config, false),
            (
                400,
                "ProvisionedThroughputExceededException",
                Throttled,
                true,
            ),
            (400, "RequestLimitExceeded", Throttled, true),
            (400, "ThrottlingException", Throttled, true),
            (400, "ValidationException", Config, false),
            (400, "AccessDeniedException", Unauthorized, false),
            (400, "UnrecognizedClientException", Unauthorized, false),
            (400, "ExpiredTokenException", Unauthorized, false),
            (400, "TransactionConflictException", Unavailable, true),
            (400, "LimitExceededException", Unavailable, true),
            (408, "", Timeout, true),
            (500, "InternalServerError", Unavailable, true),
            (503, "", Throttled, true),
            (404, "", Config, false),
            (200, "", Other, true),
        ] {
            let facts = Facts {
                stage: Stage::Answer,
                status: Some(status),
                code: Some(code.to_owned()),
                message: None,
                region: None,
                retry_after: None,
            };
            let error = classify(&facts, Asked::Change);
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (kind, again),
                "{code} {status}"
            );
            // Never taken for a lost lease, nor for a missing object.
            assert!(!matches!(
                error.kind(),
                ErrorKind::Changed | ErrorKind::NotFound
            ));
        }
    }

    #[test]
    fn a_denial_names_the_permission_or_the_key() {
        let mut facts = Facts {
            stage: Stage::Answer,
            status: Some(400),
            code: Some("AccessDeniedException".to_owned()),
            message: Some(
                "User: x is not authorized to perform: dynamodb:UpdateItem on y".to_owned(),
            ),
            region: None,
            retry_after: None,
        };
        let error = classify(&facts, Asked::Change);
        assert!(
            error.message().contains("grant dynamodb:UpdateItem"),
            "{error}"
        );
        facts.message = Some("KMS key access denied".to_owned());
        let error = classify(&facts, Asked::Change);
        assert!(error.message().contains("grant kms:Decrypt"), "{error}");
    }
}
