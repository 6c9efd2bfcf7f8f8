//! The quick-create link: an address of the CloudFormation console whose parameters
//! lie behind `#`, the client's token among them.

use std::fmt;

use ctforward_core::text::{excerpt, printable};
use ctforward_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use url::Url;

use super::ORIGIN;
use super::stack::is_aws_region;
use crate::secret::Secret;

/// CloudFormation takes no more parameters than this.
const PARAMETERS: usize = 200;
const LONGEST_NAME: usize = 255;

/// Parameters of the client's stack that are known to hold no secret.
const PLAIN: [&str; 5] = [
    "APIVersion",
    "ExistingCloudtrailBucketName",
    "S3BucketKey",
    "S3BucketName",
    "ServiceURL",
];

/// A link that creates the stack of the CloudTrail client, and what it says.
///
/// The whole link is a secret, as the client's token is part of it. `Debug` shows
/// stack, region, the template's address without its query, and names of parameters.
/// Links are documented to be valid for 30 days, after which the client no longer
/// forwards.
#[derive(Clone, PartialEq, Eq)]
pub struct StackLink {
    url: Secret,
    template_url: String,
    stack_name: Option<String>,
    region: Option<String>,
    parameters: StackParameters,
}

impl StackLink {
    /// Reads a link, as the service gives it or as it was copied from somewhere.
    ///
    /// # Errors
    /// `Malformed`, with one line that shows nothing of the link.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let Ok(url) = Url::parse(text) else {
            return wrong("is not an address");
        };
        if url.scheme() != "https" || !url.host_str().is_some_and(is_console) {
            return wrong("does not lead to the AWS console (https://console.aws.amazon.com/…)");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("holds a user name");
        }
        // An address parser finds no parameters: they lie behind #.
        let Some((_, query)) = url.fragment().and_then(|fragment| fragment.split_once('?')) else {
            return wrong("holds no parameters behind #; make a new one");
        };
        let mut link = Self {
            url: Secret::new(url.as_str()).or_else(|_| wrong("is too long"))?,
            template_url: String::new(),
            stack_name: None,
            region: region(&url),
            parameters: StackParameters(Vec::new()),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            link.take(pair)?;
        }
        if link.template_url.is_empty() {
            return wrong("names no template (templateUrl)");
        }
        if link.parameters.0.is_empty() {
            return wrong("holds no parameters (param_…); make a new one");
        }
        Ok(link)
    }

    fn take(&mut self, pair: &str) -> Result<()> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Not as a form: a + in a token stands for itself.
        let (Ok(name), Ok(value)) = (
            percent_decode_str(name).decode_utf8(),
            percent_decode_str(value).decode_utf8(),
        ) else {
            return wrong("holds a parameter that is not UTF-8");
        };
        match &*name {
            "templateUrl" | "templateURL" if self.template_url.is_empty() => {
                if !Url::parse(&value).is_ok_and(|url| url.scheme() == "https") {
                    return wrong("names a template that is no https address");
                }
                self.template_url = value.into_owned();
            }
            "templateUrl" | "templateURL" => return wrong("names two templates"),
            "stackName" if self.stack_name.is_none() => {
                if !is_stack_name(&value) {
                    return wrong("names a stack as CloudFormation names none");
                }
                self.stack_name = Some(value.into_owned());
            }
            "stackName" => return wrong("names two stacks"),
            other => {
                if let Some(name) = other.strip_prefix("param_") {
                    self.parameters.add(name, value.into_owned())?;
                }
            }
        }
        Ok(())
    }

    /// The link itself, for the one place that shows or opens it.
    #[must_use]
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// The template's address: https, and otherwise as the server named it. It is to
    /// be checked before it is used, and its query may be a signature.
    #[must_use]
    pub fn template_url(&self) -> &str {
        &self.template_url
    }

    /// The name that the stack is to have, where the link says it.
    #[must_use]
    pub fn stack_name(&self) -> Option<&str> {
        self.stack_name.as_deref()
    }

    /// The AWS region of the console, where the link says it.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The parameters of the stack.
    #[must_use]
    pub fn parameters(&self) -> &StackParameters {
        &self.parameters
    }
}

impl fmt::Debug for StackLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let template = self.template_url.split(['?', '#']).next();
        f.debug_struct("StackLink")
            .field("url", &self.url)
            .field("template_url", &excerpt(template.unwrap_or_default(), 256))
            .field("stack_name", &self.stack_name)
            .field("region", &self.region)
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// The parameters of a stack, in the link's order. `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct StackParameters(Vec<(String, String)>);

impl StackParameters {
    fn add(&mut self, name: &str, value: String) -> Result<()> {
        let fits = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fits {
            return wrong("holds a parameter with a name that CloudFormation does not take");
        }
        if self.get(name).is_some() {
            return wrong(&format!("holds the parameter {} twice", excerpt(name, 64)));
        }
        if self.0.len() == PARAMETERS {
            return wrong("holds more than 200 parameters");
        }
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    /// The value of a parameter. **It may be the client's token.**
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Names and values, for the call that creates the stack. **The client's token is
    /// among them**; to print them take [`shown`](Self::shown).
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names and values as they may be printed: any value is `[secret]` but those of
    /// parameters that are known to hold none.
    pub fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| {
            let plain = PLAIN.contains(&name.as_str()) && !value.contains(['?', '@']);
            let value = if plain {
                printable(value).into_owned()
            } else {
                "[secret]".to_owned()
            };
            (name.as_str(), value)
        })
    }
}

impl fmt::Debug for StackParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

fn wrong<T>(what: &str) -> Result<T> {
    let what = format!("the stack's link {what}");
    Err(Error::new(ErrorKind::Malformed, ORIGIN, what))
}

/// The console of a partition, with or without a region before it.
fn is_console(host: &str) -> bool {
    [
        "console.aws.amazon.com",
        "console.amazonaws-us-gov.com",
        "console.amazonaws.cn",
    ]
    .iter()
    .any(|console| {
        host.strip_suffix(console)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// The region in the query before `#`, behind it, or before the console's name.
fn region(url: &Url) -> Option<String> {
    let before = url.query().unwrap_or_default();
    let behind = url
        .fragment()
        .and_then(|f| f.split_once('?'))
        .map_or("", |(_, query)| query);
    let named = before
        .split('&')
        .chain(behind.split('&'))
        .filter_map(|pair| pair.strip_prefix("region="));
    named
        .chain(url.host_str()?.split('.').next())
        .find(|name| is_aws_region(name))
        .map(str::to_owned)
}

/// A letter, then letters, digits and hyphens, 128 at most.
fn is_stack_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
