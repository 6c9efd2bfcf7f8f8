//! Whether the bucket's notifications reach the queue; pure.

use aws_sdk_s3::types::NotificationConfiguration;
use ctforward_core::key::{Folder, Level};
use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};

use super::fault::Fault;
use super::fix::aws;
use crate::notify_setup::{Entry, Ours, entries, merge, to_json};

const ID: &str = "notification";
const TITLE: &str = "notifications reach the queue";

/// The id under which this project sets up its entry.
pub(crate) const OUR_ID: &str = "ctforward";

/// A way on which notifications may reach the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The bucket sends to the queue.
    Bucket,
    /// The bucket sends to this topic.
    Topic(String),
    /// The bucket sends to EventBridge.
    Bridge,
    /// A trail sends to this topic.
    TrailTopic(String),
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) queue_arn: Option<&'a str>,
    pub(crate) sample: Option<&'a str>,
    /// Topics that trails which write to this bucket notify.
    pub(crate) trail_topics: &'a [String],
}

/// The ways that there are.
pub(crate) fn ways(configuration: &NotificationConfiguration, asked: &Asked<'_>) -> Vec<Way> {
    let all = entries(configuration);
    let mut ways = Vec::new();
    if all
        .iter()
        .any(|e| asked.queue_arn == Some(e.destination.as_str()) && e.sees_puts())
    {
        ways.push(Way::Bucket);
    }
    for topic in all
        .iter()
        .filter(|e| e.destination.contains(":sns:") && e.sees_puts())
    {
        ways.push(Way::Topic(topic.destination.clone()));
    }
    if configuration.event_bridge_configuration().is_some() {
        ways.push(Way::Bridge);
    }
    ways.extend(asked.trail_topics.iter().cloned().map(Way::TrailTopic));
    ways
}

pub(crate) fn check(
    configuration: &Result<NotificationConfiguration, Fault>,
    asked: &Asked<'_>,
) -> Check {
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(fault) => return fault.check(ID, TITLE, "s3:GetBucketNotification"),
    };
    let Some(queue) = asked.queue_arn else {
        return Check::new(ID, TITLE, Outcome::Unknown, "the queue's ARN is not known");
    };
    let all = entries(configuration);
    let here: Vec<&Entry> = all.iter().filter(|e| e.destination == queue).collect();
    let ways = ways(configuration, asked);
    let others: Vec<&Way> = ways.iter().filter(|way| **way != Way::Bucket).collect();
    if let Some(check) = direct(&here, configuration, asked, &others) {
        return check;
    }
    if others.is_empty() {
        let seen = match all.len() {
            0 => "the bucket notifies nobody of new objects".to_owned(),
            n => format!("no notification of the bucket's ({n}) goes to this queue"),
        };
        return Check::new(ID, TITLE, Outcome::Fail, seen).with_fix(install(
            configuration,
            asked,
            queue,
        ));
    }
    let names: Vec<String> = others.iter().map(|way| name(way)).collect();
    let commands: Vec<String> = others.iter().map(|way| look(way, queue)).collect();
    Check::new(
        ID,
        TITLE,
        Outcome::Unknown,
        format!(
            "the bucket does not notify this queue itself; it may be reached by {}, whose targets \
             are not looked at",
            names.join(" and by ")
        ),
    )
    .with_fix(format!("look for the queue in: {}", commands.join(" ; ")))
}

/// What the entries that go straight to the queue come to; `None` where there are none.
fn direct(
    here: &[&Entry],
    configuration: &NotificationConfiguration,
    asked: &Asked<'_>,
    others: &[&Way],
) -> Option<Check> {
    let queue = asked.queue_arn?;
    if here.is_empty() {
        return None;
    }
    let check = |outcome, seen: String| Check::new(ID, TITLE, outcome, seen);
    let fix = || install(configuration, asked, queue);
    let told: Vec<&&Entry> = here.iter().filter(|e| e.sees_puts()).collect();
    if told.is_empty() {
        let seen = "the bucket notifies the queue, but not of new objects (s3:ObjectCreated:*)";
        return Some(check(Outcome::Fail, seen.to_owned()).with_fix(fix()));
    }
    let shown = |e: &Entry| {
        format!(
            "the entry {} for {}…{}",
            printable(e.id.as_deref().unwrap_or("without an id")),
            printable(&e.prefix),
            printable(&e.suffix)
        )
    };
    let suits = |e: &&&&Entry| match asked.sample {
        Some(key) => e.takes(key),
        None => {
            (e.prefix.starts_with(asked.prefix) || asked.prefix.starts_with(&e.prefix))
                && ".json.gz".ends_with(&e.suffix)
        }
    };
    let Some(entry) = told.iter().find(suits) else {
        let seen = format!(
            "{} does not take the log files of this source",
            shown(told[0])
        );
        return Some(check(Outcome::Fail, seen).with_fix(fix()));
    };
    let within = matches!(
        Folder::parse(&entry.prefix).level,
        Level::Outside | Level::Root | Level::Organisation
    );
    if !asked.prefix.starts_with(&entry.prefix) && !within || !".json.gz".ends_with(&entry.suffix) {
        let seen = format!("{} takes only a part of this source", shown(entry));
        return Some(check(Outcome::Warn, seen).with_fix(fix()));
    }
    if let Some(way) = others.first() {
        let seen = format!(
            "{} reaches the queue; where {} reaches it too, each file is notified twice, which \
             costs requests and doubles nothing",
            shown(entry),
            name(way)
        );
        return Some(check(Outcome::Pass, seen));
    }
    Some(check(
        Outcome::Pass,
        format!("{} reaches the queue", shown(entry)),
    ))
}

fn name(way: &Way) -> String {
    match way {
        Way::Bucket => "the bucket".to_owned(),
        Way::Topic(arn) => format!("the topic {}", printable(arn)),
        Way::TrailTopic(arn) => format!("the trail's topic {}", printable(arn)),
        Way::Bridge => "EventBridge (it is on)".to_owned(),
    }
}

fn look(way: &Way, queue: &str) -> String {
    match way {
        Way::Topic(arn) | Way::TrailTopic(arn) => {
            aws(&["sns", "list-subscriptions-by-topic", "--topic-arn", arn])
        }
        Way::Bridge | Way::Bucket => {
            aws(&["events", "list-rule-names-by-target", "--target-arn", queue])
        }
    }
}

/// Our id, or, where that stands for another queue's notifications already, one that
/// stands for nothing: the command to copy takes nobody's notifications away.
fn free_id(configuration: &NotificationConfiguration, queue: &str) -> String {
    let all = entries(configuration);
    let taken = |id: &str| {
        let mut ours = all.iter().filter(|e| e.id.as_deref() == Some(id));
        ours.any(|e| e.destination != queue)
    };
    let ids = (2_u32..).map(|n| format!("{OUR_ID}-{n}"));
    std::iter::once(OUR_ID.to_owned())
        .chain(ids)
        .find(|id| !taken(id))
        .unwrap_or_else(|| OUR_ID.to_owned())
}

/// The command that puts ours beside what is there, all of it included.
fn install(configuration: &NotificationConfiguration, asked: &Asked<'_>, queue: &str) -> String {
    let ours = Ours::new(free_id(configuration, queue), queue)
        .prefix(asked.prefix)
        .suffix(".json.gz");
    match merge(configuration, &ours) {
        Ok(merged) => aws(&[
            "s3api",
            "put-bucket-notification-configuration",
            "--bucket",
            asked.bucket,
            "--notification-configuration",
            &to_json(&merged.configuration).to_string(),
        ]),
        Err(error) => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{EventBridgeConfiguration, TopicConfiguration};

    use super::super::fault::FaultKind;
    use super::super::place::tests::fault;
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";
    const SAMPLE: &str = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1205Z_abcdefghijklmnop.json.gz";

    fn asked<'a>(prefix: &'a str, sample: Option<&'a str>) -> Asked<'a> {
        Asked {
            bucket: "trail",
            prefix,
            queue_arn: Some(QUEUE),
            sample,
            trail_topics: &[],
        }
    }

    fn to(queue: &str, prefix: &str, suffix: &str) -> NotificationConfiguration {
        let empty = NotificationConfiguration::builder().build();
        let ours = Ours::new("theirs", queue).prefix(prefix).suffix(suffix);
        merge(&empty, &ours).unwrap().configuration
    }

    fn bridged(mut configuration: NotificationConfiguration) -> NotificationConfiguration {
        configuration.event_bridge_configuration =
            Some(EventBridgeConfiguration::builder().build());
        configuration
    }

    #[test]
    fn each_way_and_each_filter() {
        let empty = NotificationConfiguration::builder().build();
        let topic = TopicConfiguration::builder()
            .topic_arn("arn:aws:sns:eu-west-1:1:t")
            .events(aws_sdk_s3::types::Event::S3ObjectCreated)
            .build()
            .unwrap();
        let topic = NotificationConfiguration::builder()
            .topic_configurations(topic)
            .build();
        let some = Some(SAMPLE);
        for (configuration, prefix, sample, outcome, text) in [
            (empty.clone(), "", some, Outcome::Fail, "nobody"),
            (
                to("arn:aws:sqs:eu-west-1:1:other", "", ""),
                "",
                some,
                Outcome::Fail,
                "no notification of",
            ),
            (to(QUEUE, "", ""), "", some, Outcome::Pass, "reaches"),
            (
                to(QUEUE, "AWSLogs/", ".json.gz"),
                "",
                some,
                Outcome::Pass,
                "reaches",
            ),
            (
                to(QUEUE, "AWSLogs/", ".gz"),
                "AWSLogs/",
                None,
                Outcome::Pass,
                "reaches",
            ),
            (
                to(QUEUE, "logs/", ""),
                "",
                some,
                Outcome::Fail,
                "does not take",
            ),
            (
                to(QUEUE, "", ".json"),
                "",
                some,
                Outcome::Fail,
                "does not take",
            ),
            (
                to(QUEUE, "images/", ""),
                "AWSLogs/",
                None,
                Outcome::Fail,
                "does not take",
            ),
            (
                to(QUEUE, "AWSLogs/111122223333/", ""),
                "",
                some,
                Outcome::Warn,
                "a part",
            ),
            (bridged(empty), "", some, Outcome::Unknown, "EventBridge"),
            (topic, "", some, Outcome::Unknown, "topic"),
            (bridged(to(QUEUE, "", "")), "", some, Outcome::Pass, "twice"),
        ] {
            let check = check(&Ok(configuration.clone()), &asked(prefix, sample));
            assert_eq!(check.outcome, outcome, "{configuration:?} {check:?}");
            assert!(check.seen.contains(text), "{check:?}");
            assert_eq!(check.fix.is_some(), outcome != Outcome::Pass, "{check:?}");
        }
    }

    #[test]
    fn the_fix_takes_no_other_queues_notifications_away() {
        let empty = NotificationConfiguration::builder().build();
        let other = "arn:aws:sqs:eu-west-1:111122223333:other";
        let theirs = |prefix| {
            let ours = Ours::new(OUR_ID, other).prefix(prefix);
            merge(&empty, &ours).unwrap().configuration
        };
        // Beside each other they can be: both are there afterwards.
        let check = check(&Ok(theirs("images/")), &asked("AWSLogs/", Some(SAMPLE)));
        let fix = check.fix.unwrap();
        assert!(fix.contains(other) && fix.contains(QUEUE), "{fix}");
        assert!(fix.contains("\"ctforward-2\""), "{fix}");
        // Where S3 would refuse that, there is no command.
        let check = super::check(&Ok(theirs("")), &asked("AWSLogs/", Some(SAMPLE)));
        let fix = check.fix.unwrap();
        assert!(
            !fix.starts_with("aws ") && fix.contains("S3 refuses"),
            "{fix}"
        );
        // Our own entry with a filter that does not fit is ours to replace.
        let ours = Ours::new(OUR_ID, QUEUE).prefix("logs/");
        let ours = merge(&empty, &ours).unwrap().configuration;
        let fix = super::check(&Ok(ours), &asked("AWSLogs/", Some(SAMPLE))).fix;
        assert!(fix.is_some_and(|fix| fix.contains("\"ctforward\"") && !fix.contains("logs/\"")));
    }

    #[test]
    fn the_fix_keeps_what_is_there_and_the_topic_of_a_trail_counts() {
        let other = to("arn:aws:sqs:eu-west-1:1:other", "images/", "");
        let check = check(&Ok(other), &asked("AWSLogs/", Some(SAMPLE)));
        let fix = check.fix.unwrap();
        assert!(fix.starts_with("aws s3api put-bucket-notification-configuration --bucket trail"));
        assert!(fix.contains(":other") && fix.contains(QUEUE), "{fix}");

        let topics = ["arn:aws:sns:eu-west-1:1:trail".to_owned()];
        let empty = NotificationConfiguration::builder().build();
        let asked = Asked {
            trail_topics: &topics,
            ..asked("", None)
        };
        let check = super::check(&Ok(empty), &asked);
        assert_eq!(check.outcome, Outcome::Unknown);
        assert!(check.fix.unwrap().contains("list-subscriptions-by-topic"));
        let denied = super::check(&Err(fault(FaultKind::Denied)), &asked);
        assert!(denied.seen.contains("s3:GetBucketNotification"));
        assert_eq!(denied.outcome, Outcome::Unknown);
    }
}
