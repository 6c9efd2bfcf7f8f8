use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::Offset;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;

/// What S3 answers, from a sorted set of keys.
fn list(keys: &BTreeSet<String>, request: &Request<'_>, page_size: usize) -> Page {
    let mut entries: Vec<String> = keys
        .iter()
        .filter(|key| key.starts_with(request.prefix))
        .filter(|key| request.start_after.is_none_or(|after| key.as_str() > after))
        .map(|key| match key[request.prefix.len()..].find('/') {
            Some(at) if request.folders => key[..=request.prefix.len() + at].to_owned(),
            _ => key.clone(),
        })
        .collect();
    entries.dedup();
    let skip: usize = request.token.map_or(0, |token| token.parse().unwrap());
    let mut page = Page::default();
    for entry in entries.iter().skip(skip).take(page_size) {
        if keys.contains(entry) && !(request.folders && entry[request.prefix.len()..].contains('/'))
        {
            page.objects.push(Found {
                key: entry.clone(),
                etag: None,
                size: Some(1),
                class: None,
            });
        } else {
            page.folders.push(entry.clone());
        }
    }
    let end = skip + page_size;
    page.token = (end < entries.len()).then(|| end.to_string());
    page
}

/// A key, and what it was made of.
#[derive(Clone, Debug)]
struct Made {
    key: String,
    account: Option<&'static str>,
    /// The kind's folder, or another service's.
    kind: Option<&'static str>,
    region: Option<&'static str>,
    /// What comes below the region's folder.
    rest: Option<String>,
    time: Option<Timestamp>,
}

const PREFIXES: [&str; 6] = [
    "",
    "p/",
    "a/b/",
    "AWSLogs/",
    "x/AWSLogs/y/",
    "p/111111111111/",
];
const ORGS: [&str; 3] = ["", "o-a1b2c3d4e5/", "o-zzzzzzzzzzzz/"];
const ACCOUNTS: [&str; 3] = ["111111111111", "111111111112", "222222222222"];
const REGIONS: [&str; 5] = [
    "us-east-1",
    "us-east-2",
    "us-west-2-lax-1a",
    "cn-north-1",
    "us-gov-west-1",
];
const KINDS: [&str; 5] = [
    "CloudTrail",
    "CloudTrail-Digest",
    "CloudTrail-Insight",
    "CloudTrail-NetworkActivity",
    "CloudTrail-Tomorrow",
];
const SERVICES: [&str; 3] = ["Config", "elasticloadbalancing", "vpcflowlogs"];

/// Around midnights, the ends of months, of years and of February.
fn times() -> impl Strategy<Value = Timestamp> {
    let noons = [
        "2023-12-31T23:58Z",
        "2024-02-29T00:00Z",
        "2024-03-01T00:01Z",
        "2024-12-31T12:00Z",
    ];
    (prop::sample::select(noons.to_vec()), -3000_i64..3000).prop_map(|(at, minutes)| {
        let at: Timestamp = at.parse().unwrap();
        Timestamp::from_second(at.as_second() + minutes * 60).unwrap()
    })
}

fn made() -> impl Strategy<Value = Made> {
    let pick = |names: &'static [&'static str]| prop::sample::select(names);
    let place = (
        pick(&PREFIXES),
        pick(&ORGS),
        pick(&ACCOUNTS),
        pick(&REGIONS),
        pick(&KINDS),
    );
    (place, pick(&SERVICES), times(), 0..14_u8, "[A-Za-z0-9]{16}").prop_map(
        |((prefix, org, account, region, kind), service, time, form, id)| {
            let root = format!("{prefix}AWSLogs/{org}");
            let at = Offset::UTC.to_datetime(time);
            let (y, m, d) = (at.year(), at.month(), at.day());
            let stamp = format!("{y:04}{m:02}{d:02}T{:02}{:02}", at.hour(), at.minute());
            let name = match kind {
                "CloudTrail-Digest" => {
                    format!("{account}_{kind}_{region}_trail_us-east-1_{stamp}00Z.json.gz")
                }
                _ => format!("{account}_{kind}_{region}_{stamp}Z_{id}.json.gz"),
            };
            let day = format!("{y:04}/{m:02}/{d:02}");
            let outside = |key: String| Made {
                key,
                account: None,
                kind: None,
                region: None,
                rest: None,
                time: None,
            };
            let below = |rest: String, time| Made {
                key: format!("{root}{account}/{kind}/{region}/{rest}"),
                account: Some(account),
                kind: Some(kind),
                region: Some(region),
                rest: Some(rest),
                time,
            };
            match form {
                0 => outside(format!("{prefix}note-{id}.txt")),
                1 => outside(format!("{root}note-{id}.txt")),
                2 => outside(format!("{root}other/{id}/x.json")),
                3 => Made {
                    account: Some(account),
                    ..outside(format!("{root}{account}/{id}"))
                },
                4 => Made {
                    key: format!("{root}{account}/{kind}/Note/{id}"),
                    account: Some(account),
                    kind: Some(kind),
                    region: None,
                    rest: None,
                    time: None,
                },
                5 | 6 => Made {
                    key: format!("{root}{account}/{service}/{region}/{day}/{id}.json.gz"),
                    account: Some(account),
                    kind: Some(service),
                    region: None,
                    rest: None,
                    time: None,
                },
                7 => below(format!("{day}/odd-{id}"), None),
                8 => below(
                    format!("{}{id}", if id.as_str() < "H" { "!" } else { "~" }),
                    None,
                ),
                9 => Made {
                    time: Some(time),
                    ..outside(format!("{prefix}copies/{name}"))
                },
                _ => below(format!("{day}/{name}"), Some(time)),
            }
        },
    )
}

fn wanted(made: &Made, scope: &Scope) -> bool {
    if !scope.narrows() {
        return true;
    }
    let ok = |set: &BTreeSet<String>, name: Option<&str>| {
        set.is_empty() || name.is_none_or(|name| set.contains(name))
    };
    let day = |time: Timestamp, shift: i64| {
        let time = Timestamp::from_second(time.as_second() + shift * 86_400).unwrap();
        let at = Offset::UTC.to_datetime(time);
        format!("{:04}/{:02}/{:02}", at.year(), at.month(), at.day())
    };
    let cloudtrail = made.kind.is_none_or(|kind| kind.starts_with("CloudTrail"));
    let rest = made.rest.as_deref();
    let since = scope.since.is_none_or(|since| match made.time {
        Some(time) => time >= since,
        None => rest.is_none_or(|rest| *rest > *day(since, -1)),
    });
    let until = scope.until.is_none_or(|until| match made.time {
        Some(time) => time < until,
        None => rest.is_none_or(|rest| *rest < *day(until, 2)),
    });
    cloudtrail
        && ok(&scope.accounts, made.account)
        && ok(&scope.kinds, made.kind)
        && ok(&scope.regions, made.region)
        && since
        && until
}

fn some(names: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    prop_oneof![
        2 => Just(Vec::new()),
        3 => subsequence(names, 1..=2),
    ]
    .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn scopes() -> impl Strategy<Value = Scope> {
    let time = || prop::option::of(times());
    (
        some(&ACCOUNTS),
        some(&REGIONS),
        some(&KINDS),
        time(),
        time(),
    )
        .prop_map(|(accounts, regions, kinds, since, until)| {
            let (since, until) = match (since, until) {
                (Some(a), Some(b)) if a > b => (Some(b), Some(a)),
                (Some(a), Some(b)) if a == b => (Some(a), None),
                other => other,
            };
            Scope {
                accounts,
                regions,
                kinds,
                since,
                until,
            }
        })
}

/// Walks with several listings under way, of which any may answer first; every
/// third answer is none, and the page must come again as if it had not been asked for.
fn walk(
    keys: &BTreeSet<String>,
    scope: &Scope,
    prefix: &str,
    page_size: usize,
) -> (Vec<String>, usize) {
    let stats = StatsHandle::default();
    let mut walk = Walk::new(Arc::new(scope.clone()), prefix.to_owned(), stats);
    let mut running = Vec::new();
    let mut found = Vec::new();
    let (mut pages, mut turn) = (0, 0);
    loop {
        while running.len() < 3
            && let Some(listing) = walk.begin()
        {
            running.push(listing);
        }
        if running.is_empty() {
            return (found, pages);
        }
        turn += 1;
        assert!(turn < 100_000, "a walk without end");
        let listing = running.remove(turn * 7 % running.len());
        if turn % 3 == 0 {
            walk.put_back(listing);
            continue;
        }
        pages += 1;
        let page = list(keys, &listing.request(), page_size);
        check(&listing, &page).unwrap();
        found.extend(walk.take(listing, page).into_iter().map(|found| found.key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_finds_what_a_filter_of_all_keys_finds(
        made in prop::collection::vec(made(), 0..60),
        scope in scopes(),
        page_size in 1_usize..8,
        prefix in prop::option::of((any::<Index>(), any::<Index>())),
    ) {
        let keys: BTreeSet<String> = made.iter().map(|made| made.key.clone()).collect();
        // A prefix that ends anywhere within one of the keys.
        let prefix = match prefix {
            Some((which, at)) if !made.is_empty() => {
                let key = &which.get(&made).key;
                &key[..at.index(key.len() + 1)]
            }
            _ => "",
        };
        let mut expected: Vec<String> = made
            .iter()
            .filter(|made| made.key.starts_with(prefix) && wanted(made, &scope))
            .map(|made| made.key.clone())
            .collect();
        expected.sort();
        expected.dedup();
        let (mut found, _) = if scope.check(prefix).is_ok() {
            walk(&keys, &scope, prefix, page_size)
        } else {
            // A prefix outside the scope is refused; no key below it may be wanted.
            (Vec::new(), 0)
        };
        found.sort();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_narrow_walk_lists_little() {
    let mut keys = BTreeSet::new();
    for account in 0..20 {
        for region in REGIONS {
            for day in 1..=28 {
                for n in 0..20 {
                    let account = format!("{account:012}");
                    keys.insert(format!(
                        "AWSLogs/{account}/CloudTrail/{region}/2024/02/{day:02}/{account}_CloudTrail_{region}_202402{day:02}T00{n:02}Z_AAAAAAAAAAAAAAAA.json.gz"
                    ));
                }
            }
        }
    }
    let scope = Scope {
        accounts: ["000000000007".to_owned()].into(),
        regions: ["us-east-2".to_owned()].into(),
        since: Some("2024-02-10T00:05Z".parse().unwrap()),
        until: Some("2024-02-10T00:10Z".parse().unwrap()),
        ..Scope::default()
    };
    let (found, pages) = walk(&keys, &scope, "", 1000);
    assert_eq!(found.len(), 5);
    // Root, AWSLogs/, the account, its kind, its region.
    assert_eq!(pages, 5);
    assert_eq!(keys.len(), 56_000);
    // The region's listing begins at the day before and ends after the day behind.
    let (found, pages) = walk(&keys, &scope, "", 20);
    assert_eq!(found.len(), 5);
    assert_eq!(pages, 5 + 3);
}

#[test]
fn a_listing_out_of_order_is_refused_where_the_order_matters() {
    let found = |key: &str| Found {
        key: format!("r/{key}"),
        etag: None,
        size: None,
        class: None,
    };
    let page = || Page {
        objects: vec![found("b"), found("a")],
        ..Page::default()
    };
    let mut listing = Listing {
        prefix: "r/".to_owned(),
        folders: false,
        start_after: None,
        stop_at: Some("r/z".to_owned()),
        token: None,
        last: None,
    };
    let error = check(&listing, &page()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    listing.stop_at = None;
    assert!(check(&listing, &page()).is_ok());
    listing.token = Some("t".to_owned());
    let again = Page {
        token: Some("t".to_owned()),
        ..Page::default()
    };
    assert!(check(&listing, &again).unwrap_err().is_retryable());
    let strange = Page {
        folders: vec!["r/".to_owned()],
        ..Page::default()
    };
    assert!(check(&listing, &strange).is_err());
}
