//! Two tokens, so that one can be replaced without a pause.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ctforward_core::Result;

use crate::secret::Secret;
use crate::token::TokenProvider;

/// Which of two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Which {
    /// The one that is used first.
    Current,
    /// The one that takes over.
    Next,
}

impl Which {
    /// `current` or `next`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Current => Self::Next,
            Self::Next => Self::Current,
        }
    }

    fn index(self) -> usize {
        usize::from(self == Self::Next)
    }
}

/// Two tokens, of which the endpoint is to accept at least one.
///
/// The current one is used. Once the endpoint refuses it, and goes on to after it was
/// read anew, the next one is used and stays in use for as long as it is accepted; then
/// the other way round. So a new token can be set as the next one at any time before
/// the endpoint ends the old one, and no delivery is given up between. A token that
/// cannot be read gives way to the other one too.
///
/// Which one is in use is not kept: a program that starts begins with the current one.
///
/// ```
/// use ctforward_visionone::{Secret, TokenFile, TokenPair, TokenProvider};
///
/// # async fn run() -> ctforward_core::Result<()> {
/// let tokens = TokenPair::new(TokenFile::new("/run/token"), TokenFile::new("/run/token.next"));
/// let token = tokens.token(false).await?;
/// # Ok(())
/// # }
/// ```
pub struct TokenPair {
    tokens: [Arc<dyn TokenProvider>; 2],
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    in_use: Which,
    refused: [bool; 2],
}

impl TokenPair {
    /// The token of `current`, and that of `next` once it is refused.
    pub fn new(current: impl TokenProvider + 'static, next: impl TokenProvider + 'static) -> Self {
        Self {
            tokens: [Arc::new(current), Arc::new(next)],
            state: Mutex::new(State {
                in_use: Which::Current,
                refused: [false; 2],
            }),
        }
    }

    /// The one that is in use.
    #[must_use]
    pub fn in_use(&self) -> Which {
        self.state().in_use
    }

    /// Whether the endpoint refused this one when it was used last.
    #[must_use]
    pub fn is_refused(&self, which: Which) -> bool {
        self.state().refused[which.index()]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn provider(&self, which: Which) -> &dyn TokenProvider {
        &*self.tokens[which.index()]
    }

    fn switch_to(&self, which: Which, why: &str) {
        let mut state = self.state();
        if state.in_use != which {
            state.in_use = which;
            tracing::warn!(now = which.as_str(), why, "going over to the other token");
        }
    }

    /// A token of `which` that is not among those refused: the one at hand, or read anew.
    async fn unrefused(&self, which: Which, refused: &[Secret]) -> Result<Option<Secret>> {
        let provider = self.provider(which);
        let mut was_refused = false;
        let mut found = None;
        for refresh in [false, true] {
            let token = match provider.token(refresh).await {
                // What is not at hand may be there by now.
                Err(_) if !refresh => continue,
                other => other?,
            };
            if refused.contains(&token) {
                was_refused = true;
            } else {
                found = Some(token);
                break;
            }
        }
        self.state().refused[which.index()] = was_refused && found.is_none();
        Ok(found)
    }
}

#[async_trait]
impl TokenProvider for TokenPair {
    async fn token(&self, refresh: bool) -> Result<Secret> {
        let in_use = self.in_use();
        let token = self.provider(in_use).token(refresh).await;
        if token.is_ok() && !refresh {
            return token;
        }
        let other = self.provider(in_use.other()).token(refresh).await;
        match (token, other) {
            (Ok(token), _) => Ok(token),
            (Err(_), Ok(token)) => {
                self.switch_to(in_use.other(), "it cannot be read");
                Ok(token)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    async fn instead_of(&self, refused: &[Secret]) -> Result<Option<Secret>> {
        let in_use = self.in_use();
        let first = self.unrefused(in_use, refused).await;
        if let Ok(Some(token)) = first {
            return Ok(Some(token));
        }
        let other = in_use.other();
        match self.unrefused(other, refused).await {
            Ok(Some(token)) => {
                self.switch_to(other, "the endpoint refused the one in use");
                Ok(Some(token))
            }
            Ok(None) => first,
            Err(error) => {
                // What counts is that the one in use was refused: the other one may
                // not be set yet.
                tracing::debug!(%error, "there is no other token to try");
                first
            }
        }
    }
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}
