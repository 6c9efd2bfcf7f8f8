//! Where the token comes from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};

use crate::secret::Secret;

/// Hands out the token of the ingest endpoint.
///
/// # Contract
/// - Called before each request with `refresh = false`: a cached value will do.
/// - Called with `refresh = true` after the endpoint refused the last value: the
///   value must then be read from where it is kept, not from a cache. Also called so
///   when a token is to be read again for another reason, as on SIGHUP.
/// - Within one delivery [`instead_of`](Self::instead_of) is called after each refusal.
/// - May be called concurrently. A dropped call has no effect.
/// - Errors never show the token.
#[async_trait]
pub trait TokenProvider: Send + Sync {
    /// The token; read anew if `refresh` is set.
    ///
    /// # Errors
    /// `Config` when there is no usable token where it should be; a provider
    /// that asks a service also its own `Unavailable` and the like.
    async fn token(&self, refresh: bool) -> Result<Secret>;

    /// Another token than those that the endpoint refused for this delivery, the last
    /// one last; `None` when there is none to try.
    ///
    /// By itself this reads the token anew once: after one refusal it answers with
    /// what [`token`](Self::token) says if that is another one by now, after a second
    /// one with `None`. A provider of several tokens overrides it.
    ///
    /// # Errors
    /// As for [`token`](Self::token).
    async fn instead_of(&self, refused: &[Secret]) -> Result<Option<Secret>> {
        if refused.len() > 1 {
            return Ok(None);
        }
        // Another delivery may have had it read anew meanwhile.
        let token = self.token(false).await?;
        if !refused.contains(&token) {
            return Ok(Some(token));
        }
        let token = self.token(true).await?;
        Ok((!refused.contains(&token)).then_some(token))
    }
}

macro_rules! forward_token_provider {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: TokenProvider + ?Sized> TokenProvider for $pointer {
            async fn token(&self, refresh: bool) -> Result<Secret> {
                (**self).token(refresh).await
            }
            async fn instead_of(&self, refused: &[Secret]) -> Result<Option<Secret>> {
                (**self).instead_of(refused).await
            }
        }
    )*};
}
forward_token_provider!(Box<P>, Arc<P>);

/// A token kept in a file, read once and read again when the endpoint refused it.
///
/// White space around the token is cut. On Unix a file that the group or others
/// can read, write or run is refused.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    cached: Mutex<Option<Secret>>,
}

impl TokenFile {
    /// The token in the file at `path`; nothing is read before the first call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cached: Mutex::new(None),
        }
    }
}

#[async_trait]
impl TokenProvider for TokenFile {
    async fn token(&self, refresh: bool) -> Result<Secret> {
        if !refresh {
            let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(secret) = cached.as_ref() {
                return Ok(secret.clone());
            }
        }
        let path = self.path.clone();
        let secret = tokio::task::spawn_blocking(move || read(&path))
            .await
            .map_err(|_| {
                Error::new(
                    ErrorKind::Other,
                    "token",
                    "reading the token file was given up",
                )
            })??;
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.clone());
        Ok(secret)
    }
}

fn read(path: &Path) -> Result<Secret> {
    let wrong = |what: String| {
        let path = path.display().to_string();
        Error::new(
            ErrorKind::Config,
            "token",
            format!("token file {}: {what}", printable(&path)),
        )
    };
    let unreadable = |e: std::io::Error| wrong(format!("cannot be read ({})", e.kind()));
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(wrong("is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(wrong(format!(
                "its mode {:03o} lets others at the token; run chmod 600 on it",
                mode & 0o777
            )));
        }
    }
    let mut text = String::new();
    file.take(64 * 1024)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Secret::new(text.trim()).map_err(|e| wrong(e.message().to_owned()))
}

/// A token kept in an environment variable, read at each call.
#[derive(Clone, Debug)]
pub struct TokenEnv {
    name: String,
}

impl TokenEnv {
    /// The token in the environment variable `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

#[async_trait]
impl TokenProvider for TokenEnv {
    async fn token(&self, _refresh: bool) -> Result<Secret> {
        let wrong = |what: &str| {
            Error::new(
                ErrorKind::Config,
                "token",
                format!("environment variable {}: {what}", printable(&self.name)),
            )
        };
        // `var_os` would panic on no name; `var`'s error holds the value and is dropped.
        if self.name.is_empty() || self.name.contains(['=', '\0']) {
            return Err(wrong("is not a name that a variable can have"));
        }
        match std::env::var(&self.name) {
            Ok(value) => Secret::new(value.trim()).map_err(|e| wrong(e.message())),
            Err(std::env::VarError::NotPresent) => Err(wrong("is not set")),
            Err(std::env::VarError::NotUnicode(_)) => Err(wrong("is not text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_others_can_read_is_refused_and_a_changed_one_read_on_refresh() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "  abc.def\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let provider = TokenFile::new(&path);
        let error = provider.token(false).await.unwrap_err();
        assert!(error.message().contains("chmod 600"), "{error}");
        assert!(!error.message().contains("abc"), "{error}");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(provider.token(false).await.unwrap().expose(), "abc.def");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(provider.token(false).await.unwrap().expose(), "abc.def");
        assert_eq!(provider.token(true).await.unwrap().expose(), "new");
        assert_eq!(provider.token(false).await.unwrap().expose(), "new");
        assert!(!format!("{provider:?}").contains("new\""));
    }

    #[tokio::test]
    async fn what_is_no_file_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        for (path, words) in [
            (folder.path().to_owned(), "is not a regular file"),
            (folder.path().join("none"), "cannot be read"),
        ] {
            let error = TokenFile::new(path).token(false).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn a_variable_that_is_not_there_is_named() {
        let error = TokenEnv::new("CTFORWARD_NO_SUCH_VARIABLE")
            .token(false)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "token: environment variable CTFORWARD_NO_SUCH_VARIABLE: is not set"
        );
        assert!(TokenEnv::new("A=B").token(true).await.is_err());
        assert!(TokenEnv::new("").token(true).await.is_err());
    }
}
