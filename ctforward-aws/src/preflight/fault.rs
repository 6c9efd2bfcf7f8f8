//! What a failed call of any service says about permissions and reach; pure.

use std::time::Duration;

use ctforward_core::text::excerpt;
use ctforward_core::{Check, Error, ErrorKind, Outcome, Retry};

use crate::caller::{Nobody, slow};
use crate::error::ORIGIN;
use crate::facts::{Facts, Stage, clean, of_the_key};

/// What a failed call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The caller may not do this.
    Denied,
    /// The object's key may not be used.
    Key,
    /// What was named does not exist.
    Missing,
    /// The caller is nobody: no, wrong or expired credentials.
    Credentials,
    /// The account has not turned the region or the service on.
    Closed,
    /// This machine's clock is too far off.
    Clock,
    /// The thing lies in another region.
    Elsewhere,
    /// The object must be restored first.
    Archived,
    /// No connection.
    Unreachable,
    /// No answer in time, or one that asks for patience.
    Slow,
    /// The call was understood and refused.
    Refused,
    /// Anything else.
    Odd,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// The service's words, safe to show.
    pub(crate) said: String,
    /// `x-amz-bucket-region`, as it came.
    pub(crate) region: Option<String>,
}

impl Fault {
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            kind: kind(facts),
            said: said(facts),
            region: facts.region.clone(),
        }
    }

    /// A call that took longer than a check may.
    pub(crate) fn late(limit: Duration) -> Self {
        Self {
            kind: FaultKind::Slow,
            said: format!("no answer in {limit:?}"),
            region: None,
        }
    }

    /// The check of the thing itself that a run lives on, a bucket or a queue: where no
    /// connection is made, or nobody is known to ask, a run from here fails too.
    pub(crate) fn without(&self, id: &'static str, title: &'static str, action: &str) -> Check {
        let fix = match self.kind {
            FaultKind::Unreachable => {
                "check the address (an endpoint of one's own, or the region), and let this machine \
                 out to it, or name the proxy (HTTPS_PROXY)"
            }
            FaultKind::Credentials => {
                "set a profile (AWS_PROFILE), the AWS_ACCESS_KEY_ID variables, or give the machine \
                 a role; then: aws sts get-caller-identity"
            }
            FaultKind::Closed => {
                "check which region is meant, and that the account has it and the service enabled: \
                 aws account list-regions"
            }
            _ => return self.check(id, title, action),
        };
        Check::new(id, title, Outcome::Fail, self.seen(action)).with_fix(fix)
    }

    /// The check of what could not be looked at: never a fail.
    pub(crate) fn check(&self, id: &'static str, title: &'static str, action: &str) -> Check {
        let seen = self.seen(action);
        let check = Check::new(id, title, Outcome::Unknown, seen);
        match self.kind {
            FaultKind::Denied => check.with_fix(format!(
                "allow {action} to this caller to have this checked, or look yourself"
            )),
            _ => check,
        }
    }

    /// Why it could not be looked at; a missing permission is named.
    pub(crate) fn seen(&self, action: &str) -> String {
        let said = &self.said;
        match self.kind {
            FaultKind::Denied => format!("not permitted: {action} is missing ({said})"),
            FaultKind::Credentials => format!("the credentials do not work ({said})"),
            FaultKind::Closed => {
                format!("the account has not enabled the region or the service ({said})")
            }
            FaultKind::Unreachable => format!("no connection ({said})"),
            FaultKind::Slow => format!("not found out in time ({said})"),
            FaultKind::Clock => format!("this machine's clock is refused ({said})"),
            FaultKind::Odd => format!("the answer to {action} tells nothing ({said})"),
            _ => format!("{action} failed ({said})"),
        }
    }

    pub(crate) fn into_error(self, doing: &str, action: &str) -> Error {
        let (kind, retry) = match self.kind {
            FaultKind::Denied | FaultKind::Credentials | FaultKind::Closed | FaultKind::Key => {
                (ErrorKind::Unauthorized, Retry::Never)
            }
            FaultKind::Slow => (ErrorKind::Timeout, Retry::Backoff),
            FaultKind::Unreachable | FaultKind::Odd => (ErrorKind::Unavailable, Retry::Backoff),
            _ => (ErrorKind::Config, Retry::Never),
        };
        Error::new(kind, ORIGIN, format!("{doing}: {}", self.seen(action))).with_retry(retry)
    }
}

fn kind(facts: &Facts) -> FaultKind {
    match facts.stage {
        Stage::Timeout => return FaultKind::Slow,
        Stage::Dispatch => return FaultKind::Unreachable,
        Stage::Credentials => return FaultKind::Credentials,
        Stage::Construction | Stage::Unreadable => return FaultKind::Odd,
        Stage::Answer => {}
    }
    let code = facts.code.as_deref().unwrap_or_default();
    // Some services put their prefix before the code, `AWS.SimpleQueueService.…`.
    let code = code.rsplit(['.', '#']).next().unwrap_or_default();
    let message = facts.message.as_deref().unwrap_or_default();
    let whole = facts.code.as_deref().unwrap_or_default();
    let status = facts.status.unwrap_or_default();
    match Nobody::of(code) {
        Some(Nobody::Clock) => return FaultKind::Clock,
        Some(Nobody::Closed) => return FaultKind::Closed,
        Some(Nobody::Signature)
            if message.contains("expired") || message.contains("not yet current") =>
        {
            return FaultKind::Clock;
        }
        Some(_) => return FaultKind::Credentials,
        None => {}
    }
    match (code, status) {
        ("InvalidObjectState", _) => FaultKind::Archived,
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 300..=399) => FaultKind::Elsewhere,
        (
            "NoSuchBucket"
            | "NoSuchKey"
            | "NotFound"
            | "NonExistentQueue"
            | "QueueDoesNotExist"
            | "TrailNotFoundException",
            _,
        )
        | (_, 404) => FaultKind::Missing,
        _ if slow(whole, status) || slow(code, status) => FaultKind::Slow,
        _ if whole.starts_with("KMS.") => FaultKind::Key,
        (_, 403) | ("AccessDenied" | "AccessDeniedException" | "AuthorizationError", _) => {
            if of_the_key(message) {
                FaultKind::Key
            } else {
                FaultKind::Denied
            }
        }
        (_, 400..=499) => FaultKind::Refused,
        _ => FaultKind::Odd,
    }
}

fn said(facts: &Facts) -> String {
    let mut out = match (facts.code.as_deref(), facts.status) {
        (Some(code), _) if !code.is_empty() => excerpt(code, 64),
        (_, Some(status)) => format!("status {status}"),
        _ => String::new(),
    };
    if let Some(message) = facts.message.as_deref().filter(|m| !m.is_empty()) {
        if !out.is_empty() {
            out.push_str(": ");
        }
        out.push_str(&clean(message));
    }
    if out.is_empty() {
        out.push_str("no reason was given");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> Facts {
        Facts {
            stage: Stage::Answer,
            status: Some(status),
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            region: None,
            retry_after: None,
        }
    }

    #[test]
    fn a_denial_of_the_key_is_told_apart_from_one_of_the_object() {
        use FaultKind as K;
        let kms = "User: x is not authorized to perform: kms:Decrypt on resource: y";
        for (status, code, message, expected) in [
            (403, "AccessDenied", "Access Denied", K::Denied),
            (403, "AccessDenied", kms, K::Key),
            (400, "KMS.DisabledException", "z", K::Key),
            (400, "KMS.NotFoundException", "z", K::Key),
            (403, "", "", K::Denied),
            (403, "InvalidAccessKeyId", "x", K::Credentials),
            (400, "ExpiredToken", "x", K::Credentials),
            (403, "InvalidClientTokenId", "x", K::Credentials),
            (403, "OptInRequired", "x", K::Closed),
            (403, "NotSignedUp", "x", K::Closed),
            (403, "RequestTimeTooSkewed", "x", K::Clock),
            (
                403,
                "SignatureDoesNotMatch",
                "Signature expired: 1 is now earlier",
                K::Clock,
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "The request signature",
                K::Credentials,
            ),
            (403, "InvalidObjectState", "x", K::Archived),
            (301, "PermanentRedirect", "x", K::Elsewhere),
            (
                400,
                "AWS.SimpleQueueService.NonExistentQueue",
                "x",
                K::Missing,
            ),
            (400, "com.amazonaws.sqs#QueueDoesNotExist", "x", K::Missing),
            (404, "NoSuchBucket", "x", K::Missing),
            (503, "SlowDown", "x", K::Slow),
            // A key that is asked too often is no key that may not be used.
            (400, "KMS.ThrottlingException", "x", K::Slow),
            (403, "RequestThrottled", "x", K::Slow),
            (
                403,
                "AccessDenied",
                "User: arn:aws:sts::1:assumed-role/KMS-reader/x is not authorized to perform: s3:GetObject",
                K::Denied,
            ),
            (400, "MalformedXML", "x", K::Refused),
            (500, "InternalError", "x", K::Odd),
        ] {
            let fault = Fault::of(&answer(status, code, message));
            assert_eq!(fault.kind, expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn a_missing_permission_is_named_and_text_is_escaped() {
        let fault = Fault::of(&answer(403, "AccessDenied", "no\u{1b}[2J"));
        let check = fault.check("x", "X", "s3:GetBucketNotification");
        assert_eq!(check.outcome, Outcome::Unknown);
        assert!(check.seen.contains("s3:GetBucketNotification"), "{check:?}");
        assert!(check.fix.unwrap().contains("s3:GetBucketNotification"));
        assert!(!check.seen.contains('\u{1b}'));
        let error = fault.into_error("reading", "s3:X");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }

    #[test]
    fn a_region_that_is_not_enabled_is_no_matter_of_the_credentials() {
        let fault = Fault::of(&answer(403, "OptInRequired", "subscribe first"));
        let check = fault.without("queue", "queue", "sqs:GetQueueAttributes");
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.seen.contains("not enabled"), "{check:?}");
        let fix = check.fix.unwrap();
        assert!(
            fix.contains("region") && !fix.contains("AWS_PROFILE"),
            "{fix}"
        );
        let error = fault.into_error("reading", "s3:X");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}
