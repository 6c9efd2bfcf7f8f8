//! The quarantine in a bucket: against `s3s-fs` in this process, against an emulator,
//! and against a server that answers as a test says.

mod answers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use ctforward_aws::s3::S3Quarantine;
use ctforward_core::quarantine::{
    Filter, Kept, Quarantine as _, QuarantineEntry, Reason, Resolution,
};
use ctforward_core::{ErrorKind, Object, ObjectId, testing};
use tokio::task::JoinSet;

use crate::BUCKET;
use crate::client_for;
use crate::emulator::Emulator;
use crate::real::S3;

/// A quarantine below a prefix of its own.
fn fresh(client: Client) -> S3Quarantine {
    static PREFIXES: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("q/{}/", PREFIXES.fetch_add(1, Ordering::Relaxed));
    at(client, &prefix)
}

fn at(client: Client, prefix: &str) -> S3Quarantine {
    S3Quarantine::builder(client, BUCKET)
        .prefix(prefix)
        .build()
        .unwrap()
}

async fn read(quarantine: &S3Quarantine) -> Vec<QuarantineEntry> {
    let mut entries = quarantine.entries(Filter::new());
    let mut all = Vec::new();
    while let Some(stored) = entries.next().await.unwrap() {
        assert_eq!(stored.id, stored.entry.id());
        all.push(stored.entry);
    }
    assert_eq!((entries.damaged(), entries.unknown()), (0, 0));
    all
}

pub(crate) fn entry(number: u64) -> QuarantineEntry {
    let object = Object::new(ObjectId::new("trail", "AWSLogs/a.json.gz")).with_etag("e");
    let kept = Kept::Bytes(Bytes::from(format!("{{\"eventID\":\"{number}\"}}")));
    QuarantineEntry::new(object, Reason::Refused, "no", kept).at_offset(number)
}

fn reference(number: u64) -> QuarantineEntry {
    let mut entry = entry(number);
    entry.kept = Kept::Reference {
        length: 16,
        sha256: None,
    };
    entry
}

async fn conforms(client: &Client) {
    testing::quarantine::check(async || fresh(client.clone()), read)
        .await
        .assert();
    testing::quarantine::check_reopened(async || fresh(client.clone()), async |old| old, read)
        .await
        .assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quarantine_conforms() {
    let s3 = S3::start().await;
    conforms(&s3.client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quarantine_conforms_on_an_emulator_and_is_one_for_two_workers() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let client = client_for(&emulator.url);
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    let made = client.create_bucket().bucket(BUCKET);
    let made = made.create_bucket_configuration(place);
    made.send().await.unwrap();
    conforms(&client).await;
    resolving(&client).await;
    kept_as_well_as_can_be(&client).await;

    // The same entry, as bytes and as a reference, put by many at once: the bytes stay.
    let others = client_for(&emulator.url);
    for round in 0..8 {
        let mut puts = JoinSet::new();
        for (number, client) in [&client, &others].into_iter().cycle().take(12).enumerate() {
            let quarantine = at(client.clone(), "shared/");
            let entry = if number % 3 == 0 {
                entry(round)
            } else {
                reference(round)
            };
            let attempt = u32::try_from(number).unwrap();
            puts.spawn(async move { quarantine.put(&entry.after_attempts(attempt)).await });
        }
        while let Some(put) = puts.join_next().await {
            // One that met too many others says so, and is put again.
            if let Err(error) = put.unwrap() {
                assert!(error.is_retryable(), "{error}");
            }
        }
    }
    let all = read(&at(client, "shared/")).await;
    assert_eq!(all.len(), 8);
    assert!(all.iter().all(|entry| matches!(entry.kept, Kept::Bytes(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_resolved_is_gone_until_it_is_put_again() {
    let s3 = S3::start().await;
    resolving(&s3.client()).await;
}

async fn resolving(client: &Client) {
    let quarantine = fresh(client.clone());
    for number in 0..3 {
        quarantine.put(&entry(number)).await.unwrap();
    }
    let id = entry(1).id();
    assert!(quarantine.resolve(id, Resolution::Dropped).await.unwrap());
    assert!(!quarantine.resolve(id, Resolution::Dropped).await.unwrap());
    let unknown = quarantine.resolve([9; 32], Resolution::Dropped).await;
    assert!(!unknown.unwrap());
    assert_eq!(read(&quarantine).await.len(), 2);
    quarantine.put(&entry(1)).await.unwrap();
    assert_eq!(read(&quarantine).await.len(), 3);

    // Put again while it is being sent again: it stays.
    let mut entries = quarantine.entries(Filter::new());
    let mut seen = Vec::new();
    while let Some(stored) = entries.next().await.unwrap() {
        seen.push(stored);
    }
    let again = entry(2).after_attempts(1);
    quarantine.put(&again).await.unwrap();
    for stored in &seen {
        let resolved = quarantine
            .resolve_stored(stored, Resolution::Accepted)
            .await;
        assert_eq!(resolved.unwrap(), stored.id != again.id());
    }
    assert_eq!(read(&quarantine).await, [again]);
    let mut entries = quarantine.entries(Filter::new().ids(["zz"]));
    assert!(entries.next().await.unwrap().is_none());
    assert_eq!(entries.resolved(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_never_takes_the_place_of_the_bytes() {
    let s3 = S3::start().await;
    kept_as_well_as_can_be(&s3.client()).await;
}

async fn kept_as_well_as_can_be(client: &Client) {
    let quarantine = fresh(client.clone());
    let at = entry(1).at;
    let put = async |mut entry: QuarantineEntry| {
        entry.at = at;
        quarantine.put(&entry).await.unwrap();
        read(&quarantine).await.remove(0)
    };
    let (bytes, bare) = (entry(1).kept, reference(1).kept);
    let seen = |entry: QuarantineEntry| (entry.kept, entry.attempt, entry.redacted);
    assert_eq!(seen(put(reference(1)).await), (bare, 0, false));
    let later = reference(1).after_attempts(3);
    assert_eq!(put(later).await.attempt, 3);
    assert_eq!(seen(put(entry(1)).await), (bytes.clone(), 3, false));
    let again = reference(1).after_attempts(5).where_redacted(true);
    assert_eq!(seen(put(again).await), (bytes.clone(), 5, true));
    let before = reference(1).after_attempts(4);
    assert_eq!(seen(put(before).await), (bytes.clone(), 5, true));

    // What lies there was put before records were redacted; with the same attempt.
    let put = async |entry: QuarantineEntry| {
        quarantine.put(&entry).await.unwrap();
        let all = read(&quarantine).await;
        all.into_iter().find(|one| one.id() == entry.id()).unwrap()
    };
    let bytes = entry(2).kept;
    assert_eq!(seen(put(entry(2)).await), (bytes.clone(), 0, false));
    let redacted = entry(2).where_redacted(true);
    assert_eq!(seen(put(redacted).await), (bytes.clone(), 0, true));
    assert_eq!(seen(put(entry(2)).await), (bytes, 0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_entry_is_counted_and_a_damaged_one_written_anew() {
    let s3 = S3::start().await;
    let client = s3.client();
    let quarantine = fresh(client.clone());
    for number in 0..3 {
        quarantine.put(&entry(number)).await.unwrap();
    }
    let listed = client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    let names: Vec<String> = listed
        .contents()
        .iter()
        .map(|o| o.key().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 3);
    // Nothing of a key is in a name.
    assert!(
        names.iter().all(|name| !name.contains("AWSLogs")),
        "{names:?}"
    );
    let write = async |name: &str, body: Vec<u8>| {
        let put = client.put_object().bucket(BUCKET).key(name);
        put.body(ByteStream::from(body)).send().await.unwrap();
    };
    let get = async |name: &str| {
        let got = client
            .get_object()
            .bucket(BUCKET)
            .key(name)
            .send()
            .await
            .unwrap();
        got.body.collect().await.unwrap().to_vec()
    };
    let mut cut = get(&names[0]).await;
    cut.truncate(40);
    write(&names[0], cut).await;
    // Another's line under this one's name.
    write(&names[1], get(&names[2]).await).await;
    let folder = names[0].rsplit_once('/').unwrap().0;
    write(&format!("{folder}/notes.txt"), b"x".to_vec()).await;
    let mut entries = quarantine.entries(Filter::new());
    let mut count = 0;
    while entries.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, entries.damaged(), entries.unknown()), (1, 2, 1));

    let by_name = |name: &str| {
        let has = |number: &u64| name.contains(&hex(&entry(*number)));
        entry((0..3).find(has).unwrap())
    };
    // What is damaged is not given up for a mere reference.
    let mut bare = by_name(&names[0]);
    bare.kept = reference(0).kept;
    let before = get(&names[0]).await;
    let error = quarantine.put(&bare).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(get(&names[0]).await, before);
    quarantine.put(&by_name(&names[0])).await.unwrap();
    let error = quarantine.put(&by_name(&names[1])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let mut entries = quarantine.entries(Filter::new());
    let mut count = 0;
    while entries.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, entries.damaged()), (2, 1));
}

fn hex(entry: &QuarantineEntry) -> String {
    ctforward_core::quarantine::written::hex(&entry.id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_entries_than_a_page_are_all_read() {
    let s3 = S3::start().await;
    let quarantine = Arc::new(fresh(s3.client()));
    let mut puts = JoinSet::new();
    for worker in 0..10 {
        let quarantine = Arc::clone(&quarantine);
        puts.spawn(async move {
            for number in 0..101 {
                quarantine.put(&entry(worker * 101 + number)).await.unwrap();
            }
        });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap();
    }
    assert_eq!(read(&quarantine).await.len(), 1010);
}
