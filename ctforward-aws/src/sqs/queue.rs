//! The address of a queue.

use ctforward_core::{Error, ErrorKind, Result};

use super::error::ORIGIN;
use crate::facts::clean;

/// The address of a queue, taken apart: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`,
/// or that of another server with the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueUrl {
    /// The region in the host's name, where the host is one of AWS's.
    pub region: Option<String>,
    /// The account that owns the queue.
    pub account: String,
    /// The queue's name.
    pub name: String,
}

impl QueueUrl {
    /// Takes an address apart. Nothing of it is ever put together again: requests carry
    /// the address as it was given, and go to the client's endpoint.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where it is no address of a queue.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let why = format!("the queue's address {} {why}", clean(url));
            Error::new(ErrorKind::Config, ORIGIN, why)
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("is no http:// or https:// address"));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("is no http:// or https:// address"));
        }
        let odd = |c: char| matches!(c, '@' | '?' | '#') || c.is_whitespace() || c.is_control();
        if rest.contains(odd) {
            return Err(wrong("must have no user, no query and no fragment"));
        }
        let mut parts = rest.trim_end_matches('/').split('/');
        let host = parts.next().unwrap_or_default();
        let path: Vec<&str> = parts.collect();
        let (Some(name), Some(account)) = (path.last(), path.iter().rev().nth(1)) else {
            return Err(wrong("is not https://host/ACCOUNT/NAME"));
        };
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if host.is_empty() || !plain(account) {
            return Err(wrong("is not https://host/ACCOUNT/NAME"));
        }
        if !plain(name.strip_suffix(".fifo").unwrap_or(name)) || name.len() > 80 {
            return Err(wrong("ends in no queue's name"));
        }
        Ok(Self {
            region: region(host).map(str::to_owned),
            account: (*account).to_owned(),
            name: (*name).to_owned(),
        })
    }

    /// Whether it is a FIFO queue, by its name.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

/// The region in the name of a host of AWS's: `sqs.REGION.amazonaws.com` (as all do
/// today), `REGION.queue.amazonaws.com` (as some did), in whatever partition.
fn region(host: &str) -> Option<&str> {
    let aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    let host = aws.iter().find_map(|end| host.strip_suffix(end))?;
    let region = host
        .strip_prefix("sqs.")
        .or_else(|| host.strip_prefix("sqs-fips."))
        .or_else(|| host.strip_suffix(".queue"))?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (!region.is_empty() && region.bytes().all(plain)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (url, region, name, fifo) in [
            (
                "https://sqs.eu-west-1.amazonaws.com/111122223333/trail",
                Some("eu-west-1"),
                "trail",
                false,
            ),
            (
                "https://sqs.cn-north-1.amazonaws.com.cn/111122223333/t.fifo",
                Some("cn-north-1"),
                "t.fifo",
                true,
            ),
            (
                "https://sqs-fips.us-gov-west-1.amazonaws.com/111122223333/t",
                Some("us-gov-west-1"),
                "t",
                false,
            ),
            (
                "https://us-east-1.queue.amazonaws.com/111122223333/t",
                Some("us-east-1"),
                "t",
                false,
            ),
            (
                "https://sqs.us-east-1.api.aws/111122223333/t",
                Some("us-east-1"),
                "t",
                false,
            ),
            (
                "https://vpce-1-2.sqs.us-east-1.vpce.amazonaws.com/111122223333/t",
                None,
                "t",
                false,
            ),
            (
                "http://127.0.0.1:4566/000000000000/trail",
                None,
                "trail",
                false,
            ),
            (
                "http://127.0.0.1:4566/queue/us-east-1/000000000000/trail/",
                None,
                "trail",
                false,
            ),
            (
                "https://sqs.evil.example/sqs.eu-west-1.amazonaws.com/t",
                None,
                "",
                false,
            ),
        ] {
            let parsed = QueueUrl::parse(url);
            if name.is_empty() {
                assert!(parsed.is_err(), "{url}");
                continue;
            }
            let parsed = parsed.unwrap();
            assert_eq!(parsed.region.as_deref(), region, "{url}");
            assert_eq!(
                (parsed.name.as_str(), parsed.is_fifo()),
                (name, fifo),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_address_of_a_queue_is_refused_without_its_secrets() {
        for url in [
            "",
            "arn:aws:sqs:eu-west-1:111122223333:trail",
            "ftp://host/1/q",
            "https://user:secret@sqs.eu-west-1.amazonaws.com/1/q",
            "https://sqs.eu-west-1.amazonaws.com/1/q?token=secret",
            "https://sqs.eu-west-1.amazonaws.com/q",
            "https://sqs.eu-west-1.amazonaws.com/1/q.fifo.fifo",
            "https://sqs.eu-west-1.amazonaws.com//q",
            "https:///1/q",
            "https://host/1/a b",
        ] {
            let error = QueueUrl::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
