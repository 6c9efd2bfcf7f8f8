//! Where the token comes from.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
use ctforward_aws::secretsmanager::SecretReader;
use ctforward_core::Result;
use ctforward_visionone::{CachedToken, Secret, TokenEnv, TokenFile, TokenProvider};

/// Where the token is.
#[derive(Clone, Debug)]
pub enum TokenPlace {
    /// In a file that nobody else can read.
    File(PathBuf),
    /// In the environment variable of this name.
    Variable(String),
    /// In the secret of this ARN or name, behind a `#` its key.
    Secret(String),
}

impl TokenPlace {
    /// What hands out the token that is there; nothing is read yet, and it is kept over
    /// calls until the endpoint refuses it.
    pub fn provider(&self, config: &SdkConfig) -> Arc<dyn TokenProvider> {
        match self {
            Self::File(path) => Arc::new(TokenFile::new(path)),
            Self::Variable(name) => Arc::new(TokenEnv::new(name)),
            Self::Secret(name) => {
                let client = aws_sdk_secretsmanager::Client::new(config);
                // Neither a name nor an ARN has a # in it.
                Arc::new(CachedToken::new(InSecret(match name.split_once('#') {
                    Some((name, key)) => SecretReader::new(client, name).json_key(key),
                    None => SecretReader::new(client, name),
                })))
            }
        }
    }
}

struct InSecret(SecretReader);

#[async_trait]
impl TokenProvider for InSecret {
    async fn token(&self, _refresh: bool) -> Result<Secret> {
        let secret = self.0.read().await?;
        Secret::new(secret.expose().trim())
    }
}
