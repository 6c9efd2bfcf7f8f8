//! What a link is asked for.

use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};
use serde_json::json;

use super::ORIGIN;

/// The body of `POST /api/stacks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRequest(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Empty,
    Account { account: String, region: String },
}

impl StackRequest {
    /// No body: the form of the product page, answered with `createStackURL`.
    #[must_use]
    pub fn empty() -> Self {
        Self(Form::Empty)
    }

    /// For an AWS account and region: the form of the vendor's deployment code,
    /// answered with `deploymentURL`.
    ///
    /// # Errors
    /// `Config` when the account is not 12 digits, or the region is none.
    pub fn of_account(account: &str, aws_region: &str) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Config, ORIGIN, what));
        let (account, region) = (account.trim(), aws_region.trim());
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return wrong(format!(
                "{} is not an AWS account id, which has 12 digits (leading zeros included)",
                excerpt(account, 32)
            ));
        }
        if !is_aws_region(region) {
            return wrong(format!(
                "{} is not an AWS region, which looks like us-east-1",
                excerpt(region, 32)
            ));
        }
        Ok(Self(Form::Account {
            account: account.to_owned(),
            region: region.to_owned(),
        }))
    }

    pub(super) fn body(&self) -> Vec<u8> {
        match &self.0 {
            Form::Empty => Vec::new(),
            Form::Account { account, region } => {
                let body = json!({"providerAccountID": account, "awsRegion": region});
                body.to_string().into_bytes()
            }
        }
    }
}

/// Whether `text` looks like a region of AWS: words parted by `-`, a number last.
pub(super) fn is_aws_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let words = |parts: &[&str]| {
        parts
            .iter()
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()))
    };
    match parts.split_last() {
        Some((number, rest)) => {
            text.len() <= 32
                && rest.len() >= 2
                && words(rest)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_have_the_bodies_that_are_documented() {
        assert_eq!(StackRequest::empty().body(), b"");
        let request = StackRequest::of_account(" 012345678901 ", "us-gov-east-1").unwrap();
        assert_eq!(
            String::from_utf8(request.body()).unwrap(),
            r#"{"awsRegion":"us-gov-east-1","providerAccountID":"012345678901"}"#
        );
    }

    #[test]
    fn what_is_no_account_or_region_is_refused() {
        for account in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901x",
            "１２３４",
        ] {
            assert!(
                StackRequest::of_account(account, "us-east-1").is_err(),
                "{account}"
            );
        }
        for region in [
            "",
            "us-1",
            "us-east-",
            "US-EAST-1",
            "us east 1",
            "us-east-1a",
            "-a-1",
        ] {
            assert!(
                StackRequest::of_account("012345678901", region).is_err(),
                "{region}"
            );
        }
    }
}
