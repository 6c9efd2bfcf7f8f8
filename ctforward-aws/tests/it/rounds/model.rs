//! Whatever happens between rounds, every file is handed on until it is accepted, and
//! none twice at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use fastrand::Rng;

use super::*;

fn any_key(rng: &mut Rng) -> String {
    let account = [A, B][rng.usize(..2)];
    let region = ["eu-west-1", "us-east-1"][rng.usize(..2)];
    let day = format!(
        "2026/{}",
        ["02/20", "03/01", "03/09", "03/10", "03/11"][rng.usize(..5)]
    );
    key(account, region, &day, &format!("{}", rng.u8(..20)))
}

async fn play(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let calm = Arc::new(AtomicBool::new(false));
    let (asked, dice) = (Arc::clone(&calm), Mutex::new(Rng::with_seed(seed + 1)));
    // The SDK's own second attempt hides some of it.
    let bucket = Bucket::answering(move |asked_for| {
        let listing = asked_for.query("prefix") != "AWSLogs/";
        let fails = listing && !asked.load(Ordering::SeqCst) && dice.lock().unwrap().u8(..10) < 6;
        let denied = dice.lock().unwrap().bool();
        let (status, code) = if denied {
            (403, "AccessDenied")
        } else {
            (503, "SlowDown")
        };
        fails.then(|| Reply::error(status, code, "no"))
    })
    .await;
    let mut taken = Taken::from(
        bucket
            .rounds()
            .refresh(Duration::from_nanos(1))
            .remember(1000),
    );
    let mut accepted: BTreeMap<String, u64> = BTreeMap::new();
    let mut held: Vec<LogFile> = Vec::new();
    for step in 0..12 {
        let last = step >= 10;
        if last {
            calm.store(true, Ordering::SeqCst);
        }
        for _ in 0..if last { 0 } else { rng.usize(..8) } {
            bucket.put(&any_key(&mut rng), rng.u64(1..6));
        }
        bucket.at(&format!(
            "2026-03-{:02}T0{}:00:00Z",
            10 + step / 5,
            step % 5
        ));
        let files = within(taken.round()).await;
        let under_way: BTreeSet<String> =
            held.iter().map(|file| file.object.id.key.clone()).collect();
        for file in &files {
            let (key, size) = (&file.object.id.key, file.object.size.unwrap());
            assert!(!under_way.contains(key), "{seed}: {key} is under way");
            assert_ne!(accepted.get(key), Some(&size), "{seed}: {key} was accepted");
        }
        held.extend(files);
        for file in std::mem::take(&mut held) {
            match rng.u8(..4) {
                0 | 1 if !last => held.push(file),
                2 if !last => drop(file),
                _ => {
                    let size = file.object.size.unwrap();
                    accepted.insert(file.object.id.key.clone(), size);
                    file.receipt.accept().await.unwrap();
                }
            }
        }
    }
    assert_eq!(accepted, *bucket.keys.lock().unwrap(), "{seed}");
    let stats = taken.stats.get();
    assert_eq!((stats.under_way, stats.failing, stats.unlisted), (0, 0, 0));
}

#[tokio::test]
async fn every_file_comes_until_it_is_accepted_and_then_no_more() {
    for seed in 0..25 {
        play(seed).await;
    }
}
