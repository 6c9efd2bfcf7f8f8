use std::error::Error as _;

use ctforward_core::Sink as _;

use crate::raw::{Raw, Step, answer};
use crate::{TOKEN, builder, secret, two};

/// Everything an error can show: Display, Debug, and the same of its sources.
pub(crate) fn everything(error: &ctforward_core::Error) -> String {
    let mut said = format!("{error} {error:?} {error:#?} ");
    let mut source = error.source();
    while let Some(inner) = source {
        said.push_str(&format!("{inner} {inner:?} "));
        source = inner.source();
    }
    said
}

pub(crate) fn assert_clean(said: &str) {
    for at in 0..TOKEN.len() - 12 {
        assert!(
            !said.contains(&TOKEN[at..at + 12]),
            "part of the token in {said}"
        );
    }
    assert!(!said.contains("querysecret"), "the query in {said}");
    assert!(!said.contains(['\u{1b}', '\r']), "{said:?}");
}

#[tokio::test]
async fn no_token_is_shown_whatever_the_server_echoes() {
    let echo = format!(
        "POST /ingest/raw?k=querysecret-0123456789\r\nauthorization: Bearer {TOKEN}\r\n\u{1b}[31m"
    );
    let long = format!("{}{echo}", "y".repeat(1000));
    let json =
        format!("{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"bad token {TOKEN}\"}}}}");
    let to = format!("location: https://other.example/{TOKEN}?t={TOKEN}\r\n");
    for (status, headers, body) in [
        ("400 Bad Request", "", echo.as_str()),
        ("400 Bad Request", "", &long),
        (
            "400 Bad Request",
            "content-type: application/json\r\n",
            &json,
        ),
        ("401 Unauthorized", "", &echo),
        ("500 Oops", "", &echo),
        ("413 Large", "", &echo),
        ("200 OK", "content-type: text/html\r\n", &echo),
        ("200 OK", "", &json),
        ("307 There", &to, &echo),
    ] {
        let server = Raw::start([Step::Answer(answer(status, headers, body))]).await;
        let sink = builder(&server.endpoint()).build().unwrap();
        let error = sink.deliver(&two()).await.unwrap_err();
        assert_clean(&everything(&error));
        assert!(!error.message().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn no_token_is_shown_when_the_connection_fails() {
    for step in [
        || Step::CutAfterBody,
        || Step::Answer(format!("garbage {TOKEN}\r\n\r\n").into_bytes()),
        || {
            Step::AnswerAndClose(
                format!("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{TOKEN}").into_bytes(),
            )
        },
    ] {
        let server = Raw::start([step(), step()]).await;
        let sink = builder(&server.endpoint()).build().unwrap();
        assert_clean(&everything(&sink.deliver(&two()).await.unwrap_err()));
    }
}

#[test]
fn no_debug_shows_a_secret() {
    let endpoint = "https://in.example/raw?k=querysecret";
    let builder = builder(endpoint)
        .header("X-Key", TOKEN)
        .proxy(format!("http://u:{TOKEN}@proxy.example"));
    assert_clean(&format!("{builder:?} {builder:#?}"));
    let sink = builder.build().unwrap();
    assert_clean(&format!(
        "{sink:?} {sink:#?} {} {}",
        sink.endpoint(),
        secret(TOKEN)
    ));
    assert_eq!(sink.endpoint(), "https://in.example/raw");
}
