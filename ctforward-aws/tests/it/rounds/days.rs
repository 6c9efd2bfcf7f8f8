//! Which days a round lists, and what a new day changes.

use super::*;

/// The days that the region's listings began behind, in their order.
fn begun(bucket: &Bucket, region: &str) -> Vec<String> {
    let prefix = format!("AWSLogs/{A}/CloudTrail/{region}/");
    let of_region = |asked: &Asked| asked.query("prefix") == prefix;
    let asked = bucket.server.asked();
    let listings = asked.iter().filter(|asked| of_region(asked));
    listings
        .map(|asked| asked.query("start-after").replace(&prefix, ""))
        .collect()
}

#[tokio::test]
async fn two_days_each_round_and_thirty_five_once_a_day() {
    let bucket = Bucket::start().await;
    let old = key(A, "us-east-1", "2026/02/04", "old");
    let oldest = key(A, "us-east-1", "2026/02/03", "oldest");
    let today = key(A, "us-east-1", "2026/03/10", "today");
    let tomorrow = key(A, "us-east-1", "2026/03/11", "early");
    for name in [&old, &oldest, &today, &tomorrow] {
        bucket.put(name, 5);
    }
    let mut taken = Taken::from(bucket.rounds());
    // The 35th day is 4 February; a clock that runs behind misses nothing.
    let found = taken.accepted().await;
    assert_same(found, &[old, today, tomorrow]);

    // Delivered now, 20 days late.
    let late = key(A, "us-east-1", "2026/02/18", "late");
    let yesterday = key(A, "us-east-1", "2026/03/09", "yesterday");
    bucket.put(&late, 5);
    bucket.put(&yesterday, 5);
    assert_eq!(taken.accepted().await, [yesterday]);
    bucket.at("2026-03-10T23:59:59Z");
    assert!(taken.accepted().await.is_empty());
    bucket.at("2026-03-11T00:00:00Z");
    assert_eq!(taken.accepted().await, [late]);
    assert!(taken.accepted().await.is_empty());
    let days = [
        "2026/02/04",
        "2026/03/09",
        "2026/03/09",
        "2026/02/05",
        "2026/03/10",
    ];
    assert_eq!(begun(&bucket, "us-east-1"), days);
}

#[tokio::test]
async fn an_old_file_that_was_not_accepted_is_looked_for_in_the_next_round() {
    let bucket = Bucket::start().await;
    let old = key(A, "us-east-1", "2026/02/18", "old");
    bucket.put(&old, 5);
    bucket.put(&key(A, "eu-west-1", "2026/03/10", "x"), 5);
    let mut taken = Taken::from(bucket.rounds());
    let files = within(taken.round()).await;
    for file in files {
        if file.object.id.key == old {
            let why = Error::new(ErrorKind::Unavailable, "test", "the sink is away");
            file.receipt.release(&why, None).await.unwrap();
        } else {
            file.receipt.accept().await.unwrap();
        }
    }
    assert_eq!(taken.accepted().await, [old]);
    assert!(taken.accepted().await.is_empty());
    let days = ["2026/02/04", "2026/02/04", "2026/03/09"];
    assert_eq!(begun(&bucket, "us-east-1"), days);
    let days = ["2026/02/04", "2026/03/09", "2026/03/09"];
    assert_eq!(begun(&bucket, "eu-west-1"), days);
}

#[tokio::test]
async fn since_holds_for_every_round() {
    let bucket = Bucket::start().await;
    let before = key(A, "us-east-1", "2026/02/18", "before");
    let after = key(A, "us-east-1", "2026/03/01", "after");
    bucket.put(&before, 5);
    bucket.put(&after, 5);
    let source = S3Source::builder(client_for(&bucket.server.url), BUCKET)
        .since("2026-03-01T00:05:00Z".parse().unwrap());
    let clock: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
    let rounds = Rounds::builder(source).clock(move || clock);
    let mut taken = Taken::from(rounds);
    assert_eq!(taken.accepted().await, [after]);
    assert_eq!(begun(&bucket, "us-east-1"), ["2026/03/01"]);
}

#[tokio::test]
async fn what_is_found_anew_is_listed_as_far_back_as_the_rest_was() {
    let bucket = Bucket::start().await;
    bucket.put(&key(A, "us-east-1", "2026/03/10", "x"), 5);
    // So short that every round looks for new ones.
    let rounds = bucket.rounds().refresh(Duration::from_nanos(1));
    let mut taken = Taken::from(rounds);
    assert_eq!(taken.accepted().await.len(), 1);
    let new = [
        key(A, "eu-west-1", "2026/02/20", "region"),
        key(B, "us-east-1", "2026/02/20", "account"),
    ];
    new.iter().for_each(|name| bucket.put(name, 5));
    assert_eq!(taken.accepted().await, new);
    let stats = taken.stats.get();
    assert_eq!(stats.folders, 3);
    let estimate = stats.estimate.unwrap();
    assert_eq!((estimate.accounts, estimate.regions), (2, 2));
    // And what is gone is listed no more.
    bucket.keys.lock().unwrap().remove(&new[0]);
    assert!(taken.accepted().await.is_empty());
    assert_eq!(taken.stats.get().folders, 2);
}

#[tokio::test]
async fn what_lies_outside_the_layout_is_counted_and_not_looked_at() {
    let bucket = Bucket::start().await;
    let inside = key(A, "us-east-1", "2026/03/10", "x");
    for name in [
        inside.as_str(),
        "AWSLogs/readme.txt",
        "AWSLogs/somebody/x.json.gz",
        "elsewhere/x.json.gz",
        "AWSLogs/111111111111/CloudTrail/x.json.gz",
    ] {
        bucket.put(name, 5);
    }
    let mut taken = Taken::from(bucket.rounds());
    assert_eq!(taken.accepted().await, [inside]);
    // Two objects and a folder; what lies beside AWSLogs was never met.
    assert_eq!(taken.stats.get().outside, 3);
}
