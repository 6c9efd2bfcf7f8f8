//! The queue source by the suites that every source and receipt is held to.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_aws::SqsSource;
use ctforward_core::source::NoReceipt;
use ctforward_core::testing::source::Told;
use ctforward_core::{Intake, ObjectId, Result, Source, testing};

use super::fake::Queue;
use super::{notify, source, source_of};
use crate::BUCKET;
use crate::real::{S3, key};

/// Accepts what it hands over: a queue is not empty as long as anything is undecided,
/// and the suite keeps every file.
struct Accepting(
    SqsSource,
    #[allow(dead_code, reason = "lives as long")] Queue,
);

#[async_trait]
impl Source for Accepting {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let mut next = self.0.next().await?;
        if let Some(Intake::File(file)) = &mut next {
            let receipt = std::mem::replace(&mut file.receipt, Box::new(NoReceipt));
            tokio::spawn(receipt.accept());
        }
        Ok(next)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_conforms() {
    let s3 = S3::start().await;
    let mut expected = Vec::new();
    for number in 0..12 {
        let body: Vec<u8> = (0..number * 9_000)
            .map(|at: usize| (at * (number + 3) % 251) as u8)
            .collect();
        let key = key(
            "AWSLogs/",
            "111111111111",
            "CloudTrail",
            "us-east-1",
            "2024/01/01",
            number,
        );
        s3.put(&key, &body);
        expected.push((ObjectId::new(BUCKET, key), Bytes::from(body)));
    }
    let make = async || {
        let queue = Queue::start().await;
        // One message of two files, and others of one.
        let keys: Vec<&str> = expected.iter().map(|(id, _)| id.key.as_str()).collect();
        let size =
            |body: String, bytes: usize| body.replace("\"size\":10", &format!("\"size\":{bytes}"));
        for (at, key) in keys.iter().enumerate() {
            let body = super::created(BUCKET, &[key]);
            queue.send(size(body, expected[at].1.len()));
        }
        let source = source_of(&queue, s3.url()).until_empty(1).build().unwrap();
        Accepting(source, queue)
    };
    testing::source::check(make, &expected).await.assert();
}

/// Ends after three files.
struct Three(SqsSource, usize);

#[async_trait]
impl Source for Three {
    async fn next(&mut self) -> Result<Option<Intake>> {
        if self.1 == 3 {
            return Ok(None);
        }
        let next = self.0.next().await?;
        self.1 += 1;
        Ok(next)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_receipts_conform() {
    let make = async || {
        let queue = Queue::start().await;
        for key in ["a", "b", "c"] {
            notify(&queue, &[key]);
        }
        let source = source(&queue).build().unwrap();
        (Three(source, 0), queue)
    };
    let told = async |queue: &Queue| {
        let id = |body: &str| {
            let key = ["a", "b", "c"]
                .into_iter()
                .find(|key| body.contains(&format!("\"{key}\"")));
            ObjectId::new(BUCKET, key.unwrap())
        };
        // What is dropped is told a moment later.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Told {
            accepted: queue.deleted().iter().map(|body| id(body)).collect(),
            released: queue
                .left()
                .iter()
                .filter(|message| !message.changes.is_empty())
                .map(|message| id(&message.body))
                .collect(),
        }
    };
    testing::source::check_receipts(make, told).await.assert();
}
