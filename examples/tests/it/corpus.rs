//! Real log files, where `CTFORWARD_CORPUS` names a folder with them.
//!
//! They are public, but not part of this project; without the folder these
//! tests say so and pass.

use std::path::PathBuf;

use crate::s3::serve;
use crate::support::*;

pub fn corpus() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("CTFORWARD_CORPUS") else {
        println!("skipped: CTFORWARD_CORPUS names no folder with real log files");
        return None;
    };
    let folder = std::path::absolute(folder).unwrap();
    assert!(folder.is_dir(), "CTFORWARD_CORPUS names no folder");
    Some(folder)
}

#[tokio::test]
async fn a_real_bucket_arrives_byte_for_byte_from_a_folder_and_through_s3() {
    let Some(corpus) = corpus() else { return };
    let bucket = corpus.join("bucket");
    let files = files(&bucket);
    let expected = sorted(
        files
            .iter()
            .flat_map(|f| records_of(&std::fs::read(f).unwrap()))
            .collect(),
    );
    assert_eq!((files.len(), expected.len()), (55, 2900));
    let url = serve(&corpus).await;
    let from_folder: [&str; 1] = [bucket.to_str().unwrap()];
    let from_s3 = ["s3://bucket", "--s3-endpoint-url", &url];
    let narrowed = [
        "s3://bucket",
        "--s3-endpoint-url",
        &url,
        "--since",
        "2023-07-01",
        "--region",
        "us-east-1",
    ];
    for source in [&from_folder[..], &from_s3[..], &narrowed[..]] {
        let standin = standin().await;
        let endpoint = standin.endpoint();
        let mut args = vec!["forward", "--endpoint", &endpoint, "--report", "json"];
        args.extend_from_slice(source);
        let ran = run(args).await;
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(ran.json()["files"]["delivered"], 55);
        assert_eq!(ran.json()["records"]["accepted"], 2900);
        assert!(received(&standin) == expected, "the lines differ");
    }
}

#[tokio::test]
async fn records_of_every_event_version_arrive_and_what_is_no_log_is_skipped() {
    let Some(corpus) = corpus() else { return };
    let folders = std::fs::read_dir(corpus.join("records")).unwrap();
    let mut versions = std::collections::BTreeSet::new();
    for folder in folders {
        let folder = folder.unwrap().path();
        let mut expected = Vec::new();
        let mut logs = 0;
        for file in files(&folder) {
            let stored = std::fs::read(&file).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&gunzip(&stored)).unwrap();
            if value
                .get("Records")
                .is_some_and(serde_json::Value::is_array)
            {
                expected.extend(records_of(&stored));
                logs += 1;
            }
        }
        for record in &expected {
            let value: serde_json::Value = serde_json::from_slice(record).unwrap();
            versions.insert(
                value["eventVersion"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        let standin = standin().await;
        let endpoint = standin.endpoint();
        let ran = run([
            "forward",
            folder.to_str().unwrap(),
            "--endpoint",
            &endpoint,
            "--report",
            "json",
        ])
        .await;
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(ran.json()["files"]["delivered"], logs, "{}", ran.stdout);
        assert!(
            received(&standin) == sorted(expected),
            "the lines differ: {ran:?}"
        );
    }
    for version in [
        "1.0", "1.01", "1.02", "1.03", "1.04", "1.05", "1.06", "1.07", "1.08", "1.09", "1.10",
        "1.11",
    ] {
        assert!(
            versions.contains(version),
            "{version} is not among {versions:?}"
        );
    }
}
