//! Where the tokens come from, and how long they last.

use std::sync::Arc;

use ctforward_core::{Error, ErrorKind, Result};
use ctforward_visionone::{TokenEnv, TokenFile, TokenProvider};
use jiff::Timestamp;

use crate::config::TokenPlace;
use crate::status::{TokenStatus, TokenWarning};

impl TokenPlace {
    /// What hands out the token that is there; nothing is read yet.
    pub fn provider(&self) -> Result<Arc<dyn TokenProvider>> {
        Ok(match self {
            Self::File(path) => Arc::new(TokenFile::new(path)),
            Self::Variable(name) => Arc::new(TokenEnv::new(name)),
            Self::Secret(_) => {
                let message = "secrets of Secrets Manager cannot be read by this build";
                return Err(Error::new(ErrorKind::Config, "token", message));
            }
        })
    }

    /// Where it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            Self::Variable(name) => format!("environment variable {name}"),
            Self::Secret(name) => format!("secret {name}"),
        }
    }

    /// The end of the key that names such a place.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Variable(_) => "env",
            Self::Secret(_) => "secret",
        }
    }
}

/// The endpoint's token, shared by what sends and what shows.
pub struct Tokens {
    pub provider: Arc<dyn TokenProvider>,
    pub from: String,
}

impl Tokens {
    /// How the tokens are; `refused` where the endpoint does not take them.
    pub fn status(&self, refused: bool) -> Vec<TokenStatus> {
        let mut status = TokenStatus::new("current", &self.from, None, Timestamp::now());
        status.refused = refused;
        vec![status]
    }

    /// Reads the tokens anew.
    pub async fn read_again(&self) {
        match self.provider.token(true).await {
            Ok(_) => tracing::info!(from = %self.from, "the token was read again"),
            Err(error) => tracing::error!(%error, "the token could not be read again"),
        }
    }
}

/// Warnings that were given, so that each is given once.
#[derive(Default)]
pub struct Warned(Vec<Option<TokenWarning>>);

impl Warned {
    /// Warns where a token came nearer to its end.
    pub fn look(&mut self, tokens: &[TokenStatus]) {
        self.0.resize(tokens.len(), None);
        for (warned, token) in self.0.iter_mut().zip(tokens) {
            if *warned == Some(token.warning) {
                continue;
            }
            *warned = Some(token.warning);
            let (name, from) = (&token.name, &token.from);
            let days = token.days_left.unwrap_or_default();
            match token.warning {
                TokenWarning::None => {}
                TokenWarning::Unknown => {
                    tracing::info!(%name, %from, "the token does not say when it expires");
                }
                TokenWarning::Expired => tracing::error!(%name, %from, "the token has expired"),
                _ => tracing::warn!(%name, %from, days, "the token expires soon"),
            }
        }
    }
}
