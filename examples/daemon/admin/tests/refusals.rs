use serde_json::Value;

use super::board::{HOSTILE, lock};
use super::*;

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

#[tokio::test]
async fn what_is_asked_for_is_answered_with_headers_that_hold_browsers_back() {
    let served = on_loopback().await;
    for (path, kind, within) in [
        ("/healthz", "text/plain; charset=utf-8", "ok"),
        ("/readyz", "text/plain; charset=utf-8", "ready"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "# TYPE ctforward_files_total counter",
        ),
        ("/status", "application/json; charset=utf-8", "9876543"),
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let answer = get(&served, path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(within), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            Some("same-origin")
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let head = request(&served, &format!("HEAD {path}"), &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
    assert_eq!(get(&served, "/favicon.ico").await.status, 404);
    assert_eq!(get(&served, "//healthz").await.status, 404);
}

#[tokio::test]
async fn another_host_origin_or_site_is_sent_away_from_every_address() {
    let served = on_loopback().await;
    for path in [
        "/", "/status", "/healthz", "/readyz", "/metrics", "/redrive", "/nothing",
    ] {
        for (header, status) in [
            ("Host: evil.example", 421),
            ("Host: localhost", 421),
            ("Host: localhost:1\r\nHost: localhost:2", 421),
            ("Origin: https://evil.example", 403),
            ("Origin: null", 403),
            ("Sec-Fetch-Site: cross-site", 403),
            ("Sec-Fetch-Site: same-site", 403),
        ] {
            let method = if path == "/redrive" { "POST" } else { "GET" };
            let line = format!("{method} {path}");
            let token = format!("X-Ctforward-Admin: {TOKEN}");
            let answer = request(&served, &line, &[header, &token], "").await;
            assert_eq!(answer.status, status, "{line} {header}: {answer:?}");
            assert!(!answer.body.contains("9876543"), "{answer:?}");
        }
    }
    assert!(lock(&served.board.asked).is_empty());
    // Without any name, and by another one in the request line.
    let none = raw(&served, b"GET /status HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(none.status, 421);
    let absolute = get(&served, "http://evil.example/status").await;
    assert_eq!(absolute.status, 421);
}

#[tokio::test]
async fn looking_is_get_and_takes_no_body() {
    let served = on_loopback().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        for path in ["/", "/status", "/healthz", "/metrics"] {
            let answer = request(&served, &format!("{method} {path}"), &[], "").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
            assert!(answer.header("access-control-allow-methods").is_none());
        }
    }
    assert_eq!(request(&served, "GET /status", &[], "{}").await.status, 400);
}

#[tokio::test]
async fn readiness_says_why_not_and_nothing_from_outside_steers_a_terminal() {
    let served = on_loopback().await;
    *lock(&served.board.reasons) = vec!["the breaker is open".to_owned(), HOSTILE[2].to_owned()];
    let answer = get(&served, "/readyz").await;
    assert_eq!(answer.status, 503);
    let lines: Vec<_> = answer.body.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "the breaker is open");
    assert!(!answer.body.contains('\u{1b}'));
    // It is alive all the same.
    assert_eq!(get(&served, "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_status_holds_the_books_and_only_printable_text() {
    let served = on_loopback().await;
    let answer = get(&served, "/status").await;
    let status = json(&answer);
    assert_eq!(status["totals"]["records"]["in"], 9_876_543);
    assert_eq!(status["balanced"], true);
    assert_eq!(status["ready"], true);
    assert_eq!(status["delivery"][0]["breaker"], "open");
    assert_eq!(status["quarantine"]["entries"], 1_243);
    assert_eq!(status["tokens"][0]["warning"], "week");
    assert_eq!(status["tokens"][1]["warning"], "unknown");
    assert_eq!(status["last_seen"]["silent"], 1);
    assert_eq!(status["redrive"]["allowed"], true);
    assert!(!answer.body.contains(TOKEN));
    let hostile = status["sources"][1]["last_error"]["message"]
        .as_str()
        .unwrap();
    assert_eq!(hostile, "\\u{1b}[31mred\\u{1b}[0m\\u{d}\\u{a}forged: line");
    assert!(!answer.body.contains(['\u{202e}', '\u{2066}']));
}

#[tokio::test]
async fn on_another_address_looking_needs_the_token_and_a_login_will_do() {
    let served = on_every_address().await;
    let basic = format!(
        "Authorization: Basic {}",
        super::super::base64::encode(format!("ctforward:{TOKEN}").as_bytes())
    );
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let admin = format!("X-Ctforward-Admin: {TOKEN}");
    for path in ["/", "/status"] {
        let line = format!("GET {path}");
        let answer = request(&served, &line, &["Host: forward.test"], "").await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Basic realm=")
        );
        let wrong = request(
            &served,
            &line,
            &["Authorization: Bearer an-admin-token-of-others"],
            "",
        )
        .await;
        assert_eq!(wrong.status, 401);
        let query = request(&served, &format!("{line}?token={TOKEN}"), &[], "").await;
        assert_eq!(query.status, 401);
        for header in [&basic, &bearer, &admin] {
            let answer = request(&served, &line, &["Host: forward.test", header], "").await;
            assert_eq!(answer.status, 200, "{header}");
        }
    }
    // A probe and a scrape go by address and need none; why it is not ready is not for them.
    *lock(&served.board.reasons) = vec!["bucket secret-plans is denied".to_owned()];
    for (path, status) in [("/healthz", 200), ("/metrics", 200), ("/readyz", 503)] {
        let answer = request(
            &served,
            &format!("GET {path}"),
            &["Host: 10.0.0.7:9464"],
            "",
        )
        .await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.contains("secret-plans"));
    }
    let why = request(&served, "GET /readyz", &[&bearer], "").await;
    assert!(why.body.contains("secret-plans"), "{why:?}");
    let by_address = request(
        &served,
        "GET /status",
        &["Host: 10.0.0.7:9464", &bearer],
        "",
    )
    .await;
    assert_eq!(by_address.status, 421);
}

#[tokio::test]
async fn what_was_passed_on_needs_the_token_on_loopback_too() {
    let served = on_loopback().await;
    for header in ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"] {
        let answer = request(&served, "GET /status", &[header], "").await;
        assert_eq!(answer.status, 401, "{header}");
        let token = format!("Authorization: Bearer {TOKEN}");
        let answer = request(&served, "GET /status", &[header, &token], "").await;
        assert_eq!(answer.status, 200, "{header}");
    }
}

#[tokio::test]
async fn a_name_that_was_configured_needs_the_token_on_loopback_too() {
    let named = |token| AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        hosts: vec!["forward.test".to_owned()],
        token,
        ..AdminSettings::default()
    };
    let served = serve(named(secret()), Limits::default()).await;
    let port = served.admin.address.port();
    *lock(&served.board.reasons) = vec!["bucket secret-plans is denied".to_owned()];
    let bearer = format!("Authorization: Bearer {TOKEN}");
    // As a proxy that says nothing of itself passes it on, or a name that points here.
    for host in ["Host: forward.test", &format!("Host: forward.test:{port}")] {
        for path in ["/", "/status"] {
            let line = format!("GET {path}");
            let answer = request(&served, &line, &[host], "").await;
            assert_eq!(answer.status, 401, "{host} {path}");
            let answer = request(&served, &line, &[host, &bearer], "").await;
            assert_eq!(answer.status, 200, "{host} {path}");
        }
        let why = request(&served, "GET /readyz", &[host], "").await;
        assert_eq!(why.status, 503);
        assert!(!why.body.contains("secret-plans"), "{why:?}");
    }
    assert_eq!(get(&served, "/status").await.status, 200);

    // Without a token, that name shows nothing.
    let served = serve(named(None), Limits::default()).await;
    let answer = request(&served, "GET /status", &["Host: forward.test"], "").await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(get(&served, "/status").await.status, 200);
}

#[tokio::test]
async fn the_settings_must_go_together() {
    let serve = async |settings: AdminSettings| {
        let board = Arc::new(TestBoard::new());
        let stop = CancellationToken::new();
        super::super::serve(settings, board, recorder(), stop).await
    };
    let open = AdminSettings {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..AdminSettings::default()
    };
    let error = serve(open).await.unwrap_err();
    assert_eq!(error.kind(), ctforward_core::ErrorKind::Config);
    assert!(
        error.to_string().contains("needs an admin token"),
        "{error}"
    );
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = AdminSettings {
        listen: taken.local_addr().unwrap(),
        ..AdminSettings::default()
    };
    let error = serve(second).await.unwrap_err();
    assert_eq!(error.kind(), ctforward_core::ErrorKind::Unavailable);
    let settings = AdminSettings {
        token: secret(),
        ..AdminSettings::default()
    };
    assert!(!format!("{settings:?}").contains(TOKEN));
    assert!(settings.listen.ip().is_loopback());
}

#[tokio::test]
async fn metrics_may_have_a_listener_of_their_own() {
    let settings = AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        token: secret(),
        ..AdminSettings::default()
    };
    let mut served = serve(settings, Limits::default()).await;
    assert_eq!(get(&served, "/metrics").await.status, 404);
    assert_eq!(get(&served, "/status").await.status, 200);
    served.admin.address = served.admin.metrics_address.unwrap();
    for (path, status) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 404),
        ("/status", 404),
        ("/redrive", 404),
    ] {
        assert_eq!(get(&served, path).await.status, status, "{path}");
    }
}
