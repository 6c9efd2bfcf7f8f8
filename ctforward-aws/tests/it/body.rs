//! Bodies that break, stall, change, or come from servers with ideas of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ctforward_aws::S3Reader;
use ctforward_core::{Error, ErrorKind, ObjectId, Opened, Result, Retry};

use crate::server::{Asked, Do, Reply, Server};
use crate::{BUCKET, client_for, within};

const ETAG: &str = "\"0123456789abcdef\"";

fn data() -> Bytes {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

async fn open(server: &Server) -> Result<Opened> {
    let reader = S3Reader::builder(client_for(&server.url))
        .idle_timeout(Duration::from_millis(400))
        .resume_attempts(2)
        .build()?;
    let id = ObjectId::new(BUCKET, "AWSLogs/k.json.gz");
    within(reader.open_later(id).open()).await
}

/// Everything of a body, and in how many pieces it came.
async fn read(opened: &mut Opened) -> (Vec<u8>, usize, Option<Error>) {
    let (mut all, mut pieces) = (Vec::new(), 0);
    loop {
        match within(opened.chunks.next()).await {
            Ok(Some(piece)) => {
                all.extend_from_slice(&piece);
                pieces += 1;
            }
            Ok(None) => {
                assert!(within(opened.chunks.next()).await.unwrap().is_none());
                return (all, pieces, None);
            }
            Err(error) => {
                let again = within(opened.chunks.next()).await;
                assert_eq!(
                    again.unwrap_err().kind(),
                    error.kind(),
                    "no end after an error"
                );
                return (all, pieces, Some(error));
            }
        }
    }
}

/// A server that answers the first GET with `first` and the others with `then`.
async fn serve(
    first: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    then: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> Server {
    let turns = AtomicUsize::new(0);
    Server::start(move |asked| match turns.fetch_add(1, Ordering::SeqCst) {
        0 => first(asked),
        _ => then(asked),
    })
    .await
}

fn whole(asked: &Asked) -> Reply {
    Reply::object(asked, &data(), ETAG)
}

fn cut_at(at: usize) -> impl Fn(&Asked) -> Reply + Send + Sync {
    move |asked| whole(asked).ending(at, Do::Break)
}

async fn fails_with(server: Server, kind: ErrorKind, retry: Retry) -> Error {
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    let error = error.expect("an error");
    assert!(data().starts_with(&bytes), "never a wrong byte");
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
    error
}

#[tokio::test]
async fn the_head_comes_first_and_the_body_in_pieces() {
    let server = Server::start(whole).await;
    let mut opened = open(&server).await.unwrap();
    assert_eq!(
        opened.etag.as_deref(),
        Some("0123456789abcdef"),
        "as in a listing"
    );
    assert_eq!(opened.size, Some(300_000));
    let (bytes, pieces, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!(bytes == data());
    assert!(pieces > 1, "streamed");
}

#[tokio::test]
async fn a_version_and_an_owner_are_asked_for_on_every_request() {
    let server = serve(cut_at(1000), whole).await;
    let reader = S3Reader::builder(client_for(&server.url))
        .expected_bucket_owner("123456789012")
        .request_payer(true)
        .build()
        .unwrap();
    let id = ObjectId::new(BUCKET, "a b//../ü+%.gz").with_version("v 1");
    let mut opened = within(reader.open_later(id).open()).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none() && bytes == data());
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for request in &asked {
        assert_eq!(request.path, "/trail/a b//../ü+%.gz");
        assert_eq!(request.query("versionId"), "v 1");
        assert_eq!(
            request.header("x-amz-expected-bucket-owner"),
            Some("123456789012")
        );
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
    }
    assert_eq!(asked[1].header("range"), Some("bytes=1000-"));
    assert_eq!(asked[1].header("if-match"), Some(ETAG), "quotes included");
}

#[tokio::test]
async fn a_broken_body_goes_on_wherever_it_broke() {
    for at in [0, 1, 65_536, 299_999] {
        let server = serve(cut_at(at), whole).await;
        let mut opened = open(&server).await.unwrap();
        let (bytes, _, error) = read(&mut opened).await;
        assert!(error.is_none(), "{at}: {error:?}");
        assert!(bytes == data(), "{at}");
        let asked = server.asked();
        assert_eq!(asked.len(), 2, "{at}");
        assert_eq!(asked[1].from(), Some(at));
    }
}

#[tokio::test]
async fn progress_sets_the_attempts_back() {
    // Each answer brings 50,000 bytes more: six, although only two in a row may fail.
    let server = Server::start(|asked| {
        let left = data().len() - asked.from().unwrap_or(0);
        let reply = whole(asked);
        if left > 50_000 {
            reply.ending(50_000, Do::Break)
        } else {
            reply
        }
    })
    .await;
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!(bytes == data());
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_body_that_never_goes_on_is_an_error_after_some_attempts() {
    let server = serve(cut_at(1000), cut_at(0)).await;
    let error = fails_with(server, ErrorKind::Unavailable, Retry::Backoff).await;
    assert!(error.message().contains("byte 1000 of 300000"), "{error}");
}

#[tokio::test]
async fn a_stalled_body_goes_on_and_a_dead_one_is_a_timeout() {
    let stall = |at| move |asked: &Asked| whole(asked).ending(at, Do::Wait(crate::PATIENCE));
    let server = serve(stall(1000), whole).await;
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none() && bytes == data());
    let server = serve(stall(1000), stall(0)).await;
    fails_with(server, ErrorKind::Timeout, Retry::Backoff).await;
}

#[tokio::test]
async fn time_in_which_nobody_reads_is_not_the_servers_silence() {
    let server = Server::start(whole).await;
    let mut opened = open(&server).await.unwrap();
    let first = within(opened.chunks.next()).await.unwrap().unwrap();
    // Twice as long as the server may be silent.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let (rest, _, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!([&first[..], &rest[..]].concat() == data());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_slow_body_is_not_a_dead_one() {
    // Three times as long as the server may be silent, but never silent so long.
    let server = Server::start(|asked| {
        let mut reply = whole(asked);
        reply.body = data()
            .chunks(50_000)
            .flat_map(|piece| {
                let wait = Do::Wait(Duration::from_millis(200));
                [wait, Do::Send(Bytes::copy_from_slice(piece))]
            })
            .collect();
        reply
    })
    .await;
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!(bytes == data());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_cancelled_read_loses_no_byte() {
    let server = Server::start(|asked| {
        let left = data().len() - asked.from().unwrap_or(0);
        let reply = whole(asked);
        if left > 100_000 {
            reply.ending(99_999, Do::Break)
        } else {
            reply
        }
    })
    .await;
    let mut opened = open(&server).await.unwrap();
    let mut all = Vec::new();
    let mut cancelled = 0;
    loop {
        // Shorter than the wait before a body is gone on with would be in practice,
        // longer than the shortest one.
        match tokio::time::timeout(Duration::from_millis(70), opened.chunks.next()).await {
            Err(_) => cancelled += 1,
            Ok(piece) => match piece.unwrap() {
                Some(piece) => all.extend_from_slice(&piece),
                None => break,
            },
        }
        assert!(cancelled < 200);
    }
    assert!(all == data());
}

#[tokio::test]
async fn an_object_that_changed_is_never_glued_together() {
    let changed = |_: &Asked| Reply::error(412, "PreconditionFailed", "etag");
    let server = serve(cut_at(1000), changed).await;
    fails_with(server, ErrorKind::Changed, Retry::Never).await;
    // A server that does not know If-Match, with and without ranges.
    let ranges = |asked: &Asked| Reply::object(asked, &data(), "\"other\"");
    let server = serve(cut_at(1000), ranges).await;
    fails_with(server, ErrorKind::Changed, Retry::Never).await;
    let all = |_: &Asked| Reply::new(200, data()).with("etag", "\"other\"");
    let server = serve(cut_at(1000), all).await;
    fails_with(server, ErrorKind::Changed, Retry::Never).await;
    // The same ETag and another length.
    let longer = |asked: &Asked| whole(asked).with("content-range", "bytes 1000-299999/300001");
    let server = serve(cut_at(1000), longer).await;
    fails_with(server, ErrorKind::Changed, Retry::Never).await;
    let shorter = |_: &Asked| Reply::error(416, "InvalidRange", "range");
    let server = serve(cut_at(1000), shorter).await;
    fails_with(server, ErrorKind::Changed, Retry::Never).await;
    // Gone.
    let gone = |_: &Asked| Reply::error(404, "NoSuchKey", "key");
    let server = serve(cut_at(1000), gone).await;
    fails_with(server, ErrorKind::NotFound, Retry::Never).await;
}

#[tokio::test]
async fn a_server_without_ranges_repeats_itself_and_no_byte_comes_twice() {
    let all = |_: &Asked| Reply::new(200, data()).with("etag", ETAG);
    let server = serve(cut_at(100_001), all).await;
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!(bytes == data());
    // It breaks again, within what is known already: no progress, so attempts end.
    let again = |_: &Asked| {
        Reply::new(200, data())
            .with("etag", ETAG)
            .ending(50_000, Do::Break)
    };
    let server = serve(cut_at(100_001), again).await;
    fails_with(server, ErrorKind::Unavailable, Retry::Backoff).await;
}

#[tokio::test]
async fn an_answer_that_is_not_the_rest_is_refused() {
    for range in [
        "bytes 999-299999/300000",
        "bytes 1000-299998/300000",
        "bytes x-y/z",
        "",
    ] {
        let wrong = move |asked: &Asked| whole(asked).with("content-range", range);
        let server = serve(cut_at(1000), wrong).await;
        fails_with(server, ErrorKind::Unavailable, Retry::Backoff).await;
    }
    let nameless = |asked: &Asked| {
        let mut reply = whole(asked);
        reply.headers.retain(|(name, _)| *name != "etag");
        reply
    };
    let server = serve(cut_at(1000), nameless).await;
    fails_with(server, ErrorKind::Unavailable, Retry::Backoff).await;
}

#[tokio::test]
async fn a_rest_that_ends_early_without_a_break_is_no_end() {
    // It says that it is the whole rest, and is five bytes of it.
    let short = |asked: &Asked| {
        let Some(from) = asked.from() else {
            return cut_at(1000)(asked);
        };
        let range = format!("bytes {from}-299999/300000");
        Reply::new(206, data().slice(from..from + 5))
            .with("content-range", range)
            .with("etag", ETAG)
    };
    let turns = AtomicUsize::new(0);
    let server = Server::start(move |asked| match turns.fetch_add(1, Ordering::SeqCst) {
        0..4 => short(asked),
        _ => whole(asked),
    })
    .await;
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none(), "{error:?}");
    assert!(bytes == data());
    let froms: Vec<_> = server.asked().iter().map(Asked::from).collect();
    assert_eq!(
        froms,
        [None, Some(1000), Some(1005), Some(1010), Some(1015)]
    );
}

#[tokio::test]
async fn without_an_etag_nothing_is_gone_on_with() {
    let nameless = |asked: &Asked| {
        let mut reply = cut_at(1000)(asked);
        reply.headers.retain(|(name, _)| *name != "etag");
        reply
    };
    let server = Server::start(nameless).await;
    let mut opened = open(&server).await.unwrap();
    assert_eq!(opened.etag, None);
    let (_, _, error) = read(&mut opened).await;
    assert!(error.unwrap().is_retryable());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_slower_pace_is_obeyed_on_the_way_and_when_it_is_long_handed_on() {
    let turns = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |asked| match turns.fetch_add(1, Ordering::SeqCst) {
        0 => cut_at(1000)(asked),
        // The call and the SDK's own retry.
        1 | 2 => Reply::error(503, "SlowDown", "slower").with("retry-after", "1"),
        _ => whole(asked),
    })
    .await;
    let begun = std::time::Instant::now();
    let mut opened = open(&server).await.unwrap();
    let (bytes, _, error) = read(&mut opened).await;
    assert!(error.is_none() && bytes == data());
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let slow = |_: &Asked| Reply::error(503, "SlowDown", "slower").with("retry-after", "30");
    let server = serve(cut_at(1000), slow).await;
    fails_with(
        server,
        ErrorKind::Throttled,
        Retry::After(Duration::from_secs(30)),
    )
    .await;
}

#[tokio::test]
async fn a_whole_body_whose_checksum_differs_is_no_end() {
    let wrong = |asked: &Asked| whole(asked).with("x-amz-checksum-crc32", "AAAAAA==");
    let server = Server::start(wrong).await;
    let error = fails_with(server, ErrorKind::Unavailable, Retry::Backoff).await;
    assert!(error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_empty_object_is_opened_and_ends() {
    let server = Server::start(|_| Reply::new(200, "").with("etag", ETAG)).await;
    let mut opened = open(&server).await.unwrap();
    assert_eq!(opened.size, Some(0));
    let (bytes, _, error) = read(&mut opened).await;
    assert!(bytes.is_empty() && error.is_none());
}

#[tokio::test]
async fn a_body_of_unknown_length_is_not_taken() {
    let server = Server::start(|asked| {
        let mut reply = whole(asked);
        reply.headers.retain(|(name, _)| *name != "content-length");
        reply
    })
    .await;
    let error = open(&server).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff)
    );
}
