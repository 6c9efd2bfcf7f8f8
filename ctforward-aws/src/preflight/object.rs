//! What the first bytes of a sample, and the digests beside it, say; pure.

use ctforward_core::text::printable;
use ctforward_core::{Check, ObjectId, Outcome};
use jiff::Timestamp;

use super::fault::{Fault, FaultKind};
use super::fix::{allow, aws, bucket_arn, partition};
use crate::shell::restore_command;

/// The head of a sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) first: Vec<u8>,
    /// `aws:kms` and the like.
    pub(crate) encryption: Option<String>,
    pub(crate) kms_key: Option<String>,
}

const GET: (&str, &str) = ("get", "permission to read");
const DECRYPT: (&str, &str) = ("decrypt", "permission to decrypt");

/// Reading and decrypting, told apart.
pub(crate) fn reading(
    id: &ObjectId,
    region: Option<&str>,
    got: &Result<Got, Fault>,
    requester_pays: bool,
) -> [Check; 2] {
    let get = |outcome, seen: String| Check::new(GET.0, GET.1, outcome, seen);
    let decrypt = |outcome, seen: String| Check::new(DECRYPT.0, DECRYPT.1, outcome, seen);
    let key = printable(&id.key);
    let got = match got {
        Ok(got) => got,
        Err(fault) => {
            let unknown = decrypt(Outcome::Unknown, "the sample could not be read".to_owned());
            return match fault.kind {
                FaultKind::Key => [
                    get(Outcome::Unknown, format!("S3 answers for the key of {key}, not for the object")),
                    decrypt(
                        Outcome::Fail,
                        format!("the key that {key} is encrypted with may not be used ({})", fault.said),
                    )
                    .with_fix(
                        "allow kms:Decrypt on that key to this caller, in the key's policy too if it \
                         is another account's, and see that the key is enabled: aws s3api head-object \
                         names it (SSEKMSKeyId)",
                    ),
                ],
                FaultKind::Denied if requester_pays => [
                    get(
                        Outcome::Fail,
                        format!("{key} may not be read ({}); whoever reads this bucket must agree to pay", fault.said),
                    )
                    .with_fix("agree to it (request_payer of the source), or read with the owner's credentials"),
                    unknown,
                ],
                FaultKind::Denied => [
                    get(Outcome::Fail, format!("s3:GetObject on {key} is missing ({})", fault.said)).with_fix(
                        allow(&["s3:GetObject"], &format!("{}/*", bucket_arn(partition(region), &id.bucket))),
                    ),
                    unknown,
                ],
                FaultKind::Archived => {
                    let fix = restore_command(id).unwrap_or_else(|| "restore it in the console".to_owned());
                    [
                        get(
                            Outcome::Fail,
                            format!(
                                "{key}, the newest log file found, lies in an archive: it would be put aside \
                                 as archived; a lifecycle rule must leave log files where they are read from"
                            ),
                        )
                        .with_fix(fix),
                        unknown,
                    ]
                }
                _ => [fault.check(GET.0, GET.1, "s3:GetObject"), unknown],
            };
        }
    };
    let read = match got.first.as_slice() {
        [0x1f, 0x8b, ..] => get(
            Outcome::Pass,
            format!("{key} can be read, and begins like gzip"),
        ),
        [b'{', ..] => get(
            Outcome::Pass,
            format!("{key} can be read, and begins like JSON"),
        ),
        [] => get(Outcome::Warn, format!("{key} can be read, but is empty"))
            .with_fix("see whether something else writes files of CloudTrail's names"),
        _ => get(
            Outcome::Warn,
            format!("{key} can be read, but begins like neither gzip nor JSON"),
        )
        .with_fix("see whether something else encrypts or rewrites the files on their way"),
    };
    let by = got.encryption.as_deref().unwrap_or_default();
    let decrypted = if by.starts_with("aws:kms") {
        let with = got.kms_key.as_deref().unwrap_or("a key that is not named");
        decrypt(Outcome::Pass, format!("{key} was decrypted with {with}"))
    } else {
        decrypt(
            Outcome::Skipped,
            "the sample is not encrypted with KMS".to_owned(),
        )
    };
    [read, decrypted]
}

/// No sample: why, for both checks.
pub(crate) fn unread(why: &str) -> [Check; 2] {
    [GET, DECRYPT].map(|(id, title)| Check::new(id, title, Outcome::Unknown, why))
}

/// How old the newest log file is that a short look found.
pub(crate) fn recent(id: &ObjectId, delivered: Timestamp, now: Timestamp) -> Check {
    let (name, title) = ("recent", "recent delivery");
    let age = now.duration_since(delivered).as_hours();
    let seen = format!(
        "the newest log file that a short look found is of {delivered}: {}",
        printable(&id.key)
    );
    if age < 24 {
        return Check::new(name, title, Outcome::Pass, seen);
    }
    Check::new(
        name,
        title,
        Outcome::Warn,
        format!("{seen}; that is {age} hours ago: this account and region may be quiet, or the trail stopped"),
    )
    .with_fix("aws cloudtrail get-trail-status --name TRAIL (IsLogging, LatestDeliveryError)")
}

/// Digests beside the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Digests {
    /// Of the sample's day or the one before.
    Recent,
    /// Some, but none of these days.
    Older,
    /// None for the sample's account.
    None,
}

pub(crate) fn digests(account: &str, seen: &Result<Digests, Fault>, trail: Option<&str>) -> Check {
    let (id, title) = ("digest", "digest files");
    let on = aws(&[
        "cloudtrail",
        "update-trail",
        "--name",
        trail.unwrap_or("TRAIL"),
        "--enable-log-file-validation",
    ]);
    match seen {
        Ok(Digests::Recent) => Check::new(id, title, Outcome::Pass, format!("there are recent ones of account {account}")),
        Ok(Digests::Older) => Check::new(
            id,
            title,
            Outcome::Warn,
            format!("there are digest files of account {account}, but none of the newest days: validation was switched off, or they lag"),
        )
        .with_fix(on),
        Ok(Digests::None) => Check::new(
            id,
            title,
            Outcome::Warn,
            format!(
                "no digest file of account {account}: whether log files were changed or removed cannot \
                 be checked later. (A replica of the bucket may leave them out.)"
            ),
        )
        .with_fix(on),
        Err(fault) => fault.check(id, title, "s3:ListBucket"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::fault;
    use super::*;

    fn id() -> ObjectId {
        ObjectId::new("trail", "AWSLogs/1/x.json.gz")
    }

    #[test]
    fn a_denial_of_the_key_is_no_denial_of_the_object() {
        use FaultKind as K;
        for (kind, pays, get, decrypt, text) in [
            (
                K::Key,
                false,
                Outcome::Unknown,
                Outcome::Fail,
                "kms:Decrypt",
            ),
            (
                K::Denied,
                false,
                Outcome::Fail,
                Outcome::Unknown,
                "arn:aws:s3:::trail/*",
            ),
            (K::Denied, true, Outcome::Fail, Outcome::Unknown, "agree"),
            (
                K::Archived,
                false,
                Outcome::Fail,
                Outcome::Unknown,
                "restore-object",
            ),
            (K::Slow, false, Outcome::Unknown, Outcome::Unknown, ""),
        ] {
            let [one, two] = reading(&id(), None, &Err(fault(kind)), pays);
            assert_eq!((one.outcome, two.outcome), (get, decrypt), "{kind:?}");
            let fixes = format!("{:?} {:?}", one.fix, two.fix);
            assert!(fixes.contains(text), "{kind:?} {fixes}");
        }
    }

    #[test]
    fn the_first_bytes_tell() {
        for (first, encryption, get, decrypt) in [
            (&b"\x1f\x8b"[..], None, Outcome::Pass, Outcome::Skipped),
            (b"{\"", Some("AES256"), Outcome::Pass, Outcome::Skipped),
            (b"\x1f\x8b", Some("aws:kms"), Outcome::Pass, Outcome::Pass),
            (b"PK", None, Outcome::Warn, Outcome::Skipped),
            (b"", None, Outcome::Warn, Outcome::Skipped),
        ] {
            let got = Got {
                first: first.to_vec(),
                encryption: encryption.map(str::to_owned),
                kms_key: None,
            };
            let [one, two] = reading(&id(), None, &Ok(got), false);
            assert_eq!((one.outcome, two.outcome), (get, decrypt), "{first:?}");
        }
    }

    #[test]
    fn age_and_digests() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let at = |text: &str| recent(&id(), text.parse().unwrap(), now).outcome;
        assert_eq!(at("2026-03-02T11:00:00Z"), Outcome::Pass);
        assert_eq!(at("2026-02-20T11:00:00Z"), Outcome::Warn);
        for (seen, outcome) in [
            (Ok(Digests::Recent), Outcome::Pass),
            (Ok(Digests::Older), Outcome::Warn),
            (Ok(Digests::None), Outcome::Warn),
            (Err(fault(FaultKind::Denied)), Outcome::Unknown),
        ] {
            assert_eq!(digests("1", &seen, None).outcome, outcome, "{seen:?}");
        }
        let fix = digests("1", &Ok(Digests::None), Some("my trail"))
            .fix
            .unwrap();
        assert!(fix.contains("--name 'my trail'"), "{fix}");
    }
}
