//! The function as Lambda runs it: the built program, a Runtime API, S3 and an endpoint
//! over real HTTP.

mod server;
mod shapes;
mod start;
mod trouble;
mod unfinished;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use server::{Lambda, Said};

use crate::support::*;

/// What a call has where its deadline is not the matter.
const LONG: Duration = Duration::from_secs(600);

/// The built program, with an environment of its own.
fn program() -> Command {
    let mut command = Command::new(example("lambda"));
    command
        .env_clear()
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("VISIONONE_INGEST_TOKEN", TOKEN)
        .env("CTFORWARD_EVENT_BUCKETS", "trail")
        .stdin(Stdio::null());
    command
}

/// A bucket, and what speaks to the program.
struct Place {
    root: tempfile::TempDir,
    s3: String,
    lambda: Lambda,
}

impl Place {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("trail")).unwrap();
        std::fs::create_dir(root.path().join("other")).unwrap();
        Self {
            s3: crate::s3::serve(root.path()).await,
            root,
            lambda: Lambda::start().await,
        }
    }

    /// The program's settings for this place and this endpoint.
    fn program(&self, endpoint: &str) -> Command {
        let mut program = program();
        program
            .env("CTFORWARD_ENDPOINT_URL", endpoint)
            .env("CTFORWARD_EVENT_S3_ENDPOINT_URL", &self.s3)
            .env("CTFORWARD_EVENT_SQS_ENDPOINT_URL", self.lambda.url());
        program
    }

    /// The same as a function under way.
    fn function(&self, mut program: Command) -> Function {
        program.env("AWS_LAMBDA_RUNTIME_API", self.lambda.address());
        Function::start(program)
    }

    /// Puts a log file of these records into the bucket; answers its key and the records.
    fn put(&self, minute: u32, names: &[&str]) -> (String, Vec<Vec<u8>>) {
        let records: Vec<_> = names.iter().map(|name| record(name)).collect();
        let key = key("111122223333", "us-east-1", minute);
        let bucket = self.root.path().join("trail");
        write(&bucket, &key, &gzip(log_file(&records).as_bytes()));
        (key, records.into_iter().map(String::into_bytes).collect())
    }
}

/// A function under way; killed when it is dropped.
struct Function {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Function {
    fn start(mut program: Command) -> Self {
        let mut child = program
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    fn log(&self) -> String {
        let log = self.log.lock().unwrap().join("\n");
        assert!(!log.contains(TOKEN), "{log}");
        log
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An S3 event of objects of a bucket, as S3 sends it.
fn s3_event(bucket: &str, keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({
            "eventVersion": "2.6",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-03-01T12:05:00.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AWS:AIDA"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "responseElements": {"x-amz-request-id": "R"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "ctforward",
                "bucket": {
                    "name": bucket,
                    "ownerIdentity": {"principalId": "A"},
                    "arn": format!("arn:aws:s3:::{bucket}")
                },
                "object": {"key": key, "sequencer": "0055AED6DCD90281E5"}
            }
        })
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
}

/// A message of SQS as Lambda hands it over.
fn message(id: &str, receives: u32, body: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": format!("handle-{id}"),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": receives.to_string(),
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185"
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:trail",
        "awsRegion": "us-east-1"
    })
}

fn batch(messages: &[Value]) -> Value {
    json!({ "Records": messages })
}

/// The messages that an answer says are not finished.
fn failures(said: &Said) -> Vec<String> {
    let Said::Answer(answer) = said else {
        panic!("the call failed: {said:?}")
    };
    let items = answer["batchItemFailures"].as_array().unwrap();
    let id = |item: &Value| item["itemIdentifier"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}
