//! Answers that are lost on their way: what was done is known again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ctforward_aws::dynamodb::create_table;
use ctforward_core::ErrorKind;
use ctforward_core::ledger::{Claim, Finished, Ledger as _, Mark};
use ctforward_core::pipeline::{FileBooks, RecordBooks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{LONG, client_for, granted, ledger, object};
use crate::emulator::Emulator;

/// Passes bytes on, and loses the next answer where it is told to.
#[derive(Clone, Default)]
struct Way {
    lose: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
}

impl Way {
    async fn to(&self, url: &str) -> String {
        let server = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (this, server) = (this.clone(), server.clone());
                tokio::spawn(async move { this.pass(stream, &server).await });
            }
        });
        way
    }

    async fn pass(&self, client: TcpStream, server: &str) -> std::io::Result<()> {
        let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
        let (mut from_client, mut to_client) = client.into_split();
        let there = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        });
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = from_server.read(&mut piece).await?;
            if read == 0 || self.lose.swap(false, Ordering::SeqCst) {
                self.lost.fetch_add(usize::from(read > 0), Ordering::SeqCst);
                // Both halves of the client's connection end here.
                there.abort();
                return Ok(());
            }
            to_client.write_all(&piece[..read]).await?;
        }
    }

    fn lose_next(&self) {
        self.lose.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_counts_once_and_as_done() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    create_table(&client_for(&emulator.url), "lossy", false)
        .await
        .unwrap();
    let way = Way::default();
    let ledger = ledger(&way.to(&emulator.url).await, "lossy");
    let file = object(1);

    way.lose_next();
    let (first, _) = granted(&ledger, &file, "a", LONG).await;
    way.lose_next();
    let mark = Mark::new(7, RecordBooks::default());
    ledger.progress(&first, &file, &mark).await.unwrap();
    way.lose_next();
    ledger.renew(&first, LONG).await.unwrap();
    way.lose_next();
    ledger.release(&first).await.unwrap();

    way.lose_next();
    let (second, resume) = granted(&ledger, &file, "a", LONG).await;
    assert_eq!(resume.mark_for(Some("e1"), Some(4711)), mark);
    way.lose_next();
    let finished = Finished::delivered(FileBooks::default());
    ledger.finish(&second, &file, &finished).await.unwrap();
    assert_eq!(way.lost.load(Ordering::SeqCst), 6);

    // Asked for once more, it is another call, and the lease is gone.
    let again = ledger.finish(&second, &file, &finished).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Changed);
    let claim = ledger.claim(&file, "b", LONG).await.unwrap();
    assert_eq!(claim, Claim::Delivered);
}
