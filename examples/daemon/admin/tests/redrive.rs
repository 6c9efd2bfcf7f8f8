use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::board::{HOSTILE, lock};
use super::*;

const JSON: &str = "Content-Type: application/json";

fn admin() -> String {
    format!("X-Ctforward-Admin: {TOKEN}")
}

#[tokio::test]
async fn a_redrive_needs_a_post_with_the_token_in_a_header() {
    let served = on_loopback().await;
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for (line, headers, status) in [
        ("GET /redrive", vec![admin()], 405),
        ("HEAD /redrive", vec![admin()], 405),
        ("PUT /redrive", vec![admin()], 405),
        ("POST /redrive", vec![], 401),
        (
            "POST /redrive",
            vec!["X-Ctforward-Admin: not-the-admin-token".to_owned()],
            401,
        ),
        ("POST /redrive", vec![format!("Cookie: token={TOKEN}")], 401),
        (
            "POST /redrive?token=an-admin-token-of-the-tests",
            vec![],
            401,
        ),
        ("POST /redrive?reason=refused", vec![admin()], 400),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = request(&served, line, &headers, "").await;
        assert_eq!(answer.status, status, "{line} {headers:?}: {answer:?}");
        assert!(!answer.body.contains(TOKEN));
    }
    // What a browser sends by itself is never enough.
    let basic = super::super::base64::encode(format!("ctforward:{TOKEN}").as_bytes());
    let basic = format!("Authorization: Basic {basic}");
    assert_eq!(
        request(&served, "POST /redrive", &[&basic], "")
            .await
            .status,
        401
    );
    assert!(lock(&served.board.asked).is_empty());

    for token in [&admin(), &bearer] {
        let answer = request(&served, "POST /redrive", &[token], "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(*lock(&served.board.asked), [None, None]);
}

#[tokio::test]
async fn without_a_configured_token_nobody_redrives() {
    let settings = AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..AdminSettings::default()
    };
    let served = serve(settings, Limits::default()).await;
    for header in [admin(), "X-Ctforward-Admin:".to_owned()] {
        let answer = request(&served, "POST /redrive", &[&header], "").await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
    assert_eq!(status["redrive"]["allowed"], false);
    assert!(lock(&served.board.asked).is_empty());
}

#[tokio::test]
async fn the_body_names_a_reason_in_json_and_nothing_else() {
    let served = on_loopback().await;
    let big = format!("{{\"reason\":\"{}\"}}", "x".repeat(2000));
    for (kind, body, status) in [
        ("Content-Type: text/plain", "{\"reason\":\"refused\"}", 415),
        (
            "Content-Type: application/x-www-form-urlencoded",
            "reason=refused",
            415,
        ),
        ("X-None: 1", "{\"reason\":\"refused\"}", 415),
        (JSON, "reason", 400),
        (JSON, "{\"reason\":\"refused\",\"all\":true}", 400),
        (JSON, "{\"reason\":7}", 400),
        (JSON, &big, 413),
    ] {
        let answer = request(&served, "POST /redrive", &[kind, &admin()], body).await;
        assert_eq!(answer.status, status, "{kind} {body}: {answer:?}");
    }
    // A length that is not told is counted as it comes.
    let port = served.admin.address.port();
    let chunk = "x".repeat(512);
    let head = format!(
        "POST /redrive HTTP/1.1\r\nHost: localhost:{port}\r\n{JSON}\r\n{}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        admin()
    );
    let chunks = format!("200\r\n{chunk}\r\n").repeat(8);
    let answer = raw(&served, format!("{head}{chunks}").as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(lock(&served.board.asked).is_empty());

    let body = r#"{"reason":"refused"}"#;
    let answer = request(&served, "POST /redrive", &[JSON, &admin()], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(said["done"], true);
    let redriven = json!({"taken": 1234, "accepted": 1234, "remaining": 0, "note": HOSTILE[0]});
    assert_eq!(said["redriven"], redriven);
    // What is left is seen at once, and what became of it.
    let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
    assert_eq!(status["quarantine"]["entries"], 9);
    assert_eq!(status["redrive"]["last"]["redriven"]["accepted"], 1234);

    let body = r#"{"reason":"no_such"}"#;
    let answer = request(&served, "POST /redrive", &[JSON, &admin()], body).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn one_at_a_time_and_carried_on_when_its_client_goes_away() {
    let settings = AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: secret(),
        ..AdminSettings::default()
    };
    let limits = Limits {
        redrive: Duration::from_millis(50),
        ..Limits::default()
    };
    let served = serve(settings, limits).await;
    // Nothing ends until it is let go.
    served.board.let_go.forget_permits(1000);
    let long = request(&served, "POST /redrive", &[&admin()], "").await;
    assert_eq!(long.status, 202, "{long:?}");
    let another = request(&served, "POST /redrive", &[&admin()], "").await;
    assert_eq!(another.status, 409, "{another:?}");
    let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
    assert!(status["redrive"]["running_since"].is_string(), "{status}");
    served.board.let_go.add_permits(1);
    loop {
        let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
        if status["redrive"]["running_since"].is_null() {
            assert_eq!(
                status["redrive"]["last"]["redriven"]["taken"], 1236,
                "{status}"
            );
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A client that does not wait for its answer.
    let port = served.admin.address.port();
    let mut stream = connect(served.admin.address).await;
    let text = format!(
        "POST /redrive HTTP/1.1\r\nHost: localhost:{port}\r\n{}\r\n\r\n",
        admin()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    while lock(&served.board.asked).len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    served.board.let_go.add_permits(1);
    while served.board.let_go.available_permits() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn many_wrong_tokens_are_slowed_down() {
    let served = on_loopback().await;
    let wrong = "X-Ctforward-Admin: a-guess-that-is-long-enough";
    for _ in 0..10 {
        let answer = request(&served, "POST /redrive", &[wrong], "").await;
        assert_eq!(answer.status, 401);
    }
    let answer = request(&served, "POST /redrive", &[wrong], "").await;
    assert_eq!(answer.status, 429);
    assert!(
        answer
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    // Neither is the right one tried meanwhile, nor anything else held up.
    assert_eq!(
        request(&served, "POST /redrive", &[&admin()], "")
            .await
            .status,
        429
    );
    assert_eq!(get(&served, "/status").await.status, 200);
    assert!(lock(&served.board.asked).is_empty());
}

#[tokio::test]
async fn the_quarantine_is_read_once_for_many_that_look_and_an_error_is_said() {
    let served = on_loopback().await;
    for _ in 0..5 {
        get(&served, "/status").await;
        get(&served, "/metrics").await;
    }
    assert_eq!(served.board.read_quarantine.load(Relaxed), 1);

    let served = on_loopback().await;
    served.board.unreadable.store(true, Relaxed);
    let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
    assert_eq!(status["quarantine"]["entries"], Value::Null);
    let error = status["quarantine"]["error"].as_str().unwrap();
    assert!(error.contains("forged") && !error.contains('\n'), "{error}");
}
