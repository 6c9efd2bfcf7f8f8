use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::super::tests::recorder;
use super::table::{Kind, METRICS};
use super::*;

fn daemon() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/daemon"))
}

/// The names of metrics that stand in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c));
    let ours = |word: &&str| {
        // `ctforward_` alone, and what ends in `_`, is no name.
        (word.starts_with("ctforward_") || word.starts_with("process_")) && !word.ends_with('_')
    };
    words.filter(ours).map(str::to_owned).collect()
}

/// The names of the series of a scrape; those of a histogram with `_bucket` and so on.
fn series(scrape: &str) -> BTreeSet<String> {
    let lines = scrape
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    lines.map(name).collect()
}

#[test]
fn dashboard_and_rules_use_metrics_that_are_there_from_the_start() {
    let scrape = recorder().render();
    let mut there = series(&scrape);
    // Only an error brings its kind about; described it is all the same.
    there.insert("ctforward_sqs_errors_total".to_owned());
    for file in ["grafana.json", "alerts.yml"] {
        let text = std::fs::read_to_string(daemon().join(file)).unwrap();
        if file == "grafana.json" {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        let used = names(&text);
        assert!(used.len() > 8, "{file}: {used:?}");
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{file} uses what is not there: {missing:?}"
        );
    }
    // The check bites.
    assert!(!there.contains("ctforward_no_such_total"));
    assert!(names("rate(ctforward_no_such_total[5m])").contains("ctforward_no_such_total"));
}

/// The name of each metric that a source file hands to the recorder.
fn metered(text: &str) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    for (kind, call) in [
        (Kind::Counter, "counter!("),
        (Kind::Gauge, "gauge!("),
        (Kind::Histogram, "histogram!("),
    ] {
        for rest in text.split(call).skip(1) {
            let rest = rest.trim_start();
            if let Some((name, _)) = rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
                found.push((kind, name.to_owned()));
            }
        }
    }
    found
}

fn walk(folder: &Path, found: &mut Vec<(Kind, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.extend(metered(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn each_metric_of_the_crates_and_the_daemon_is_described_as_what_it_is() {
    let root = daemon().parent().unwrap().parent().unwrap();
    let mut found = Vec::new();
    for folder in ["ctforward-core", "ctforward-aws", "ctforward-visionone"] {
        walk(&root.join(folder).join("src"), &mut found);
    }
    walk(daemon(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for (kind, name) in &found {
        let known = METRICS.iter().find(|metric| metric.name == name);
        assert_eq!(
            known.map(|metric| metric.kind),
            Some(*kind),
            "{name} is not in the table"
        );
    }
    let counters = METRICS.iter().filter(|metric| metric.kind == Kind::Counter);
    assert!(
        counters
            .clone()
            .all(|metric| metric.name.ends_with("_total"))
    );
    let once: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(once.len(), METRICS.len());
}

#[test]
fn the_guide_has_each_metric_as_what_it_is_and_no_other() {
    let guide = daemon().join("../../docs/daemon-pages.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rows: Vec<&str> = guide
        .lines()
        .filter(|line| line.starts_with("| `ctforward_") || line.starts_with("| `process_"))
        .collect();
    for metric in METRICS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let begin = format!("| `{}` | {kind} | ", metric.name);
        let row = rows.iter().find(|row| row.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("{begin} is not in docs/daemon-pages.md"));
        assert!(row.ends_with(&format!("| {} |", metric.words())), "{row}");
    }
    assert_eq!(rows.len(), METRICS.len());
}

#[test]
fn a_scrape_describes_each_metric_and_has_few_series() {
    let scrape = recorder().render();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // What an error brings about is described once it is there.
        if metric.name == "ctforward_sqs_errors_total" {
            continue;
        }
        assert!(
            scrape.contains(&format!("# HELP {} ", metric.name)),
            "{}",
            metric.name
        );
        let line = format!("# TYPE {} {kind}\n", metric.name);
        assert!(scrape.contains(&line), "{line} is not in\n{scrape}");
    }
    assert!(scrape.lines().count() < 400, "{}", scrape.lines().count());
}

#[test]
fn names_from_outside_become_no_label_value() {
    let group = |reason: &str| QuarantineGroup {
        reason: reason.to_owned(),
        entries: 3,
        first: jiff::Timestamp::now(),
        last: jiff::Timestamp::now(),
        detail: String::new(),
        object: String::new(),
        redrivable: true,
    };
    let recorder = recorder();
    let board = super::super::tests::board::TestBoard::new();
    let mut status = crate::status::Board::status(&board);
    status.tokens.push(crate::status::TokenStatus::new(
        "planted\"} 1\nfoo 1",
        "somewhere",
        ctforward_visionone::Expiry::Unknown,
        jiff::Timestamp::now(),
    ));
    set(
        &status,
        true,
        Some(&[group("refused"), group("planted\"} 1\nfoo 1")]),
    );
    let scrape = recorder.render();
    assert!(
        !scrape.contains("planted") && !scrape.contains("foo"),
        "{scrape}"
    );
    assert!(!scrape.contains("111122223333"), "an account is a label");
    assert!(scrape.contains("ctforward_quarantine_entries{reason=\"refused\"}"));
    assert!(scrape.contains("ctforward_quarantine_entries{reason=\"other\"}"));
}

#[test]
fn a_queue_that_does_not_say_its_depth_leaves_the_numbers_and_is_counted() {
    let board = super::super::tests::board::TestBoard::new();
    let mut status = crate::status::Board::status(&board);
    let own = super::recorder().unwrap();
    let handle = own.handle();
    metrics::with_local_recorder(&own, || set(&status, true, None));
    let waiting = "ctforward_queue_messages{state=\"waiting\"} 4321\n";
    let scrape = handle.render();
    assert!(scrape.contains(waiting), "{scrape}");
    assert!(scrape.contains("ctforward_queues_unknown 0\n"), "{scrape}");
    for source in &mut status.sources {
        source.queue = None;
    }
    metrics::with_local_recorder(&own, || set(&status, true, None));
    let scrape = handle.render();
    assert!(scrape.contains(waiting), "{scrape}");
    assert!(scrape.contains("ctforward_queues_unknown 1\n"), "{scrape}");
}

#[test]
fn promtool_accepts_the_scrape_and_the_rules() {
    let required = std::env::var("CTFORWARD_E2E").is_ok_and(|v| v == "required");
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(
            !required,
            "promtool is needed (Debian's package prometheus)"
        );
        println!("skipped: promtool is not installed");
        return;
    }
    let run = |args: &[&str], input: &str| {
        let mut child = Command::new("promtool")
            .args(args)
            .current_dir(daemon())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let scrape = recorder().render();
    assert!(scrape.len() > 2000);
    for (args, input) in [
        (&["check", "metrics"][..], scrape.as_str()),
        (&["check", "rules", "alerts.yml"], ""),
        (&["test", "rules", "alerts_test.yml"], ""),
    ] {
        let (passed, said) = run(args, input);
        assert!(passed, "{args:?}: {said}");
    }
    // It does find faults.
    assert!(!run(&["check", "metrics"], "# TYPE a counter\na{ 1\n").0);
}
