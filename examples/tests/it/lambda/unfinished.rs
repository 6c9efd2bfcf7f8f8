//! A deadline that comes while a request is under way.

use std::time::Instant;

use super::server::Endpoint;
use super::*;

/// Long enough for what is quick, and for a machine that is busy.
const CALL: Duration = Duration::from_secs(25);

/// One record in each request.
fn one_by_one(program: &mut Command) {
    program
        .env("CTFORWARD_ENDPOINT_REQUEST_BYTES", "1024")
        .env("CTFORWARD_RUN_STOP_BEFORE_SECONDS", "6");
}

/// A name that takes so much of a request that no second record fits.
fn long(name: &str) -> String {
    format!("{name}-{}", "x".repeat(150))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_deadline_exactly_what_is_not_finished_is_named_and_only_that_is_sent_again() {
    let place = Place::new().await;
    let endpoint = Endpoint::holding("Late").await;
    let mut program = place.program(&endpoint.url);
    one_by_one(&mut program);
    program.env("CTFORWARD_KEEP_LEDGER", place.root.path().join("ledger"));
    let function = place.function(program);
    let (mut messages, mut expected) = (Vec::new(), Vec::new());
    for (at, name) in ["a", "Late", "b", "c"].into_iter().enumerate() {
        let (key, records) = place.put(at as u32, &[&long(name)]);
        let body = s3_event("trail", &[&key]).to_string();
        messages.push(message(name, 1, &body));
        expected.extend(records);
    }
    let event = batch(&messages);
    let began = Instant::now();
    let said = place.lambda.call(&event, CALL).await;
    assert!(began.elapsed() < CALL, "the answer came after the deadline");
    assert_eq!(failures(&said), ["Late"], "{}", function.log());
    assert_eq!(endpoint.held(), 1);
    // It comes again soon, and not after the queue's long timeout.
    let put_off = place.lambda.put_off();
    assert!(
        matches!(&put_off[..], [(_, handle, 5..=10)] if handle == "handle-Late"),
        "{put_off:?}"
    );

    // The queue may bring all of them again: the ledger knows those that are finished.
    endpoint.let_go();
    let said = place.lambda.call(&event, LONG).await;
    assert!(failures(&said).is_empty(), "{}", function.log());
    assert_eq!(endpoint.lines(), sorted(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_on_where_the_deadline_ended_it_also_in_another_process() {
    let place = Place::new().await;
    let endpoint = Endpoint::holding("Late").await;
    let program = || {
        let mut program = place.program(&endpoint.url);
        one_by_one(&mut program);
        program
            .env("CTFORWARD_PACE_CONCURRENCY", "1")
            .env("CTFORWARD_KEEP_LEDGER", place.root.path().join("ledger"));
        program
    };
    let function = place.function(program());
    let names: Vec<String> = (0..20)
        .map(|at| match at {
            15 => long("Late"),
            _ => long(&format!("r{at:02}")),
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (key, expected) = place.put(1, &names);
    // No batch: the call as a whole fails.
    let event = s3_event("trail", &[&key]);
    let said = place.lambda.call(&event, CALL).await;
    assert!(matches!(said, Said::Error(..)), "{said:?}");
    // Requests may overtake each other: what lies before the first that is missing is decided.
    let before = endpoint.lines();
    let decided = expected.iter().take_while(|line| before.contains(line));
    let decided: Vec<_> = decided.cloned().collect();
    // It may be the first that waits for another try; some were taken in any case.
    assert!(
        decided.len() <= 15 && !before.is_empty(),
        "{decided:?}\n{}",
        function.log()
    );
    drop(function);

    endpoint.let_go();
    let function = place.function(program());
    let said = place.lambda.call(&event, LONG).await;
    assert!(
        matches!(said, Said::Answer(Value::Null)),
        "{said:?}\n{}",
        function.log()
    );
    let after = endpoint.lines();
    for line in &expected {
        let times = after.iter().filter(|taken| *taken == line).count();
        // What was accepted behind the mark is not known to the ledger, and comes once more.
        let most = if decided.contains(line) { 1 } else { 2 };
        assert!((1..=most).contains(&times), "{times}\n{}", function.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_was_never_meant_is_none() {
    let place = Place::new().await;
    let standin = standin().await;
    let function = place.function(place.program(&standin.endpoint()));
    let (key, expected) = place.put(1, &["A"]);
    let event = s3_event("trail", &[&key]);
    // An emulator's: ten minutes after the beginning of 1970.
    let said = place.lambda.call_at(event.to_string(), 600_000).await;
    assert!(
        matches!(said, Said::Answer(Value::Null)),
        "{said:?}\n{}",
        function.log()
    );
    assert_eq!(received(&standin), expected);
    // One that is over: nothing is begun, nothing is lost.
    let said = place.lambda.call(&event, Duration::ZERO).await;
    assert!(matches!(said, Said::Error(..)), "{said:?}");
    assert_eq!(received(&standin), expected);
}
