//! What the pages show while the daemon starts, and then its desk.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::board::Desk;
use crate::config::SourceSettings;
use crate::status::{
    Backlog, Board, FreshnessStatus, LastSeenStatus, LedgerState, QuarantineGroup, Rate, Redriven,
    SourceState, SourceStatus, Status, Totals,
};
use crate::systemd;
use crate::tokens::Tokens;

/// How often the service manager hears that the daemon still starts.
const STARTING: std::time::Duration = std::time::Duration::from_secs(10);

/// Stands where the desk will be. Opening a ledger or asking a bucket for its accounts
/// may take long, and whoever looks meanwhile sees that it is that.
pub struct Lobby {
    desk: watch::Sender<Option<Arc<Desk>>>,
    /// What the start does at the moment.
    step: Mutex<&'static str>,
    since: Timestamp,
    sources: Vec<SourceStatus>,
    tokens: Arc<Tokens>,
    stop: CancellationToken,
}

impl Lobby {
    /// A daemon that starts with these sources.
    pub fn new(
        sources: &[SourceSettings],
        tokens: Arc<Tokens>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let starting = |source: &SourceSettings| SourceStatus {
            name: source.name.clone(),
            kind: source.kind.as_str().to_owned(),
            state: SourceState::Starting,
            last_error: None,
            last_heard: None,
            queue: None,
        };
        Arc::new(Self {
            desk: watch::Sender::new(None),
            step: Mutex::new("it begins"),
            since: Timestamp::now(),
            sources: sources.iter().map(starting).collect(),
            tokens,
            stop,
        })
    }

    /// Takes a step of the start, and says meanwhile that it is `what`; `None` where the
    /// daemon is told to stop before it is done. Nothing was taken in by then.
    ///
    /// # Errors
    /// Those of the step.
    pub async fn unless_stopped<T>(
        &self,
        what: &'static str,
        step: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = what;
        let mut tick = tokio::time::interval(STARTING);
        tokio::pin!(step);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                done = &mut step => return done.map(Some),
                // A step that takes long is no start that failed.
                _ = tick.tick() => systemd::starting(what, 6 * STARTING),
            }
        }
    }

    /// From now on the desk answers.
    pub fn open(&self, desk: Arc<Desk>) {
        self.desk.send_replace(Some(desk));
    }

    fn desk(&self) -> Option<Arc<Desk>> {
        self.desk.borrow().clone()
    }
}

#[async_trait]
impl Board for Lobby {
    fn status(&self) -> Status {
        if let Some(desk) = self.desk() {
            return desk.status();
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            now: Timestamp::now(),
            rate: Rate::default(),
            totals: Totals::default(),
            freshness: FreshnessStatus::default(),
            backlog: Backlog::default(),
            delivery: Vec::new(),
            sources: self.sources.clone(),
            last_seen: LastSeenStatus::default(),
            tokens: self.tokens.status(false),
            ledger: LedgerState {
                kind: "sqlite".to_owned(),
                // Nothing was asked of it yet.
                works: false,
                ..LedgerState::default()
            },
        }
    }

    fn ready(&self) -> std::result::Result<(), Vec<String>> {
        if let Some(desk) = self.desk() {
            return desk.ready();
        }
        if self.stop.is_cancelled() {
            return Err(vec!["the daemon ends".to_owned()]);
        }
        let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
        Err(vec![format!("the daemon is starting: {step}")])
    }

    async fn quarantine(&self) -> Result<Vec<QuarantineGroup>> {
        // Who asks waits no longer than for a slow one.
        let mut desk = self.desk.subscribe();
        let entered = desk.wait_for(Option::is_some).await;
        let desk = entered.ok().and_then(|desk| desk.clone());
        match desk {
            Some(desk) => desk.quarantine().await,
            None => Err(starting()),
        }
    }

    async fn redrive(&self, reason: Option<String>) -> Result<Redriven> {
        match self.desk() {
            Some(desk) => desk.redrive(reason).await,
            None => Err(starting()),
        }
    }
}

fn starting() -> Error {
    Error::new(ErrorKind::Unavailable, "daemon", "the daemon is starting")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceKind;

    #[tokio::test]
    async fn while_it_starts_it_is_not_ready_says_why_and_a_stop_ends_the_step() {
        let source = SourceSettings {
            name: "folder".to_owned(),
            kind: SourceKind::Directory {
                path: "/nonexistent".into(),
                every: std::time::Duration::from_secs(1),
            },
        };
        let provider = Arc::new(ctforward_visionone::TokenEnv::new("NONE"));
        let tokens = Arc::new(Tokens::new(("variable NONE".to_owned(), provider), None));
        let stop = CancellationToken::new();
        let lobby = Lobby::new(&[source], tokens, stop.clone());
        let done = lobby.unless_stopped("it counts", async { Ok(5) }).await;
        assert_eq!(done.unwrap(), Some(5));
        let wait = lobby.unless_stopped("it waits", std::future::pending::<Result<()>>());
        let (waited, ()) = tokio::join!(wait, async {
            assert_eq!(
                lobby.ready().unwrap_err(),
                ["the daemon is starting: it waits"]
            );
            let status = lobby.status();
            assert_eq!(status.sources[0].state, SourceState::Starting);
            assert_eq!(status.tokens[0].from, "variable NONE");
            let refused = lobby.redrive(None).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
            stop.cancel();
        });
        assert!(waited.unwrap().is_none());
        assert_eq!(lobby.ready().unwrap_err(), ["the daemon ends"]);
        // Once it is stopped no step is begun, not even one that would be done at once.
        let late = lobby.unless_stopped("it counts", async { Ok(5) }).await;
        assert_eq!(late.unwrap(), None);
    }
}
