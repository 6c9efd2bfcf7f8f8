//! An endpoint that refuses us, and one that is away.

use std::os::unix::fs::PermissionsExt as _;

use ctforward_visionone::standin::{Faults, StandIn};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_fails_the_whole_call_and_a_new_one_is_read_by_the_same_process() {
    let place = Place::new().await;
    let standin = standin().await;
    let token = place.root.path().join("token");
    let set = |text: &str| {
        std::fs::write(&token, text).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    set("an-old-token");
    let mut program = place.program(&standin.endpoint());
    program.env("CTFORWARD_ENDPOINT_TOKEN_FILE", &token);
    let function = place.function(program);
    let (key, expected) = place.put(1, &["A", "B"]);
    let event = batch(&[
        message("a", 1, &s3_event("trail", &[&key]).to_string()),
        message("t", 1, &json!({"Event": "s3:TestEvent"}).to_string()),
    ]);
    for _ in 0..2 {
        let said = place.lambda.call(&event, LONG).await;
        let Said::Error(kind, words) = said else {
            panic!("{said:?}")
        };
        assert_eq!(kind, "Ctforward.unauthorized");
        assert!(!words.contains("an-old-token"), "{words}");
    }
    assert_eq!(standin.counts().lines, 0);
    assert_eq!(place.lambda.put_off(), []);
    set(TOKEN);
    let said = place.lambda.call(&event, LONG).await;
    assert!(failures(&said).is_empty(), "{}", function.log());
    assert_eq!(received(&standin), sorted(expected));
    assert!(!function.log().contains("an-old-token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_away_puts_messages_off_and_the_next_call_reads_nothing() {
    let place = Place::new().await;
    let faults = Faults::of(["503:1.0"]).unwrap();
    let standin = start(StandIn::builder().faults(faults)).await;
    let mut program = place.program(&standin.endpoint());
    // A request for each record or two, so that the failures that open the breaker come soon.
    program.env("CTFORWARD_ENDPOINT_REQUEST_BYTES", "1024");
    let function = place.function(program);
    let names: Vec<String> = (0..40).map(|at| format!("record-{at:060}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (key, _) = place.put(1, &names);
    let body = s3_event("trail", &[&key]).to_string();
    let event = batch(&[
        message("first", 1, &body),
        message("often", 7, &body),
        message("bad", 1, "no notification"),
    ]);
    let said = place.lambda.call(&event, LONG).await;
    assert_eq!(
        failures(&said),
        ["bad", "first", "often"],
        "{}",
        function.log()
    );
    let put_off = place.lambda.put_off();
    let of = |handle: &str| {
        let found = put_off.iter().find(|(_, of, _)| of == handle);
        let (queue, _, seconds) = found.unwrap_or_else(|| panic!("{put_off:?}"));
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/trail";
        assert_eq!(queue, url);
        *seconds
    };
    // By how often each was received: 10 s doubled, and up to half of it less.
    assert!((5..=60).contains(&of("handle-first")), "{put_off:?}");
    assert!((320..=640).contains(&of("handle-often")), "{put_off:?}");
    assert_eq!(put_off.len(), 2, "one that is poisoned is left alone");

    // The next call begins nothing: it does not even see that the object is gone.
    std::fs::remove_file(place.root.path().join("trail").join(&key)).unwrap();
    let requests = standin.counts().requests;
    let said = place.lambda.call(&event, LONG).await;
    assert_eq!(failures(&said), ["bad", "first", "often"]);
    let log = function.log();
    assert!(log.contains("given back unread"), "{log}");
    assert_eq!(standin.counts().requests, requests);
    assert_eq!(
        place.lambda.put_off().len(),
        5,
        "all of them come again soon"
    );
}
