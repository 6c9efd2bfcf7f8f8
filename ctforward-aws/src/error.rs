//! What S3 answered, turned into the error of the workspace: the one place that decides.
//!
//! [`Facts`] are drawn from an SDK error, [`classify`] decides on them alone, so
//! that a table of plain values tests every case.

use std::time::Duration;

use ctforward_core::text::{excerpt, printable};
use ctforward_core::{Error, ErrorKind, ObjectId, Retry};

use crate::caller::{Nobody, slow};
use crate::facts::{Facts, Stage, clean, of_the_key};
use crate::shell;

/// Where every error of this adapter says it came from.
pub(crate) const ORIGIN: &str = "s3";

/// A pace asked for by the server is obeyed up to here in one step.
const MAX_RETRY_AFTER: u64 = 3600;

/// What was asked of S3 when it failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// A page of a listing.
    List { bucket: &'a str },
    /// An object's body, or the rest of it.
    Read { object: &'a ObjectId },
    /// To write an object.
    Write { object: &'a ObjectId },
}

impl Asked<'_> {
    fn bucket(&self) -> &str {
        match self {
            Self::List { bucket } => bucket,
            Self::Read { object } | Self::Write { object } => &object.bucket,
        }
    }

    fn permission(&self) -> &'static str {
        match self {
            Self::List { .. } => "s3:ListBucket on the bucket",
            Self::Read { .. } => "s3:GetObject on the bucket's objects",
            Self::Write { .. } => "s3:PutObject on the bucket's objects",
        }
    }

    fn what(&self) -> String {
        match self {
            Self::List { bucket } => format!("listing s3://{}", printable(bucket)),
            Self::Read { object } => format!("reading {object}"),
            Self::Write { object } => format!("writing {object}"),
        }
    }
}

/// A region's name as AWS writes them; anything else from outside is not repeated.
pub(crate) fn region(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!text.is_empty() && text.len() <= 32 && text.chars().all(plain)).then_some(text)
}

/// Decides what the facts mean: kind, advice and words.
pub(crate) fn classify(facts: &Facts, asked: Asked<'_>) -> Error {
    match facts.stage {
        Stage::Answer => answer(facts, asked),
        Stage::Timeout => {
            fail(ErrorKind::Timeout, asked, "no answer in time").with_retry(pace(facts))
        }
        Stage::Dispatch => {
            let why = format!("no connection ({})", said(facts));
            fail(ErrorKind::Unavailable, asked, &why).with_retry(pace(facts))
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
            fail(ErrorKind::Unavailable, asked, &why).with_retry(pace(facts))
        }
    }
}

/// An error answer of the service: by its code, else by its status.
fn answer(facts: &Facts, asked: Asked<'_>) -> Error {
    let code = facts.code.as_deref().unwrap_or_default();
    let status = facts.status.unwrap_or_default();
    if let Some(nobody) = Nobody::of(code) {
        return fail(ErrorKind::Unauthorized, asked, nobody.why());
    }
    match (code, status) {
        ("NoSuchBucket", _) => {
            let why = "there is no such bucket; check its name, and that the endpoint and \
                       partition are the ones it lies in";
            // Not `NotFound`: an object may be given up as missing, a bucket may not.
            fail(ErrorKind::Config, asked, why)
        }
        ("NoSuchKey" | "NoSuchVersion" | "NotFound", _) => {
            fail(ErrorKind::NotFound, asked, "there is no such object")
        }
        ("InvalidObjectState", _) => archived(asked),
        ("PreconditionFailed", _) | (_, 412) => fail(
            ErrorKind::Changed,
            asked,
            "the object changed while it was read",
        ),
        ("InvalidRange", _) | (_, 416) => {
            let why = "the object is shorter than it was when it was opened";
            fail(ErrorKind::Changed, asked, why)
        }
        _ if slow(code, status) => {
            let why = format!("the service asks for a slower pace ({})", named(facts));
            fail(ErrorKind::Throttled, asked, &why).with_retry(pace(facts))
        }
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "Redirect",
            _,
        )
        | (_, 300..=399) => elsewhere(facts, asked),
        ("RequestTimeout" | "RequestTimeoutException", _) | (_, 408) => {
            fail(ErrorKind::Timeout, asked, "the service gave up waiting").with_retry(pace(facts))
        }
        (_, 500..=599) | ("InternalError" | "ServiceUnavailable" | "OperationAborted", _) => {
            let why = format!("the service failed ({})", named(facts));
            fail(ErrorKind::Unavailable, asked, &why).with_retry(pace(facts))
        }
        (code, _) if code.starts_with("KMS.") => kms(facts, asked),
        (_, 401 | 403) | ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) => {
            denied(facts, asked)
        }
        (_, 404 | 410) => {
            // S3 names what is missing; a proxy, or another service, does not.
            let why = format!(
                "there is no such thing ({}), and the answer is not S3's; check the endpoint \
                 and the proxy",
                named(facts)
            );
            fail(ErrorKind::Config, asked, &why)
        }
        ("MethodNotAllowed", 405) if matches!(asked, Asked::Read { .. }) => fail(
            ErrorKind::NotFound,
            asked,
            "this version is a delete marker",
        ),
        ("InvalidBucketName", _) => fail(ErrorKind::Config, asked, "that is no name of a bucket"),
        (_, 400..=499) => {
            let why = format!("the request was refused ({})", named(facts));
            fail(ErrorKind::Config, asked, &why)
        }
        // A success whose body is none of S3's: a proxy's page, most likely.
        (_, 200..=299) => {
            let why = format!("the answer could not be understood ({})", named(facts));
            fail(ErrorKind::Unavailable, asked, &why).with_retry(pace(facts))
        }
        _ => {
            let why = format!("an answer nobody expected ({})", named(facts));
            fail(ErrorKind::Other, asked, &why).with_retry(Retry::Backoff)
        }
    }
}

/// Refused: by the bucket's side, or because the object's key may not be used.
fn denied(facts: &Facts, asked: Asked<'_>) -> Error {
    let message = facts.message.as_deref().unwrap_or_default();
    if of_the_key(message) {
        return kms(facts, asked);
    }
    let mut why = format!(
        "access was denied ({}); grant {} to these credentials, and see that the bucket's \
         owner is the one expected",
        named(facts),
        asked.permission()
    );
    if !matches!(asked, Asked::Write { .. }) {
        // S3 says no more of a bucket whose requester pays.
        why.push_str(
            "; if whoever asks pays for the bucket's requests, agree to that (request_payer)",
        );
    }
    fail(ErrorKind::Unauthorized, asked, &why)
}

fn kms(facts: &Facts, asked: Asked<'_>) -> Error {
    let action = match asked {
        Asked::Write { .. } => "kms:GenerateDataKey and kms:Decrypt",
        Asked::Read { .. } | Asked::List { .. } => "kms:Decrypt",
    };
    let why = format!(
        "the key the object is encrypted with may not be used ({}); grant {action} on it, \
         in the key's policy too if it lies in another account, and see that it is enabled",
        named(facts)
    );
    fail(ErrorKind::Unauthorized, asked, &why)
}

fn archived(asked: Asked<'_>) -> Error {
    let why = match asked {
        Asked::Read { object } => match shell::restore_command(object) {
            Some(command) => format!("it lies in an archive; restore it first: {command}"),
            // A key that the AWS command line would take for a file to read.
            None => "it lies in an archive; restore it in the console".to_owned(),
        },
        Asked::List { .. } | Asked::Write { .. } => "it lies in an archive".to_owned(),
    };
    fail(ErrorKind::Archived, asked, &why)
}

fn elsewhere(facts: &Facts, asked: Asked<'_>) -> Error {
    let place = facts.region.as_deref().and_then(region);
    let why = match place {
        Some(place) => format!("the bucket lies in {place}; use that region"),
        None => format!(
            "the bucket is not in this region ({}); find its region with: aws s3api \
             get-bucket-location --bucket {}",
            named(facts),
            shell::quote(asked.bucket())
        ),
    };
    fail(ErrorKind::Config, asked, &why)
}

fn fail(kind: ErrorKind, asked: Asked<'_>, why: &str) -> Error {
    Error::new(kind, ORIGIN, format!("{}: {why}", asked.what()))
}

pub(crate) fn pace(facts: &Facts) -> Retry {
    match facts.retry_after {
        Some(seconds) => Retry::After(Duration::from_secs(seconds.min(MAX_RETRY_AFTER))),
        None => Retry::Backoff,
    }
}

/// Code, status and words of the service.
pub(crate) fn named(facts: &Facts) -> String {
    let mut out = match (facts.code.as_deref(), facts.status) {
        (Some(code), _) if !code.is_empty() => excerpt(code, 64),
        (_, Some(status)) => format!("status {status}"),
        _ => "no status".to_owned(),
    };
    if let Some(message) = facts.message.as_deref().filter(|m| !m.is_empty()) {
        out.push_str(": ");
        out.push_str(&clean(message));
    }
    out
}

pub(crate) fn said(facts: &Facts) -> String {
    match facts.message.as_deref() {
        Some(message) if !message.is_empty() => clean(message),
        _ => "no reason was given".to_owned(),
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
