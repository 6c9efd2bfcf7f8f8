use std::task::{Context, Waker};

use super::*;
use crate::sqs::terms::Terms;

const TERMS: Terms = Terms {
    visibility: Duration::from_secs(300),
    backoff: (Duration::from_secs(10), Duration::from_secs(900)),
};

struct Rig {
    keeper: mpsc::UnboundedSender<Command>,
    commands: mpsc::UnboundedReceiver<Command>,
    counters: Arc<Counters>,
}

impl Rig {
    fn new() -> Self {
        let (keeper, commands) = mpsc::unbounded_channel();
        Self {
            keeper,
            commands,
            counters: Arc::default(),
        }
    }

    fn message(&self, number: u64) -> Arc<Message> {
        let (id, handle) = (format!("id{number}"), format!("h{number}"));
        let lease = Lease::new(number, id, handle, 1, TERMS, Instant::now());
        Message::new(lease, self.keeper.clone(), Arc::clone(&self.counters))
    }

    /// The next decision: the message's number, and the pause where it is given back.
    fn decision(&mut self) -> Option<(u64, Option<Duration>)> {
        match self.commands.try_recv().ok()? {
            Command::Decide(job) => match job.what {
                What::Delete => Some((job.lease.number, None)),
                What::Show(after) => Some((job.lease.number, Some(after))),
            },
            Command::Hold(_) => None,
        }
    }
}

fn object() -> Identity {
    Identity {
        bucket: "b".to_owned(),
        key: "k".to_owned(),
        version: None,
        etag: "e".to_owned(),
    }
}

#[test]
fn a_message_whose_parts_were_not_all_made_is_given_back() {
    let mut rig = Rig::new();
    // Before it was taken apart, and in the middle of it.
    drop(rig.message(1));
    assert!(matches!(rig.decision(), Some((1, Some(_)))));
    let message = rig.message(2);
    message.has(2);
    drop(message.part(None));
    assert!(rig.decision().is_none());
    drop(message);
    assert!(matches!(rig.decision(), Some((2, Some(_)))));
    // And a whole one once.
    let message = rig.message(3);
    message.has(1);
    drop(message.part(None));
    drop(message);
    assert!(matches!(rig.decision(), Some((3, Some(_)))));
    assert!(rig.decision().is_none());
}

#[test]
fn what_is_dropped_after_its_source_comes_again_at_once() {
    let mut rig = Rig::new();
    for (ended, pauses) in [(false, true), (true, false)] {
        if ended {
            rig.counters.tasks.close();
        }
        let message = rig.message(1);
        message.has(1);
        drop(message.part(None));
        let (_, after) = rig.decision().unwrap();
        assert_eq!(after.unwrap() > Duration::ZERO, pauses);
    }
}

#[tokio::test]
async fn a_delete_is_said_before_what_is_done_with_it_is_waited_for() {
    let mut rig = Rig::new();
    let doubles = Arc::new(Doubles::default());
    let (one, other) = (rig.message(1), rig.message(2));
    one.has(1);
    other.has(1);
    let first = doubles.join(object(), one.part(None)).unwrap();
    assert!(doubles.join(object(), other.part(None)).is_none());
    drop((one, other));
    let first: Box<dyn Receipt> = Box::new(first);
    let mut accept = first.accept();
    let mut context = Context::from_waker(Waker::noop());
    assert!(accept.as_mut().poll(&mut context).is_pending());
    assert_eq!(rig.decision(), Some((1, None)));
    // Whoever waits no longer takes nothing back, of the double neither.
    drop(accept);
    tokio::task::yield_now().await;
    assert_eq!(rig.decision(), Some((2, None)));
    assert!(rig.decision().is_none());
}
