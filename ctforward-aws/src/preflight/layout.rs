//! Whether the prefix sits at the right depth of the key layout; pure.

use ctforward_core::key::{Folder, Level};
use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};

use crate::shell::quote;

const ID: &str = "layout";
const TITLE: &str = "key layout";

/// What a few listings showed of the folders around the prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Folders right below the prefix.
    pub(crate) below: Vec<String>,
    /// Whether any object lies below the prefix at all.
    pub(crate) objects: bool,
    /// Folders below the nearest `AWSLogs/`, at or under the prefix.
    pub(crate) root: Vec<String>,
    /// Where nothing lies below the prefix: folders that hold `AWSLogs/`, or what
    /// lies in the organisation's folder that the prefix leaves out.
    pub(crate) instead: Vec<String>,
    /// The folder in which the sample was found.
    pub(crate) sample: Option<String>,
}

/// The last folder of a path, without its `/`.
fn name(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

fn is_organisation(path: &str) -> bool {
    Folder::parse(path).level == Level::Organisation
}

fn is_account(path: &str) -> bool {
    Folder::parse(path).level == Level::Account
}

pub(crate) fn check(bucket: &str, prefix: &str, around: &Around) -> Check {
    let seen = |outcome, text: String| Check::new(ID, TITLE, outcome, text);
    let place = Folder::parse(prefix.trim_end_matches('/'));
    let shown = printable(prefix);
    if place.level == Level::OtherService {
        let service = printable(place.service.unwrap_or_default()).into_owned();
        return seen(
            Outcome::Fail,
            format!("{shown:?} is the folder of another service ({service}), not CloudTrail's"),
        )
        .with_fix(suggest(bucket, parent_root(prefix).unwrap_or("AWSLogs/")));
    }
    if !around.objects {
        let empty = format!("there is no object below {shown:?}");
        return match around.instead.first() {
            Some(instead) => seen(
                Outcome::Fail,
                format!(
                    "{empty}, but there is something below {:?}",
                    printable(instead)
                ),
            )
            .with_fix(suggest(bucket, instead)),
            None => seen(
                Outcome::Fail,
                format!("{empty}; check the name, and that a trail has delivered to it"),
            )
            .with_fix(super::fix::aws(&[
                "s3api",
                "list-objects-v2",
                "--bucket",
                bucket,
                "--delimiter",
                "/",
            ])),
        };
    }
    if !prefix.is_empty() && !prefix.ends_with('/') && around.sample.is_some() {
        return seen(
            Outcome::Warn,
            format!(
                "{shown:?} does not end in /, so that it also stands for every name that begins with it"
            ),
        )
        .with_fix(suggest(bucket, &format!("{prefix}/")));
    }
    let organisations: Vec<&String> = around.root.iter().filter(|f| is_organisation(f)).collect();
    let accounts = around.root.iter().filter(|f| is_account(f)).count();
    if around.sample.is_none() {
        let names: Vec<_> = around
            .below
            .iter()
            .take(5)
            .map(|f| printable(name(f)).into_owned())
            .collect();
        let names = if names.is_empty() {
            "no folder".to_owned()
        } else {
            names.join(", ")
        };
        return match around.instead.first() {
            Some(instead) => seen(
                Outcome::Fail,
                format!("no AWSLogs/ at {shown:?} ({names}), but below {:?}", printable(instead)),
            )
            .with_fix(suggest(bucket, instead)),
            None => seen(
                Outcome::Fail,
                format!(
                    "no log file in CloudTrail's layout (AWSLogs/[o-…/]account/CloudTrail/region/yyyy/mm/dd/) \
                     was found below {shown:?}; what lies there: {names}"
                ),
            )
            .with_fix("name the prefix that the trail writes to: aws cloudtrail describe-trails --query 'trailList[].[Name,S3BucketName,S3KeyPrefix]'"),
        };
    }
    match place.level {
        Level::Outside | Level::Root if organisations.is_empty() => seen(
            Outcome::Pass,
            format!("AWSLogs/ with folders of accounts ({accounts}), and none of an organisation"),
        ),
        Level::Outside | Level::Root if accounts == 0 => {
            let names: Vec<&str> = organisations.iter().map(|f| name(f)).collect();
            seen(
                Outcome::Pass,
                format!(
                    "AWSLogs/ of an organisation's trail ({})",
                    printable(&names.join(", "))
                ),
            )
        }
        Level::Outside | Level::Root => seen(
            Outcome::Warn,
            format!(
                "AWSLogs/ holds {} organisation's folders and {accounts} accounts beside them: \
                 where two trails log the same account, its events are in both",
                organisations.len()
            ),
        )
        .with_fix("forward one of the two folders, or use --deduplicate"),
        Level::Organisation => seen(
            Outcome::Pass,
            "the folder of an organisation: all its accounts".to_owned(),
        ),
        level => seen(
            Outcome::Warn,
            format!("{shown:?} lies within the layout ({level:?}): only what is below it is read"),
        )
        .with_fix(suggest(bucket, parent_root(prefix).unwrap_or(prefix))),
    }
}

/// The path up to and with the last `AWSLogs/`.
fn parent_root(prefix: &str) -> Option<&str> {
    let ends = prefix.match_indices('/').map(|(at, _)| &prefix[..=at]);
    ends.rev().find(|p| Folder::parse(p).level == Level::Root)
}

fn suggest(bucket: &str, prefix: &str) -> String {
    format!(
        "name the source {}",
        quote(&format!("s3://{bucket}/{prefix}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(root: &[&str], sample: bool) -> Around {
        Around {
            below: vec!["x/".to_owned()],
            objects: true,
            root: root.iter().map(|s| (*s).to_owned()).collect(),
            instead: Vec::new(),
            sample: sample.then(|| "AWSLogs/1".to_owned()),
        }
    }

    #[test]
    fn depth_decides() {
        let one = "AWSLogs/111122223333/";
        let org = "AWSLogs/o-a1b2c3d4e5/";
        let nothing = Around::default();
        let elsewhere = Around {
            instead: vec![org.to_owned()],
            ..Around::default()
        };
        for (prefix, around, outcome, text) in [
            ("", around(&[one], true), Outcome::Pass, "accounts (1)"),
            (
                "AWSLogs/",
                around(&[org], true),
                Outcome::Pass,
                "o-a1b2c3d4e5",
            ),
            (
                "AWSLogs/",
                around(&[org, one], true),
                Outcome::Warn,
                "in both",
            ),
            ("AWSLogs", around(&[one], true), Outcome::Warn, "end in /"),
            (org, around(&[], true), Outcome::Pass, "organisation"),
            (one, around(&[], true), Outcome::Warn, "only what is below"),
            (one, elsewhere.clone(), Outcome::Fail, "something below"),
            ("nowhere/", nothing, Outcome::Fail, "no object"),
            ("", around(&[], false), Outcome::Fail, "no log file"),
            (
                "AWSLogs/111122223333/Config/",
                around(&[], false),
                Outcome::Fail,
                "another service",
            ),
        ] {
            let check = check("logs", prefix, &around);
            assert_eq!(check.outcome, outcome, "{prefix:?} {check:?}");
            assert!(check.seen.contains(text), "{prefix:?} {check:?}");
            assert_eq!(check.fix.is_some(), outcome != Outcome::Pass, "{check:?}");
        }
        let check = check("logs", one, &elsewhere);
        assert_eq!(
            check.fix.as_deref(),
            Some("name the source s3://logs/AWSLogs/o-a1b2c3d4e5/")
        );
    }
}
