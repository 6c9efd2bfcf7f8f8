//! From what was seen to the checks, in the order they are read; pure.

use ctforward_core::{Check, Outcome};
use jiff::Timestamp;

#[cfg(any(feature = "sts", feature = "cloudtrail"))]
use super::fault::Fault;
use super::fault::FaultKind;
#[cfg(any(feature = "sqs", feature = "cloudtrail"))]
use super::fix::{bucket_arn, partition};
use super::{Preflight, ask_bucket, layout, object, place};

#[cfg(feature = "sts")]
type Caller = Option<Result<place::Caller, Fault>>;
#[cfg(not(feature = "sts"))]
type Caller = ();
#[cfg(feature = "sqs")]
type Queue = Option<super::ask_queue::Seen>;
#[cfg(not(feature = "sqs"))]
type Queue = ();
#[cfg(feature = "cloudtrail")]
type Trails = Option<Result<Vec<super::trails::Trail>, Fault>>;
#[cfg(not(feature = "cloudtrail"))]
type Trails = ();

/// What was asked for and seen; what a feature leaves out is `()`.
#[cfg_attr(
    not(all(feature = "sqs", feature = "sts", feature = "cloudtrail")),
    allow(dead_code, reason = "what a feature leaves out is not looked at")
)]
pub(super) struct Seen {
    pub(super) bucket: Option<ask_bucket::Seen>,
    pub(super) queue: Queue,
    pub(super) caller: Caller,
    pub(super) trails: Trails,
}

pub(super) fn checks(asked: &Preflight, seen: &Seen) -> Vec<Check> {
    let mut checks = Vec::new();
    #[cfg(feature = "sts")]
    if let Some(caller) = &seen.caller {
        checks.push(place::credentials(caller));
    }
    #[cfg(feature = "sqs")]
    let with_queue = seen.queue.is_some();
    #[cfg(not(feature = "sqs"))]
    let with_queue = false;
    if let (Some(bucket), Some(found)) = (&asked.bucket, &seen.bucket) {
        of_bucket(&mut checks, bucket, found, seen, with_queue);
    }
    #[cfg(feature = "sqs")]
    if let (Some((_, url)), Some(queue)) = (&asked.queue, &seen.queue) {
        of_queue(&mut checks, asked, url, queue, seen);
    }
    #[cfg(feature = "cloudtrail")]
    if let (Some(bucket), Some(trails)) = (&asked.bucket, &seen.trails) {
        let arn = bucket_arn(partition(region(seen)), &bucket.name);
        let objects = format!("{arn}/{}", bucket.prefix);
        checks.push(super::trails::trail(trails, &bucket.name, &bucket.prefix));
        checks.push(super::trails::own_reads(
            trails,
            &objects,
            &arn,
            caller(seen),
        ));
    }
    checks
}

/// Where the bucket lies, or else where requests were set to go.
fn region(seen: &Seen) -> Option<&str> {
    let bucket = seen.bucket.as_ref()?;
    let lies = bucket.head.region.as_deref().and_then(place::region);
    lies.or(bucket.set.as_deref())
}

#[cfg(feature = "cloudtrail")]
fn caller(seen: &Seen) -> Option<&str> {
    #[cfg(feature = "sts")]
    if let Some(Ok(caller)) = &seen.caller {
        return Some(&caller.arn);
    }
    let _ = seen;
    None
}

/// The trail that writes to the bucket, for the commands that name it.
fn trail_name<'s>(seen: &'s Seen, bucket: &str) -> Option<&'s str> {
    #[cfg(feature = "cloudtrail")]
    if let Some(Ok(trails)) = &seen.trails {
        return trails
            .iter()
            .find(|t| t.bucket == bucket)
            .map(|t| t.name.as_str());
    }
    let _ = (seen, bucket);
    None
}

fn of_bucket(
    checks: &mut Vec<Check>,
    bucket: &ask_bucket::Bucket,
    found: &ask_bucket::Seen,
    seen: &Seen,
    with_queue: bool,
) {
    let region = region(seen);
    checks.push(place::clock(&found.head));
    checks.push(place::bucket_region(
        &bucket.name,
        found.set.as_deref(),
        &found.head,
    ));
    let answer = found.around.as_ref().map(|_| ());
    checks.push(place::listing(
        &bucket.name,
        region,
        bucket.owner.as_deref(),
        with_queue,
        answer,
    ));
    match &found.around {
        Ok((around, _)) => checks.push(layout::check(&bucket.name, &bucket.prefix, around)),
        Err(_) => checks.push(Check::new(
            "layout",
            "key layout",
            Outcome::Unknown,
            "the bucket could not be listed",
        )),
    }
    let pays = found.requester_pays.as_ref().is_ok_and(|pays| *pays);
    match (found.sample(), &found.got) {
        (Some(sample), Some(got)) => {
            checks.push(object::recent(
                &sample.id,
                sample.delivered,
                Timestamp::now(),
            ));
            checks.extend(object::reading(&sample.id, region, got, pays));
        }
        _ => checks.extend(object::unread("no log file was found to try it on")),
    }
    if !matches!(&found.requester_pays, Err(fault) if fault.kind == FaultKind::Refused) {
        checks.push(place::payer(&found.requester_pays));
    }
    if let (Some(sample), Some(digests)) = (found.sample(), &found.digests) {
        checks.push(object::digests(
            &sample.account,
            digests,
            trail_name(seen, &bucket.name),
        ));
    }
}

#[cfg(feature = "sqs")]
fn of_queue(
    checks: &mut Vec<Check>,
    asked: &Preflight,
    url: &str,
    found: &super::ask_queue::Seen,
    seen: &Seen,
) {
    use super::{notification, queue};

    let times = queue::Times {
        expected: asked.expected,
        outage: asked.outage,
    };
    checks.push(queue::exists(url, &found.queue));
    let queue_arn = found.queue.as_ref().ok().and_then(queue::Queue::arn);
    let mut ways = Vec::new();
    match (
        &asked.bucket,
        seen.bucket.as_ref().and_then(|b| b.notifications.as_ref()),
    ) {
        (Some(bucket), Some(configuration)) => {
            let topics = trail_topics(seen, &bucket.name);
            let sample = seen.bucket.as_ref().and_then(ask_bucket::Seen::sample);
            let asked = notification::Asked {
                bucket: &bucket.name,
                prefix: &bucket.prefix,
                queue_arn,
                sample: sample.map(|sample| sample.id.key.as_str()),
                trail_topics: &topics,
            };
            checks.push(notification::check(configuration, &asked));
            if let Ok(configuration) = configuration {
                ways = notification::ways(configuration, &asked);
            }
        }
        _ => checks.push(Check::new(
            "notification",
            "notifications reach the queue",
            Outcome::Skipped,
            "no bucket was named whose notifications could be looked at",
        )),
    }
    let Ok(it) = &found.queue else {
        return;
    };
    // A direct entry is the way that counts; the others may come on top.
    if ways.contains(&notification::Way::Bucket) {
        ways = vec![notification::Way::Bucket];
    }
    let arn = asked
        .bucket
        .as_ref()
        .map(|b| bucket_arn(partition(region(seen)), &b.name));
    let owner = seen.bucket.as_ref().and_then(|b| b.owner.as_deref());
    checks.push(queue::policy(it, arn.as_deref(), owner, &ways));
    checks.push(queue::encryption(it));
    checks.push(queue::visibility(it, &times));
    checks.push(queue::retention(it, &times));
    checks.push(queue::dead_letters(it, found.letters.as_ref(), &times));
    checks.push(queue::receive(it, &found.change));
}

/// The topics of trails that write to the bucket.
#[cfg(feature = "sqs")]
fn trail_topics(seen: &Seen, bucket: &str) -> Vec<String> {
    #[cfg(feature = "cloudtrail")]
    if let Some(Ok(trails)) = &seen.trails {
        let here = trails.iter().filter(|t| t.bucket == bucket);
        return here.filter_map(|t| t.topic.clone()).collect();
    }
    let _ = (seen, bucket);
    Vec::new()
}
