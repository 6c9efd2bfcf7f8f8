use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Retry, Sink};
use ctforward_visionone::{Secret, TokenProvider, VisionOneSink};
use proptest::prelude::*;

use crate::raw::{Raw, Step, answer, ok};
use crate::{TOKEN, batch, builder, secret, two};

async fn outcome(steps: impl IntoIterator<Item = Step>) -> (Result<(), Error>, Raw) {
    let server = Raw::start(steps).await;
    let sink = builder(&server.endpoint()).build().unwrap();
    let got = sink.deliver(&two()).await.map(|d| assert!(d.is_complete()));
    (got, server)
}

async fn refused(step: Step) -> Error {
    outcome([step]).await.0.unwrap_err()
}

#[tokio::test]
async fn a_batch_arrives_as_it_is_with_the_documented_headers() {
    let server = Raw::start([]).await;
    let sink = builder(&server.endpoint())
        .header("TMV1-Log-Vendor", "AWS")
        .build()
        .unwrap();
    for _ in 0..3 {
        assert!(sink.deliver(&two()).await.unwrap().is_complete());
    }
    assert!(sink.deliver(&batch(&[])).await.unwrap().is_complete());
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests.iter().all(|r| r.connection == 0),
        "connections are kept"
    );
    let head = &requests[0].head;
    assert!(
        head.starts_with("POST /ingest/raw?k=querysecret-0123456789 HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        format!("authorization: Bearer {TOKEN}"),
        "content-type: text/plain".to_owned(),
        format!("user-agent: ctforward/{}", env!("CARGO_PKG_VERSION")),
        "tmv1-log-vendor: AWS".to_owned(),
    ] {
        assert_eq!(
            head.lines().filter(|l| *l == line).count(),
            1,
            "{line} in {head}"
        );
    }
    assert!(!head.contains("content-encoding"), "{head}");
    assert_eq!(requests[0].body, two().body());
}

#[tokio::test]
async fn framing_and_compression_are_settings() {
    let server = Raw::start([]).await;
    let sink = builder(&server.endpoint())
        .gzip(true)
        .final_newline(true)
        .build()
        .unwrap();
    assert_eq!(sink.limits().bytes, 999_999);
    assert_eq!(sink.limits().record_bytes, 999_999);
    sink.deliver(&two()).await.unwrap();
    let request = &server.requests()[0];
    assert!(request.head.contains("content-encoding: gzip"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&request.body[..])
        .read_to_end(&mut body)
        .unwrap();
    assert_eq!(body, [&two().body()[..], b"\n"].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn exactly_the_bytes_are_sent(
        records in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("line", |b| !b"\r\n".contains(b)), 1..200), 1..40),
        newline: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Raw::start([]).await;
            let sink = builder(&server.endpoint()).final_newline(newline).build().unwrap();
            let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            sink.deliver(&batch(&slices)).await.unwrap();
            let mut want = slices.join(&b'\n');
            if newline {
                want.push(b'\n');
            }
            assert_eq!(server.requests()[0].body, want);
        });
    }
}

#[tokio::test]
async fn a_record_that_is_not_one_line_is_not_sent() {
    let server = Raw::start([]).await;
    let sink = builder(&server.endpoint()).build().unwrap();
    for bad in [&b"{\n}"[..], b"{}\r", b""] {
        let error = sink.deliver(&batch(&[b"{}", bad])).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Rejected, Retry::Never)
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_opened_anew_once() {
    // Closed while idle, and closed on the very request.
    for first in [Step::AnswerAndClose(answer("200 OK", "", "")), ok()] {
        let idle = matches!(first, Step::AnswerAndClose(_));
        let server = Raw::start(if idle {
            vec![first]
        } else {
            vec![first, Step::CutAfterBody]
        })
        .await;
        let sink = builder(&server.endpoint()).build().unwrap();
        sink.deliver(&two()).await.unwrap();
        sink.deliver(&two()).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests.last().map(|r| r.connection), Some(1));
        assert_eq!(requests.len(), if idle { 2 } else { 3 });
    }
}

#[tokio::test]
async fn a_cut_is_tried_once_more_and_then_unavailable() {
    let (got, server) = outcome([Step::CutAfterBody]).await;
    got.unwrap();
    assert_eq!(server.requests().len(), 2);
    let (got, _) = outcome([Step::CutBeforeBody]).await;
    got.unwrap();
    let (got, server) = outcome([Step::CutAfterBody, Step::CutAfterBody]).await;
    let error = got.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_success_whose_body_is_cut_is_none() {
    let error = refused(Step::AnswerAndClose(
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"erro".into(),
    ))
    .await;
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff),
        "{error}"
    );
}

#[tokio::test]
async fn any_other_status_holds_though_its_body_is_cut() {
    for (status, kind, retry) in [
        ("413 Too Large", ErrorKind::TooLarge, Retry::Never),
        ("400 Bad", ErrorKind::Rejected, Retry::Never),
        (
            "429 Slow",
            ErrorKind::Throttled,
            Retry::After(Duration::from_secs(9)),
        ),
    ] {
        let head = format!("HTTP/1.1 {status}\r\nretry-after: 9\r\ncontent-length: 99\r\n\r\n<");
        let error = refused(Step::AnswerAndClose(head.into_bytes())).await;
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_stalls_is_a_timeout() {
    let server = Raw::start([Step::Answer(
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".into(),
    )])
    .await;
    let sink = builder(&server.endpoint())
        .request_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Timeout, Retry::Backoff),
        "{error}"
    );
}

#[tokio::test]
async fn no_error_hides_in_a_compressed_answer() {
    let pack = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    };
    let error = br#"{"error":{"code":"TooManyRequests","message":"m"}}"#;
    for (coding, body, kind) in [
        ("gzip", pack(error), Some(ErrorKind::Throttled)),
        ("GZIP", pack(b"OK"), None),
        (
            "gzip",
            pack(&vec![b' '; 1 << 20]),
            Some(ErrorKind::Unavailable),
        ),
        ("gzip", b"OK".to_vec(), Some(ErrorKind::Unavailable)),
        ("br", b"whatever".to_vec(), Some(ErrorKind::Unavailable)),
        ("br", Vec::new(), None),
    ] {
        let head = format!("content-encoding: {coding}\r\n");
        let (got, _) = outcome([Step::Answer(crate::raw::answer_bytes(
            "200 OK", &head, &body,
        ))])
        .await;
        assert_eq!(got.err().map(|e| e.kind()), kind, "{coding}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_its_bound() {
    let chunk = vec![b'x'; 4096];
    for (status, kind) in [
        ("200 OK", ErrorKind::Unavailable),
        ("400 Bad Request", ErrorKind::Rejected),
    ] {
        let started = Instant::now();
        let error = refused(Step::Endless(
            format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").into_bytes(),
            chunk.clone(),
        ))
        .await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().len() < 1400,
            "{}",
            error.to_string().len()
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_web_page_is_no_success() {
    let error = refused(Step::Answer(answer(
        "200 OK",
        "content-type: text/html\r\n",
        "Sign in",
    )))
    .await;
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Config, Retry::Never),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_other_host_sees_nothing() {
    let other = Raw::start([]).await;
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let to = format!("location: http://{}/take?k=1\r\n", other.address);
        let error = refused(Step::Answer(answer(status, &to, ""))).await;
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Config, Retry::Never)
        );
        assert!(
            error
                .message()
                .contains(&format!("http://{}/take,", other.address)),
            "{error}"
        );
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout() {
    let server = Raw::start([Step::Silence(Duration::from_secs(30))]).await;
    let sink = builder(&server.endpoint())
        .request_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Timeout, Retry::Backoff),
        "{error}"
    );
    assert_eq!(
        server.requests().len(),
        1,
        "a timeout is not sent again at once"
    );
}

#[tokio::test]
async fn the_server_sets_the_pace() {
    let error = refused(Step::Answer(answer(
        "429 Too Many Requests",
        "retry-after: 7\r\n",
        "",
    )))
    .await;
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Throttled, Retry::After(Duration::from_secs(7)))
    );
    // Measured by the server's own clock.
    let headers =
        "date: Sun, 06 Nov 1994 08:49:00 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let error = refused(Step::Answer(answer("503 Service Unavailable", headers, ""))).await;
    assert_eq!(
        (error.kind(), error.retry()),
        (
            ErrorKind::Unavailable,
            Retry::After(Duration::from_secs(37))
        )
    );
}

#[tokio::test]
async fn an_early_413_is_seen_though_the_body_was_not_read() {
    let server = Raw::start([Step::AnswerEarly(answer(
        "413 Too Large",
        "connection: close\r\n",
        "",
    ))])
    .await;
    let sink = builder(&server.endpoint()).build().unwrap();
    let record = vec![b'x'; 900_000];
    let error = sink.deliver(&batch(&[&record])).await.map(drop);
    // Whether the answer outruns the reset is up to the network; never a success.
    match error {
        Err(e) => assert!(
            matches!(e.kind(), ErrorKind::TooLarge | ErrorKind::Unavailable),
            "{e}"
        ),
        Ok(()) => assert_eq!(
            server.requests().len(),
            2,
            "only the second try may be accepted"
        ),
    }
}

#[tokio::test]
async fn this_machine_is_never_reached_through_a_proxy() {
    let proxy = Raw::start([]).await;
    let address = format!("http://{}", proxy.address);
    let server = Raw::start([]).await;
    let sink = builder(&server.endpoint()).proxy(&address).build().unwrap();
    sink.deliver(&two()).await.unwrap();
    assert_eq!(server.requests().len(), 1);

    // The environment is read once a process, so another test runs in one of its own.
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sink::a_batch_arrives_as_it_is_with_the_documented_headers",
        ])
        .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, &address)))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert!(proxy.requests().is_empty());

    // Where a proxy is meant, it is used.
    let sink = builder("http://in.example/raw")
        .allow_plain_http(true)
        .proxy(&address)
        .build()
        .unwrap();
    sink.deliver(&two()).await.unwrap();
    assert!(
        proxy.requests()[0]
            .head
            .starts_with("POST http://in.example/raw ")
    );
}

/// Hands out a new token each time one is asked to be read anew.
#[derive(Default)]
struct Rotating(AtomicUsize, bool);

#[async_trait]
impl TokenProvider for Rotating {
    async fn token(&self, refresh: bool) -> ctforward_core::Result<Secret> {
        if refresh && self.1 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Secret::new(format!("token-{}", self.0.load(Ordering::Relaxed)))
    }
}

#[tokio::test]
async fn a_refused_token_is_read_anew_once() {
    let no = |status: &str| Step::Answer(answer(status, "", ""));
    for (rotates, steps, requests, passes) in [
        (true, vec![no("401 Unauthorized")], 2, true),
        (
            true,
            vec![no("403 Forbidden"), no("401 Unauthorized")],
            2,
            false,
        ),
        (false, vec![no("401 Unauthorized")], 1, false),
    ] {
        let server = Raw::start(steps).await;
        let sink =
            VisionOneSink::builder(&server.endpoint(), Rotating(AtomicUsize::new(0), rotates))
                .build()
                .unwrap();
        let got = sink.deliver(&two()).await;
        assert_eq!(server.requests().len(), requests);
        assert_eq!(got.is_ok(), passes);
        if let Err(error) = got {
            assert_eq!(
                (error.kind(), error.retry()),
                (ErrorKind::Unauthorized, Retry::Never)
            );
        }
        if requests == 2 {
            assert!(server.requests()[1].head.contains("Bearer token-1"));
            assert_eq!(server.requests()[1].body, two().body());
        }
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sink = builder(&format!("http://localhost:{}/", address.port()))
        .build()
        .unwrap();
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff),
        "{error}"
    );
}

#[test]
fn settings_that_cannot_work_are_refused_in_one_line() {
    let good = || builder("https://in.example/raw");
    assert!(good().build().is_ok());
    for (what, builder) in [
        ("size", good().request_bytes(1)),
        ("size", good().request_bytes(usize::MAX)),
        ("records", good().records(0)),
        ("record", good().request_bytes(10).record_bytes(11)),
        (
            "record",
            good()
                .request_bytes(10)
                .record_bytes(10)
                .final_newline(true),
        ),
        ("status", good().accept_statuses([])),
        ("status", good().accept_statuses([200, 404])),
        ("timeout", good().request_timeout(Duration::ZERO)),
        ("header", good().header("Authorization", "x")),
        ("header", good().header("a b", "x")),
        ("header", good().header("X-A", "x\r\nX-B: y")),
        ("proxy", good().proxy("http://user:s3cr3t@")),
        ("CA", good().ca_pem("no certificate")),
        ("plain", builder("http://in.example/raw")),
        ("address", VisionOneSink::builder("nonsense", secret(TOKEN))),
    ] {
        let error = builder.build().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{what}: {error}");
        let said = format!("{error} {error:?}");
        assert!(
            !said.contains("s3cr3t") && !error.message().contains('\n'),
            "{what}: {said}"
        );
    }
}
