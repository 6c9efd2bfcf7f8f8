//! What a queue's attributes mean for a run; pure.

use std::collections::BTreeMap;
use std::time::Duration;

use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};
use serde_json::Value;

use super::fault::{Fault, FaultKind};
use super::fix::{allow, aws, may_send};
use super::notification::Way;
use super::policy::{NoPolicy, Source, sending};

/// A queue as `GetQueueAttributes` shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub(crate) url: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Queue {
    fn text(&self, name: &str) -> Option<&str> {
        self.attributes
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn arn(&self) -> Option<&str> {
        self.text("QueueArn")
    }

    fn set(&self, attributes: &Value) -> String {
        aws(&[
            "sqs",
            "set-queue-attributes",
            "--queue-url",
            &self.url,
            "--attributes",
            &attributes.to_string(),
        ])
    }
}

/// What a redrive policy says; numbers come as numbers or as texts.
pub(crate) struct Redrive {
    pub(crate) target: String,
    most: u64,
}

impl Redrive {
    /// `None` where there is none; an error where there is one that says nothing.
    pub(crate) fn of(queue: &Queue) -> Option<Result<Self, ()>> {
        let policy: Value = match serde_json::from_str(queue.text("RedrivePolicy")?) {
            Ok(policy) => policy,
            Err(_) => return Some(Err(())),
        };
        let target = policy.get("deadLetterTargetArn").and_then(Value::as_str);
        let most = policy.get("maxReceiveCount");
        let most = most.and_then(|n| n.as_u64().or_else(|| n.as_str()?.trim().parse().ok()));
        Some(match (target, most) {
            (Some(target), Some(most)) => Ok(Self {
                target: target.to_owned(),
                most,
            }),
            _ => Err(()),
        })
    }
}

/// How long things are expected to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the receive of a message to the end of its files.
    pub(crate) expected: Duration,
    /// The sink outage that nothing may be lost in.
    pub(crate) outage: Duration,
}

const DAY: u64 = 86_400;

pub(crate) fn exists(url: &str, queue: &Result<Queue, Fault>) -> Check {
    let (id, title) = ("queue", "queue");
    let queue = match queue {
        Ok(queue) => queue,
        Err(fault) if fault.kind == FaultKind::Missing => {
            return Check::new(
                id,
                title,
                Outcome::Fail,
                format!("there is no queue {} ({})", printable(url), fault.said),
            )
            .with_fix("check the address, its region and its account: aws sqs list-queues");
        }
        Err(fault) => return fault.without(id, title, "sqs:GetQueueAttributes"),
    };
    let waiting = queue
        .number("ApproximateNumberOfMessages")
        .unwrap_or_default();
    let flight = queue
        .number("ApproximateNumberOfMessagesNotVisible")
        .unwrap_or_default();
    let arn = queue.arn().unwrap_or("no ARN");
    let seen = format!("{arn}: messages waiting, about: {waiting}; in flight: {flight}");
    if queue
        .text("FifoQueue")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        || arn.ends_with(".fifo")
    {
        return Check::new(
            id,
            title,
            Outcome::Fail,
            format!("{seen}; it is a FIFO queue, which S3 cannot notify"),
        )
        .with_fix("use a standard queue");
    }
    Check::new(id, title, Outcome::Pass, seen)
}

/// Messages are encrypted with a key that their senders must be able to use.
pub(crate) fn encryption(queue: &Queue) -> Check {
    let (id, title) = ("queue-encryption", "queue's encryption");
    let Some(key) = queue.text("KmsMasterKeyId") else {
        return Check::new(
            id,
            title,
            Outcome::Pass,
            "no KMS key that a sender would need",
        );
    };
    let shown = printable(key);
    if key.ends_with("alias/aws/sqs") {
        return Check::new(
            id,
            title,
            Outcome::Fail,
            format!("{shown} is AWS's own key, whose policy lets neither S3 nor SNS nor EventBridge use it: their messages never arrive"),
        )
        .with_fix(queue.set(&serde_json::json!({"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"})));
    }
    let statement = serde_json::json!({
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
    });
    Check::new(
        id,
        title,
        Outcome::Unknown,
        format!("encrypted with {shown}: its policy, which is not looked at, must let the sender use it, and this caller decrypt with it"),
    )
    .with_fix(format!("the key's policy needs: {statement}"))
}

/// The source extends while it works; this is how long a dead reader's message rests.
pub(crate) fn visibility(queue: &Queue, times: &Times) -> Check {
    let (id, title) = ("queue-visibility", "visibility timeout");
    let Some(seconds) = queue.number("VisibilityTimeout") else {
        return Check::new(id, title, Outcome::Unknown, "the queue does not say");
    };
    let expected = times.expected.as_secs();
    let wanted = expected.clamp(60, 43_200);
    let fix = queue.set(&serde_json::json!({"VisibilityTimeout": wanted.to_string()}));
    let check = |outcome, text: String| Check::new(id, title, outcome, text);
    match seconds {
        0..=9 => check(
            Outcome::Fail,
            format!("{seconds} s: a message comes back before it can be extended"),
        )
        .with_fix(fix),
        s if s < expected || s < 30 => check(
            Outcome::Warn,
            format!("{s} s, less than the {expected} s a message is expected to take: one late extension, and another reader does its work again"),
        )
        .with_fix(fix),
        s if s > 3600 => check(
            Outcome::Warn,
            format!("{s} s: what a reader held that died rests that long before another takes it"),
        )
        .with_fix(fix),
        s => check(Outcome::Pass, format!("{s} s; it is extended while a message is worked on")),
    }
}

pub(crate) fn retention(queue: &Queue, times: &Times) -> Check {
    let (id, title) = ("queue-retention", "message retention");
    let Some(seconds) = queue.number("MessageRetentionPeriod") else {
        return Check::new(id, title, Outcome::Unknown, "the queue does not say");
    };
    let seen = format!("{} h", seconds / 3600);
    let fix = queue.set(&serde_json::json!({"MessageRetentionPeriod": (14 * DAY).to_string()}));
    if seconds <= times.outage.as_secs() {
        let seen =
            format!("{seen}: an outage of that length deletes notifications that nobody read");
        return Check::new(id, title, Outcome::Fail, seen).with_fix(fix);
    }
    if seconds < 4 * DAY {
        let seen = format!(
            "{seen}: less than a long weekend, after which notifications are deleted unread"
        );
        return Check::new(id, title, Outcome::Warn, seen).with_fix(fix);
    }
    Check::new(id, title, Outcome::Pass, seen)
}

/// `letters` is the dead-letter queue, where there is one to ask for.
pub(crate) fn dead_letters(
    queue: &Queue,
    letters: Option<&Result<Queue, Fault>>,
    times: &Times,
) -> Check {
    let (id, title) = ("dead-letters", "dead-letter queue");
    let check = |outcome, text: String| Check::new(id, title, outcome, text);
    let redrive = match Redrive::of(queue) {
        None => {
            return check(
                Outcome::Warn,
                "there is none: a message that ends its reader each time comes back until it expires".to_owned(),
            )
            .with_fix(format!("{} (its ARN in deadLetterTargetArn)", queue.set(&serde_json::json!({
                "RedrivePolicy": serde_json::json!({"deadLetterTargetArn": "DEAD-LETTER-QUEUE-ARN", "maxReceiveCount": least(queue, times)}).to_string()
            }))));
        }
        Some(Err(())) => {
            return check(
                Outcome::Unknown,
                "its redrive policy cannot be read".to_owned(),
            );
        }
        Some(Ok(redrive)) => redrive,
    };
    let target = printable(&redrive.target).into_owned();
    if queue.arn() == Some(redrive.target.as_str()) {
        return check(Outcome::Fail, format!("{target} is the queue itself"));
    }
    let letters = match letters {
        Some(Err(fault)) if fault.kind == FaultKind::Missing => {
            return check(
                Outcome::Fail,
                format!("{target} does not exist: what should go there is lost"),
            );
        }
        Some(Ok(letters)) => Some(letters),
        _ => None,
    };
    let least = least(queue, times);
    let policy =
        serde_json::json!({"deadLetterTargetArn": redrive.target, "maxReceiveCount": least});
    let raise = queue.set(&serde_json::json!({"RedrivePolicy": policy.to_string()}));
    if redrive.most < 5 {
        return check(
            Outcome::Fail,
            format!("{target} after {} receives: a few restarts, or a short outage of the sink, move good notifications there", redrive.most),
        )
        .with_fix(raise);
    }
    if redrive.most < least {
        let hours = times.outage.as_secs() / 3600;
        return check(
            Outcome::Warn,
            format!(
                "{target} after {} receives: where messages are released and received again all through an \
                 outage of {hours} h, they end up there (it takes {least} at this visibility timeout)",
                redrive.most
            ),
        )
        .with_fix(raise);
    }
    let Some(letters) = letters else {
        let why = "its own settings were not seen: sqs:GetQueueUrl and sqs:GetQueueAttributes on it are missing";
        return check(
            Outcome::Unknown,
            format!("{target} after {} receives; {why}", redrive.most),
        );
    };
    let own = queue.number("MessageRetentionPeriod").unwrap_or_default();
    let theirs = letters.number("MessageRetentionPeriod").unwrap_or_default();
    if theirs <= own && theirs < 14 * DAY {
        return check(
            Outcome::Warn,
            format!("{target} keeps messages {} h, the queue {} h: a message keeps its first time stamp when it is moved, so it may expire at once", theirs / 3600, own / 3600),
        )
        .with_fix(letters.set(&serde_json::json!({"MessageRetentionPeriod": (14 * DAY).to_string()})));
    }
    let held = letters
        .number("ApproximateNumberOfMessages")
        .unwrap_or_default();
    if held > 0 {
        return check(
            Outcome::Warn,
            format!(
                "about {held} messages lie in {target}: their files were not delivered by them"
            ),
        )
        .with_fix(aws(&[
            "sqs",
            "start-message-move-task",
            "--source-arn",
            &redrive.target,
        ]));
    }
    check(
        Outcome::Pass,
        format!("{target} after {} receives; it is empty", redrive.most),
    )
}

/// As many receives as fit into an outage, at this visibility timeout.
fn least(queue: &Queue, times: &Times) -> u64 {
    let visibility = queue.number("VisibilityTimeout").unwrap_or(30).max(1);
    // SQS takes 1 to 1,000.
    times.outage.as_secs().div_ceil(visibility).clamp(5, 1000)
}

/// The account that an ARN names, which that of a bucket does not.
fn owner(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

const NEVER: &str = "may not send";

/// Whether those that are to send may, and nobody else. `account` is the bucket's,
/// where it is known.
pub(crate) fn policy(
    queue: &Queue,
    bucket_arn: Option<&str>,
    account: Option<&str>,
    ways: &[Way],
) -> Check {
    let (id, title) = ("queue-policy", "queue's policy");
    let check = |outcome, text: String| Check::new(id, title, outcome, text);
    let arn = queue.arn().unwrap_or_default();
    let partition = arn.split(':').nth(1).unwrap_or("aws");
    let s3 = format!("arn:{partition}:s3:");
    let events = format!("arn:{partition}:events:");
    let sns = format!("arn:{partition}:sns:");
    let bucket = match bucket_arn {
        Some(arn) => Source::Arn { arn, account },
        None => Source::Any { begins: &s3 },
    };
    // Who has to get in, as far as it is known; any of them where it is not.
    let mut senders: Vec<(&str, Source<'_>, String)> = Vec::new();
    for way in ways {
        senders.push(match way {
            Way::Bucket => (
                "s3.amazonaws.com",
                bucket,
                bucket_arn.unwrap_or("BUCKET-ARN").to_owned(),
            ),
            Way::Topic(topic) | Way::TrailTopic(topic) => (
                "sns.amazonaws.com",
                Source::Arn {
                    arn: topic,
                    account: owner(topic),
                },
                topic.clone(),
            ),
            Way::Bridge => (
                "events.amazonaws.com",
                Source::Any { begins: &events },
                "RULE-ARN".to_owned(),
            ),
        });
    }
    if senders.is_empty() {
        senders = vec![
            (
                "s3.amazonaws.com",
                bucket,
                bucket_arn.unwrap_or("BUCKET-ARN").to_owned(),
            ),
            (
                "sns.amazonaws.com",
                Source::Any { begins: &sns },
                "TOPIC-ARN".to_owned(),
            ),
            (
                "events.amazonaws.com",
                Source::Any { begins: &events },
                "RULE-ARN".to_owned(),
            ),
        ];
    }
    let needed = |service: &str, source: &str| {
        let account = account.filter(|_| service == "s3.amazonaws.com");
        format!(
            "add to the queue's policy: {}",
            may_send(service, arn, source, account)
        )
    };
    let (first, _, source) = &senders[0];
    let fix = needed(first, source);
    let Some(text) = queue.text("Policy") else {
        return check(
            Outcome::Fail,
            "there is none: no other service may send to the queue".to_owned(),
        )
        .with_fix(fix);
    };
    let mut allowed = Vec::new();
    let mut why = Vec::new();
    // What would let the first in that is not.
    let mut refused = None;
    for (service, source, wanted) in &senders {
        let grant = match sending(text, service, arn, source) {
            Ok(grant) => grant,
            Err(NoPolicy) => {
                return check(Outcome::Unknown, "the policy cannot be read".to_owned());
            }
        };
        if !grant.denials.is_empty() {
            let sids = grant.denials.join(", ");
            return check(
                Outcome::Unknown,
                format!(
                    "a Deny may keep {service} out ({sids}); its conditions are not decided here"
                ),
            );
        }
        if grant.allowed && grant.unbounded {
            return check(
                Outcome::Warn,
                format!("{service} may send without a condition on aws:SourceArn: anyone's bucket, topic or rule can put messages here"),
            )
            .with_fix(needed(service, wanted));
        }
        if grant.allowed {
            allowed.push(*service);
            continue;
        }
        if !grant.accounts.is_empty() {
            let accounts = grant.accounts.join(", ");
            why.push(format!(
                "whether {service} may send hangs on the account: {accounts} alone is let in"
            ));
        } else if !grant.others.is_empty() {
            refused.get_or_insert_with(|| needed(service, wanted));
            why.push(format!(
                "{service} may send for {} only",
                grant.others.join(", ")
            ));
        } else if !grant.undecided.is_empty() {
            why.push(format!(
                "whether {service} may send hangs on {}",
                grant.undecided.join(", ")
            ));
        } else {
            refused.get_or_insert_with(|| needed(service, wanted));
            why.push(format!("{service} {NEVER}"));
        }
    }
    // Where it is not known who is to send, whoever the policy says nothing of is no news.
    if ways.is_empty() && why.iter().any(|w| !w.ends_with(NEVER)) {
        why.retain(|w| !w.ends_with(NEVER));
    }
    let lets = format!("lets {} in", allowed.join(" and "));
    if !allowed.is_empty() && (why.is_empty() || ways.is_empty()) {
        return check(Outcome::Pass, lets);
    }
    if !allowed.is_empty() {
        why.insert(0, lets);
    }
    match refused {
        // Of several ways that there are, one ends at the queue's door.
        Some(fix) if !allowed.is_empty() => check(Outcome::Warn, why.join("; ")).with_fix(fix),
        _ if why.iter().any(|w| w.contains("on the account")) => {
            let fix = match bucket_arn {
                Some(_) => "say whose the bucket is, to have this checked: --bucket-owner ACCOUNT",
                None => "name the bucket, to have this checked: s3://BUCKET --queue-url URL",
            };
            check(Outcome::Unknown, why.join("; ")).with_fix(fix)
        }
        _ if why.iter().any(|w| w.contains("hangs on")) => check(Outcome::Unknown, why.join("; ")),
        _ => check(Outcome::Fail, why.join("; ")).with_fix(fix),
    }
}

/// What reading messages needs beside what was tried.
pub(crate) fn receive(queue: &Queue, delete: &Result<(), Fault>) -> Check {
    let (id, title) = ("queue-receive", "permission to receive and delete");
    let actions = [
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
    ];
    let fix = allow(&actions, queue.arn().unwrap_or("QUEUE-ARN"));
    match delete {
        // The receipt is made up: whoever may delete is told that it is none.
        Err(fault) if fault.kind == FaultKind::Denied => Check::new(
            id,
            title,
            Outcome::Fail,
            format!("sqs:ChangeMessageVisibility is missing ({})", fault.said),
        )
        .with_fix(fix),
        Err(fault) if fault.kind != FaultKind::Refused => {
            fault.check(id, title, "sqs:ChangeMessageVisibility")
        }
        _ => Check::new(
            id,
            title,
            Outcome::Unknown,
            "sqs:ChangeMessageVisibility was not denied; receiving and deleting were not tried, as \
             a receive counts towards the dead letters",
        )
        .with_fix(fix),
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
