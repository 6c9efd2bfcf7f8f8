//! Leases of instances that ended, and of those that live.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Set for the process that is to be killed.
const VICTIM: &str = "CTFORWARD_TEST_LEDGER";

fn owner_files(path: &Path) -> usize {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".owners");
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_killed_process_leaves_what_was_answered_and_its_leases_are_void_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    if let Some(path) = std::env::var_os(VICTIM) {
        runtime.block_on(live_until_killed(Path::new(&path)));
    }
    let (_folder, path) = place();
    let ours = SqliteLedger::open(&path).unwrap();
    let name = "ledger::sqlite::tests::owners::\
                a_killed_process_leaves_what_was_answered_and_its_leases_are_void_at_once";
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(VICTIM, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    // The test harness prints lines of its own.
    let finished: Vec<String> = lines
        // The pipe stays open, so that only the signal ends the process.
        .by_ref()
        .map(Result::unwrap)
        .filter_map(|line| line.strip_prefix("finished ").map(str::to_owned))
        .take(30)
        .collect();
    runtime.block_on(async {
        assert!(
            is_held(&ours, &object("held")).await,
            "the other process lives"
        );
        assert_eq!(owner_files(&path), 2);
        victim.kill().unwrap();
        victim.wait().unwrap();
        for key in &finished {
            assert!(is_delivered(&ours, &object(key)).await, "{key}");
        }
        assert_eq!(finished.len(), 30);
        let (ticket, resume) = granted(&ours, &object("held")).await;
        assert_eq!((ticket.fence, resume.mark.low_water), (2, 77));
        assert_eq!(owner_files(&path), 1);
    });
}

/// Holds one file half done, and finishes others until it is killed.
async fn live_until_killed(path: &Path) -> ! {
    let ledger = SqliteLedger::open(path).unwrap();
    let (held, _) = granted(&ledger, &object("held")).await;
    let mark = Mark::new(77, RecordBooks::default());
    ledger
        .progress(&held, &object("held"), &mark)
        .await
        .unwrap();
    for n in 0_u64.. {
        let key = format!("k{n}");
        let (ticket, _) = granted(&ledger, &object(&key)).await;
        ledger
            .finish(&ticket, &object(&key), &delivered(n))
            .await
            .unwrap();
        println!("\nfinished {key}");
    }
    unreachable!()
}

#[tokio::test]
async fn a_late_call_of_an_instance_taken_for_dead_changes_nothing() {
    let (_folder, path) = place();
    let slow = SqliteLedger::open(&path).unwrap();
    let (late, _) = granted(&slow, &object("k")).await;
    // Somebody removes the folder, and with it what says that it lives.
    let folder = path.with_file_name("ledger.db.owners");
    std::fs::remove_dir_all(&folder).unwrap();
    let fast = SqliteLedger::open(&path).unwrap();
    let (ticket, _) = granted(&fast, &object("k")).await;
    assert_eq!(ticket.fence, 2);
    let finish = slow.finish(&late, &object("k"), &delivered(9)).await;
    assert_eq!(finish.unwrap_err().kind(), ErrorKind::Changed);
    assert!(is_held(&slow, &object("k")).await);
    fast.finish(&ticket, &object("k"), &delivered(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn files_of_dead_owners_go_and_those_of_living_ones_and_strangers_stay() {
    let (_folder, path) = place();
    let living = SqliteLedger::open(&path).unwrap();
    let folder = path.with_file_name("ledger.db.owners");
    std::fs::write(folder.join("00000000000000aa"), "").unwrap();
    std::fs::write(folder.join("notes.txt"), "").unwrap();
    let second = SqliteLedger::open(&path).unwrap();
    assert_eq!(owner_files(&path), 3);
    drop(second);
    assert_eq!(owner_files(&path), 2);
    granted(&living, &object("k")).await;
    drop(living);
    assert_eq!(owner_files(&path), 1);
}
