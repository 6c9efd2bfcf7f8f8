//! Buckets that tell a queue of new objects, and log files to put there.

use std::time::{Duration, Instant};

use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;

use crate::emulator::Emulator;
use crate::support::{gzip, key, log_file, record};

/// The way from the bucket to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Direct,
    Sns,
    SnsRaw,
    EventBridge,
}

/// A bucket and the queue that hears of its new objects.
#[derive(Clone, Debug)]
pub struct Feed {
    pub bucket: String,
    pub queue_url: String,
    pub queue_arn: String,
}

/// Messages of a queue, as it counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub visible: u64,
    /// Received by somebody and not deleted.
    pub in_flight: u64,
    pub delayed: u64,
}

impl Counts {
    pub const EMPTY: Self = Self {
        visible: 0,
        in_flight: 0,
        delayed: 0,
    };
}

const THROUGH_TOPIC: &str = r#"
bucket, queue, raw = args
sns = client('sns')
topic = sns.create_topic(Name=bucket)['TopicArn']
attributes = {'RawMessageDelivery': 'true'} if raw == 'raw' else {}
sns.subscribe(TopicArn=topic, Protocol='sqs', Endpoint=queue, Attributes=attributes)
client('s3').put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
    'TopicConfigurations': [{'TopicArn': topic, 'Events': ['s3:ObjectCreated:*']}]})
"#;

const THROUGH_BUS: &str = r#"
bucket, queue = args
client('s3').put_bucket_notification_configuration(Bucket=bucket,
    NotificationConfiguration={'EventBridgeConfiguration': {}})
events = client('events')
events.put_rule(Name=bucket, EventPattern=json.dumps(
    {'source': ['aws.s3'], 'detail-type': ['Object Created']}))
events.put_targets(Rule=bucket, Targets=[{'Id': '1', 'Arn': queue}])
"#;

impl Emulator {
    /// A queue with this visibility timeout: its address and ARN.
    pub async fn queue(&self, name: &str, visibility: Duration) -> (String, String) {
        let sqs = self.sqs();
        let url = sqs
            .create_queue()
            .queue_name(name)
            .attributes(
                QueueAttributeName::VisibilityTimeout,
                visibility.as_secs().to_string(),
            )
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        let answer = sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .unwrap();
        let arn = answer.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
        (url, arn)
    }

    /// A new bucket whose new objects are told to a new queue, of this visibility
    /// timeout, on the way given.
    pub async fn bucket_with_queue(&self, via: Via, visibility: Duration) -> Feed {
        let bucket = format!("trail-{}", format!("{via:?}").to_lowercase());
        let (queue_url, queue_arn) = self.queue(&bucket, visibility).await;
        let s3 = self.s3();
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        match via {
            Via::Direct => {
                let queue = QueueConfiguration::builder()
                    .queue_arn(&queue_arn)
                    .events(Event::from("s3:ObjectCreated:*"))
                    .build()
                    .unwrap();
                let all = NotificationConfiguration::builder().queue_configurations(queue);
                s3.put_bucket_notification_configuration()
                    .bucket(&bucket)
                    .notification_configuration(all.build())
                    .send()
                    .await
                    .unwrap();
            }
            Via::Sns | Via::SnsRaw => {
                let raw = if via == Via::SnsRaw {
                    "raw"
                } else {
                    "enveloped"
                };
                self.python(THROUGH_TOPIC, &[&bucket, &queue_arn, raw])
                    .await;
            }
            Via::EventBridge => {
                self.python(THROUGH_BUS, &[&bucket, &queue_arn]).await;
            }
        }
        Feed {
            bucket,
            queue_url,
            queue_arn,
        }
    }

    /// Puts a log file with records of these names at a key of the layout, and answers
    /// the key.
    pub async fn put_log_file(&self, bucket: &str, minute: u32, names: &[String]) -> String {
        let key = key("111122223333", "us-east-1", minute);
        let records: Vec<String> = names.iter().map(|name| record(name)).collect();
        self.put(bucket, &key, gzip(log_file(&records).as_bytes()))
            .await;
        key
    }

    pub async fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        let put = self.s3().put_object().bucket(bucket).key(key);
        put.body(bytes.into()).send().await.unwrap();
    }

    pub async fn send(&self, queue_url: &str, body: &str) {
        let send = self.sqs().send_message().queue_url(queue_url);
        send.message_body(body).send().await.unwrap();
    }

    pub async fn queue_counts(&self, queue_url: &str) -> Counts {
        use QueueAttributeName as Name;
        let answer = self
            .sqs()
            .get_queue_attributes()
            .queue_url(queue_url)
            .attribute_names(Name::ApproximateNumberOfMessages)
            .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(Name::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .unwrap();
        let attributes = answer.attributes.unwrap();
        let count = |name| {
            let count: Option<&String> = attributes.get(&name);
            count.map_or(0, |count| count.parse().unwrap())
        };
        Counts {
            visible: count(Name::ApproximateNumberOfMessages),
            in_flight: count(Name::ApproximateNumberOfMessagesNotVisible),
            delayed: count(Name::ApproximateNumberOfMessagesDelayed),
        }
    }

    /// Waits until so many messages are in the queue: notifications may be a moment late.
    pub async fn until_queued(&self, queue_url: &str, messages: u64) {
        until("the notifications", async || {
            self.queue_counts(queue_url).await.visible >= messages
        })
        .await;
    }
}

/// Waits, for three minutes at most, until it is so.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !so().await {
        assert!(Instant::now() < end, "{what}: in vain");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
