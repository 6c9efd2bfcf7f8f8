//! Whether trails record our own reads of the log bucket; pure.

use aws_sdk_cloudtrail::types::{
    AdvancedEventSelector, AdvancedFieldSelector, EventSelector, ReadWriteType,
};
use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};

use super::fault::Fault;

/// A trail and what it is told to record.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    pub(crate) name: String,
    /// The bucket it writes to, and the prefix there.
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    #[cfg_attr(not(feature = "sqs"), allow(dead_code))]
    pub(crate) topic: Option<String>,
    pub(crate) selectors: Result<Selectors, Fault>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Selectors {
    pub(crate) basic: Vec<EventSelector>,
    pub(crate) advanced: Vec<AdvancedEventSelector>,
}

/// Whether reads are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Records {
    No,
    /// Under conditions that are not decided here.
    Perhaps,
    Yes,
}

/// `objects` is the ARN of the objects that are read, `arn:aws:s3:::bucket/prefix`.
pub(crate) fn records(selectors: &Selectors, objects: &str) -> Records {
    let basic = selectors.basic.iter().map(|s| basic(s, objects));
    let advanced = selectors
        .advanced
        .iter()
        .map(|s| advanced(s.field_selectors(), objects));
    basic.chain(advanced).max().unwrap_or(Records::No)
}

/// One ARN is the beginning of the other: they have objects in common.
fn meet(value: &str, objects: &str) -> bool {
    value.starts_with(objects) || objects.starts_with(value)
}

fn basic(selector: &EventSelector, objects: &str) -> Records {
    let writes = selector.read_write_type() == Some(&ReadWriteType::WriteOnly);
    let hit = selector
        .data_resources()
        .iter()
        .filter(|resource| resource.r#type() == Some("AWS::S3::Object"))
        .flat_map(|resource| resource.values())
        .any(|value| meet(value, objects));
    if hit && !writes {
        Records::Yes
    } else {
        Records::No
    }
}

/// All selectors of a rule must hold for a read of one of the objects.
fn advanced(fields: &[AdvancedFieldSelector], objects: &str) -> Records {
    let mut data = false;
    let mut s3 = false;
    let mut answer = Records::Yes;
    for field in fields {
        let holds = match field.field().to_ascii_lowercase().as_str() {
            "eventcategory" => {
                data = one(field, "Data") == Records::Yes;
                one(field, "Data")
            }
            "resources.type" => {
                s3 = one(field, "AWS::S3::Object") == Records::Yes;
                one(field, "AWS::S3::Object")
            }
            "readonly" => one(field, "true"),
            "eventname" => one(field, "GetObject"),
            "eventsource" => one(field, "s3.amazonaws.com"),
            "resources.arn" => arn(field, objects),
            _ => Records::Perhaps,
        };
        answer = answer.min(holds);
    }
    if data && s3 { answer } else { Records::No }
}

/// Whether a field with this one value satisfies the selector.
fn one(field: &AdvancedFieldSelector, value: &str) -> Records {
    let positive = !(field.equals().is_empty()
        && field.starts_with().is_empty()
        && field.ends_with().is_empty());
    let any = field.equals().iter().any(|v| v == value)
        || field.starts_with().iter().any(|v| value.starts_with(v))
        || field.ends_with().iter().any(|v| value.ends_with(v));
    let none = !field.not_equals().iter().any(|v| v == value)
        && !field.not_starts_with().iter().any(|v| value.starts_with(v))
        && !field.not_ends_with().iter().any(|v| value.ends_with(v));
    if (any || !positive) && none {
        Records::Yes
    } else {
        Records::No
    }
}

/// The same of the many ARNs of the objects.
fn arn(field: &AdvancedFieldSelector, objects: &str) -> Records {
    if field
        .not_starts_with()
        .iter()
        .any(|v| objects.starts_with(v.as_str()))
    {
        return Records::No;
    }
    let positive = !(field.equals().is_empty()
        && field.starts_with().is_empty()
        && field.ends_with().is_empty());
    let met = field.equals().iter().any(|v| v.starts_with(objects))
        || field.starts_with().iter().any(|v| meet(v, objects));
    if !field.ends_with().is_empty() || !field.not_ends_with().is_empty() {
        return Records::Perhaps;
    }
    if positive && !met {
        Records::No
    } else {
        Records::Yes
    }
}

pub(crate) fn own_reads(
    trails: &Result<Vec<Trail>, Fault>,
    objects: &str,
    bucket_arn: &str,
    caller: Option<&str>,
) -> Check {
    let (id, title) = ("own-reads", "our own reads as records");
    let trails = match trails {
        Ok(trails) => trails,
        Err(fault) => return fault.check(id, title, "cloudtrail:DescribeTrails"),
    };
    if trails.is_empty() {
        let seen = "no trail is to be seen from this account and region; one elsewhere may record data events on the bucket";
        return Check::new(id, title, Outcome::Unknown, seen);
    }
    let mut worst = Records::No;
    let mut named = Vec::new();
    let mut hidden = None;
    for trail in trails {
        match &trail.selectors {
            Ok(selectors) => {
                let found = records(selectors, objects);
                if found != Records::No {
                    named.push(printable(&trail.name).into_owned());
                }
                worst = worst.max(found);
            }
            Err(fault) => hidden = Some((fault, printable(&trail.name).into_owned())),
        }
    }
    let fix = || {
        let role = role(caller.unwrap_or_default()).unwrap_or_else(|| "ROLE-ARN".to_owned());
        format!(
            "drop them with --own-calls {}, or leave the bucket out of the trail's data events: a field \
             selector {{\"Field\": \"resources.ARN\", \"NotStartsWith\": [\"{bucket_arn}/\"]}}",
            crate::shell::quote(&role)
        )
    };
    match (worst, hidden) {
        (Records::Yes, _) => Check::new(
            id,
            title,
            Outcome::Warn,
            format!("{} records data events on this bucket: each file that is read makes a record of its own, which is read in turn", named.join(", ")),
        )
        .with_fix(fix()),
        (Records::Perhaps, _) => Check::new(
            id,
            title,
            Outcome::Warn,
            format!("{} may record reads of this bucket, under conditions that are not decided here", named.join(", ")),
        )
        .with_fix(fix()),
        (Records::No, Some((fault, trail))) => {
            let mut check = fault.check(id, title, "cloudtrail:GetEventSelectors");
            check.seen = format!("{trail}: {}", check.seen);
            check
        }
        (Records::No, None) => Check::new(
            id,
            title,
            Outcome::Pass,
            format!("none of the {} trails to be seen from this account and region records reads of the bucket", trails.len()),
        ),
    }
}

/// The role behind an assumed role's session: `arn:aws:sts::1:assumed-role/name/session`.
/// A role's path is not in there; whoever has one must put it in.
fn role(caller: &str) -> Option<String> {
    let (head, rest) = caller.split_once(":assumed-role/")?;
    let (name, _) = rest.split_once('/')?;
    let head = head.replacen(":sts:", ":iam:", 1);
    Some(format!("{head}:role/{name}"))
}

/// The trail that writes to the bucket, and whether the prefix is the trail's.
pub(crate) fn trail(trails: &Result<Vec<Trail>, Fault>, bucket: &str, prefix: &str) -> Check {
    let (id, title) = ("trail", "trail that writes here");
    let trails = match trails {
        Ok(trails) => trails,
        Err(fault) => return fault.check(id, title, "cloudtrail:DescribeTrails"),
    };
    let mut here = trails.iter().filter(|t| t.bucket == bucket).peekable();
    let Some(first) = here.peek() else {
        let seen = "no trail to be seen from this account and region writes to the bucket (one of another account may)";
        return Check::new(id, title, Outcome::Unknown, seen);
    };
    let (first, mut names) = ((*first).clone(), Vec::new());
    let mut fits = false;
    for trail in here {
        let base = if trail.prefix.is_empty() {
            String::new()
        } else {
            format!("{}/", trail.prefix)
        };
        let root = format!("{base}AWSLogs/");
        fits |= root.starts_with(prefix) || prefix.starts_with(&root);
        names.push(format!(
            "{} to {:?}",
            printable(&trail.name),
            printable(&root)
        ));
    }
    let seen = names.join(", ");
    if fits {
        return Check::new(id, title, Outcome::Pass, seen);
    }
    let base = if first.prefix.is_empty() {
        String::new()
    } else {
        format!("{}/", first.prefix)
    };
    Check::new(
        id,
        title,
        Outcome::Warn,
        format!("{seen}: not below {:?}", printable(prefix)),
    )
    .with_fix(format!(
        "name the source {}",
        crate::shell::quote(&format!("s3://{bucket}/{base}"))
    ))
}

#[cfg(test)]
#[path = "trails_tests.rs"]
mod tests;
