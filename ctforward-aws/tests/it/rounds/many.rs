//! Thousands of accounts, mostly empty, on a server that makes up its listings.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Accounts of the test; `CTFORWARD_ROUNDS_ACCOUNTS=2000` is what a large organisation has.
fn accounts() -> usize {
    let set = std::env::var("CTFORWARD_ROUNDS_ACCOUNTS").ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(100)
}

const REGIONS: usize = 30;

/// Its folders are computed; only the few files are held.
struct Large {
    accounts: usize,
    files: Mutex<BTreeMap<String, u64>>,
    requests: AtomicU64,
    under_way: AtomicU64,
    most: AtomicU64,
}

fn account(n: usize) -> String {
    format!("{:012}", 100_000_000_000 + n)
}

fn region(n: usize) -> String {
    format!("region-{n}")
}

impl Large {
    fn answer(&self, query: &str) -> String {
        let mut asked: BTreeMap<&str, String> = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            asked.insert(name, value.replace("%2F", "/"));
        }
        let of = |name: &str| asked.get(name).map_or("", String::as_str);
        let prefix = of("prefix");
        let from: usize = of("continuation-token").parse().unwrap_or(0);
        let page = |names: Vec<String>, from: usize, all: usize| {
            let next = from + names.len();
            let mut xml = format!("<IsTruncated>{}</IsTruncated>", next < all);
            if next < all {
                let _ = write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>");
            }
            for name in names {
                let _ = write!(
                    xml,
                    "<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"
                );
            }
            xml
        };
        let xml = match prefix.matches('/').count() {
            1 => {
                let until = self.accounts.min(from + 1000);
                page((from..until).map(account).collect(), from, self.accounts)
            }
            2 => page(vec!["CloudTrail".into(), "Config".into()], 0, 2),
            3 => page((0..REGIONS).map(region).collect(), 0, REGIONS),
            _ => {
                assert_eq!(of("delimiter"), "");
                let files = self.files.lock().unwrap();
                let after = of("start-after").to_owned();
                let mut xml = "<IsTruncated>false</IsTruncated>".to_owned();
                for (key, size) in files
                    .range(after..)
                    .take_while(|(k, _)| k.starts_with(prefix))
                {
                    let _ = write!(
                        xml,
                        "<Contents><Key>{key}</Key><ETag>\"e{size}\"</ETag><Size>{size}</Size></Contents>"
                    );
                }
                xml
            }
        };
        format!("<ListBucketResult>{xml}</ListBucketResult>")
    }

    async fn serve(self: Arc<Self>) -> (String, AbortOnDropHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let large = Arc::clone(&self);
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let large = Arc::clone(&large);
                        async move {
                            let now = large.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                            large.most.fetch_max(now, Ordering::SeqCst);
                            large.requests.fetch_add(1, Ordering::SeqCst);
                            // Others get a turn, so that requests meet.
                            tokio::task::yield_now().await;
                            let xml = large.answer(request.uri().query().unwrap());
                            large.under_way.fetch_sub(1, Ordering::SeqCst);
                            let reply = Response::builder().header("content-type", "text/xml");
                            Ok::<_, Infallible>(reply.body(Whole(Some(xml.into()))).unwrap())
                        }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (url, AbortOnDropHandle::new(task))
    }
}

struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn put(
    large: &Large,
    account_number: usize,
    region_number: usize,
    day: &str,
    name: &str,
) -> String {
    let (account, region) = (account(account_number), region(region_number));
    let key = key(&account, &region, day, name);
    large.files.lock().unwrap().insert(key.clone(), 5);
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_mostly_empty_folders_take_the_requests_that_were_announced() {
    let accounts = accounts();
    let large = Arc::new(Large {
        accounts,
        files: Mutex::default(),
        requests: AtomicU64::new(0),
        under_way: AtomicU64::new(0),
        most: AtomicU64::new(0),
    });
    let first = [
        put(&large, 0, 0, "2026/03/10", "first"),
        put(&large, accounts / 2, 7, "2026/03/09", "middle"),
        put(&large, accounts - 1, REGIONS - 1, "2026/02/10", "last"),
    ];
    let (url, _server) = Arc::clone(&large).serve().await;
    let source = S3Source::builder(client_for(&url), BUCKET).parallel_listings(16);
    let noon: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
    let day = Duration::from_secs(86_400);
    let rounds = Rounds::builder(source)
        .interval(day)
        .refresh(day)
        .clock(move || noon);
    let mut taken = Taken::from(rounds.list_budget(10_000_000));

    let estimate = taken.source.estimate().await.unwrap();
    let folders = (accounts * REGIONS) as u64;
    // A page for each thousand accounts, the kinds and the regions of each.
    let discovery = accounts.div_ceil(1000) as u64 + 2 * accounts as u64;
    assert_eq!(estimate.accounts, accounts as u64);
    assert_eq!(
        (estimate.regions, estimate.folders),
        (REGIONS as u64, folders)
    );
    assert_eq!(estimate.requests_a_day, folders + discovery);
    assert_eq!(large.requests.load(Ordering::SeqCst), discovery);

    let mut found = Vec::new();
    for file in taken.round().await {
        found.push(file.object.id.key);
        file.receipt.accept().await.unwrap();
    }
    assert_same(found, &first);
    assert_eq!(large.requests.load(Ordering::SeqCst), discovery + folders);
    let stats = taken.stats.get();
    assert_eq!(stats.requests, estimate.requests_a_day);
    assert_eq!((stats.folders as u64, stats.failing), (folders, 0));
    let most = large.most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} requests at the same time");

    let new = put(&large, accounts - 1, 3, "2026/03/10", "new");
    let files = taken.round().await;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].object.id.key, new);
}
