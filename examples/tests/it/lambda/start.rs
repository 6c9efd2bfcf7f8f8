//! How it starts: without Lambda, with one event, and with settings that are wrong.

use super::*;

#[tokio::test]
async fn without_an_argument_and_without_lambda_it_says_how_it_is_used() {
    let ran = run_with(program(), [""; 0]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    for words in [
        "--event FILE",
        "CTFORWARD_EVENT_BUCKETS",
        "CTFORWARD_ENDPOINT_URL",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
    let ran = run_with(program(), ["--help"]).await;
    assert!(ran.status == 0 && ran.stdout.contains("--event"), "{ran:?}");
    let ran = run_with(program(), ["--event"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_of_a_file_is_handled_and_its_answer_printed() {
    let place = Place::new().await;
    let standin = standin().await;
    let (key, expected) = place.put(1, &["A", "B"]);
    let file = place.root.path().join("event.json");
    let event = batch(&[
        message("good", 1, &s3_event("trail", &[&key]).to_string()),
        message("bad", 1, "nothing that is known"),
    ]);
    std::fs::write(&file, event.to_string()).unwrap();
    let args = || ["--event".into(), file.clone().into_os_string()];
    let ran = run_with(place.program(&standin.endpoint()), args()).await;
    ran.assert_no_secret();
    assert_eq!(ran.status, 1, "{ran:?}");
    let answer = json!({"batchItemFailures": [{"itemIdentifier": "bad"}]});
    assert_eq!(ran.json(), answer);
    assert_eq!(received(&standin), sorted(expected));

    // With a quarantine it is kept there, and finished.
    let mut program = place.program(&standin.endpoint());
    let quarantine = place.root.path().join("quarantine");
    program.env("CTFORWARD_KEEP_QUARANTINE", &quarantine);
    let ran = run_with(program, args()).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.json(), json!({"batchItemFailures": []}));
    let kept: String = files(&quarantine)
        .iter()
        .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned())
        .collect();
    assert!(kept.contains("nothing that is known"), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_fail_the_start_and_show_no_secret() {
    let place = Place::new().await;
    let mut program = place.program("https://user:s3cr3t@127.0.0.1/x?token=s3cr3t");
    program.env("CTFORWARD_EVENT_BUCKETS", "");
    let ran = run_with(program, ["--event", "-"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stderr.contains("CTFORWARD_EVENT_BUCKETS"), "{ran:?}");
    ran.assert_no_secret();

    let mut program = place.program("http://127.0.0.1:1/x");
    program
        .env("CTFORWARD_KEEP_QUARANTINE", "/tmp/quarantine")
        .env("CTFORWARD_EVENT_ACOUNTS", "111122223333");
    let mut function = place.function(program);
    let said = place.lambda.said("init").await;
    let Said::Error(kind, words) = said else {
        panic!("{said:?}")
    };
    assert_eq!(kind, "Ctforward.config");
    for name in ["KEEP_QUARANTINE", "EVENT_ACOUNTS"] {
        assert!(words.contains(name), "{words}");
    }
    let status = tokio::task::spawn_blocking(move || function.child.wait().unwrap());
    assert_eq!(status.await.unwrap().code(), Some(1));
}

/// Every setting stands in the documentation, and nothing else does.
#[tokio::test]
async fn the_settings_are_those_of_the_documentation() {
    let ran = run_with(program(), ["--help"]).await;
    let said: std::collections::BTreeSet<&str> = ran
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with("CTFORWARD_"))
        .collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let doc = root.unwrap().join("docs/deploy-lambda.md");
    let doc = std::fs::read_to_string(doc).unwrap();
    let written: std::collections::BTreeSet<&str> = doc
        .lines()
        .filter_map(|line| line.strip_prefix("| `CTFORWARD_"))
        .filter_map(|line| line.split('`').next())
        .collect();
    let said: std::collections::BTreeSet<&str> = said
        .into_iter()
        .filter_map(|name| name.strip_prefix("CTFORWARD_"))
        .collect();
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(said, written);
}
