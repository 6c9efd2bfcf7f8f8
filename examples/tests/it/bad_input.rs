//! Wrong usage and configuration: exit 2 (or 1), one line that says what to do, no secret in it.

use crate::support::*;

/// One line on standard error, nothing on standard output, no secret.
fn one_line(ran: &Ran, status: i32, says: &str) {
    assert_eq!(ran.status, status, "{ran:?}");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    assert_eq!(ran.stdout, "");
    ran.assert_no_secret();
}

#[tokio::test]
async fn an_endpoint_in_the_clear_that_is_not_this_machine() {
    let ran = run([
        "forward",
        ".",
        "--endpoint",
        "http://user:s3cr3t@collector.example/in?sig=s3cr3t",
    ])
    .await;
    assert_eq!(ran.status, 2);
    let ran = run([
        "forward",
        ".",
        "--endpoint",
        "http://collector.example/in?sig=s3cr3t",
    ])
    .await;
    one_line(&ran, 2, "https");
}

#[tokio::test]
async fn a_missing_token_and_one_that_others_can_read() {
    let mut bare = cli();
    bare.env_remove("VISIONONE_INGEST_TOKEN");
    let ran = run_with(
        bare,
        ["forward", ".", "--endpoint", "https://collector.example/in"],
    )
    .await;
    one_line(&ran, 2, "VISIONONE_INGEST_TOKEN");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), TOKEN).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let path = file.path().to_str().unwrap();
        let ran = run([
            "forward",
            ".",
            "--endpoint",
            "https://collector.example/in",
            "--token-file",
            path,
        ])
        .await;
        one_line(&ran, 2, "chmod 600");
    }
}

#[tokio::test]
async fn bad_dates_durations_zones_and_sources() {
    for (args, says) in [
        (["--since", "yesterday"], "--since"),
        (["--until", "2026-03-01T09:00:00"], "--until"),
        (["--event-since", "2026-13-01"], "--event-since"),
        (["--give-up-after", "soon"], "--give-up-after"),
        (["--tz", "Mars/Olympus"], "--tz"),
        (["--batch-bytes", "10"], "--batch-bytes"),
        (["--concurrency", "99999999999"], "--concurrency"),
        (["--account", "12345"], "12 digits"),
        (["--linger", "99999999999999d"], "--linger"),
    ] {
        let mut all = vec!["forward", ".", "--dry-run"];
        all.extend_from_slice(&args);
        one_line(&run(all).await, 2, says);
    }
    one_line(
        &run(["forward", "https://bucket/key", "--dry-run"]).await,
        2,
        "s3://",
    );
    let missing = run(["forward", "/no/such/folder", "--dry-run"]).await;
    assert!([1, 2].contains(&missing.status), "{missing:?}");
    one_line(&missing, missing.status, "/no/such/folder");
    // Neither an endpoint nor a file nor a dry run.
    assert_eq!(run(["forward", "."]).await.status, 2);
    let both = run(["forward", ".", "--to", "-", "--report", "json"]).await;
    one_line(&both, 2, "standard output");
}
