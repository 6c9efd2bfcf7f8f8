//! A secret from AWS Secrets Manager, such as the token of a sink.
//!
//! [`SecretReader`] asks for it each time it is told to and keeps nothing. This crate
//! knows no sink: who has one gives it the [`SecretText`] in that sink's own form.

mod client;
mod error;

use std::fmt;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder as ConfigBuilder;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

pub use client::client;
use error::ORIGIN;

/// A secret holds at most this many bytes (Secrets Manager, *Quotas*).
const LARGEST: usize = 64 * 1024;

/// The text of a secret. `Debug` shows `[secret]`; only [`expose`](Self::expose) shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Box<str>);

impl SecretText {
    /// The text itself, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads one secret: its text, or one text in the JSON object that it is.
///
/// Needs `secretsmanager:GetSecretValue` on the secret, and `kms:Decrypt` on its key
/// where that is not the account's own `aws/secretsmanager`.
///
/// ```no_run
/// use ctforward_aws::secretsmanager::SecretReader;
///
/// # async fn run(client: aws_sdk_secretsmanager::Client) -> ctforward_core::Result<()> {
/// let reader = SecretReader::new(client, "prod/ctforward").json_key("token");
/// let token = reader.read().await?;
/// assert_eq!(format!("{token:?}"), "[secret]");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecretReader {
    client: Client,
    id: String,
    json_key: Option<String>,
    timeout: Duration,
}

impl SecretReader {
    /// The secret of this name or ARN, in its current version (`AWSCURRENT`).
    pub fn new(client: Client, id: impl Into<String>) -> Self {
        Self {
            client,
            id: id.into(),
            json_key: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// Take the text under this key of the JSON object that the secret is, which is how
    /// the console stores key and value pairs.
    #[must_use]
    pub fn json_key(mut self, key: impl Into<String>) -> Self {
        self.json_key = Some(key.into());
        self
    }

    /// How long one attempt may take (default: 10 s). The client's own retries come on top.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The secret as it is now, with white space around it.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where there is no such secret, it is to be deleted,
    /// is not text or does not have the key; [`Unauthorized`](ErrorKind::Unauthorized)
    /// where it may not be read or decrypted, or the credentials are none;
    /// [`Throttled`](ErrorKind::Throttled), [`Unavailable`](ErrorKind::Unavailable) and
    /// [`Timeout`](ErrorKind::Timeout), to be tried again. None shows the secret.
    pub async fn read(&self) -> Result<SecretText> {
        // By itself the SDK waits without end for a server that accepts and never answers.
        let timeout = TimeoutConfig::builder().operation_attempt_timeout(self.timeout);
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&self.id)
            .customize()
            .config_override(ConfigBuilder::default().timeout_config(timeout.build()))
            .send()
            .await
            .map_err(|e| error::from_sdk(&e, &self.id))?;
        let Some(text) = answer.secret_string() else {
            return Err(self.wrong("it is binary; store it as text"));
        };
        if text.len() > LARGEST {
            return Err(self.wrong("it is longer than a secret can be"));
        }
        let text = match &self.json_key {
            Some(key) => self.member(text, key)?,
            None => text.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(self.wrong("it is empty"));
        }
        Ok(SecretText(text.into_boxed_str()))
    }

    /// The text under `key`. What serde_json says of a fault would show parts of the text.
    fn member(&self, text: &str, key: &str) -> Result<String> {
        let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(text) else {
            return Err(self.wrong("it is no JSON object, and a key in one was asked for"));
        };
        let shown = excerpt(key, 64);
        match members.remove(key) {
            Some(serde_json::Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(&format!("what it has under the key {shown} is no text"))),
            None => Err(self.wrong(&format!("it has no key {shown}"))),
        }
    }

    fn wrong(&self, why: &str) -> Error {
        error::fail(ErrorKind::Config, &self.id, why)
    }
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for SecretReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretReader")
            .field("id", &self.id)
            .field("json_key", &self.json_key)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
