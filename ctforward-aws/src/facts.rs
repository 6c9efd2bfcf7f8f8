//! What is known of a failed SDK call, drawn from the SDK's error types.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use ctforward_core::Error;
use ctforward_core::text::excerpt;

use crate::error::{Asked, classify};

/// Text of the service is cut here: enough for an ARN and an action.
const EXCERPT: usize = 400;

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

/// What is known of a failed call of any service.
pub(crate) fn facts<E>(error: &SdkError<E, HttpResponse>) -> Facts
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

/// Whether a denial speaks of the key that something is encrypted with, and not of the
/// thing itself. The names of callers and of things are not ours: `KMS` stands in some.
pub(crate) fn of_the_key(message: &str) -> bool {
    // "… is not authorized to perform: kms:Decrypt on resource: …"
    if let Some((_, action)) = message.split_once("perform: ") {
        return action.starts_with("kms:");
    }
    let mut words = message.split_whitespace();
    message.contains("ciphertext")
        || words.any(|word| word == "KMS" || word.starts_with("kms:") || word.starts_with("KMS."))
}

fn without_secrets(word: &str) -> String {
    // A secret key has 40 such characters, a session token hundreds; a server may
    // echo either. ARNs and host names have others between.
    let mut run = 0;
    let long = word.bytes().any(|b| {
        let plain = b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'=');
        run = if plain { run + 1 } else { 0 };
        run >= 40
    });
    if long && !word.contains("://") {
        return "[left out]".to_owned();
    }
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

#[cfg(test)]
mod tests {
    use super::{clean, of_the_key};

    #[test]
    fn a_name_with_kms_in_it_makes_no_denial_one_of_the_key() {
        for message in [
            "User: x is not authorized to perform: kms:Decrypt on resource: y",
            "Access to KMS is not allowed",
            "The ciphertext refers to a customer master key that does not exist",
        ] {
            assert!(of_the_key(message), "{message}");
        }
        for message in [
            "User: arn:aws:sts::1:assumed-role/KMS-reader/kms:x is not authorized to perform: s3:GetObject on resource: \"arn:aws:s3:::KMS/x\"",
            "Access Denied",
            "",
        ] {
            assert!(!of_the_key(message), "{message}");
        }
    }

    #[test]
    fn what_may_be_a_credential_is_left_out_and_names_are_kept() {
        let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let arn = "arn:aws:iam::111122223333:role/a-role-with-a-long-name-that-says-what-it-is-for";
        assert_eq!(clean(&format!("x {key} y")), "x [left out] y");
        assert_eq!(clean(arn), arn);
        assert_eq!(clean("https://u:p@host/path?sig=x"), "https://host/path");
    }
}
