//! What goes wrong when: every call of every part passes here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result, Retry};
use tokio_util::sync::CancellationToken;

/// Shared by all parts of one play.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<State>>);

struct State {
    rng: fastrand::Rng,
    /// Share of calls that fail.
    fail: f64,
    /// Share of calls that are slow.
    slow: f64,
    /// Calls until the process crashes.
    crash_in: Option<u64>,
    failed_calls: u64,
    trace: Trace,
}

struct Trace {
    hash: u64,
    tell: bool,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    /// It fails and had no effect.
    Fails,
    /// It had its effect, and still fails.
    FailsBehind,
}

impl Faults {
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: fastrand::Rng::with_seed(seed),
            fail: 0.0,
            slow: 0.0,
            crash_in: None,
            failed_calls: 0,
            trace: Trace { hash: 0, tell },
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Begins the life of a process with these faults.
    pub(crate) fn begin(&self, fail: f64, slow: f64, crash_in: Option<u64>) -> Life {
        let mut state = self.state();
        state.fail = fail;
        state.slow = slow;
        state.crash_in = crash_in;
        Life {
            faults: self.clone(),
            crashed: CancellationToken::new(),
        }
    }

    pub(crate) fn chance(&self, share: f64) -> bool {
        self.state().rng.f64() < share
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.state().rng.u64(..end)
    }

    pub(crate) fn failed_calls(&self) -> u64 {
        self.state().failed_calls
    }

    /// A hash over everything that was told.
    pub(crate) fn trace(&self) -> u64 {
        self.state().trace.hash
    }

    pub(crate) fn tell(&self, what: &str) {
        let mut state = self.state();
        for byte in what.bytes() {
            state.trace.hash = (state.trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if state.trace.tell {
            println!("{what}");
        }
    }
}

/// One process, from its start to its end.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) faults: Faults,
    pub(crate) crashed: CancellationToken,
}

impl Life {
    /// A call of a part begins, and `effect` is what it does. Where the process
    /// crashes at it, this never ends, and a coin says whether the effect came
    /// before. Whatever a dead process still calls has no effect.
    pub(crate) async fn call(&self, what: &str, effect: impl FnOnce()) -> Fate {
        if self.crashed.is_cancelled() {
            return std::future::pending().await;
        }
        let (pause, fate, crashes) = {
            let mut state = self.faults.state();
            let crashes = state.crash_in == Some(0);
            state.crash_in = state.crash_in.and_then(|left| left.checked_sub(1));
            let (fail, slow) = (state.fail, state.slow);
            let fate = if state.rng.f64() >= fail {
                Fate::Works
            } else if state.rng.bool() {
                Fate::Fails
            } else {
                Fate::FailsBehind
            };
            let pause = if state.rng.f64() < slow {
                Duration::from_millis(state.rng.u64(1..2_000))
            } else {
                Duration::ZERO
            };
            (pause, fate, crashes)
        };
        if crashes {
            let after = self.faults.chance(0.5);
            self.faults.tell(&format!("{what}: crash, effect {after}"));
            if after {
                effect();
            }
            self.crashed.cancel();
            return std::future::pending().await;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
            if self.crashed.is_cancelled() {
                return std::future::pending().await;
            }
        }
        if fate != Fate::Fails {
            effect();
        }
        if fate != Fate::Works {
            self.faults.state().failed_calls += 1;
        }
        self.faults.tell(&format!("{what}: {fate:?}"));
        fate
    }

    /// The same, for a call whose effect has an answer.
    pub(crate) async fn asked<T>(
        &self,
        what: &str,
        origin: &'static str,
        effect: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut answer = None;
        let fate = self.call(what, || answer = Some(effect())).await;
        match (fate, answer) {
            (Fate::Works, Some(answer)) => answer,
            _ => Err(it_happens(origin)),
        }
    }
}

pub(crate) fn it_happens(origin: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, origin, "it happens").with_retry(Retry::Backoff)
}

/// The answer of a call in memory, which never waits.
pub(crate) fn at_once<T>(call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match call.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("a part in memory waits"),
    }
}
