//! Pages, errors between them, cancelling, and what a narrowed run asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ctforward_aws::S3Source;
use ctforward_core::key::Kind;
use ctforward_core::{ErrorKind, Intake, Source};

use crate::server::{Do, Reply, Server, list};
use crate::{BUCKET, assert_same, client_for, drain, within};

fn key(account: &str, region: &str, day: u8, minute: u8) -> String {
    format!(
        "AWSLogs/o-a1b2c3d4e5/{account}/CloudTrail/{region}/2024/02/{day:02}/\
         {account}_CloudTrail_{region}_202402{day:02}T00{minute:02}Z_ABCDEFGHIJKLMNOP.json.gz"
    )
}

fn bucket() -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for account in ["111111111111", "222222222222", "333333333333"] {
        for region in ["cn-north-1", "us-gov-west-1", "us-west-2-lax-1a"] {
            for day in 1..=29 {
                for minute in 0..5 {
                    keys.insert(key(account, region, day, minute), u64::from(minute) + 1);
                }
            }
        }
        keys.insert(
            format!("AWSLogs/o-a1b2c3d4e5/{account}/Config/us-east-1/x.json"),
            1,
        );
    }
    keys
}

#[tokio::test]
async fn the_whole_bucket_comes_page_by_page_in_one_listing() {
    let mut keys = bucket();
    keys.insert("AWSLogs/".to_owned(), 0);
    keys.insert("empty".to_owned(), 0);
    keys.insert("odd/ü a+b%2F\u{1}&<.json".to_owned(), 3);
    let served = keys.clone();
    let server = Server::start(move |asked| list(&served, asked)).await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .page_size(100)
        .expected_bucket_owner("123456789012")
        .request_payer(true)
        .build()
        .unwrap();
    let stats = source.stats();
    let mut found = Vec::new();
    while let Some(intake) = within(source.next()).await.unwrap() {
        match intake {
            Intake::File(file) => {
                let size = file.object.size.unwrap();
                assert_eq!(file.object.etag, Some(format!("e{size}")), "without quotes");
                assert!(!file.named);
                found.push(file.object.id.key);
            }
            Intake::Skip { object, why, .. } => {
                assert_eq!((object.key.as_str(), why), ("AWSLogs/", "folder object"));
                found.push(object.key);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_same(found, &keys.keys().cloned().collect::<Vec<_>>());
    let asked = server.asked();
    assert_eq!(asked.len(), keys.len().div_ceil(100));
    for (n, request) in asked.iter().enumerate() {
        assert_eq!(request.query.contains_key("continuation-token"), n > 0);
    }
    for request in &asked {
        assert_eq!(request.query("delimiter"), "");
        assert_eq!(
            request.header("x-amz-expected-bucket-owner"),
            Some("123456789012")
        );
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
    }
    let stats = stats.get();
    assert_eq!(stats.requests, asked.len() as u64);
    assert_eq!((stats.keys, stats.folder_objects), (keys.len() as u64, 1));
    assert_eq!(stats.files, keys.len() as u64 - 1);
}

#[tokio::test]
async fn a_narrow_run_lists_only_what_it_must() {
    let server = Server::start(move |asked| list(&bucket(), asked)).await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .accounts(["222222222222"])
        .regions(["us-gov-west-1", "us-west-2-lax-1a"])
        .kinds([Kind::CloudTrail])
        .since("2024-02-10T00:03:00Z".parse().unwrap())
        .until("2024-02-11T00:01:00Z".parse().unwrap())
        .build()
        .unwrap();
    let stats = source.stats();
    let mut expected = Vec::new();
    for region in ["us-gov-west-1", "us-west-2-lax-1a"] {
        for (day, minute) in [(10, 3), (10, 4), (11, 0)] {
            expected.push(key("222222222222", region, day, minute));
        }
    }
    assert_same(drain(&mut source).await.unwrap(), &expected);
    // Bucket, AWSLogs, organisation, account, kind, two regions.
    assert_eq!(server.asked().len(), 7);
    assert_eq!(
        stats.get().pruned_folders,
        4,
        "two accounts, Config, a region"
    );
}

#[tokio::test]
async fn a_page_that_fails_is_an_error_and_comes_when_asked_again() {
    let turns = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |asked| {
        // Two failures for each page: the first call and the SDK's own retry.
        match turns.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => list(&bucket(), asked),
            _ => Reply::error(503, "SlowDown", "slower"),
        }
    })
    .await;
    let wanted = |key: &String| !key.contains("/222222222222/") && !key.contains("/Config/");
    let expected: Vec<String> = bucket().into_keys().filter(wanted).collect();
    for parallel in [1, 8] {
        let mut source = S3Source::builder(client_for(&server.url), BUCKET)
            .accounts(["111111111111", "333333333333", "444444444444"])
            .page_size(70)
            .parallel_listings(parallel)
            .build()
            .unwrap();
        let stats = source.stats();
        let (mut found, mut failures) = (Vec::new(), 0);
        loop {
            match within(source.next()).await {
                Ok(Some(Intake::File(file))) => found.push(file.object.id.key),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Throttled);
                    assert!(error.is_retryable());
                    failures += 1;
                }
            }
        }
        assert!(failures > 5, "{failures}");
        if parallel == 1 {
            assert!(found == expected, "in their order");
        }
        assert_same(found, &expected);
        assert_eq!(stats.absent_accounts(), ["444444444444"]);
    }
}

#[tokio::test]
async fn one_region_that_may_not_be_listed_is_never_passed_over() {
    let server = Server::start(move |asked| match asked.query("prefix") {
        prefix if prefix.ends_with("/us-gov-west-1/") => {
            Reply::error(403, "AccessDenied", "Access Denied")
        }
        _ => list(&bucket(), asked),
    })
    .await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .regions(["cn-north-1", "us-gov-west-1", "us-west-2-lax-1a"])
        .build()
        .unwrap();
    let mut errors = 0;
    for _ in 0..2000 {
        match within(source.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("exhausted although a region was not listed"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unauthorized);
                errors += 1;
                if errors == 3 {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_cancelled_call_loses_nothing() {
    let server = Server::start(move |asked| {
        let mut reply = list(&bucket(), asked);
        let wait = std::time::Duration::from_millis(3);
        reply.body.insert(0, Do::Wait(wait));
        reply
    })
    .await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .page_size(40)
        .build()
        .unwrap();
    let (mut found, mut cancelled) = (Vec::new(), 0);
    loop {
        let moment = std::time::Duration::from_micros(300);
        match tokio::time::timeout(moment, source.next()).await {
            Err(_) => cancelled += 1,
            Ok(intake) => match intake.unwrap() {
                Some(Intake::File(file)) => found.push(file.object.id.key),
                Some(other) => panic!("{other:?}"),
                None => break,
            },
        }
        assert!(cancelled < 100_000);
    }
    assert!(cancelled > 0);
    assert_same(found, &bucket().into_keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_source_stops_listing() {
    let server = Server::start(move |asked| list(&bucket(), asked)).await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .page_size(1)
        .build()
        .unwrap();
    within(source.next()).await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    // One page is in hand, one in the channel, one waits for room in it.
    assert!(server.asked().len() <= 3, "{}", server.asked().len());
    drop(source);
    let before = server.asked().len();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(server.asked().len(), before);
}

#[test]
fn a_listing_whose_runtime_is_gone_is_an_error_and_never_an_end() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, servers) = (runtime(), runtime());
    let server = servers.block_on(Server::start(move |asked| list(&bucket(), asked)));
    let builder = S3Source::builder(client_for(&server.url), BUCKET).page_size(1);

    let mut source = builder.build().unwrap();
    let mut outside = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = source.next().as_mut().poll(&mut outside) else {
        panic!("without a runtime there is nothing to wait for");
    };
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Config);

    assert!(first.block_on(source.next()).unwrap().is_some());
    drop(first);
    let ended = servers.block_on(async {
        for _ in 0..bucket().len() {
            if let Err(error) = within(source.next()).await {
                return error;
            }
        }
        panic!("every key came from a listing that was stopped");
    });
    assert_eq!(ended.kind(), ErrorKind::Other);
    let again = servers.block_on(within(source.next()));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Other);
}

#[test]
fn settings_and_sources_show_nothing_of_the_client() {
    let builder = S3Source::builder(client_for("http://127.0.0.1:1"), BUCKET);
    let reader = ctforward_aws::S3Reader::builder(client_for("http://127.0.0.1:1"));
    let shown = format!(
        "{builder:?} {:?} {reader:?} {:?}",
        builder.clone().build().unwrap(),
        reader.clone().build().unwrap()
    );
    assert!(
        !shown.contains("AKIDTEST") && !shown.contains("secret"),
        "{shown}"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused() {
    let builder = |bucket: &str| S3Source::builder(client_for("http://127.0.0.1:1"), bucket);
    let cases = [
        builder(""),
        builder("a b"),
        builder("a/b"),
        builder("s3://a"),
        builder("x--x-s3").accounts(["111111111111"]),
        builder("a").accounts(["11111111111"]),
        builder("a").accounts(["111111111111/"]),
        builder("a").regions(["nowhere"]),
        builder("a").regions(["us-east-1/2024"]),
        builder("a").page_size(0),
        builder("a").page_size(1001),
        builder("a").parallel_listings(0),
        builder("a").expected_bucket_owner("me"),
        builder("a").idle_timeout(std::time::Duration::ZERO),
        builder("a").prefix("x".repeat(1025)),
        builder("a")
            .prefix("AWSLogs/222222222222/")
            .accounts(["111111111111"]),
        builder("a")
            .since("2024-01-02T00:00:00Z".parse().unwrap())
            .until("2024-01-01T00:00:00Z".parse().unwrap()),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let error = case.build().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "case {n}");
    }
    assert!(
        builder("arn:aws:s3:eu-west-1:111111111111:accesspoint/logs")
            .build()
            .is_ok()
    );
}

#[tokio::test]
async fn the_storage_class_is_the_listings() {
    let keys: BTreeMap<String, u64> = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
    let server = Server::start(move |asked| {
        let page = list(&keys, asked);
        let body: Vec<u8> = page
            .body
            .iter()
            .flat_map(|step| match step {
                Do::Send(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        let class = "<Size>2</Size><StorageClass>DEEP_ARCHIVE</StorageClass>";
        let xml = String::from_utf8(body)
            .unwrap()
            .replace("<Size>2</Size>", class);
        Reply::new(200, xml).with("content-type", "application/xml")
    })
    .await;
    let mut source = S3Source::builder(client_for(&server.url), BUCKET)
        .build()
        .unwrap();
    let mut classes = Vec::new();
    while let Some(Intake::File(file)) = within(source.next()).await.unwrap() {
        classes.push(file.object.storage_class);
    }
    assert_eq!(classes, [None, Some("DEEP_ARCHIVE".to_owned())]);
}
