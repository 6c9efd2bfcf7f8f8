//! Each fault of the stand-in over real HTTP, and what the sink makes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ctforward_core::deliver::{PacePolicy, RetryPolicy};
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::quarantine::{MemoryQuarantine, Reason};
use ctforward_core::source::MemorySource;
use ctforward_core::{Error, ErrorKind, ObjectId, Pipeline, Retry, Sink as _};
use ctforward_visionone::standin::{Faults, StandIn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::secrets::{assert_clean, everything};
use crate::{TOKEN, batch, builder, secret, two};

const BACKOFF: Retry = Retry::Backoff;
const NEVER: Retry = Retry::Never;
/// Long enough for a request to come on a busy machine, short beside the faults that stall.
const SOON: Duration = Duration::from_millis(700);

async fn standin(faults: Faults) -> StandIn {
    let builder = StandIn::builder().token(secret(TOKEN)).gzip(true);
    builder.faults(faults).start().await.unwrap()
}

async fn with(faults: &[&str]) -> StandIn {
    standin(Faults::of(faults.iter().copied()).unwrap()).await
}

async fn deliver(server: &StandIn) -> Result<(), Error> {
    deliver_within(server, Duration::from_secs(20)).await
}

async fn deliver_within(server: &StandIn, time: Duration) -> Result<(), Error> {
    let sink = builder(&server.endpoint()).request_timeout(time);
    let delivery = sink.build().unwrap().deliver(&two()).await?;
    assert!(delivery.is_complete());
    Ok(())
}

/// How often the first of its faults befell a request.
fn count(server: &StandIn) -> u64 {
    server.fault_counts()[0].1
}

#[tokio::test]
async fn the_sink_calls_each_fault_by_its_name_and_shows_no_token() {
    use ErrorKind::{Config, Rejected, Throttled, Timeout, TooLarge, Unauthorized, Unavailable};
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    // The fault, what the sink says, and how many of two lines are stored how often.
    for (fault, kind, retry, stored) in [
        ("429:1", Throttled, BACKOFF, 0),
        ("429:1,retry-after=7", Throttled, after(7), 0),
        ("429:1,retry-after-date=7", Throttled, after(7), 0),
        ("503:1,retry-after=3", Unavailable, after(3), 0),
        ("503:1,retry-after-date=30", Unavailable, after(30), 0),
        (
            "503:1,retry-after=18446744073709551615",
            Unavailable,
            after(u64::MAX),
            0,
        ),
        ("500:1", Unavailable, BACKOFF, 0),
        ("503:1", Unavailable, BACKOFF, 0),
        ("504:1", Timeout, BACKOFF, 0),
        ("401:after=0", Unauthorized, NEVER, 0),
        ("403:1", Unauthorized, NEVER, 0),
        ("413:bytes=10", TooLarge, NEVER, 0),
        ("400:match=1624.0", Rejected, NEVER, 0),
        ("422:match=1624.0", Rejected, NEVER, 0),
        ("429:retry-after=4,bytes=10", Throttled, after(4), 0),
        ("reset-before:1", Unavailable, BACKOFF, 0),
        // Sent anew once on another connection: stored twice, and still unknown.
        ("reset-after:1", Unavailable, BACKOFF, 4),
        ("truncated:1", Unavailable, BACKOFF, 2),
        ("slow:1,ms=60000", Timeout, BACKOFF, 2),
        ("stuck:1", Timeout, BACKOFF, 0),
        ("stuck:1,stored", Timeout, BACKOFF, 2),
        ("html:1", Config, NEVER, 0),
        ("redirect:1", Config, NEVER, 0),
        ("endless:1", Unavailable, BACKOFF, 0),
        ("endless:1,status=200", Unavailable, BACKOFF, 0),
        ("endless:1,status=400", Rejected, NEVER, 0),
    ] {
        let server = with(&[fault, "echo-headers"]).await;
        let began = Instant::now();
        let stalls = fault.starts_with("stuck") || fault.starts_with("slow");
        let time = if stalls {
            SOON
        } else {
            Duration::from_secs(20)
        };
        let error = deliver_within(&server, time).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (kind, retry),
            "{fault}: {error}"
        );
        assert_clean(&everything(&error));
        assert!(error.message().len() < 1600, "{fault}: {error}");
        assert!(began.elapsed() < Duration::from_secs(8), "{fault}");
        let requests = if fault.starts_with("reset") { 2 } else { 1 };
        assert_eq!(count(&server), requests, "{fault}");
        assert_eq!(server.counts().requests, requests, "{fault}");
        assert_eq!(server.lines().len(), stored, "{fault}");
    }
}

#[tokio::test]
async fn error_bodies_repeat_the_token_where_that_is_asked_for() {
    let post = async |faults: &[&str]| {
        let server = with(faults).await;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let request = client
            .post(server.endpoint())
            .header("content-type", "text/plain");
        let answer = request.bearer_auth(TOKEN).body("{}").send().await.unwrap();
        (answer.text().await.unwrap(), server)
    };
    for fault in ["500:1", "html:1", "redirect:1", "413:bytes=1"] {
        let (text, server) = post(&[fault, "echo-headers"]).await;
        assert!(text.contains(&format!("Bearer {TOKEN}")), "{fault}: {text}");
        assert_eq!(server.fault_counts()[1].1, 1);
        let (text, _) = post(&[fault]).await;
        assert!(!text.contains(TOKEN), "{fault}: {text}");
    }
    let (text, _) = post(&["echo-headers"]).await;
    assert_eq!(text, "", "a success says nothing");
}

#[tokio::test]
async fn a_slow_answer_is_still_one() {
    let server = with(&["slow:1,ms=20"]).await;
    let began = Instant::now();
    deliver(&server).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!((count(&server), server.lines().len()), (1, 2));
}

#[tokio::test]
async fn nobody_follows_a_redirect() {
    let other = with(&[]).await;
    for status in [301, 302, 303, 307, 308] {
        let fault = format!("redirect:1,status={status},to={}?a=1,2", other.endpoint());
        let server = with(&[&fault]).await;
        let error = deliver(&server).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Config, NEVER));
        assert!(error.message().contains(&other.endpoint()), "{error}");
    }
    assert_eq!(other.counts().requests, 0);
}

#[tokio::test]
async fn a_refused_token_is_taken_again_when_the_window_is_over() {
    let server = with(&["401:after=1,for=2"]).await;
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(deliver(&server).await.err().map(|e| e.kind()));
    }
    let refused = Some(ErrorKind::Unauthorized);
    assert_eq!(got, [None, refused, refused, None, None]);
    assert_eq!((count(&server), server.lines().len()), (2, 6));
}

#[tokio::test]
async fn content_is_looked_into_compressed_and_discarded_too() {
    let faults = Faults::of(["422:match=POISON", "413:bytes=100"]).unwrap();
    let builder_of = || StandIn::builder().gzip(true).faults(faults.clone());
    let long = vec![b'x'; 101];
    for server in [
        builder_of().start().await.unwrap(),
        builder_of().discard().start().await.unwrap(),
    ] {
        for gzip in [false, true] {
            server.clear();
            let sink = builder(&server.endpoint()).gzip(gzip).build().unwrap();
            let kind = async |records: &[&[u8]]| {
                let got = sink.deliver(&batch(records)).await;
                got.err().map(|e| e.kind())
            };
            let whole = kind(&[b"{}", b"{\"a\":\"POISON\"}", b"{}"]).await;
            assert_eq!(whole, Some(ErrorKind::Rejected));
            assert_eq!(kind(&[b"{\"POIS", b"ON\"}"]).await, None);
            assert_eq!(kind(&[&long]).await, Some(ErrorKind::TooLarge));
            assert_eq!(kind(&[&long[1..]]).await, None);
            let counts = server.counts();
            assert_eq!((counts.posts, counts.lines, counts.bytes), (2, 3, 111));
            let injected: Vec<_> = server.fault_counts().iter().map(|(_, n)| *n).collect();
            assert_eq!(injected, [1, 1]);
        }
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    for fault in ["reset-before:1", "reset-after:1"] {
        let server = with(&[fault]).await;
        let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}",
            server.endpoint().strip_prefix(server.base_url()).unwrap()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let error = stream.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{fault}");
        assert_eq!(server.lines().len(), usize::from(fault == "reset-after:1"));
    }
}

#[tokio::test]
async fn a_seed_replays_whatever_the_timing() {
    const REQUESTS: usize = 60;
    let faults = [
        "429:0.2",
        "500:0.2",
        "html:0.1",
        "endless:0.1",
        "slow:0.1,ms=1",
    ];
    let run = async |seed| {
        let server = standin(Faults::of(faults).unwrap().seed(seed)).await;
        let sink = builder(&server.endpoint()).build().unwrap();
        let mut got = Vec::new();
        for _ in 0..REQUESTS {
            got.push(sink.deliver(&two()).await.err().map(|e| e.kind()));
        }
        (got, server.fault_counts())
    };
    let (first, counts) = run(3).await;
    assert_eq!((first, counts.clone()), run(3).await);
    assert_ne!(counts, run(4).await.1);
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");

    // All at once: the numbers are dealt out in another order, but all are dealt out.
    let server = standin(Faults::of(faults).unwrap().seed(3)).await;
    let sink = builder(&server.endpoint()).build().unwrap();
    let posts: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let sink = sink.clone();
            tokio::spawn(async move { sink.deliver(&two()).await.map(drop) })
        })
        .collect();
    let mut accepted = 0;
    for post in posts {
        accepted += usize::from(post.await.unwrap().is_ok());
    }
    assert_eq!(server.fault_counts(), counts);
    assert_eq!(server.lines().len(), 2 * accepted);
}

#[tokio::test]
async fn what_never_ends_ends_with_the_client_and_with_the_stand_in() {
    // One connection at a time: the next gets in only once the last is gone.
    for fault in ["stuck:1", "endless:1", "slow:1,ms=3600000"] {
        let server = StandIn::builder()
            .max_connections(1)
            .faults(Faults::of([fault]).unwrap());
        let server = server.start().await.unwrap();
        for _ in 0..2 {
            let stalls = if fault.starts_with("endless") {
                SOON * 20
            } else {
                SOON
            };
            deliver_within(&server, stalls).await.unwrap_err();
        }
        assert_eq!(count(&server), 2, "{fault}");
        // A client that stays, and reads or does not.
        let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let path = server.endpoint().split_off(server.base_url().len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n\
             content-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        while count(&server) < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let began = Instant::now();
        server.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{fault}");
    }
}

#[tokio::test]
async fn rates_that_leave_no_room_are_refused_at_the_start() {
    let faults = Faults::of(["429:0.6", "500:0.5"]).unwrap();
    let error = StandIn::builder().faults(faults).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_pipeline_loses_nothing_to_any_of_them() {
    const FILES: usize = 12;
    const RECORDS: usize = 40;
    for seed in 0..4 {
        let faults = [
            "429:0.1,retry-after=0",
            "500:0.1",
            "503:0.1",
            "reset-before:0.1",
            "reset-after:0.1",
            "truncated:0.1",
            "endless:0.05",
            "422:match=POISON",
            "413:bytes=400",
        ];
        let server = standin(Faults::of(faults).unwrap().seed(seed)).await;
        let mut records = Vec::new();
        let files: Vec<_> = (0..FILES)
            .map(|file| {
                let of_file: Vec<String> = (0..RECORDS)
                    .map(|record| {
                        let poison = if (file, record) == (3, 7) {
                            "POISON"
                        } else {
                            ""
                        };
                        format!("{{\"eventID\":\"{file}-{record}{poison}\",\"n\":1624.0}}")
                    })
                    .collect();
                let document = format!("{{\"Records\":[{}]}}", of_file.join(","));
                records.extend(of_file);
                let key = format!("AWSLogs/1/CloudTrail/eu-west-1/2026/01/01/{file}.json");
                (ObjectId::new("b", key), Bytes::from(document))
            })
            .collect();
        let mut limits = PipelineLimits::default();
        limits.linger = Duration::from_millis(5);
        let sink = builder(&server.endpoint()).records(20).build().unwrap();
        let quarantine = std::sync::Arc::new(MemoryQuarantine::new());
        let pause = Duration::from_millis(1);
        let source = MemorySource::new(files);
        let report = Pipeline::builder(source, sink)
            .limits(limits)
            .retry(RetryPolicy::default().with_pauses(pause, pause * 5))
            // A sink this bad would be left alone for minutes.
            .pace(PacePolicy::default().with_breaker(5, pause, pause * 5))
            .quarantine(std::sync::Arc::clone(&quarantine))
            .build()
            .unwrap()
            .run(CancellationToken::new())
            .await;
        assert!(report.balanced(), "seed {seed}: {report:?}");
        assert_eq!(report.records.accepted as usize, FILES * RECORDS - 1);
        let held = quarantine.entries();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].reason, Reason::Refused);

        let mut arrived: BTreeMap<Bytes, usize> = BTreeMap::new();
        for line in server.lines() {
            *arrived.entry(line).or_default() += 1;
        }
        let twice = arrived.values().filter(|times| **times > 1).count();
        assert!(
            twice > 0,
            "seed {seed}: what was stored before a reset comes again"
        );
        let mut expected: Vec<_> = records.into_iter().map(Bytes::from).collect();
        expected.retain(|record| !record.ends_with(b"POISON\",\"n\":1624.0}"));
        expected.sort();
        assert_eq!(arrived.into_keys().collect::<Vec<_>>(), expected);
        for (fault, count) in server.fault_counts() {
            assert!(count > 0, "seed {seed}: {fault}");
        }
    }
}
