//! `forward` from a bucket, served by an S3 server over HTTP.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use crate::support::*;

/// An S3 server over a folder whose sub-folders are its buckets; ends with the test's runtime.
pub async fn serve(root: &Path) -> String {
    let files = s3s_fs::FileSystem::new(root).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("test", "test"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_bucket_is_forwarded_as_its_folder_is_and_narrowing_takes_the_same_files() {
    let root = tempfile::tempdir().unwrap();
    let bucket = root.path().join("trail");
    let mut expected = Vec::new();
    for (account, region, minute) in [
        ("111122223333", "us-east-1", 5),
        ("111122223333", "eu-west-1", 6),
        ("444455556666", "us-east-1", 7),
    ] {
        for part in 0..3 {
            let record = record(&format!("{account}-{region}-{part}"));
            expected.push((account, region, record.clone().into_bytes()));
            write(
                &bucket,
                &key(account, region, minute + part),
                &gzip(log_file(&[record]).as_bytes()),
            );
        }
    }
    let url = serve(root.path()).await;
    let narrowings: [&[&str]; 3] = [
        &[],
        &["--account", "111122223333"],
        &["--region", "us-east-1", "--since", "2026-03-01"],
    ];
    for narrow in narrowings {
        let standin = standin().await;
        let endpoint = standin.endpoint();
        let mut args = vec![
            "forward",
            "s3://trail",
            "--s3-endpoint-url",
            &url,
            "--endpoint",
            &endpoint,
            "--report",
            "json",
        ];
        args.extend_from_slice(narrow);
        let ran = run(args).await;
        assert_eq!(ran.status, 0, "{narrow:?} {ran:?}");
        let wanted = expected
            .iter()
            .filter(|(account, region, _)| match narrow.first() {
                Some(&"--account") => *account == "111122223333",
                Some(_) => *region == "us-east-1",
                None => true,
            })
            .map(|(_, _, record)| record.clone());
        assert_eq!(received(&standin), sorted(wanted.collect()), "{narrow:?}");
        ran.assert_no_secret();
    }
}

#[tokio::test]
async fn servers_on_this_machine_are_reached_without_the_proxy_of_the_environment() {
    let root = tempfile::tempdir().unwrap();
    let file = gzip(log_file(&[record("one")]).as_bytes());
    write(
        &root.path().join("trail"),
        &key("111122223333", "us-east-1", 5),
        &file,
    );
    let url = serve(root.path()).await;
    let standin = standin().await;
    let endpoint = standin.endpoint();
    let mut command = cli();
    for variable in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
    ] {
        // Nothing listens there.
        command.env(variable, "http://127.0.0.1:9");
    }
    let args = [
        "forward",
        "s3://trail",
        "--s3-endpoint-url",
        &url,
        "--endpoint",
        &endpoint,
        "--give-up-after",
        "120s",
    ];
    let ran = run_with(command, args).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(standin.records().len(), 1);
}

#[tokio::test]
async fn an_unknown_bucket_is_one_line() {
    let root = tempfile::tempdir().unwrap();
    let url = serve(root.path()).await;
    let ran = run([
        "forward",
        "s3://nowhere",
        "--s3-endpoint-url",
        &url,
        "--to",
        "/dev/null",
    ])
    .await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
}
