//! The S3 source by the suite that every source is held to, against `s3s-fs`.

use bytes::Bytes;
use ctforward_aws::S3Source;
use ctforward_core::{ObjectId, testing};

use crate::BUCKET;
use crate::real::{S3, key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_conforms() {
    let s3 = S3::start().await;
    let mut expected = Vec::new();
    for (number, size) in [0, 1, 60, 70_000, 300_000].into_iter().enumerate() {
        for region in ["us-east-1", "eu-west-1"] {
            let body: Vec<u8> = (0..size)
                .map(|at: usize| (at * (number + 3) % 251) as u8)
                .collect();
            let day = format!("2024/01/0{}", number + 1);
            let key = key(
                "AWSLogs/",
                "111111111111",
                "CloudTrail",
                region,
                &day,
                number,
            );
            s3.put(&key, &body);
            expected.push((ObjectId::new(BUCKET, key), Bytes::from(body)));
        }
    }
    // Several pages: one call may be dropped while the next page is on its way.
    for parallel in [1, 4] {
        let make = async || {
            S3Source::builder(s3.client(), BUCKET)
                .page_size(3)
                .parallel_listings(parallel)
                .build()
                .unwrap()
        };
        testing::source::check(make, &expected).await.assert();
    }
}
