//! What Secrets Manager answered, turned into the error of the workspace: the one place
//! that decides.

use std::error::Error as StdError;

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Retry};

use crate::caller::{Nobody, slow};
use crate::error::{named, pace, said};
use crate::facts::{Facts, Stage, facts, of_the_key};

/// Where every error of this adapter says it came from.
pub(super) const ORIGIN: &str = "secretsmanager";

/// The error for a failed SDK call about the secret `id`.
pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, id: &str) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    classify(&facts(error), id)
}

/// Decides what the facts mean: kind, advice and words.
fn classify(facts: &Facts, id: &str) -> Error {
    let retryable = |kind, why: &str| fail(kind, id, why).with_retry(pace(facts));
    match facts.stage {
        Stage::Answer => answer(facts, id),
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
            fail(ErrorKind::Unauthorized, id, &why)
        }
        Stage::Construction => {
            let why = format!("the request could not be made ({})", said(facts));
            fail(ErrorKind::Config, id, &why)
        }
        // What could not be understood may be the secret: nothing of it is shown.
        Stage::Unreadable => {
            retryable(ErrorKind::Unavailable, "the answer could not be understood")
        }
    }
}

/// An error answer of the service: by its code, else by its status.
fn answer(facts: &Facts, id: &str) -> Error {
    let code = facts.code.as_deref().unwrap_or_default();
    let status = facts.status.unwrap_or_default();
    let retryable = |kind, why: &str| fail(kind, id, why).with_retry(pace(facts));
    if let Some(nobody) = Nobody::of(code) {
        return fail(ErrorKind::Unauthorized, id, nobody.why());
    }
    match (code, status) {
        ("ResourceNotFoundException", _) => {
            let why = "there is no such secret, or it has no value yet; check its name, and that \
                       the client's region and account are the secret's";
            fail(ErrorKind::Config, id, why)
        }
        ("InvalidRequestException", _) => {
            let why = format!(
                "it cannot be read in its present state ({}); a secret that is to be deleted \
                 must be restored first",
                named(facts)
            );
            fail(ErrorKind::Config, id, &why)
        }
        ("InvalidParameterException" | "ValidationException", _) => {
            let why = format!("that is no name of a secret ({})", named(facts));
            fail(ErrorKind::Config, id, &why)
        }
        ("DecryptionFailure", _) => kms(facts, id),
        _ if slow(code, status) => {
            let why = format!("the service asks for a slower pace ({})", named(facts));
            retryable(ErrorKind::Throttled, &why)
        }
        ("AccessDeniedException" | "AccessDenied", _) | (_, 401 | 403) => denied(facts, id),
        ("RequestTimeout" | "RequestTimeoutException", _) | (_, 408) => {
            retryable(ErrorKind::Timeout, "the service gave up waiting")
        }
        ("InternalServiceError" | "InternalFailure" | "ServiceUnavailable", _) | (_, 500..=599) => {
            let why = format!("the service failed ({})", named(facts));
            retryable(ErrorKind::Unavailable, &why)
        }
        (_, 300..=399 | 404 | 405 | 410) => {
            let why = format!(
                "the answer is not Secrets Manager's ({}); check the endpoint and the proxy",
                named(facts)
            );
            fail(ErrorKind::Config, id, &why)
        }
        (_, 400..=499) => {
            let why = format!("the request was refused ({})", named(facts));
            fail(ErrorKind::Config, id, &why)
        }
        // A success that is none: it may hold the secret all the same.
        (_, 200..=299) => retryable(ErrorKind::Unavailable, "the answer could not be understood"),
        _ => {
            let why = format!("an answer nobody expected ({})", named(facts));
            fail(ErrorKind::Other, id, &why).with_retry(Retry::Backoff)
        }
    }
}

/// Refused: the secret itself, or the key that it is encrypted with.
fn denied(facts: &Facts, id: &str) -> Error {
    let message = facts.message.as_deref().unwrap_or_default();
    if of_the_key(message) {
        return kms(facts, id);
    }
    let why = format!(
        "access was denied ({}); grant secretsmanager:GetSecretValue on it to these \
         credentials, in the secret's own policy too if it lies in another account",
        named(facts)
    );
    fail(ErrorKind::Unauthorized, id, &why)
}

fn kms(facts: &Facts, id: &str) -> Error {
    let why = format!(
        "the key it is encrypted with may not be used ({}); grant kms:Decrypt on the key, and \
         see that it is enabled",
        named(facts)
    );
    fail(ErrorKind::Unauthorized, id, &why)
}

pub(super) fn fail(kind: ErrorKind, id: &str, why: &str) -> Error {
    let id = excerpt(id, 200);
    Error::new(kind, ORIGIN, format!("reading the secret {id}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with(stage: Stage, status: u16, code: &str, message: &str) -> Facts {
        Facts {
            stage,
            status: Some(status),
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
            region: None,
            retry_after: None,
        }
    }

    #[test]
    fn every_answer_has_its_kind() {
        use ErrorKind::{Config, Other, Throttled, Timeout, Unauthorized, Unavailable};
        for (status, code, message, kind, words) in [
            (
                400,
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
                Config,
                "no such secret",
            ),
            (
                400,
                "InvalidRequestException",
                "marked for deletion",
                Config,
                "marked for deletion",
            ),
            (
                400,
                "InvalidParameterException",
                "",
                Config,
                "no name of a secret",
            ),
            (400, "DecryptionFailure", "", Unauthorized, "kms:Decrypt"),
            (
                400,
                "AccessDeniedException",
                "Access to KMS is not allowed",
                Unauthorized,
                "kms:Decrypt",
            ),
            (
                400,
                "AccessDeniedException",
                "User is not authorized",
                Unauthorized,
                "GetSecretValue",
            ),
            (403, "", "", Unauthorized, "GetSecretValue"),
            (400, "ExpiredTokenException", "", Unauthorized, "expired"),
            (
                400,
                "UnrecognizedClientException",
                "",
                Unauthorized,
                "access key",
            ),
            (400, "InvalidSignatureException", "", Unauthorized, "clock"),
            (
                400,
                "ThrottlingException",
                "Rate exceeded",
                Throttled,
                "slower pace",
            ),
            (429, "", "", Throttled, "slower pace"),
            (503, "", "", Throttled, "slower pace"),
            (500, "InternalServiceError", "", Unavailable, "failed"),
            (502, "", "", Unavailable, "failed"),
            (408, "", "", Timeout, "waiting"),
            (301, "", "", Config, "proxy"),
            (404, "UnknownOperationException", "", Config, "proxy"),
            (418, "", "", Config, "refused"),
            (200, "", "hunter2", Unavailable, "understood"),
            (600, "", "", Other, "nobody expected"),
        ] {
            let error = classify(&with(Stage::Answer, status, code, message), "prod/x");
            assert_eq!(error.kind(), kind, "{status} {code}");
            let again = matches!(kind, Throttled | Unavailable | Timeout | Other);
            assert_eq!(error.is_retryable(), again, "{status} {code}");
            assert!(error.message().contains(words), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("secretsmanager: reading the secret prod/x: ")
            );
        }
        let mut facts = with(Stage::Answer, 429, "", "");
        facts.retry_after = Some(7);
        let retry = classify(&facts, "x").retry();
        assert_eq!(retry, Retry::After(Duration::from_secs(7)));
    }

    #[test]
    fn what_got_no_answer_has_its_kind() {
        use ErrorKind::{Config, Timeout, Unauthorized, Unavailable};
        for (stage, kind) in [
            (Stage::Timeout, Timeout),
            (Stage::Dispatch, Unavailable),
            (Stage::Credentials, Unauthorized),
            (Stage::Construction, Config),
            (Stage::Unreadable, Unavailable),
        ] {
            let error = classify(&with(stage, 200, "", "why\n"), "x\u{1b}[2J");
            assert_eq!(error.kind(), kind);
            assert!(!error.message().contains(char::is_control), "{error}");
        }
        let secret = with(Stage::Unreadable, 200, "", "hunter2 is no JSON");
        assert!(!classify(&secret, "x").message().contains("hunter2"));
    }
}
