use std::io::Write as _;

use ctforward_core::sink::MemorySink;
use ctforward_core::source::MemorySource;
use ctforward_core::{ObjectId, Pipeline};

use super::*;

fn settings() -> AdminSettings {
    AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: secret(),
        ..AdminSettings::default()
    }
}

#[tokio::test]
async fn a_head_too_large_or_of_too_many_lines_is_refused() {
    let served = on_loopback().await;
    let port = served.admin.address.port();
    let begin = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n");
    for rest in [
        format!("X-Long: {}\r\n\r\n", "x".repeat(40 * 1024)),
        format!("{}\r\n", "X-Many: 1\r\n".repeat(200)),
    ] {
        let answer = raw(&served, format!("{begin}{rest}").as_bytes()).await;
        assert_eq!(answer.expect("an answer").status, 431);
    }
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "x".repeat(70_000)
    );
    let answer = raw(&served, long.as_bytes()).await;
    assert!(answer.is_none_or(|a| a.status == 414 || a.status == 431));
    let fits = format!(
        "{begin}X-Long: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(8 * 1024)
    );
    assert_eq!(raw(&served, fits.as_bytes()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_head_an_idle_connection_and_a_slow_body_are_cut() {
    // Long enough for a request that is in time on a slow machine.
    let limits = Limits {
        head: Duration::from_secs(1),
        body: Duration::from_secs(1),
        ..Limits::default()
    };
    let served = serve(settings(), limits).await;
    let port = served.admin.address.port();
    for begin in ["", "GET /healthz HTTP/1.1\r\nHost: local"] {
        let mut stream = connect(served.admin.address).await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.is_none_or(|a| a.status == 408), "{begin}");
    }
    // Kept alive after an answer, and then silent.
    let mut stream = connect(served.admin.address).await;
    let text = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 200);

    let mut stream = connect(served.admin.address).await;
    let text = format!(
        "POST /redrive HTTP/1.1\r\nHost: localhost:{port}\r\nX-Ctforward-Admin: {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 408);
    assert!(board::lock(&served.board.asked).is_empty());
}

#[tokio::test]
async fn a_client_that_drips_is_cut_at_the_end_of_its_life() {
    let limits = Limits {
        life: Duration::from_millis(300),
        stop: Duration::from_millis(100),
        ..Limits::default()
    };
    let served = serve(settings(), limits).await;
    let port = served.admin.address.port();
    // One request after the other on one connection, each in time.
    let mut stream = connect(served.admin.address).await;
    let text = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    let mut read = [0; 1024];
    loop {
        if stream.write_all(text.as_bytes()).await.is_err() {
            break;
        }
        match stream.read(&mut read).await {
            Ok(0) | Err(_) => break,
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn connections_too_many_are_told_so_and_others_are_served_after() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let served = serve(settings(), limits).await;
    let port = served.admin.address.port();
    let text = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(served.admin.address).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        // Its answer has come, so it has its place.
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        held.push(stream);
    }
    let refused = get(&served, "/healthz").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.body, "too many connections\n");
    drop(held);
    loop {
        let answer = get(&served, "/healthz").await;
        if answer.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_stops_when_told_and_frees_its_address() {
    let served = on_loopback().await;
    let address = served.admin.address;
    let idle = connect(address).await;
    served.stop.cancel();
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(idle);
}

/// A log file of 30 MB, in chunks that are all there at once.
fn large() -> MemorySource {
    let mut text = String::from("{\"Records\":[");
    let mut noise = 1_u64;
    for n in 0..60_000 {
        let comma = if n > 0 { "," } else { "" };
        text.push_str(&format!("{comma}{{\"eventID\":\"{n}\",\"pad\":\""));
        for _ in 0..30 {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(&format!("{noise:016x}"));
        }
        text.push_str("\"}");
    }
    text.push_str("]}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let key = "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/03/01/\
        111122223333_CloudTrail_eu-central-1_20260301T0000Z_abcdefghijklmnop.json.gz";
    MemorySource::new([(ObjectId::new("logs", key), gzip.finish().unwrap().into())])
}

#[tokio::test]
async fn health_is_answered_while_a_pipeline_reads_on_the_same_thread() {
    let served = on_loopback().await;
    let pipeline = Pipeline::builder(large(), MemorySink::new())
        .build()
        .unwrap();
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run(CancellationToken::new()));
    let mut meanwhile = 0;
    while !run.is_finished() {
        let answer = get(&served, "/healthz").await;
        assert_eq!(answer.status, 200);
        let reading = progress.bytes_inflated() > 0 && progress.files_decided() == 0;
        meanwhile += u32::from(reading);
    }
    let report = run.await.unwrap();
    assert_eq!(report.records.accepted, 60_000, "{report:?}");
    assert!(meanwhile > 2, "{meanwhile}");
}
