use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::*;
use crate::sqs::error::Entry;
use crate::sqs::stats::{Call, SqsStatsHandle};
use crate::sqs::terms::{HOLD, Terms};

const TERMS: Terms = Terms {
    visibility: Duration::from_secs(300),
    backoff: (Duration::from_secs(10), Duration::from_secs(900)),
};

/// A queue in memory: it notes what it is told and when, and answers as it is told to.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    changes: Vec<(Instant, String, i32)>,
    deletes: Vec<(Instant, String)>,
    /// Fails every change so.
    fails: Option<Entry>,
    /// Fails every delete so.
    deletes_fail: Option<Entry>,
    /// Carries a change out only after so long.
    slow: Option<Duration>,
    /// Takes so long for every change.
    each: Duration,
    /// Answers no call of a kind: changes, deletes.
    hangs: (bool, bool),
    /// The next call panics.
    panics: bool,
}

impl Memory {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    async fn suffer(&self, hangs: bool) {
        if std::mem::take(&mut self.told().panics) {
            std::panic::panic_any("a fault");
        }
        if hangs {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Speak for Memory {
    async fn change(&self, messages: Vec<(String, i32)>, _patience: Duration) -> Vec<Answer> {
        let hangs = self.told().hangs.0;
        self.suffer(hangs).await;
        let each = self.told().each;
        tokio::time::sleep(each).await;
        let slow = self.told().slow.take();
        if let Some(slow) = slow {
            tokio::time::sleep(slow).await;
        }
        let mut told = self.told();
        let mut answers = Vec::new();
        for (handle, seconds) in messages {
            answers.push(match told.fails {
                Some(entry) => failed(entry, "change"),
                None => {
                    told.changes.push((Instant::now(), handle, seconds));
                    Answer::Done
                }
            });
        }
        answers
    }

    async fn delete(&self, handles: Vec<String>, _patience: Duration) -> Vec<Answer> {
        let hangs = self.told().hangs.1;
        self.suffer(hangs).await;
        let mut told = self.told();
        let mut answers = Vec::new();
        for handle in handles {
            answers.push(match told.deletes_fail {
                Some(entry) => failed(entry, "delete"),
                None => {
                    told.deletes.push((Instant::now(), handle));
                    Answer::Done
                }
            });
        }
        answers
    }
}

fn failed(entry: Entry, what: &str) -> Answer {
    let kind = match entry {
        Entry::Gone => ErrorKind::Changed,
        Entry::Later => ErrorKind::Unavailable,
        Entry::Refused => ErrorKind::Unauthorized,
    };
    Answer::Failed(entry, Error::new(kind, ORIGIN, format!("no {what}")))
}

struct Parts {
    memory: Memory,
    counters: Arc<Counters>,
    commands: mpsc::UnboundedSender<Command>,
    registry: Arc<Registry>,
    began: Instant,
}

fn start() -> Parts {
    let (commands, receiver) = mpsc::unbounded_channel();
    let memory = Memory::default();
    let counters = Arc::new(Counters::default());
    let registry = Arc::new(Registry::default());
    let shared = Arc::clone(&registry);
    let keeper = Keeper::new(memory.clone(), Arc::clone(&counters), shared, receiver);
    tokio::spawn(keeper.run());
    Parts {
        registry,
        memory,
        counters,
        commands,
        began: Instant::now(),
    }
}

impl Parts {
    fn hold(&self, number: u64) -> Arc<Lease> {
        self.hold_since(number, TERMS, Instant::now())
    }

    fn hold_since(&self, number: u64, terms: Terms, asked: Instant) -> Arc<Lease> {
        let (id, handle) = (format!("id{number}"), format!("h{number}"));
        let lease = Lease::new(number, id, handle, 1, terms, asked);
        self.counters.hold_message();
        let _ = self.commands.send(Command::Hold(Arc::clone(&lease)));
        lease
    }

    fn decide(&self, lease: &Arc<Lease>, what: What) -> oneshot::Receiver<Result<()>> {
        let (reply, answer) = oneshot::channel();
        let job = Job::new(Arc::clone(lease), what, Some(reply));
        let _ = self.commands.send(Command::Decide(job));
        answer
    }
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_extended_at_each_third_of_its_visibility() {
    let parts = start();
    let lease = parts.hold(1);
    tokio::time::sleep(minutes(60)).await;
    let told = parts.memory.told();
    // Every 100 s of an hour.
    assert!(
        (35..=36).contains(&told.changes.len()),
        "{}",
        told.changes.len()
    );
    for (n, (at, handle, seconds)) in told.changes.iter().enumerate() {
        let due = Duration::from_secs(100 * (n as u64 + 1));
        assert_eq!((handle.as_str(), *seconds), ("h1", 300));
        assert!(at.duration_since(parts.began).abs_diff(due) < Duration::from_secs(1));
    }
    assert!(lease.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_given_back_after_eleven_hours_and_a_half_and_cannot_be_deleted() {
    let parts = start();
    let lease = parts.hold(1);
    tokio::time::sleep(HOLD - minutes(1)).await;
    assert!(lease.lost().is_none());
    tokio::time::sleep(minutes(2)).await;
    assert!(lease.lost().is_some());
    let error = parts
        .decide(&lease, What::Delete)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let told = parts.memory.told();
    let (at, _, seconds) = told.changes.last().unwrap();
    assert!(at.duration_since(parts.began) < HOLD + Duration::from_secs(1));
    assert!(*seconds <= 10, "it comes again soon: {seconds} s");
    assert!(told.deletes.is_empty());
    let ends = told.changes.iter().map(|(at, _, seconds)| {
        at.duration_since(parts.began) + Duration::from_secs(u64::try_from(*seconds).unwrap())
    });
    assert!(ends.max().unwrap() < Duration::from_secs(12 * 3600));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_for_as_long_as_the_message_is_invisible_and_no_longer() {
    for (outage, survives) in [(minutes(3), true), (minutes(6), false)] {
        let parts = start();
        let lease = parts.hold(1);
        parts.memory.told().fails = Some(Entry::Later);
        tokio::time::sleep(outage).await;
        parts.memory.told().fails = None;
        tokio::time::sleep(minutes(5)).await;
        assert_eq!(lease.lost().is_none(), survives, "{outage:?}");
        let deleted = parts.decide(&lease, What::Delete).await.unwrap();
        assert_eq!(deleted.is_ok(), survives);
        assert_eq!(parts.memory.told().deletes.len(), usize::from(survives));
        assert!(parts.counters.holds_nothing());
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_handle_loses_the_message_at_once() {
    let parts = start();
    let lease = parts.hold(1);
    parts.memory.told().fails = Some(Entry::Gone);
    tokio::time::sleep(Duration::from_secs(101)).await;
    assert!(lease.lost().is_some());
    parts.memory.told().fails = None;
    assert!(parts.decide(&lease, What::Delete).await.unwrap().is_err());
    assert!(
        parts
            .decide(&lease, What::Show(minutes(1)))
            .await
            .unwrap()
            .is_ok()
    );
    let told = parts.memory.told();
    assert!(told.deletes.is_empty() && told.changes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_release_is_never_overtaken_by_an_extension() {
    let parts = start();
    let lease = parts.hold(1);
    parts.memory.told().slow = Some(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(105)).await;
    // The extension is under way.
    parts
        .decide(&lease, What::Show(minutes(60)))
        .await
        .unwrap()
        .unwrap();
    let last: Vec<i32> = parts
        .memory
        .told()
        .changes
        .iter()
        .map(|(_, _, s)| *s)
        .collect();
    assert_eq!(last, [300, 3600]);
    tokio::time::sleep(minutes(10)).await;
    assert_eq!(
        parts.memory.told().changes.len(),
        2,
        "no extension behind it"
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_is_left_and_all_was_told() {
    let (commands, receiver) = mpsc::unbounded_channel();
    let memory = Memory::default();
    let counters = Arc::new(Counters::default());
    let keeper = Keeper::new(
        memory.clone(),
        Arc::clone(&counters),
        Arc::default(),
        receiver,
    );
    let ended = tokio::spawn(keeper.run());
    let lease = Lease::new(1, "id".to_owned(), "h".to_owned(), 1, TERMS, Instant::now());
    counters.hold_message();
    let _ = commands.send(Command::Hold(Arc::clone(&lease)));
    let _ = commands.send(Command::Decide(Job::new(
        lease,
        What::Show(minutes(1)),
        None,
    )));
    drop(commands);
    ended.await.unwrap();
    assert_eq!(memory.told().changes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panicked_is_made_again_and_leaves_nothing_behind() {
    let parts = start();
    let lease = parts.hold(1);
    parts.memory.told().panics = true;
    // The first extension panics, the next one is not late.
    tokio::time::sleep(minutes(10)).await;
    assert!(!parts.memory.told().panics);
    assert!(lease.lost().is_none());
    assert!(parts.memory.told().changes.len() >= 5);
    parts.memory.told().panics = true;
    parts.decide(&lease, What::Delete).await.unwrap().unwrap();
    let other = parts.hold(2);
    parts.memory.told().panics = true;
    let shown = parts.decide(&other, What::Show(minutes(1))).await;
    shown.unwrap().unwrap();
    assert_eq!(parts.memory.told().deletes.len(), 1);
    assert!(parts.counters.holds_nothing());
}

#[tokio::test(start_paused = true)]
async fn extensions_that_hang_keep_no_delete_waiting_and_deletes_no_extension() {
    let parts = start();
    let leases: Vec<_> = (0..400).map(|number| parts.hold(number)).collect();
    parts.memory.told().hangs = (true, false);
    tokio::time::sleep(Duration::from_secs(150)).await;
    let asked = Instant::now();
    let deleted = parts.decide(&leases[0], What::Delete).await;
    deleted.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1));

    let parts = start();
    let leases: Vec<_> = (0..400).map(|number| parts.hold(number)).collect();
    parts.memory.told().hangs = (false, true);
    for lease in &leases[..399] {
        drop(parts.decide(lease, What::Delete));
    }
    tokio::time::sleep(Duration::from_secs(150)).await;
    let changes = &parts.memory.told().changes;
    assert!(changes.iter().any(|(_, handle, _)| handle == "h399"));
}

#[tokio::test(start_paused = true)]
async fn the_first_decision_counts_and_both_are_answered() {
    let parts = start();
    let lease = parts.hold(1);
    parts.memory.told().slow = Some(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(105)).await;
    // The extension is under way.
    let first = parts.decide(&lease, What::Show(minutes(60)));
    let again = parts.decide(&lease, What::Show(minutes(1)));
    let delete = parts.decide(&lease, What::Delete);
    again.await.unwrap().unwrap();
    assert!(delete.await.unwrap().is_err());
    first.await.unwrap().unwrap();
    let told = parts.memory.told();
    let seconds: Vec<i32> = told.changes.iter().map(|(_, _, s)| *s).collect();
    assert_eq!((seconds, told.deletes.len()), (vec![300, 3600], 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_counts_from_the_beginning_of_the_call_that_brought_it() {
    let terms = Terms {
        visibility: Duration::from_secs(30),
        ..TERMS
    };
    let asked = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let parts = start();
    let lease = parts.hold_since(1, terms, asked);
    assert_eq!(lease.until(), asked + terms.visibility);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        parts.memory.told().changes.len(),
        1,
        "it was extended in time"
    );
    // Of a call that took longer nothing is kept: it may be with somebody else by now.
    let late = parts.hold_since(2, terms, asked - Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(late.lost().is_some() && lease.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_shortest_visibility_is_kept_where_the_queue_is_slow() {
    let terms = Terms {
        visibility: Duration::from_secs(2),
        ..TERMS
    };
    let asked = Instant::now();
    tokio::time::sleep(terms.wait(Duration::from_secs(20))).await;
    let parts = start();
    parts.memory.told().each = Duration::from_millis(500);
    let lease = parts.hold_since(1, terms, asked);
    tokio::time::sleep(minutes(60)).await;
    assert!(lease.lost().is_none());
    parts.decide(&lease, What::Delete).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_an_older_handle_counts_for_nothing() {
    for fails in [Some(Entry::Gone), None] {
        let parts = start();
        let lease = parts.hold(1);
        parts.registry.add(&lease);
        parts.memory.told().slow = Some(Duration::from_secs(20));
        parts.memory.told().fails = fails;
        // The extension is under way when it comes once more.
        tokio::time::sleep(Duration::from_secs(105)).await;
        let again = parts.registry.adopt("id1", "newer", Instant::now());
        let _ = parts.commands.send(Command::Hold(again.unwrap()));
        tokio::time::sleep(Duration::from_secs(14)).await;
        parts.memory.told().fails = None;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(lease.lost().is_none());
        let told = parts.memory.told();
        let (_, handle, _) = told.changes.last().unwrap();
        assert_eq!(handle, "newer", "it is extended at once by the newer one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_told_again_for_as_long_as_the_message_is_held_and_no_longer() {
    let later = Some(Entry::Later);
    for (deletes, changes, outage, held) in [
        // It is extended meanwhile: an outage of any length, up to what the queue allows.
        (later, None, minutes(120), None),
        (later, None, minutes(13 * 60), Some(HOLD)),
        // It is not: up to the end of its visibility.
        (later, later, minutes(4), None),
        (later, later, minutes(20), Some(minutes(5))),
    ] {
        let parts = start();
        let lease = parts.hold(1);
        parts.memory.told().deletes_fail = deletes;
        parts.memory.told().fails = changes;
        let answer = parts.decide(&lease, What::Delete);
        let memory = parts.memory.clone();
        tokio::spawn(async move {
            tokio::time::sleep(outage).await;
            memory.told().deletes_fail = None;
            memory.told().fails = None;
        });
        let deleted = answer.await.unwrap();
        let took = parts.began.elapsed();
        assert_eq!(deleted.is_err(), held.is_some(), "{outage:?} {took:?}");
        let ends = held.unwrap_or(outage);
        assert!(
            took >= ends && took < ends + Duration::from_secs(6),
            "{took:?}"
        );
        let deletes = parts.memory.told().deletes.len();
        assert_eq!(deletes, usize::from(held.is_none()));
        assert!(parts.counters.holds_nothing());
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_deleted_or_extended_is_shown_until_a_call_of_its_kind_goes_well() {
    let parts = start();
    let stats = SqsStatsHandle(Arc::clone(&parts.counters));
    let failing = || stats.failing().map(|error| error.message().to_owned());
    let received = || parts.counters.ended(Call::Receive, None);
    let delete = |number| {
        let lease = parts.hold(number);
        parts.decide(&lease, What::Delete)
    };
    let show = |number| {
        let lease = parts.hold(number);
        parts.decide(&lease, What::Show(minutes(1)))
    };

    // What passes by itself, or is of one message only, is none of it.
    for entry in [Entry::Later, Entry::Gone] {
        parts.memory.told().fails = Some(entry);
        assert!(show(1).await.unwrap().is_err());
        assert_eq!(failing(), None, "{entry:?}");
    }

    parts.memory.told().fails = None;
    parts.memory.told().deletes_fail = Some(Entry::Refused);
    assert!(delete(2).await.unwrap().is_err());
    // Messages that come, or that are given back, do not end it.
    received();
    show(3).await.unwrap().unwrap();
    assert_eq!(failing().as_deref(), Some("no delete"));
    parts.memory.told().deletes_fail = None;
    delete(4).await.unwrap().unwrap();
    assert_eq!(failing(), None);

    parts.memory.told().fails = Some(Entry::Refused);
    assert!(show(5).await.unwrap().is_err());
    received();
    delete(6).await.unwrap().unwrap();
    assert_eq!(failing().as_deref(), Some("no change"));
    parts.memory.told().fails = None;
    show(7).await.unwrap().unwrap();
    assert_eq!(failing(), None);

    // An extension says it as well, and that nothing arrives at all comes first.
    let lease = parts.hold(8);
    parts.memory.told().fails = Some(Entry::Refused);
    tokio::time::sleep(Duration::from_secs(101)).await;
    assert_eq!(failing().as_deref(), Some("no change"));
    let outage = Error::new(ErrorKind::Unavailable, ORIGIN, "no receive");
    parts.counters.ended(Call::Receive, Some(&outage));
    assert_eq!(failing().as_deref(), Some("no receive"));
    received();
    parts.memory.told().fails = None;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(failing(), None);
    assert!(lease.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_is_denied_is_shown_where_the_message_is_about_to_be_deleted() {
    let parts = start();
    let stats = SqsStatsHandle(Arc::clone(&parts.counters));
    let lease = parts.hold(1);
    parts.memory.told().fails = Some(Entry::Refused);
    parts.memory.told().deletes_fail = Some(Entry::Later);
    let answer = parts.decide(&lease, What::Delete);
    tokio::time::sleep(Duration::from_secs(110)).await;
    let failing = stats.failing().unwrap();
    assert_eq!(failing.kind(), ErrorKind::Unauthorized);
    parts.memory.told().deletes_fail = None;
    answer.await.unwrap().unwrap();
}
