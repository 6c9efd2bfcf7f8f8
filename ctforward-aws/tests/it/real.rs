//! Against `s3s-fs`: an S3 server written by others, which checks signatures.

use std::collections::BTreeSet;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use ctforward_aws::S3Source;
use ctforward_core::key::Kind;
use ctforward_core::{ErrorKind, Intake, Source};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use crate::{BUCKET, assert_same, client_for, drain, settings, within};

pub(crate) struct S3 {
    url: String,
    folder: TempDir,
    _task: AbortOnDropHandle<()>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("AKIDTEST", "secret"));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Otherwise each answer waits for the client's delayed acknowledgement.
                stream.set_nodelay(true).unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            url,
            folder,
            _task: AbortOnDropHandle::new(task),
        }
    }

    #[cfg(feature = "sqs")]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn client(&self) -> Client {
        client_for(&self.url)
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        let path = self.folder.path().join(BUCKET).join(key);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, body).unwrap();
    }
}

pub(crate) fn key(
    root: &str,
    account: &str,
    kind: &str,
    region: &str,
    day: &str,
    n: usize,
) -> String {
    let date = day.replace('/', "");
    format!(
        "{root}{account}/{kind}/{region}/{day}/{account}_{kind}_{region}_{date}T00{:02}Z_{n:016}.json.gz",
        n % 60
    )
}

fn fill(s3: &S3) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for root in ["AWSLogs/", "a/b/AWSLogs/o-a1b2c3d4e5/"] {
        for account in ["111111111111", "222222222222"] {
            for kind in ["CloudTrail", "CloudTrail-Insight", "Config"] {
                for region in ["us-east-1", "us-west-2-lax-1a", "cn-north-1"] {
                    for day in ["2023/12/31", "2024/01/01", "2024/02/29"] {
                        for n in [2, 3, 4, 5] {
                            keys.insert(key(root, account, kind, region, day, n));
                        }
                    }
                }
            }
        }
    }
    keys.insert("a/readme.txt".to_owned());
    for key in &keys {
        s3.put(key, b"{}");
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_thousand_keys_are_listed_in_pages() {
    let s3 = S3::start().await;
    let mut keys = BTreeSet::new();
    for n in 0..1100 {
        keys.insert(key(
            "AWSLogs/",
            "111111111111",
            "CloudTrail",
            "us-east-1",
            "2024/01/01",
            n,
        ));
    }
    for key in &keys {
        s3.put(key, b"{}");
    }
    let mut source = S3Source::builder(s3.client(), BUCKET).build().unwrap();
    let stats = source.stats();
    let found = drain(&mut source).await.unwrap();
    assert_eq!(found, keys.into_iter().collect::<Vec<_>>());
    assert_eq!(stats.get().requests, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrowed_runs_find_what_a_filter_finds() {
    let s3 = S3::start().await;
    let keys = fill(&s3);
    let since = |key: &str| match time(key) {
        Some((day, minute)) => (day, minute) >= ("2024/01/01", 3),
        None => true,
    };
    let until = |key: &str| match time(key) {
        Some((day, minute)) => (day, minute) < ("2024/02/29", 5),
        None => true,
    };
    let prefixes = [
        "",
        "a/b",
        "AWSL",
        "a/b/AWSLogs/o-a1b2c3d4e5/2",
        "AWSLogs/111111111111/CloudTrail",
        "AWSLogs/111111111111/CloudTrail/us-",
        "AWSLogs/111111111111/CloudTrail/us-east-1/2024/0",
    ];
    let mut runs = 0;
    for (n, prefix) in (0..32).flat_map(|n| prefixes.map(|prefix| (n, prefix))) {
        // All combinations for the whole bucket, and a few below each prefix.
        if !prefix.is_empty() && ![0, 3, 4, 25, 31].contains(&n) {
            continue;
        }
        let on = |bit: u32| n >> bit & 1 == 1;
        let mut builder = S3Source::builder(s3.client(), BUCKET)
            .page_size(70)
            .prefix(prefix);
        let mut wanted: Vec<&String> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        if n > 0 {
            wanted.retain(|key| !key.contains("/Config/"));
        }
        let in_account = |key: &str| key.matches('/').count() > 5;
        if on(0) {
            builder = builder.accounts(["111111111111"]);
            wanted.retain(|key| !in_account(key) || key.contains("/111111111111/"));
        }
        if on(1) {
            builder = builder.regions(["us-west-2-lax-1a", "us-east-1", "eu-west-1"]);
            wanted.retain(|key| !key.contains("/cn-north-1/"));
        }
        if on(2) {
            builder = builder.kinds([Kind::Insight]);
            wanted.retain(|key| !in_account(key) || key.contains("/CloudTrail-Insight/"));
        }
        if on(3) {
            builder = builder.since("2024-01-01T00:03:00Z".parse().unwrap());
            wanted.retain(|key| since(key));
        }
        if on(4) {
            builder = builder.until("2024-02-29T00:05:00Z".parse().unwrap());
            wanted.retain(|key| until(key));
        }
        let Ok(mut source) = builder.build() else {
            // The prefix lies outside what is asked for.
            assert!(wanted.is_empty(), "{n} {prefix}");
            continue;
        };
        let wanted: Vec<String> = wanted.into_iter().cloned().collect();
        assert_same(drain(&mut source).await.unwrap(), &wanted);
        runs += 1;
    }
    assert!(runs > 50, "{runs}");
}

/// The day's folder and the minute of the name, of keys that have them.
fn time(key: &str) -> Option<(&str, u8)> {
    let at = key.rfind("T00")?;
    let file = key.rfind('/')?;
    Some((&key[file - 10..file], key[at + 3..at + 5].parse().ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_file_is_read_as_it_was_put() {
    let s3 = S3::start().await;
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 253) as u8).collect();
    s3.put("AWSLogs/one.json.gz", &body);
    let mut source = S3Source::builder(s3.client(), BUCKET).build().unwrap();
    let Some(Intake::File(file)) = within(source.next()).await.unwrap() else {
        panic!("a file");
    };
    assert_eq!(file.object.size, Some(200_000));
    for _ in 0..2 {
        let mut opened = within(file.open.open()).await.unwrap();
        assert_eq!(opened.size, Some(200_000));
        let (mut read, mut pieces) = (Vec::new(), 0);
        while let Some(piece) = within(opened.chunks.next()).await.unwrap() {
            read.extend_from_slice(&piece);
            pieces += 1;
        }
        assert!(read == body);
        assert!(pieces > 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_names_and_keys_are_told_apart() {
    let s3 = S3::start().await;
    let mut source = S3Source::builder(s3.client(), "no-such-bucket")
        .build()
        .unwrap();
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("check its name"), "{error}");

    s3.put("AWSLogs/gone.json.gz", b"{}");
    let mut source = S3Source::builder(s3.client(), BUCKET).build().unwrap();
    let Some(Intake::File(file)) = within(source.next()).await.unwrap() else {
        panic!("a file");
    };
    std::fs::remove_file(s3.folder.path().join(BUCKET).join("AWSLogs/gone.json.gz")).unwrap();
    let error = within(file.open.open()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    let wrong = Credentials::new("AKIDTEST", "wrong", None, None, "tests");
    let wrong = settings().credentials_provider(wrong);
    let wrong = ctforward_aws::s3::client(
        wrong,
        Some(&s3.url),
        Some("eu-west-1"),
        ctforward_aws::s3::PlainHttp::LoopbackOnly,
    );
    let mut source = S3Source::builder(wrong.unwrap(), BUCKET).build().unwrap();
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.message().contains("secret key"), "{error}");
}
