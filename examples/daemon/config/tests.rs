use super::*;
use std::time::Duration;

/// The settings that a copy of the shipped file holds.
const SHIPPED: &str = include_str!("../daemon.toml");
const GUIDE: &str = include_str!("../../../docs/daemon.md");

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn lines(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment = environment.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (_, problems) = parse("d.toml", text, &environment.collect());
    assert!(!problems.is_empty());
    problems.lines()
}

fn good(text: &str, environment: &BTreeMap<String, String>) -> Settings {
    let (settings, problems) = parse("d.toml", text, environment);
    assert!(problems.is_empty(), "{problems}");
    settings.unwrap()
}

const LEAST: &str = r#"
[endpoint]
url = "https://collector.example/ingest"
[keep]
ledger = "l.sqlite"
[source.logs]
type = "directory"
path = "logs"
"#;

#[test]
fn a_token_in_the_place_of_its_name_is_refused_and_not_shown() {
    let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDAwMDAwMDB9.c2ln";
    for key in ["token_file", "token_env", "token_secret", "next_token_env"] {
        let text = LEAST.replace("[keep]", &format!("{key} = \"{token}\"\n[keep]"));
        for (text, variable) in [
            (text.as_str(), None),
            (
                LEAST,
                Some(format!("CTFORWARD_ENDPOINT_{}", key.to_uppercase())),
            ),
        ] {
            let variable = variable.as_deref().map(|name| (name, token));
            let lines = lines(text, variable.as_slice());
            assert!(
                lines[0].contains(&format!("endpoint.{key}: a secret")),
                "{lines:?}"
            );
            assert!(!lines.concat().contains("eyJ"), "{lines:?}");
        }
    }
    let opaque = LEAST.replace("[keep]", "token_env = \"s3cr3t+/==\"\n[keep]");
    let lines = lines(&opaque, &[]);
    assert!(
        lines[0].contains("the name of an environment variable"),
        "{lines:?}"
    );
    assert!(!lines.concat().contains("s3cr3t"), "{lines:?}");
    for good_one in [
        "token_file = \"/etc/a.b.c\"",
        "token_env = \"_A1\"",
        "token_secret = \"prod/eyJ.x.y\"",
    ] {
        good(
            &LEAST.replace("[keep]", &format!("{good_one}\n[keep]")),
            &none(),
        );
    }
}

#[test]
fn what_must_be_set_is_enough_and_the_rest_has_defaults() {
    let settings = good(LEAST, &none());
    assert_eq!(
        settings.endpoint.token,
        TokenPlace::Variable("VISIONONE_INGEST_TOKEN".into())
    );
    assert_eq!(settings.keep.quarantine, Path::new("l.sqlite.quarantine"));
    assert_eq!(settings.pace.probe, Duration::from_secs(60));
    assert_eq!(settings.sources.len(), 1);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_line_key_and_what_is_allowed() {
    let text = r#"
[endpoint]
url = 5
token_file = "/a"
token_env = "B"
gzip = "yes"

[pace]
concurrency = 0
speed = 3
max_requests_per_second = -1.5

[log]
format = "xml"

[source.Logs]
type = "directory"
[source.two]
type = "pigeon"
[source.three]
type = "directory"

[elsewhere]
a = 1
"#;
    let expected = [
        "d.toml:3: endpoint.url: must be a text",
        "d.toml:5: endpoint.token_env: only one of token_file, token_env, token_secret may be set, and endpoint.token_file is",
        "d.toml:6: endpoint.gzip: must be true or false",
        "d.toml:9: pace.concurrency: must be a whole number from 1 to 256",
        "d.toml:10: pace.speed: there is no such key; there are concurrency, linger_ms, max_bytes_per_second, max_requests_per_second, max_bytes_per_day, probe_seconds",
        "d.toml:11: pace.max_requests_per_second: must be a number above 0",
        "d.toml:14: log.format: must be one of text, json",
        "d.toml:16: source.Logs: a source's name has 1 to 40 of a to z, 0 to 9 and -",
        "d.toml:19: source.two.type: must be one of ",
        "d.toml:20: source.three.path: a source of type directory needs path",
        "d.toml:23: elsewhere: there is no such section; there are endpoint, keep, records, pace, run, log, admin, and source.NAME",
        "d.toml: keep.ledger: is missing",
    ];
    let found = lines(text, &[]);
    for expected in expected {
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{expected}\n{found:#?}"
        );
    }
    // A wrong value is one problem, not a missing one as well.
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_day_takes_more_than_a_request_and_our_role_is_named_as_one() {
    let more = "[pace]\nmax_bytes_per_day = 5000\n[records]\nown_calls = \"forwarder\"\n";
    let found = lines(&format!("{LEAST}{more}"), &[]);
    let expected = [
        "d.toml:10: pace.max_bytes_per_day: must be more than endpoint.request_bytes, which is 1000000",
        "d.toml:12: records.own_calls: must be the ARN of a role, such as arn:aws:iam::111122223333:role/NAME",
    ];
    for expected in expected {
        assert!(found.iter().any(|line| line == expected), "{found:#?}");
    }
    assert_eq!(found.len(), 2);
    let small = [(
        "CTFORWARD_ENDPOINT_REQUEST_BYTES".to_owned(),
        "2048".to_owned(),
    )];
    let text = format!("{LEAST}[pace]\nmax_bytes_per_day = 5000\n");
    let settings = good(&text, &small.into_iter().collect());
    assert_eq!(settings.pace.bytes_per_day, Some(5000));
}

#[test]
fn faults_of_the_grammar_are_said_together_with_the_others() {
    let found = lines("[pace]\nspeed = 1\nx = = 2\n[keep\n", &[]);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("d.toml:3: not TOML")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("d.toml:2: pace.speed")),
        "{found:#?}"
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let text = format!("{LEAST}\n[admin]\ntoken = \"s3cr3t\"\n[pace]\nPassword = \"s3cr3t\"\n");
    let found = lines(&text, &[("CTFORWARD_ENDPOINT_TOKEN", "s3cr3t")]).join("\n");
    assert_eq!(
        found
            .matches("a secret does not belong into this file")
            .count(),
        3,
        "{found}"
    );
    assert!(!found.contains("s3cr3t"), "{found}");
}

#[test]
fn variables_override_keys_and_misspelt_ones_are_named() {
    let set = [
        ("CTFORWARD_PACE_CONCURRENCY", "7"),
        ("CTFORWARD_SOURCE_LOGS_PATH", "elsewhere"),
        ("CTFORWARD_RECORDS_ACCOUNTS", "111122223333, 444455556666"),
        ("CTFORWARD_E2E", "not ours"),
    ];
    let environment = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = good(LEAST, &environment.into());
    assert_eq!(settings.pace.concurrency, 7);
    assert_eq!(settings.records.accounts.len(), 2);
    let SourceKind::Directory { path, .. } = &settings.sources[0].kind else {
        panic!("{settings:?}");
    };
    assert_eq!(path, Path::new("elsewhere"));

    let found = lines(
        LEAST,
        &[
            ("CTFORWARD_PACE_CONCURRENCY", "many"),
            ("CTFORWARD_PACE_SPEED", "3"),
            ("CTFORWARD_SOURCE_LOG_PATH", "x"),
        ],
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(
        found[0],
        "environment variable CTFORWARD_PACE_CONCURRENCY: pace.concurrency: must be a whole number from 1 to 256"
    );
}

#[test]
fn names_from_outside_are_made_printable() {
    let found = lines(&format!("{LEAST}\n[\"a\\u001b[31m\"]\n"), &[]);
    assert!(
        found.iter().all(|line| !line.contains('\u{1b}')),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|line| line.contains("a\\u{1b}[31m")),
        "{found:#?}"
    );
}

#[test]
fn the_shipped_file_is_good_as_it_is() {
    good(SHIPPED, &none());
}

#[test]
fn every_key_is_in_the_shipped_file_and_in_the_guide() {
    let sections = SECTIONS.iter().map(|(name, keys)| (*name, keys.to_vec()));
    let source = ("source", SOURCE.iter().map(|(key, _)| *key).collect());
    for (section, keys) in sections.chain([source]) {
        for key in keys {
            let line = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']);
                line.starts_with(&format!("{} = ", key.name))
            };
            assert!(
                SHIPPED.lines().any(line),
                "daemon.toml: {section}.{}",
                key.name
            );
            let row = format!("| `{}` |", key.name);
            assert!(
                GUIDE.contains(&row),
                "docs/daemon.md: {section}.{}",
                key.name
            );
        }
        assert!(
            GUIDE.contains(&format!("[{section}")),
            "docs/daemon.md: [{section}]"
        );
    }
}
