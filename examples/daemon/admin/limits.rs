use std::time::Duration;

/// What one client, or many, may take of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; who comes then is told so and sent away.
    pub(super) connections: usize,
    /// How long a request's head may take to come, and an idle connection stays.
    pub(super) head: Duration,
    /// How long a request's body may take to come.
    pub(super) body: Duration,
    /// How long a connection may stay in all, so that nobody holds one by reading
    /// or asking slowly.
    pub(super) life: Duration,
    /// How long what is under way may take once a connection is to end. Longer
    /// than an answer may take.
    pub(super) stop: Duration,
    /// How long a redrive is waited for before the answer says that it goes on.
    pub(super) redrive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            life: Duration::from_secs(60),
            stop: Duration::from_secs(25),
            redrive: Duration::from_secs(20),
        }
    }
}

/// Header lines of a request.
pub(super) const HEADERS: usize = 64;
/// Bytes of a request's head.
pub(super) const HEAD_BYTES: usize = 16 * 1024;
/// Bytes of a request's body: a reason's name in JSON.
pub(super) const BODY_BYTES: usize = 1024;
