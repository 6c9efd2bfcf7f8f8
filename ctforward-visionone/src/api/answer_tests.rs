use super::*;
use serde_json::json;

fn judged(answer: Answer<'_>) -> Result<Value, Error> {
    judge(
        &answer,
        &Judge {
            origin: "visionone",
            at: "https://api.example/x",
            secrets: &["s3cr3t-s3cr3t-s3cr3t"],
            now: Timestamp::UNIX_EPOCH,
            window: Duration::from_secs(60),
            most: 1000,
        },
    )
}

fn of(status: u16, body: &str) -> Result<Value, Error> {
    judged(Answer {
        status,
        body: body.as_bytes(),
        whole: true,
        ..Answer::default()
    })
}

#[test]
fn each_status_has_one_meaning() {
    use ErrorKind::{
        Config, NotFound, Rejected, Throttled, Timeout, TooLarge, Unauthorized, Unavailable,
    };
    for (statuses, kind, retries) in [
        (&[400, 409, 412, 422][..], Rejected, false),
        (&[401, 403], Unauthorized, false),
        (&[404], NotFound, false),
        (
            &[301, 302, 307, 402, 405, 407, 410, 415, 451],
            Config,
            false,
        ),
        (&[413], TooLarge, false),
        (&[408, 504], Timeout, true),
        (&[429], Throttled, true),
        (&[418, 425, 491, 500, 502, 503, 599], Unavailable, true),
    ] {
        for status in statuses {
            let error = of(*status, "").unwrap_err();
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (kind, retries),
                "{status}"
            );
            assert_eq!(ApiError::of(&error).map(|e| e.status), Some(*status));
        }
    }
}

#[test]
fn every_shape_of_an_error_is_read() {
    for (status, body, code, message) in [
        (
            400,
            r#"{"error":{"code":"InvalidFilter","message":"bad field","number":4000001}}"#,
            Some("InvalidFilter"),
            "bad field",
        ),
        (
            400,
            r#"{"errror":{"code":"BadRequest","message":"no"}}"#,
            Some("BadRequest"),
            "no",
        ),
        (
            500,
            "<html><title>Bad gateway</title></html>",
            None,
            "a web page",
        ),
        (
            502,
            "upstream gone\n\u{1b}[2J",
            None,
            "upstream gone\\u{a}\\u{1b}[2J",
        ),
        (403, r#"{"message":"Forbidden"}"#, None, "Forbidden"),
        (403, r#"{"error":"not here"}"#, None, "not here"),
        (
            491,
            r#"{"error":{"code":"VisionOneInnerError","message":"inner"}}"#,
            Some("VisionOneInnerError"),
            "inner",
        ),
        (500, "", None, ""),
        (
            500,
            r#"{"error":{"code":7,"message":["x"]}}"#,
            None,
            r#"{"error":{"code":7,"message":["x"]}}"#,
        ),
        (
            400,
            r#"[{"status":400,"body":{"error":{"code":"BadRequest","message":"one"}}}]"#,
            Some("BadRequest"),
            "one",
        ),
    ] {
        let error = of(status, body).unwrap_err();
        let said = ApiError::of(&error).unwrap();
        assert_eq!(
            (said.code.as_deref(), &*said.message),
            (code, message),
            "{body}"
        );
        assert!(!error.message().contains(['\n', '\u{1b}']), "{error}");
    }
    let error = of(
        400,
        r#"{"error":{"code":"InvalidFilter","message":"m","number":7}}"#,
    );
    assert_eq!(
        ApiError::of(&error.unwrap_err()).and_then(|e| e.number),
        Some(7)
    );
}

#[test]
fn a_success_that_holds_an_error_is_none() {
    for (body, kind) in [
        (
            r#"{"error":{"code":"TooManyRequests","message":"m"}}"#,
            ErrorKind::Throttled,
        ),
        (
            r#"{"error":{"code":"AccessDenied"}}"#,
            ErrorKind::Unauthorized,
        ),
        (r#"{"error":{"code":"TaskError"}}"#, ErrorKind::Unavailable),
        ("<!DOCTYPE html>", ErrorKind::Config),
        ("ok", ErrorKind::Malformed),
        ("", ErrorKind::Malformed),
    ] {
        assert_eq!(of(200, body).unwrap_err().kind(), kind, "{body}");
    }
    for body in [r#"{"items":[]}"#, r#"{"error":null}"#, r#"{"error":{}}"#] {
        assert!(of(200, body).is_ok(), "{body}");
    }
    let cut = judged(Answer {
        status: 200,
        body: b"{}",
        ..Answer::default()
    });
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn an_array_of_answers_is_the_one_it_holds_or_the_first_failure() {
    assert_eq!(
        of(207, r#"[{"status":200,"body":{"a":1}}]"#).unwrap(),
        json!({"a": 1})
    );
    let failed = r#"[{"status":200,"body":{}},{"status":429,"body":{"error":{"code":"TooManyRequests","message":"m"}}}]"#;
    let error = of(207, failed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(ApiError::of(&error).map(|e| e.status), Some(429));
    for odd in [
        "[]",
        r#"[{"status":200,"body":{}},{"status":200,"body":{}}]"#,
        "[1]",
    ] {
        assert_eq!(
            of(207, odd).unwrap_err().kind(),
            ErrorKind::Malformed,
            "{odd}"
        );
    }
    assert_eq!(of(207, r#"{"a":1}"#).unwrap(), json!({"a": 1}));
}

#[test]
fn the_pace_is_what_the_service_says_or_its_window() {
    let wait = |retry_after| {
        let answer = Answer {
            status: 429,
            retry_after,
            ..Answer::default()
        };
        judged(answer).unwrap_err().retry()
    };
    assert_eq!(wait(Some("7")), Retry::After(Duration::from_secs(7)));
    assert_eq!(wait(None), Retry::After(Duration::from_secs(60)));
    assert_eq!(wait(Some("soon")), Retry::After(Duration::from_secs(60)));
    let slow = of(599, "timeout of 55000ms exceeded").unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::Timeout);
}

#[test]
fn the_trace_id_is_told_and_no_secret() {
    let error = judged(Answer {
        status: 500,
        trace_id: Some("abc-123"),
        body: b"key s3cr3t-s3cr3t-s3cr3t and {\"\\u0073\":1} s3cr3t-s3cr3t",
        ..Answer::default()
    })
    .unwrap_err();
    assert!(error.message().contains("[x-trace-id abc-123]"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr3t-s3cr3t"), "{error:?}");
    let escaped = of(500, r#"{"error":{"message":"\u00733cr3t-s3cr3t-s3cr3t"}}"#).unwrap_err();
    assert!(
        !format!("{escaped:?}").contains("s3cr3t-s3cr3t"),
        "{escaped:?}"
    );
}
