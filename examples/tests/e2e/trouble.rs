//! Slow files, a sink that is away, and a program that dies.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ctforward_visionone::standin::{Faults, StandIn};

use crate::emulator::{Emulator, free_port};
use crate::forward::{drain, forward, lines, names};
use crate::proxy::Proxy;
use crate::setup::{Counts, Via, until};
use crate::support::*;

/// Shorter than what each test makes a message wait.
const SHORT: Duration = Duration::from_secs(3);

/// A program under way; dropping it kills it.
struct Running(Child);

impl Running {
    fn start(mut command: Command, log: &std::path::Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    async fn ended(&mut self) -> i32 {
        for _ in 0..1200 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the program does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_file_of_ten_holds_up_none_of_the_others_and_stays_held() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let mut all = Vec::new();
    for minute in 0..10 {
        let names = names(&format!("file{minute}"), 3);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator.until_queued(&feed.queue_url, 10).await;
    // The seventh of them.
    let proxy = Proxy::start(&emulator.url, "20260301T1206Z").await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let mut command = forward(&feed, &proxy.url, &standin.endpoint(), folder.path());
    command.args(["--drain", "--visibility", "3s"]);
    let mut running = Running::start(command, &folder.path().join("output"));
    until("the other nine", async || {
        emulator.queue_counts(&feed.queue_url).await
            == Counts {
                visible: 0,
                in_flight: 1,
                delayed: 0,
            }
    })
    .await;
    assert_eq!(received(&standin).len(), 27);
    // For longer than its visibility, nobody else is given the message.
    for _ in 0..14 {
        let counts = emulator.queue_counts(&feed.queue_url).await;
        assert_eq!((counts.visible, counts.in_flight), (0, 1));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(proxy.held(), 1, "it was asked for once");
    proxy.open();
    assert_eq!(running.ended().await, 0);
    assert_eq!(received(&standin), lines(&all));
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_away_for_longer_than_the_visibility_loses_and_doubles_nothing() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let mut all = Vec::new();
    for minute in 0..12 {
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator.until_queued(&feed.queue_url, 12).await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Only to learn what its address will look like.
    let endpoint = {
        let standin = start(StandIn::builder().bind(address)).await;
        standin.endpoint()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = forward(&feed, &emulator.url, &endpoint, folder.path());
    command.args(["--drain", "--visibility", "3s"]);
    let mut running = Running::start(command, &folder.path().join("output"));
    until("messages in flight", async || {
        emulator.queue_counts(&feed.queue_url).await.in_flight > 0
    })
    .await;
    // Three times as long as a message is invisible by itself.
    tokio::time::sleep(SHORT * 3).await;
    let standin = start(StandIn::builder().bind(address)).await;
    let status = running.ended().await;
    let output = std::fs::read_to_string(folder.path().join("output")).unwrap();
    assert_eq!(status, 0, "{output}");
    assert_eq!(received(&standin), lines(&all), "{output}");
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_program_held_is_taken_up_by_another_after_the_visibility_time() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let mut all = Vec::new();
    for minute in 0..4 {
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator.until_queued(&feed.queue_url, 4).await;
    let proxy = Proxy::start(&emulator.url, "20260301T1202Z").await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let mut command = forward(&feed, &proxy.url, &standin.endpoint(), folder.path());
    command.args(["--visibility", "3s"]);
    let running = Running::start(command, &folder.path().join("output"));
    until("three files, and one under way", async || {
        proxy.held() > 0 && received(&standin).len() == 12
    })
    .await;
    // SIGKILL.
    drop(running);
    until("its message is shown again", async || {
        emulator.queue_counts(&feed.queue_url).await.visible > 0
    })
    .await;
    let mut last = drain(&emulator, &feed, &standin, folder.path()).await;
    // Of those whose delete was under way some may still be invisible.
    for _ in 0..5 {
        if emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY {
            break;
        }
        last = drain(&emulator, &feed, &standin, folder.path()).await;
    }
    assert_eq!(last.status, 0, "{last:?}");
    assert_eq!(received(&standin), lines(&all));
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_drain_it_goes_on_until_it_is_interrupted() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let command = forward(&feed, &emulator.url, &standin.endpoint(), folder.path());
    let output = folder.path().join("output");
    let mut running = Running::start(command, &output);
    let mut all = Vec::new();
    for minute in 0..3 {
        // More empty answers than --drain would wait for.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
        until("what was put last", async || {
            received(&standin) == lines(&all)
        })
        .await;
    }
    until("an empty queue", async || {
        emulator.queue_counts(&feed.queue_url).await == Counts::EMPTY
    })
    .await;
    let pid = running.0.id().to_string();
    let told = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(told.success());
    let status = running.ended().await;
    let output = std::fs::read_to_string(output).unwrap();
    assert_eq!(status, 0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_program_could_not_send_is_there_for_others_at_once() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let mut all = Vec::new();
    for minute in 0..5 {
        let names = names(&format!("file{minute}"), 4);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator.until_queued(&feed.queue_url, 5).await;
    let faults = Faults::new().with("429:1,retry-after=600".parse().unwrap());
    let busy = start(StandIn::builder().faults(faults)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = forward(&feed, &emulator.url, &busy.endpoint(), folder.path());
    command.args(["--visibility", "1h", "--give-up-after", "2h"]);
    let output = folder.path().join("output");
    let mut running = Running::start(command, &output);
    until("an answer", async || busy.counts().requests > 0).await;
    let counts = emulator.queue_counts(&feed.queue_url).await;
    assert_eq!((counts.visible, counts.in_flight), (0, 5));
    let pid = running.0.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(told.success());
    running.ended().await;
    let output = std::fs::read_to_string(output).unwrap();
    let counts = emulator.queue_counts(&feed.queue_url).await;
    assert_eq!((counts.visible, counts.in_flight), (5, 0), "{output}");
    let (well, folder) = (standin().await, tempfile::tempdir().unwrap());
    let ran = drain(&emulator, &feed, &well, folder.path()).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(received(&well), lines(&all));
}

/// Poison for a queue with a dead-letter queue of its own.
const DEAD_LETTERS: &str = r#"
_, target = args
sqs = client('sqs')
dead = sqs.create_queue(QueueName='dead')['QueueUrl']
arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=['QueueArn'])['Attributes']['QueueArn']
sqs.set_queue_attributes(QueueUrl=target, Attributes={'RedrivePolicy':
    json.dumps({'deadLetterTargetArn': arn, 'maxReceiveCount': '2'})})
print(dead)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_left_to_the_dead_letter_queue_where_that_is_asked_for() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, SHORT).await;
    let dead = emulator.python(DEAD_LETTERS, &["-", &feed.queue_url]).await;
    emulator
        .send(&feed.queue_url, "this is no notification")
        .await;
    let good = names("good", 3);
    emulator.put_log_file(&feed.bucket, 1, &good).await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let mut command = forward(&feed, &emulator.url, &standin.endpoint(), folder.path());
    command.args(["--dead-letter", "queue", "--visibility", "3s"]);
    let running = Running::start(command, &folder.path().join("output"));
    until("the dead letter", async || {
        emulator.queue_counts(&dead).await.visible == 1
    })
    .await;
    until("the good file", async || received(&standin) == lines(&good)).await;
    drop(running);
    let kept = folder.path().join("ledger.quarantine");
    let bodies = files(&kept)
        .into_iter()
        .map(|file| std::fs::read(file).unwrap());
    assert!(
        bodies.flatten().all(|byte| byte != b'{'),
        "nothing is put aside"
    );
}
