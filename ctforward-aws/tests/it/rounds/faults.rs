//! Listings that fail: the others go on, and nothing is passed over.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;

/// Answers requests below `prefix` with an error while told to.
fn failing(
    prefix: String,
    times: usize,
    status: u16,
    code: &'static str,
) -> (Arc<AtomicUsize>, impl Fn(&Asked) -> Option<Reply>) {
    let left = Arc::new(AtomicUsize::new(times));
    let used = Arc::clone(&left);
    let answer = move |asked: &Asked| {
        if asked.query("prefix") != prefix {
            return None;
        }
        let take = |left: usize| left.checked_sub(1);
        let fails = used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        fails.is_ok().then(|| Reply::error(status, code, "no"))
    };
    (left, answer)
}

fn three() -> [String; 3] {
    [(A, "eu-west-1"), (A, "us-east-1"), (B, "us-east-1")]
        .map(|(account, region)| key(account, region, "2026/03/10", "x"))
}

#[tokio::test]
async fn a_throttled_folder_is_tried_again_in_the_same_round() {
    let prefix = format!("AWSLogs/{A}/CloudTrail/us-east-1/");
    // The SDK tries twice, so the source sees three failures.
    let (left, answer) = failing(prefix, 6, 503, "SlowDown");
    let bucket = Bucket::answering(answer).await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut taken = Taken::from(bucket.rounds());
    assert_same(taken.accepted().await, &three());
    assert_eq!(left.load(Ordering::SeqCst), 0);
    let stats = taken.stats.get();
    assert_eq!((stats.failing, stats.denied), (0, 0));
    let (_, error) = stats.last_error.unwrap();
    assert!(error.contains("s3"), "{error}");
}

#[tokio::test]
async fn a_folder_that_keeps_failing_stops_no_other_and_is_listed_as_far_back_later() {
    let prefix = format!("AWSLogs/{A}/CloudTrail/us-east-1/");
    let (left, answer) = failing(prefix.clone(), usize::MAX, 503, "SlowDown");
    let bucket = Bucket::answering(answer).await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut taken = Taken::from(bucket.rounds());
    let [one, two, three] = three();
    assert_same(taken.accepted().await, &[one, three]);
    assert_eq!(taken.stats.failing(9), [(prefix, ErrorKind::Throttled)]);
    assert!(taken.accepted().await.is_empty());
    // Days later it answers, and what came meanwhile is there.
    bucket.at("2026-03-14T12:00:00Z");
    assert!(taken.accepted().await.is_empty());
    left.store(0, Ordering::SeqCst);
    assert_eq!(taken.accepted().await, [two]);
    assert_eq!(taken.stats.get().failing, 0);
}

#[tokio::test]
async fn a_denied_region_is_seen_and_comes_once_it_may_be_listed() {
    let prefix = format!("AWSLogs/{A}/CloudTrail/us-east-1/");
    let (left, answer) = failing(prefix, usize::MAX, 403, "AccessDenied");
    let bucket = Bucket::answering(answer).await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut taken = Taken::from(bucket.rounds());
    let [one, two, three] = three();
    assert_same(taken.accepted().await, &[one, three]);
    let before = left.load(Ordering::SeqCst);
    assert_eq!(usize::MAX - before, 1, "once a round is enough");
    let stats = taken.stats.get();
    assert_eq!((stats.failing, stats.denied), (1, 1));
    left.store(0, Ordering::SeqCst);
    assert_eq!(taken.accepted().await, [two]);
    assert_eq!(taken.stats.get().denied, 0);
}

#[tokio::test]
async fn a_denied_account_is_seen_and_found_without_waiting_for_the_next_discovery() {
    let (left, answer) = failing(format!("AWSLogs/{B}/"), usize::MAX, 403, "AccessDenied");
    let bucket = Bucket::answering(answer).await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut taken = Taken::from(bucket.rounds());
    let estimate = taken.source.estimate().await.unwrap();
    assert_eq!((estimate.folders, estimate.unlisted), (2, 1));
    assert!(
        estimate
            .to_string()
            .contains("1 folders could not be listed")
    );
    let [one, two, three] = three();
    assert_same(taken.accepted().await, &[one, two]);
    let stats = taken.stats.get();
    assert_eq!((stats.unlisted, stats.denied, stats.failing), (1, 1, 0));
    left.store(0, Ordering::SeqCst);
    assert_eq!(taken.accepted().await, [three]);
    let stats = taken.stats.get();
    assert_eq!((stats.unlisted, stats.denied, stats.folders), (0, 0, 3));
}

#[tokio::test]
async fn a_last_round_that_did_not_list_everything_is_no_end() {
    let prefix = format!("AWSLogs/{A}/CloudTrail/us-east-1/");
    let (left, answer) = failing(prefix, usize::MAX, 403, "AccessDenied");
    let bucket = Bucket::answering(answer).await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut source = bucket.rounds().rounds(1).build().unwrap();
    let mut files = Vec::new();
    let error = loop {
        match within(source.next()).await {
            Ok(Some(Intake::File(file))) => files.push(file),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((files.len(), error.kind()), (2, ErrorKind::Unauthorized));
    left.store(0, Ordering::SeqCst);
    let Some(Intake::File(file)) = within(source.next()).await.unwrap() else {
        panic!("the third file");
    };
    assert!(file.object.id.key.contains("us-east-1"));
    assert!(within(source.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_bucket_that_may_not_be_listed_is_an_error_until_it_may() {
    let denied = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&denied);
    let bucket = Bucket::answering(move |_| {
        let denied = asked.load(Ordering::SeqCst);
        denied.then(|| Reply::error(403, "AccessDenied", "no"))
    })
    .await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut taken = Taken::from(bucket.rounds());
    let error = taken.source.estimate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let error = within(taken.source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    denied.store(false, Ordering::SeqCst);
    assert_same(taken.accepted().await, &three());
}

#[tokio::test]
async fn more_requests_than_the_budget_are_refused_with_numbers() {
    let bucket = Bucket::start().await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let hourly = |budget| {
        let hour = Duration::from_secs(3600);
        bucket.rounds().interval(hour).list_budget(budget)
    };
    // 3 folders in 24 rounds, and a discovery of 5 requests.
    let mut source = hourly(77).build().unwrap();
    let estimate = source.estimate().await.unwrap();
    assert_eq!((estimate.folders, estimate.requests_a_day), (3, 77));
    assert_eq!(estimate.requests_a_day_busy, 77 + 3 * 10);
    assert!(!source.stats().get().over_budget);

    let mut source = hourly(76).build().unwrap();
    for _ in 0..2 {
        let error = source.estimate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.is_retryable());
        for number in [
            "77 LIST",
            "budget is 76",
            "3 folders",
            "2 accounts",
            "24 rounds",
        ] {
            assert!(error.message().contains(number), "{error}");
        }
    }
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);

    // Accounts that come later do not stop what runs.
    let mut taken = Taken::from(
        bucket
            .rounds()
            .refresh(Duration::from_nanos(1))
            .list_budget(3 + 5),
    );
    assert_eq!(taken.accepted().await.len(), 3);
    bucket.put(&key(B, "eu-west-1", "2026/03/10", "x"), 5);
    assert_eq!(taken.accepted().await.len(), 1);
    assert!(taken.stats.get().over_budget);
}

#[tokio::test]
async fn more_folders_than_are_held_are_refused() {
    let bucket = Bucket::start().await;
    three().iter().for_each(|name| bucket.put(name, 5));
    let mut source = bucket.rounds().most_folders(2).build().unwrap();
    let error = source.estimate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("more than 2 folders"), "{error}");
    let mut source = bucket.rounds().most_folders(3).build().unwrap();
    assert_eq!(source.estimate().await.unwrap().folders, 3);
}
