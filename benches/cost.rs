//! What the ledger, rules and the removal of duplicates cost `forward`: processor
//! time with them against the same run without, in turns.
//!
//! Real processes on loopback HTTP, as in the benchmark `forward`. Linux only.

use std::fmt::Write as _;
use std::path::Path;

mod process;

use process::{Cost, Fallible, built_cli, count, forward, standin, write_log};

/// What is switched on, and what it is called in the table.
const WAYS: [(&str, [bool; 3]); 5] = [
    ("plain", [false, false, false]),
    ("ledger", [true, false, false]),
    ("50 rules", [false, true, false]),
    ("duplicates", [false, false, true]),
    ("all three", [true, true, true]),
];

/// What all of it may cost, as a multiple of the plain run.
const LIMIT: f64 = 1.3;

/// The most memory of any run, in MiB.
const MEMORY: f64 = 64.0;

/// Fifty rules, none of which drops a record, so that the same bytes are sent. Most
/// are of the kind that quiets a service: a source and names of its calls. Every
/// source of the records is named by several, and so are their calls; those ask for
/// something besides that no record has. Some ask for no source at all.
fn rules() -> String {
    let sources = ["s3", "sts", "ec2", "kms", "dynamodb", "logs", "iam", "rds"];
    let calls = "GetObject, AssumeRole, DescribeInstances, Decrypt, PutItem, CreateLogStream";
    let mut yaml = "exclude:\n".to_owned();
    for n in 0..50 {
        let source = sources.get(n / 2 % sources.len()).copied().unwrap_or("s3");
        let source = format!("{{ Field: eventSource, Equals: [{source}.amazonaws.com] }}");
        let selectors = match n % 10 {
            // A list of calls that are not among the records'.
            0..=4 => vec![
                source,
                format!(
                    "{{ Field: eventName, Equals: [List{n}, HeadBucket, GetBucketAcl, TagResource] }}"
                ),
            ],
            5 | 6 => vec![
                source,
                "{ Field: eventName, StartsWith: [BatchGet, Lookup, Search] }".to_owned(),
            ],
            7 => vec![
                source,
                format!("{{ Field: eventName, Equals: [{calls}] }}"),
                format!("{{ Field: userAgent, StartsWith: [\"aws-cli/{n}\"] }}"),
            ],
            // The role that makes the calls, as in a rule against noise of one's own.
            8 => vec![
                source,
                format!("{{ Field: eventName, Equals: [{calls}] }}"),
                format!(
                    "{{ Field: userIdentity.sessionContext.sessionIssuer.arn, \
                     Equals: [\"arn:aws:iam::111122223333:role/backup-{n}\"] }}"
                ),
            ],
            _ => vec![format!(
                "{{ Field: sourceIPAddress, Equals: [\"service-{n}.amazonaws.com\"] }}"
            )],
        };
        let _ = writeln!(yaml, "  - Name: rule-{n}\n    FieldSelectors:");
        for selector in selectors {
            let _ = writeln!(yaml, "      - {selector}");
        }
    }
    yaml
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs each way in turn, so often; prints a table, and says whether it is within bounds.
fn compare(
    cli: &Path,
    endpoint: &str,
    source: &Path,
    rules: &str,
    rounds: usize,
) -> Fallible<bool> {
    let mut costs: [Vec<Cost>; WAYS.len()] = Default::default();
    let mut accepted = None;
    for _ in 0..rounds {
        for ((name, [ledger, filter, duplicates]), costs) in WAYS.iter().zip(&mut costs) {
            // Each run begins with a ledger of its own, as the first run of a job does.
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("ledger.db");
            let mut more = Vec::new();
            if *ledger {
                more.extend(["--ledger", file.to_str().ok_or("a path that is no text")?]);
            }
            if *filter {
                more.extend(["--rules", rules]);
            }
            if *duplicates {
                more.push("--deduplicate");
            }
            let cost = forward(cli, endpoint, source, &more)?;
            let now = count(&cost, "accepted")?;
            if *accepted.get_or_insert(now) != now {
                return Err(
                    format!("{name}: {now} records were accepted, not {accepted:?}").into(),
                );
            }
            costs.push(cost);
        }
    }
    println!("                 processor    ratio   elapsed     peak");
    let plain = median(costs[0].iter().map(|cost| cost.cpu).collect());
    let mut good = true;
    for ((name, _), costs) in WAYS.iter().zip(&costs) {
        let cpu = median(costs.iter().map(|cost| cost.cpu).collect());
        let wall = median(costs.iter().map(|cost| cost.wall).collect());
        let peak = costs.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max);
        let ratio = cpu / plain;
        println!("  {name:12} {cpu:9.3} s {ratio:8.2} {wall:7.2} s {peak:5.1} MiB");
        good &= ratio <= LIMIT && peak <= MEMORY;
    }
    Ok(good)
}

fn main() -> Fallible<()> {
    // `cargo bench -- --test` asks whether the benchmark runs, not for figures.
    let smoke = std::env::args().any(|arg| arg == "--test");
    let (files, bytes, rounds) = if smoke {
        (20, 1_000_000, 1)
    } else {
        (5_000, 1_000_000_000, 7)
    };
    let cli = built_cli()?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let day = path("many/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01");
    std::fs::create_dir_all(&day)?;
    let mut inflated = 0;
    for file in 0..files {
        let name = format!(
            "111122223333_CloudTrail_eu-west-1_20260301T{:02}{:02}Z_{file:016}.json.gz",
            file / 60 % 24,
            file % 60
        );
        inflated += write_log(&day.join(name), file, 19_000)?;
    }
    let one = path("111122223333_CloudTrail_eu-west-1_20260301T0000Z_aaaaaaaaaaaaaaaa.json.gz");
    let large = write_log(&one, 1_000_000, bytes)?;
    std::fs::write(path("rules.yaml"), rules())?;
    let rules = path("rules.yaml");
    let rules = rules.to_str().ok_or("a path that is no text")?;
    let (server, endpoint) = standin(&cli)?;

    println!(
        "{files} files, {:.1} MB inflated (medians of {rounds} runs, the highest peak):",
        inflated as f64 / 1e6
    );
    let small = compare(&cli, &endpoint, &path("many"), rules, rounds)?;
    println!("one file, {:.1} MB inflated:", large as f64 / 1e6);
    let large = compare(&cli, &endpoint, &one, rules, rounds)?;
    drop(server);
    let bounds = format!("at most {LIMIT} times the plain run, at most {MEMORY} MiB");
    match small && large {
        true => println!("within bounds: {bounds}"),
        false if smoke => println!("a trial says nothing of the bounds: {bounds}"),
        false => return Err(format!("out of bounds: {bounds}").into()),
    }
    Ok(())
}
