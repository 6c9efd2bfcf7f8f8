use aws_sdk_s3::types::{
    EventBridgeConfiguration, LambdaFunctionConfiguration, TopicConfiguration,
};
use proptest::prelude::*;

use super::*;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";

fn ours() -> Ours {
    Ours::new("ctforward", QUEUE)
        .prefix("AWSLogs/")
        .suffix(".json.gz")
}

fn filter(prefix: &str, suffix: &str) -> NotificationConfigurationFilter {
    let rule = |name, value: &str| FilterRule::builder().name(name).value(value).build();
    let key = S3KeyFilter::builder()
        .filter_rules(rule(FilterRuleName::Prefix, prefix))
        .filter_rules(rule(FilterRuleName::Suffix, suffix))
        .build();
    NotificationConfigurationFilter::builder().key(key).build()
}

#[derive(Clone, Debug)]
struct Foreign {
    kind: u8,
    id: Option<String>,
    event: &'static str,
    prefix: String,
    suffix: String,
}

fn foreign() -> impl Strategy<Value = Foreign> {
    let event = prop::sample::select(vec![
        "s3:ObjectCreated:*",
        "s3:ObjectCreated:Put",
        "s3:ObjectRemoved:*",
        "s3:SomethingNew:*",
    ]);
    let prefix = prop::sample::select(vec!["", "AWSLogs/", "AWSLogs/1", "images/", "x/AWSLogs/"]);
    let suffix = prop::sample::select(vec!["", ".json.gz", ".gz", ".jpg"]);
    (
        0..3u8,
        prop::option::of("[a-e]{1,3}"),
        event,
        prefix,
        suffix,
    )
        .prop_map(|(kind, id, event, prefix, suffix)| Foreign {
            kind,
            id,
            event,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        })
}

fn configuration(all: &[Foreign], bridge: bool) -> NotificationConfiguration {
    let mut out = NotificationConfiguration::builder();
    for (at, one) in all.iter().enumerate() {
        let (event, filter) = (Event::from(one.event), filter(&one.prefix, &one.suffix));
        // Ids are unique within a configuration.
        let id = one.id.as_ref().map(|id| format!("{id}{at}"));
        out = match one.kind {
            0 => out.queue_configurations(
                QueueConfiguration::builder()
                    .set_id(id)
                    .queue_arn("arn:aws:sqs:eu-west-1:1:foreign")
                    .events(event)
                    .filter(filter)
                    .build()
                    .unwrap(),
            ),
            1 => out.topic_configurations(
                TopicConfiguration::builder()
                    .set_id(id)
                    .topic_arn("arn:aws:sns:eu-west-1:1:foreign")
                    .events(event)
                    .filter(filter)
                    .build()
                    .unwrap(),
            ),
            _ => out.lambda_function_configurations(
                LambdaFunctionConfiguration::builder()
                    .set_id(id)
                    .lambda_function_arn("arn:aws:lambda:eu-west-1:1:function:foreign")
                    .events(event)
                    .filter(filter)
                    .build()
                    .unwrap(),
            ),
        };
    }
    if bridge {
        out = out.event_bridge_configuration(EventBridgeConfiguration::builder().build());
    }
    out.build()
}

/// What of a configuration is not ours, with empty and missing lists taken for the same.
fn others(configuration: &NotificationConfiguration) -> NotificationConfiguration {
    NotificationConfiguration::builder()
        .set_queue_configurations(Some(
            configuration
                .queue_configurations()
                .iter()
                .filter(|c| c.id() != Some("ctforward"))
                .cloned()
                .collect(),
        ))
        .set_topic_configurations(Some(configuration.topic_configurations().to_vec()))
        .set_lambda_function_configurations(Some(
            configuration.lambda_function_configurations().to_vec(),
        ))
        .set_event_bridge_configuration(configuration.event_bridge_configuration().cloned())
        .build()
}

#[test]
fn ours_is_added_once_changed_in_place_and_taken_out() {
    let empty = NotificationConfiguration::builder().build();
    let first = merge(&empty, &ours()).unwrap();
    assert!(matches!(first.difference, Difference::Added(_)));
    let again = merge(&first.configuration, &ours()).unwrap();
    assert_eq!(again.difference, Difference::Nothing);
    assert_eq!(again.configuration, first.configuration);

    // Another prefix overlaps with our own old entry, and with no one else's.
    let wider = merge(&first.configuration, &ours().prefix("")).unwrap();
    let Difference::Replaced { was, now } = &wider.difference else {
        panic!("{wider:?}");
    };
    assert_eq!((was.prefix.as_str(), now.prefix.as_str()), ("AWSLogs/", ""));
    assert_eq!(entries(&wider.configuration).len(), 1);

    let gone = remove(&wider.configuration, "ctforward");
    assert!(matches!(gone.difference, Difference::Removed(_)));
    assert!(entries(&gone.configuration).is_empty());
    assert_eq!(
        remove(&gone.configuration, "ctforward").difference,
        Difference::Nothing
    );
    assert!(merge(&empty, &Ours::new("", QUEUE)).is_err());
}

#[test]
fn what_s3_would_refuse_is_refused_with_the_name_of_the_other() {
    let mut other = Foreign {
        kind: 1,
        id: Some("theirs".to_owned()),
        event: "s3:ObjectCreated:Put",
        prefix: String::new(),
        suffix: ".gz".to_owned(),
    };
    let error = merge(&configuration(&[other.clone()], false), &ours()).unwrap_err();
    assert!(error.message().contains("theirs0"), "{error}");
    assert!(error.message().contains("EventBridge"), "{error}");
    other.event = "s3:ObjectRemoved:*";
    assert!(merge(&configuration(&[other.clone()], false), &ours()).is_ok());
    // A topic that took our id is not ours to replace.
    let topic = TopicConfiguration::builder()
        .id("ctforward")
        .topic_arn("arn:aws:sns:eu-west-1:1:t")
        .events(Event::S3ObjectRemoved)
        .build()
        .unwrap();
    let taken = NotificationConfiguration::builder()
        .topic_configurations(topic)
        .build();
    assert!(
        merge(&taken, &ours())
            .unwrap_err()
            .message()
            .contains("another id")
    );
    assert_eq!(remove(&taken, "ctforward").configuration, taken);
}

#[test]
fn the_json_is_what_the_command_line_takes() {
    let merged = merge(&configuration(&[], true), &ours()).unwrap();
    assert_eq!(
        to_json(&merged.configuration),
        json!({
            "QueueConfigurations": [{
                "Id": "ctforward",
                "QueueArn": QUEUE,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [
                    {"Name": "prefix", "Value": "AWSLogs/"},
                    {"Name": "suffix", "Value": ".json.gz"},
                ]}},
            }],
            "EventBridgeConfiguration": {},
        })
    );
}

proptest! {
    #[test]
    fn foreign_entries_survive_install_update_and_removal(
        all in prop::collection::vec(foreign(), 0..5),
        bridge in any::<bool>(),
        prefixes in prop::collection::vec(prop::sample::select(vec!["", "AWSLogs/", "y/"]), 1..4),
    ) {
        let before = configuration(&all, bridge);
        let mut now = before.clone();
        for prefix in prefixes {
            // A refusal changes nothing; what is taken keeps every other entry.
            if let Ok(merged) = merge(&now, &ours().prefix(prefix)) {
                prop_assert_eq!(others(&merged.configuration), others(&before));
                let mine = entries(&merged.configuration)
                    .into_iter()
                    .filter(|e| e.id.as_deref() == Some("ctforward"))
                    .count();
                prop_assert!(mine <= 1);
                now = merged.configuration;
            }
        }
        let gone = remove(&now, "ctforward");
        prop_assert_eq!(others(&gone.configuration), others(&before));
        prop_assert_eq!(entries(&gone.configuration).len(), entries(&before).len());
    }

    #[test]
    fn what_is_merged_overlaps_with_nothing(all in prop::collection::vec(foreign(), 0..5)) {
        let before = configuration(&all, false);
        if let Ok(merged) = merge(&before, &ours()) {
            let all = entries(&merged.configuration);
            if let Some(mine) = all.iter().find(|e| e.id.as_deref() == Some("ctforward")) {
                prop_assert!(all.iter().all(|e| e.id == mine.id || !overlaps(e, mine)));
            }
        } else {
            let mine = merge(&configuration(&[], false), &ours()).unwrap();
            let mine = entries(&mine.configuration).remove(0);
            prop_assert!(entries(&before).iter().any(|e| overlaps(e, &mine)));
        }
    }
}
