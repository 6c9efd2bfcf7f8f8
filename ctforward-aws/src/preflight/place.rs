//! Who asks, where the bucket lies, and what time it is there; pure.

use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};
use jiff::Timestamp;

use super::fault::{Fault, FaultKind};
use super::fix::{allow, aws, bucket_arn, partition};

/// Who the credentials belong to.
#[cfg_attr(not(feature = "sts"), allow(dead_code))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) arn: String,
}

#[cfg_attr(not(feature = "sts"), allow(dead_code))]
pub(crate) fn credentials(caller: &Result<Caller, Fault>) -> Check {
    let (id, title) = ("credentials", "credentials");
    match caller {
        Ok(caller) => Check::new(
            id,
            title,
            Outcome::Pass,
            format!("{} of account {}", caller.arn, caller.account),
        ),
        Err(fault) if fault.kind == FaultKind::Credentials => Check::new(
            id,
            title,
            Outcome::Fail,
            format!("AWS does not know this caller ({})", fault.said),
        )
        .with_fix(
            "set a profile (AWS_PROFILE), the AWS_ACCESS_KEY_ID variables, or give the machine a \
             role; then: aws sts get-caller-identity",
        ),
        Err(fault) if fault.kind == FaultKind::Closed => {
            fault.without(id, title, "sts:GetCallerIdentity")
        }
        Err(fault) => fault.check(id, title, "sts:GetCallerIdentity"),
    }
}

/// A region's name as AWS writes them; anything else from outside is not used.
pub(crate) fn region(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!text.is_empty() && text.len() <= 32 && text.chars().all(plain)).then_some(text)
}

/// What asking for the bucket's head came to.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) answer: Result<(), Fault>,
    /// `x-amz-bucket-region`.
    pub(crate) region: Option<String>,
    /// The answer's `Date`, and this machine's time when it came.
    pub(crate) date: Option<(String, Timestamp)>,
}

/// `set` is the region that a run would ask in.
pub(crate) fn bucket_region(bucket: &str, set: Option<&str>, head: &Head) -> Check {
    let (id, title) = ("bucket-region", "bucket and its region");
    let lies = head.region.as_deref().and_then(region);
    if let Err(fault) = &head.answer {
        match fault.kind {
            FaultKind::Missing => {
                return Check::new(
                    id,
                    title,
                    Outcome::Fail,
                    format!("there is no bucket {} here", printable(bucket)),
                )
                .with_fix("check the name, the partition of the region, and the endpoint");
            }
            FaultKind::Denied | FaultKind::Elsewhere | FaultKind::Refused if lies.is_some() => {}
            FaultKind::Denied => {
                return Check::new(
                    id,
                    title,
                    Outcome::Unknown,
                    "s3:ListBucket is missing, or the bucket belongs to another account than the \
                     one expected; its region was not told",
                )
                .with_fix(aws(&[
                    "s3api",
                    "get-bucket-location",
                    "--bucket",
                    bucket,
                ]));
            }
            _ => return fault.without(id, title, "s3:ListBucket"),
        }
    }
    match (lies, set) {
        (Some(lies), Some(set)) if lies == set => Check::new(
            id,
            title,
            Outcome::Pass,
            format!("in {lies}, where requests go"),
        ),
        (Some(lies), set) => Check::new(
            id,
            title,
            Outcome::Fail,
            format!(
                "the bucket lies in {lies}, but requests go to {}",
                printable(set.unwrap_or("no region"))
            ),
        )
        .with_fix(format!("use --s3-region {lies}, or AWS_REGION={lies}")),
        (None, set) => Check::new(
            id,
            title,
            Outcome::Pass,
            format!(
                "it is there; the server does not say in which region (asked in {})",
                printable(set.unwrap_or("none"))
            ),
        ),
    }
}

/// AWS refuses requests that are signed a quarter of an hour off, and some services sooner.
pub(crate) fn clock(head: &Head) -> Check {
    let (id, title) = ("clock", "clock");
    let fix = "set the clock (chronyc tracking, timedatectl): requests are signed with the time";
    if let Err(fault) = &head.answer
        && fault.kind == FaultKind::Clock
    {
        return Check::new(id, title, Outcome::Fail, fault.seen("the request")).with_fix(fix);
    }
    let Some((date, now)) = &head.date else {
        return Check::new(
            id,
            title,
            Outcome::Unknown,
            "the server did not tell its time",
        );
    };
    let Ok(there) = jiff::fmt::rfc2822::parse(date) else {
        let seen = format!("the server's date {date:?} cannot be read");
        return Check::new(id, title, Outcome::Unknown, seen);
    };
    let off = now.duration_since(there.timestamp()).as_secs();
    let seen = format!(
        "{} s {} the server's",
        off.unsigned_abs(),
        if off < 0 { "behind" } else { "ahead of" }
    );
    match off.unsigned_abs() {
        0..=30 => Check::new(id, title, Outcome::Pass, seen),
        31..=299 => Check::new(id, title, Outcome::Warn, seen).with_fix(fix),
        _ => Check::new(id, title, Outcome::Fail, seen).with_fix(fix),
    }
}

/// Listing is what a run from the bucket lives on; one from a queue only gains by it.
pub(crate) fn listing(
    bucket: &str,
    region: Option<&str>,
    owner: Option<&str>,
    queue: bool,
    answer: Result<(), &Fault>,
) -> Check {
    let (id, title) = ("list", "permission to list");
    let fault = match answer {
        Ok(()) => return Check::new(id, title, Outcome::Pass, "the bucket can be listed"),
        Err(fault) => fault,
    };
    if fault.kind != FaultKind::Denied {
        return fault.check(id, title, "s3:ListBucket");
    }
    let mut fix = allow(&["s3:ListBucket"], &bucket_arn(partition(region), bucket));
    // S3 answers the same to both.
    if let Some(owner) = owner {
        fix = format!(
            "see that the bucket is account {}'s, as was said; then {fix}",
            printable(owner)
        );
    }
    if queue {
        let seen = format!(
            "s3:ListBucket is missing ({}): a queue does not need it, but then S3 calls a missing \
             object forbidden, which is never given up",
            fault.said
        );
        return Check::new(id, title, Outcome::Warn, seen).with_fix(fix);
    }
    let seen = format!("s3:ListBucket is missing ({})", fault.said);
    Check::new(id, title, Outcome::Fail, seen).with_fix(fix)
}

/// Who pays for the requests.
pub(crate) fn payer(answer: &Result<bool, Fault>) -> Check {
    let (id, title) = ("request-payer", "who pays for requests");
    match answer {
        Ok(false) => Check::new(id, title, Outcome::Pass, "the bucket's owner"),
        Ok(true) => Check::new(
            id,
            title,
            Outcome::Warn,
            "whoever asks: requests that do not agree to it are refused, unless the owner makes them",
        )
        .with_fix("agree to it (request_payer of the source), or read with the owner's credentials"),
        Err(fault) => fault.check(id, title, "s3:GetBucketRequestPayment"),
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
pub(crate) mod tests;
