use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{ErrorKind, Sink as _};
use ctforward_visionone::standin::StandIn;

use crate::{TOKEN, batch, builder, secret, two};

#[tokio::test]
async fn the_sink_and_the_stand_in_agree() {
    let server = StandIn::builder()
        .token(secret(TOKEN))
        .gzip(true)
        .start()
        .await
        .unwrap();
    for (gzip, newline) in [(false, false), (false, true), (true, false), (true, true)] {
        server.clear();
        let sink = builder(&server.endpoint())
            .gzip(gzip)
            .final_newline(newline)
            .build()
            .unwrap();
        assert!(sink.deliver(&two()).await.unwrap().is_complete());
        let want: Vec<Vec<u8>> = two().records().map(<[u8]>::to_vec).collect();
        assert_eq!(server.lines(), want);
        assert_eq!(server.records(), want);
        let counts = server.counts();
        assert_eq!(
            (counts.posts, counts.lines, counts.kept, counts.refused),
            (1, 2, 2, 0)
        );
        assert_eq!(counts.bytes, two().bytes() as u64 + u64::from(newline));
    }
    assert!(server.endpoint().starts_with(server.base_url()));
    server.stop().await;
    server.stop().await;
    assert_eq!(server.lines().len(), 2, "what came is kept");
    let error = builder(&server.endpoint())
        .build()
        .unwrap()
        .deliver(&two())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_the_stand_in_refuses_the_sink_calls_by_its_name() {
    let server = StandIn::builder()
        .token(secret(TOKEN))
        .max_body_bytes(1000)
        .start()
        .await
        .unwrap();
    let large = vec![b'x'; 900_000];
    let kind = async |sink: ctforward_visionone::VisionOneSink, record: &[u8]| {
        sink.deliver(&batch(&[record])).await.unwrap_err().kind()
    };
    let at = |path: &str| builder(&format!("{}{path}", server.base_url()));
    let here = || builder(&server.endpoint());
    // Large bodies too: the answer must be seen, not a reset.
    assert_eq!(
        kind(here().build().unwrap(), &large).await,
        ErrorKind::TooLarge
    );
    assert_eq!(
        kind(at("/elsewhere").build().unwrap(), &large).await,
        ErrorKind::Config
    );
    assert_eq!(
        kind(at("/v3.0/search/cloudActivities").build().unwrap(), &large).await,
        ErrorKind::Config
    );
    assert_eq!(
        kind(here().gzip(true).build().unwrap(), b"{}").await,
        ErrorKind::Config
    );
    let other = ctforward_visionone::VisionOneSink::builder(&server.endpoint(), secret("other"));
    assert_eq!(
        kind(other.build().unwrap(), &large).await,
        ErrorKind::Unauthorized
    );
    assert_eq!(server.lines().len(), 0);
    assert_eq!(server.counts().refused, 5);
}

#[tokio::test]
async fn the_documented_headers_are_required() {
    let server = StandIn::builder()
        .gzip(true)
        .max_body_bytes(10_000)
        .start()
        .await
        .unwrap();
    let client = reqwest::Client::new();
    let post = || client.post(server.endpoint()).bearer_auth("any");
    let plain = || post().header("content-type", "Text/Plain; charset=UTF-8");
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![b'x'; 1_000_000]).unwrap();
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < 10_000);
    for (request, status) in [
        (plain().body("a"), 200),
        (
            plain().header("content-encoding", "identity").body("a"),
            200,
        ),
        (
            post().header("content-type", "application/json").body("a"),
            415,
        ),
        (post().body("a"), 415),
        (plain().header("content-encoding", "zstd").body("a"), 415),
        (plain().header("content-encoding", "gzip").body("a"), 400),
        (
            plain()
                .header("content-encoding", "gzip")
                .body(bomb.clone()),
            413,
        ),
        (
            plain()
                .header("content-encoding", "gzip")
                .body(bomb[..40].to_vec()),
            400,
        ),
        (plain().body(vec![b'x'; 10_001]), 413),
        (plain().body(vec![b'x'; 10_000]), 200),
        (
            client
                .post(server.endpoint())
                .header("content-type", "text/plain")
                .body("a"),
            401,
        ),
        (
            client
                .post(server.endpoint())
                .header("authorization", "Basic YQ==")
                .body("a"),
            401,
        ),
        (client.get(server.endpoint()).bearer_auth("any"), 405),
        (client.get(server.base_url()).bearer_auth("any"), 404),
    ] {
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert_eq!(code, status, "{text}");
        assert_eq!(text.starts_with("{\"error\":{"), status >= 400, "{text}");
    }
    assert_eq!(server.counts().lines, 3);
}

#[tokio::test]
async fn counting_alone_holds_nothing_and_agrees() {
    let server = Arc::new(
        StandIn::builder()
            .discard()
            .accept_status(202)
            .start()
            .await
            .unwrap(),
    );
    let sink = Arc::new(builder(&server.endpoint()).build().unwrap());
    let record = vec![b'x'; 1500];
    let many: Vec<&[u8]> = vec![&record; 600];
    let many = batch(&many);
    let posts: Vec<_> = (0..32)
        .map(|_| {
            let (sink, many) = (Arc::clone(&sink), many.clone());
            tokio::spawn(async move { sink.deliver(&many).await.map(drop) })
        })
        .collect();
    for post in posts {
        post.await.unwrap().unwrap();
    }
    let counts = server.counts();
    assert_eq!(
        (counts.posts, counts.lines, counts.kept, counts.dropped),
        (32, 32 * 600, 0, 0)
    );
    assert_eq!(counts.bytes, 32 * many.bytes() as u64);
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn other_machines_must_be_let_in_explicitly() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let error = StandIn::builder()
        .bind(everywhere)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let server = StandIn::builder()
        .bind(everywhere)
        .allow_non_loopback(true)
        .start()
        .await
        .unwrap();
    assert!(server.addr().ip().is_unspecified());
    let taken = StandIn::builder()
        .bind(server.addr())
        .allow_non_loopback(true)
        .start()
        .await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Unavailable);
    for builder in [
        StandIn::builder().path("no-slash"),
        StandIn::builder().accept_status(404),
        StandIn::builder().accept_status(7),
        StandIn::builder().max_connections(0),
        StandIn::builder().max_body_bytes(usize::MAX),
    ] {
        assert_eq!(builder.start().await.unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn it_stops_though_a_client_stays() {
    use tokio::io::AsyncWriteExt as _;
    let server = StandIn::builder().start().await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = std::time::Instant::now();
    server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(8));
    let shown = format!("{server:?} {:?}", StandIn::builder().token(secret(TOKEN)));
    assert!(!shown.contains(&TOKEN[..12]), "{shown}");
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_sees_why_it_was_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = StandIn::builder()
        .token(secret(TOKEN))
        .start()
        .await
        .unwrap();
    for path in ["/ingest/api/v1/third_party_log/raw", "/elsewhere"] {
        let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let body = vec![b'x'; 8 << 20];
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut start = [0; 10];
        stream.read_exact(&mut start).await.unwrap();
        assert!(start.starts_with(b"HTTP/1.1 4"), "{start:?}");
    }
}
