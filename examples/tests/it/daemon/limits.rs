//! What a day may take: LIST requests, and bytes.

use super::{Daemon, Place, program};
use crate::support::*;

/// A bucket with these accounts and regions, one file each, and its server.
async fn bucket(place: &Place, accounts: &[&str], regions: &[&str]) -> (String, Vec<Vec<u8>>) {
    let mut expected = Vec::new();
    let all = accounts
        .iter()
        .flat_map(|a| regions.iter().map(move |r| (*a, *r)));
    for (minute, (account, region)) in (0..).zip(all) {
        let record = record(&format!("{account}-{region}"));
        let file = gzip(log_file(std::slice::from_ref(&record)).as_bytes());
        write(
            &place.path("s3/trail"),
            &key(account, region, minute),
            &file,
        );
        expected.push(record.into_bytes());
    }
    (crate::s3::serve(&place.path("s3")).await, expected)
}

const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// A source of the bucket that lists enough days to find the files of the tests.
fn source(url: &str, more: &str) -> String {
    format!(
        "[source.bucket]\ntype = \"s3\"\nbucket = \"trail\"\ns3_endpoint_url = \"{url}\"\n\
         every_seconds = 3600\ndeep_days = 3660\n{more}"
    )
}

#[tokio::test]
async fn what_listing_takes_a_day_is_said_before_it_begins_and_over_the_budget_it_does_not() {
    let place = Place::new();
    let standin = standin().await;
    let (url, _) = bucket(&place, &ACCOUNTS, &REGIONS).await;
    let settings = place.settings(&standin.endpoint(), &source(&url, "recent_days = 2\n"));
    let daemon = Daemon::start(&settings).await;
    daemon.until_log("ready").await;
    let log = daemon.log();
    let said = log.find("LIST requests a day").expect(&log);
    assert!(said < log.find("ready").unwrap(), "{log}");
    assert!(
        log.contains("6 folders of 3 accounts and 2 regions, 24 rounds a day"),
        "{log}"
    );
    let requests = log[..said].trim_end().rsplit(' ').next().unwrap();
    let requests: u64 = requests.parse().unwrap();
    // Two days of each folder in each round, at the least.
    assert!(requests >= 6 * 2 * 24, "{log}");
    assert_eq!(daemon.stop().await.0, 0);

    let before = standin.counts().requests;
    place.put("logs", 1, &["A"]);
    for (budget, status) in [(requests - 1, 2), (100, 2)] {
        let budget = source(&url, &format!("list_budget = {budget}\n"));
        let settings = place.settings(&standin.endpoint(), &budget);
        let mut command = program();
        command.arg("--config").arg(&settings);
        let ran = run_with(command, [""; 0]).await;
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(ran.stderr.contains("LIST requests a day"), "{ran:?}");
        assert!(ran.stderr.contains("budget"), "{ran:?}");
        ran.assert_no_secret();
    }
    // Nor does it do anything else meanwhile.
    assert_eq!(standin.counts().requests, before);
}

#[tokio::test]
async fn the_books_and_what_was_last_seen_are_those_of_all_sources_together() {
    let place = Place::new();
    let standin = standin().await;
    let (url, mut expected) = bucket(&place, &ACCOUNTS[1..], &REGIONS).await;
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), &source(&url, ""))).await;
    expected.extend(place.put("logs", 1, &["A", "B"]));
    std::fs::write(place.path("new"), "no log file").unwrap();
    std::fs::rename(place.path("new"), place.path("logs/bad.json.gz")).unwrap();
    daemon
        .until("everything decided", || async {
            let files = &daemon.status().await["totals"]["files"];
            files["delivered"] == 5 && files["quarantined"] == 1
        })
        .await;
    let status = daemon.status().await;
    assert_eq!(status["balanced"], true, "{status}");
    let records = &status["totals"]["records"];
    assert_eq!(records["in"], 6, "{status}");
    assert_eq!(records["accepted"], 6, "{status}");
    assert_eq!(records["accepted"], standin.counts().lines);
    for source in status["sources"].as_array().unwrap() {
        assert_eq!(source["state"], "running", "{status}");
        assert!(source["last_heard"].is_string(), "{status}");
    }
    let seen = &status["last_seen"];
    assert_eq!(seen["known"], 5, "{status}");
    // The records are of a day long ago.
    assert_eq!(seen["silent"], 5, "{status}");
    let mut pairs: Vec<_> = seen["rows"].as_array().unwrap().iter().collect();
    pairs.sort_by_key(|row| row["account"].to_string() + &row["region"].to_string());
    let expected_pairs = [
        ("111122223333", "us-east-1"),
        ("444455556666", "eu-west-1"),
        ("444455556666", "us-east-1"),
        ("777788889999", "eu-west-1"),
        ("777788889999", "us-east-1"),
    ];
    assert_eq!(pairs.len(), expected_pairs.len());
    for (row, (account, region)) in pairs.iter().zip(expected_pairs) {
        assert_eq!(
            (row["account"].as_str(), row["region"].as_str()),
            (Some(account), Some(region))
        );
        assert_eq!(row["event"], "2026-03-01T12:00:00Z", "{row}");
        assert!(row["finished"].is_string(), "{row}");
    }
    // Metered now and then.
    daemon
        .until("metered", || async {
            let (_, metrics) = daemon.page("/metrics").await;
            metrics.contains("\nctforward_account_regions 5\n")
                && metrics.contains("\nctforward_account_regions_silent 5\n")
        })
        .await;
    let (_, metrics) = daemon.page("/metrics").await;
    for line in [
        "ctforward_files_total{outcome=\"delivered\"} 5",
        "ctforward_files_total{outcome=\"quarantined\"} 1",
        "ctforward_records_total{outcome=\"accepted\"} 6",
        "ctforward_sources{state=\"running\"} 2",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));

    // A restart knows of them from its ledger.
    let daemon = Daemon::start(&place.settings(&standin.endpoint(), "")).await;
    daemon
        .until("all known", || async {
            daemon.status().await["last_seen"]["known"] == 5
        })
        .await;
    assert_eq!(daemon.stop().await.0, 0);
}

#[tokio::test]
async fn a_day_takes_no_more_bytes_than_it_may_over_restarts_too_and_a_larger_limit_the_rest() {
    let place = Place::new();
    let standin = standin().await;
    let mut expected = Vec::new();
    for minute in 0..40 {
        let names: Vec<_> = (0..5).map(|n| format!("F{minute}R{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        expected.extend(place.put("logs", minute, &names));
    }
    let all: usize = expected.iter().map(|line| line.len() + 1).sum();
    let settings = |limit: usize| {
        let pace = format!("[pace]\nlinger_ms = 50\nmax_bytes_per_day = {limit}\n");
        let settings = place.settings(&standin.endpoint(), &pace);
        let text = std::fs::read_to_string(&settings).unwrap();
        let text = text.replace("[keep]\n", "request_bytes = 4096\n[keep]\n");
        std::fs::write(&settings, text).unwrap();
        settings
    };
    let limit = all / 2;
    let mut sent = 0;
    for start in 0..2 {
        let daemon = Daemon::start(&settings(limit)).await;
        daemon
            .until("the day's limit", || async {
                let (status, reasons) = daemon.page("/readyz").await;
                status == 503 && reasons.contains("the day's limit of")
            })
            .await;
        let (status, log) = daemon.stop().await;
        assert_eq!(status, 0, "{log}");
        let now = received(&standin).iter().map(|line| line.len() + 1).sum();
        assert!(now <= limit && now > limit / 2, "{now} of {limit}");
        // The second start knows what the first one sent.
        assert!(start == 0 || now - sent < 4096, "{sent} {now}");
        sent = now;
    }
    let daemon = Daemon::start(&settings(all * 4)).await;
    daemon
        .until("the rest", || async {
            standin.counts().lines >= expected.len() as u64
        })
        .await;
    assert_eq!(daemon.page("/readyz").await.0, 200);
    assert_eq!(daemon.stop().await.0, 0);
    assert_eq!(received(&standin), sorted(expected));
}

#[tokio::test]
async fn our_own_calls_on_the_buckets_that_are_read_are_left_out_where_that_is_set() {
    const ROLE: &str = "arn:aws:iam::111122223333:role/ctforward";
    let place = Place::new();
    let call = |id: &str, role: &str, bucket: &str| {
        format!(
            r#"{{"eventID":"{id}","eventTime":"2026-03-01T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","userIdentity":{{"sessionContext":{{"sessionIssuer":{{"arn":"{role}"}}}}}},"requestParameters":{{"bucketName":"{bucket}"}}}}"#
        )
    };
    let other = "arn:aws:iam::111122223333:role/other";
    let records = [
        call("own", ROLE, "trail"),
        call("other-role", other, "trail"),
        call("other-bucket", ROLE, "elsewhere"),
    ];
    let file = gzip(log_file(&records).as_bytes());
    write(
        &place.path("s3/trail"),
        &key("111122223333", "us-east-1", 1),
        &file,
    );
    let url = crate::s3::serve(&place.path("s3")).await;
    for (own_calls, kept) in [(true, 2), (false, 3)] {
        let standin = standin().await;
        let mut more = source(&url, "");
        if own_calls {
            more.push_str(&format!("[records]\nown_calls = \"{ROLE}\"\n"));
        }
        // A ledger of its own for each.
        let _ = std::fs::remove_file(place.path("ledger.sqlite"));
        let daemon = Daemon::start(&place.settings(&standin.endpoint(), &more)).await;
        daemon
            .until("the file", || async {
                daemon.status().await["totals"]["files"]["delivered"] == 1
            })
            .await;
        let books = daemon.status().await["totals"]["records"].clone();
        assert_eq!(books["filtered"], 3 - kept, "{books}");
        assert_eq!(daemon.stop().await.0, 0);
        let first = 3 - usize::try_from(kept).unwrap();
        let expected: Vec<_> = records[first..]
            .iter()
            .map(|r| r.clone().into_bytes())
            .collect();
        assert_eq!(received(&standin), sorted(expected));
    }
    // There is no bucket to leave anything out of.
    let standin = standin().await;
    let more = format!("[records]\nown_calls = \"{ROLE}\"\n");
    let mut command = program();
    command
        .arg("--config")
        .arg(place.settings(&standin.endpoint(), &more));
    let ran = run_with(command, ["--check"]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("records.own_calls: is for the buckets"),
        "{ran:?}"
    );
}
