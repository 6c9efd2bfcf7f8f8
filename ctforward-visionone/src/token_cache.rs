//! A token that is kept until it is to be read again.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ctforward_core::Result;

use crate::secret::Secret;
use crate::token::TokenProvider;

/// Keeps the token of a provider that asks a service, so that it is not asked before
/// each request.
///
/// The token is read once, and again when the endpoint refused it or when
/// [`reread`](Self::reread) says so, as on SIGHUP. If reading it again fails, the one
/// that was kept stays.
pub struct CachedToken<P> {
    provider: P,
    kept: Mutex<Option<Secret>>,
}

impl<P: TokenProvider> CachedToken<P> {
    /// Keeps what `provider` hands out; it is not asked before the first call.
    pub fn new(provider: P) -> Self {
        Self {
            provider,
            kept: Mutex::new(None),
        }
    }

    /// Reads the token again, now. Says whether it is another one than before.
    ///
    /// # Errors
    /// Those of the provider; the token that was kept stays in use.
    pub async fn reread(&self) -> Result<bool> {
        let before = self.kept();
        let now = self.token(true).await?;
        Ok(before.is_none_or(|before| before != now))
    }

    fn kept(&self) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

#[async_trait]
impl<P: TokenProvider> TokenProvider for CachedToken<P> {
    async fn token(&self, refresh: bool) -> Result<Secret> {
        if !refresh && let Some(token) = self.kept() {
            return Ok(token);
        }
        let token = self.provider.token(true).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(token.clone());
        Ok(token)
    }
}

impl<P: fmt::Debug> fmt::Debug for CachedToken<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}
