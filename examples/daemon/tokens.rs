//! Where the tokens come from, and how long they last.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use ctforward_aws::secretsmanager::SecretReader;
use ctforward_core::Result;
use ctforward_core::deliver::Pacer;
use ctforward_visionone::{
    CachedToken, Expiry, ExpiryWarning, Secret, TokenEnv, TokenFile, TokenPair, TokenProvider,
    Which,
};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::config::TokenPlace;
use crate::status::TokenStatus;

/// What the words for a file begin with.
const FILE: &str = "file ";

impl TokenPlace {
    /// What hands out the token that is there; nothing is read yet.
    pub fn provider(&self) -> Arc<dyn TokenProvider> {
        match self {
            Self::File(path) => Arc::new(TokenFile::new(path)),
            Self::Variable(name) => Arc::new(TokenEnv::new(name)),
            Self::Secret(name) => Arc::new(CachedToken::new(SecretToken {
                name: name.clone(),
                reader: OnceCell::new(),
            })),
        }
    }

    /// Where it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::File(path) => format!("{FILE}{}", path.display()),
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

/// A token in Secrets Manager: the name or ARN of its secret, and behind a `#` its key,
/// where the secret is a JSON object.
struct SecretToken {
    name: String,
    /// Made when the token is first asked for.
    reader: OnceCell<SecretReader>,
}

#[async_trait]
impl TokenProvider for SecretToken {
    async fn token(&self, _refresh: bool) -> Result<Secret> {
        let made = self.reader.get_or_init(|| async {
            let config = aws_config::from_env().load().await;
            let client = aws_sdk_secretsmanager::Client::new(&config);
            // Neither a name nor an ARN has a # in it.
            match self.name.split_once('#') {
                Some((name, key)) => SecretReader::new(client, name).json_key(key),
                None => SecretReader::new(client, &self.name),
            }
        });
        let secret = made.await.read().await?;
        Secret::new(secret.expose().trim())
    }
}

/// The endpoint's token, and the one that follows; shared by what sends and what shows.
pub struct Tokens {
    tokens: Vec<One>,
    /// Where there are two.
    pair: Option<Arc<TokenPair>>,
    /// Who is told when a token may be another one.
    pacer: OnceLock<Pacer>,
}

struct One {
    which: Which,
    from: String,
    provider: Arc<dyn TokenProvider>,
    in_file: bool,
    expiry: Mutex<Expiry>,
}

impl Tokens {
    /// A token, and the one that follows, if there is one; each with where it is.
    pub fn new(
        current: (String, Arc<dyn TokenProvider>),
        next: Option<(String, Arc<dyn TokenProvider>)>,
    ) -> Self {
        let pair = next.as_ref().map(|(_, next)| {
            let pair = TokenPair::new(Arc::clone(&current.1), Arc::clone(next));
            Arc::new(pair)
        });
        let both = [(Which::Current, Some(current)), (Which::Next, next)];
        let one = |(which, token): (_, Option<(String, _)>)| {
            let (from, provider) = token?;
            Some(One {
                which,
                in_file: from.starts_with(FILE),
                from,
                provider,
                expiry: Mutex::new(Expiry::Unknown),
            })
        };
        Self {
            tokens: both.into_iter().filter_map(one).collect(),
            pair,
            pacer: OnceLock::new(),
        }
    }

    /// What the endpoint's sink asks for its token.
    pub fn provider(&self) -> Arc<dyn TokenProvider> {
        match (&self.pair, self.tokens.first()) {
            (Some(pair), _) => Arc::clone(pair) as _,
            (None, Some(one)) => Arc::clone(&one.provider),
            (None, None) => Arc::new(TokenEnv::new(crate::config::TOKEN)),
        }
    }

    /// Has this pacer try an endpoint that refused us whenever a token was read again.
    pub fn hurry(&self, pacer: Pacer) {
        let _ = self.pacer.set(pacer);
    }

    fn try_now(&self) {
        if let Some(pacer) = self.pacer.get() {
            pacer.probe_now();
        }
    }

    /// How the tokens are; `refused` where the endpoint takes none.
    pub fn status(&self, refused: bool) -> Vec<TokenStatus> {
        let now = Timestamp::now();
        let status = |one: &One| {
            let expiry = *one.expiry.lock().unwrap_or_else(PoisonError::into_inner);
            let mut status = TokenStatus::new(one.which.as_str(), &one.from, expiry, now);
            status.refused = match &self.pair {
                Some(pair) => pair.is_refused(one.which),
                None => refused,
            };
            status
        };
        self.tokens.iter().map(status).collect()
    }

    /// Looks when they expire, as far as they are at hand.
    pub async fn look(&self) {
        for one in &self.tokens {
            if let Ok(token) = one.provider.token(false).await {
                *one.expiry.lock().unwrap_or_else(PoisonError::into_inner) = Expiry::of(&token);
            }
        }
    }

    /// Looks, while the endpoint refuses us, whether a file has another token by now:
    /// then that is tried at once. (Elsewhere it is looked for with each probe.)
    pub async fn look_for_another(&self) {
        let mut another = false;
        for one in self.tokens.iter().filter(|one| one.in_file) {
            let before = one.provider.token(false).await.ok();
            let now = one.provider.token(true).await.ok();
            if now.is_some() && now != before {
                let (which, from) = (one.which.as_str(), &one.from);
                tracing::info!(which, %from, "the token was changed");
                another = true;
            }
        }
        if another {
            self.look().await;
            self.try_now();
        }
    }

    /// Reads the tokens anew, and tries an endpoint that refused us at once.
    pub async fn read_again(&self) {
        for one in &self.tokens {
            let (which, from) = (one.which.as_str(), &one.from);
            match one.provider.token(true).await {
                Ok(_) => tracing::info!(which, %from, "the token was read again"),
                Err(error) => tracing::error!(which, %error, "the token could not be read again"),
            }
        }
        self.look().await;
        self.try_now();
    }
}

/// Warnings that were given, so that each is given once.
#[derive(Default)]
pub struct Warned(Vec<Option<ExpiryWarning>>);

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
                ExpiryWarning::None => {}
                ExpiryWarning::Unknown => {
                    tracing::info!(%name, %from, "expiry unknown: the token does not say when it expires");
                }
                ExpiryWarning::Expired => tracing::error!(%name, %from, "the token has expired"),
                _ => tracing::warn!(%name, %from, days, "the token expires soon"),
            }
        }
    }
}
