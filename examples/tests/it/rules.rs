//! `rules check` and `rules test`: as users run them.

use crate::support::*;

const RULES: &str = r#"
exclude:
  - Name: gets
    FieldSelectors:
      - { Field: eventName, StartsWith: [Get] }
  - Name: nothing
    FieldSelectors:
      - { Field: eventName, Equals: [None] }
redact:
  paths: [responseElements.credentials.sessionToken, userAgent]
  hmac-key-file: /nowhere
"#;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = write(folder.path(), name, text.as_bytes());
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_good_file_is_summed_up_and_a_bad_one_is_status_2_with_all_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good.yaml", RULES);
    let ran = run(["rules", "check", &good]).await;
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("2 exclude rules, 2 paths redacted"));
    assert!(ran.stdout.contains("gets  eventName (1)"));

    let bad = RULES.replace("Equals", "Equal").replace("paths", "path");
    let bad = file(&folder, "bad.yaml", &bad);
    let ran = run(["rules", "check", &bad, &good, "/nowhere/r.json"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(
        ran.stdout.contains("good.yaml"),
        "the others are checked too"
    );
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.stderr);
    assert!(lines[0].contains("line 8: exclude rule nothing: unknown key `Equal`"));
    assert!(lines[1].contains("line 10: redact: unknown key `path`"));
    assert!(lines[2].contains("line 10") && lines[2].contains("names nothing"));
    assert!(lines[3].contains("/nowhere/r.json"));
    let ran = run(["rules", "test", &bad, "."]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
}

#[tokio::test]
async fn a_trial_counts_and_shows_what_would_be_dropped_and_redacted() {
    let folder = tempfile::tempdir().unwrap();
    let rules = file(&folder, "rules.yaml", RULES);
    let records = [
        r#"{"eventTime":"2026-03-01T00:00:00Z","eventName":"Get\u001b[2J\u202e","eventID":"e-1","userAgent":"x"}"#,
        r#"{"eventName":"GetB"}"#,
        r#"{"eventName":"Put","userAgent":"x","responseElements":{"credentials":{"sessionToken":"S3CR3T"}}}"#,
        r#"{"eventName":"Put"}"#,
        r#"{"eventName":"Put","x":tru}"#,
    ];
    let log = log_file(&records.map(str::to_owned));
    let logs = folder.path().join("logs");
    write(
        &logs,
        &key("111122223333", "us-east-1", 1),
        &gzip(log.as_bytes()),
    );
    let logs = logs.to_str().unwrap();

    let ran = run(["rules", "test", &rules, logs, "--examples", "1"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("5 records read: 2 would be dropped, 3 would go on"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("Get\\u{1b}[2J\\u{202e}  e-1"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("GetB"), "one example was asked for");
    assert!(
        ran.stdout
            .contains("1 records would be redacted, 1 cannot be followed")
    );
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!ran.stdout.contains(steers), "{}", ran.stdout);
    assert!(!ran.stdout.contains("S3CR3T"));

    let ran = run(["rules", "test", &rules, logs, "--json", "--examples", "2"]).await;
    let json = ran.json();
    assert_eq!(json["records"]["read"], 5);
    assert_eq!(json["records"]["dropped"], 2);
    assert_eq!(json["dropped_by"]["gets"], 2);
    assert_eq!(json["dropped_by"]["nothing"], 0);
    assert_eq!(json["examples"]["gets"].as_array().unwrap().len(), 2);
    assert_eq!(json["redact"]["unsure"], 1);
    let values = &json["redact"]["values_by_path"];
    assert_eq!(values["userAgent"], 1, "of records that go on");
    assert_eq!(values["responseElements.credentials.sessionToken"], 1);
    assert!(!ran.stdout.contains(steers));
}
