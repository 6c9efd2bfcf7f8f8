//! What S3 answered, turned into the error of the workspace: the one place that decides.
//!
//! [`Facts`] are drawn from an SDK error, [`classify`] decides on them alone, so
//! that a table of plain values tests every case.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use ctforward_core::text::{excerpt, printable};
use ctforward_core::{Error, ErrorKind, ObjectId, Retry};

use crate::shell;

/// Where every error of this adapter says it came from.
pub(crate) const ORIGIN: &str = "s3";

/// Text of the service is cut here: enough for an ARN and an action.
const EXCERPT: usize = 400;

/// A pace asked for by the server is obeyed up to here in one step.
const MAX_RETRY_AFTER: u64 = 3600;

/// What was asked of S3 when it failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// A page of a listing.
    List { bucket: &'a str },
    /// An object's body, or the rest of it.
    Read { object: &'a ObjectId },
}

impl Asked<'_> {
    fn bucket(&self) -> &str {
        match self {
            Self::List { bucket } => bucket,
            Self::Read { object } => &object.bucket,
        }
    }

    fn permission(&self) -> &'static str {
        match self {
            Self::List { .. } => "s3:ListBucket on the bucket",
            Self::Read { .. } => "s3:GetObject on the bucket's objects",
        }
    }

    fn what(&self) -> String {
        match self {
            Self::List { bucket } => format!("listing s3://{}", printable(bucket)),
            Self::Read { object } => format!("reading {object}"),
        }
    }
}

/// How far the request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The service answered with an error.
    Answer,
    /// No answer in time.
    Timeout,
    /// It never left, or the connection failed.
    Dispatch,
    /// There were no credentials to sign with.
    Credentials,
    /// The request could not be made at all.
    Construction,
    /// There was an answer that could not be understood.
    Unreadable,
}

/// What is known of a failed request; nothing in here is secret.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) stage: Stage,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// `x-amz-bucket-region`.
    pub(crate) region: Option<String>,
    /// `retry-after` in seconds.
    pub(crate) retry_after: Option<u64>,
}

/// The error for a failed SDK call.
///
/// The SDK's own error does not become the source: its `Debug` shows whole
/// answers, and some of S3's error bodies repeat session tokens.
pub(crate) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, asked: Asked<'_>) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    classify(&facts(error), asked)
}

fn facts<E>(error: &SdkError<E, HttpResponse>) -> Facts
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let mut facts = Facts {
        stage: Stage::Answer,
        status: None,
        code: None,
        message: None,
        region: None,
        retry_after: None,
    };
    if let Some(raw) = error.raw_response() {
        facts.status = Some(raw.status().as_u16());
        facts.region = raw.headers().get("x-amz-bucket-region").map(str::to_owned);
        facts.retry_after = raw
            .headers()
            .get("retry-after")
            .and_then(|v| v.trim().parse().ok());
    }
    match error {
        SdkError::ServiceError(service) => {
            facts.code = service.err().code().map(str::to_owned);
            facts.message = service.err().message().map(str::to_owned);
        }
        SdkError::TimeoutError(_) => facts.stage = Stage::Timeout,
        SdkError::DispatchFailure(failure) => {
            facts.stage = if failure.is_timeout() {
                Stage::Timeout
            } else if failure.is_io() {
                Stage::Dispatch
            } else {
                never_sent(error, Stage::Dispatch)
            };
            facts.message = Some(innermost(error));
        }
        SdkError::ConstructionFailure(_) => {
            facts.stage = never_sent(error, Stage::Construction);
            facts.message = Some(innermost(error));
        }
        // `ResponseError`, and what later SDKs may add.
        _ => {
            facts.stage = Stage::Unreadable;
            facts.message = Some(innermost(error));
        }
    }
    facts
}

/// Why a request never left: for want of credentials, of a region, or `otherwise`.
/// The SDK wraps these failures in types of its private crates, so its words decide.
fn never_sent(error: &dyn StdError, otherwise: Stage) -> Stage {
    let mut next = error.source();
    while let Some(e) = next {
        let text = e.to_string().to_lowercase();
        if text.contains("credential") || text.contains("identity") {
            return Stage::Credentials;
        }
        if text.contains("endpoint") || text.contains("region must be set") {
            return Stage::Construction;
        }
        next = e.source();
    }
    otherwise
}

/// The text of the last error of a chain: the one that names the cause.
pub(crate) fn innermost(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    clean(&last.to_string())
}

/// Text from outside: printable, short, and every address without its user
/// information and query (a presigned one carries its signature there).
pub(crate) fn clean(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(without_secrets).collect();
    excerpt(&words.join(" "), EXCERPT)
}

fn without_secrets(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// A region's name as AWS writes them; anything else from outside is not repeated.
fn region(text: &str) -> Option<&str> {
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
    match (code, status) {
        ("NoSuchBucket", _) => {
            let why = "there is no such bucket; check its name, and that the endpoint and \
                       partition are the ones it lies in";
            fail(ErrorKind::NotFound, asked, why)
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
        (
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "KMS.ThrottlingException",
            _,
        )
        | (_, 429 | 503) => {
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
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            let why = "the clock of this machine is off; set it";
            fail(ErrorKind::Unauthorized, asked, why)
        }
        ("InvalidAccessKeyId", _) => {
            let why = "the access key is not known to this endpoint; check which credentials \
                       and which partition are used";
            fail(ErrorKind::Unauthorized, asked, why)
        }
        ("SignatureDoesNotMatch", _) => {
            let why = "the signature was refused: the secret key does not fit the access key";
            fail(ErrorKind::Unauthorized, asked, why)
        }
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => fail(
            ErrorKind::Unauthorized,
            asked,
            "the credentials expired; log in again",
        ),
        ("InvalidToken", _) => fail(
            ErrorKind::Unauthorized,
            asked,
            "the session token was refused; log in again",
        ),
        (code, _) if code.starts_with("KMS.") => kms(facts, asked),
        (_, 401 | 403) | ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) => {
            denied(facts, asked)
        }
        (_, 404 | 410) => fail(ErrorKind::NotFound, asked, "there is no such thing"),
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
    if message.contains("kms:") || message.contains("KMS") || message.contains("ciphertext") {
        return kms(facts, asked);
    }
    let why = format!(
        "access was denied ({}); grant {} to these credentials, and see that the bucket's \
         owner is the one expected",
        named(facts),
        asked.permission()
    );
    fail(ErrorKind::Unauthorized, asked, &why)
}

fn kms(facts: &Facts, asked: Asked<'_>) -> Error {
    let why = format!(
        "the key the object is encrypted with may not be used ({}); grant kms:Decrypt on it, \
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
        Asked::List { .. } => "it lies in an archive".to_owned(),
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

fn pace(facts: &Facts) -> Retry {
    match facts.retry_after {
        Some(seconds) => Retry::After(Duration::from_secs(seconds.min(MAX_RETRY_AFTER))),
        None => Retry::Backoff,
    }
}

/// Code, status and words of the service.
fn named(facts: &Facts) -> String {
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

fn said(facts: &Facts) -> String {
    match facts.message.as_deref() {
        Some(message) if !message.is_empty() => clean(message),
        _ => "no reason was given".to_owned(),
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
