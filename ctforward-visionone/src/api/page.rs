//! `nextLink`: followed by path and query only, on the configured host.

use std::collections::HashSet;

use ctforward_core::{Error, ErrorKind, Result};
use serde_json::Value;
use url::Url;

use super::base::Base;

/// The longest link that is followed.
const LONGEST: usize = 16 * 1024;
/// Where all calls of the public API lie.
const ROOT: &str = "/v3.0/";

/// The pages of one list.
#[derive(Debug)]
pub(crate) struct PageLinks {
    next: Option<Url>,
    seen: HashSet<String>,
    most: usize,
}

impl PageLinks {
    /// Begins with `first`; refuses more than `most` pages.
    pub(crate) fn new(first: Url, most: usize) -> Self {
        Self {
            next: Some(first),
            seen: HashSet::new(),
            most,
        }
    }

    /// The page to ask for.
    pub(crate) fn next(&self) -> Option<&Url> {
        self.next.as_ref()
    }

    /// Goes on to what the answer's `nextLink` names; the end where it has none.
    pub(crate) fn follow(&mut self, base: &Base, answer: &Value) -> Result<()> {
        let Some(current) = self.next.take() else {
            return Ok(());
        };
        let link = match answer.get("nextLink") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(link)) if link.is_empty() => return Ok(()),
            Some(Value::String(link)) => link,
            Some(_) => return Err(wrong("is no text")),
        };
        let key = |url: &Url| format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.seen.insert(key(&current));
        let next = checked(base, &current, link)?;
        if self.seen.contains(&key(&next)) {
            return Err(wrong(
                "names a page that was read already, so the list would never end",
            ));
        }
        if self.seen.len() >= self.most {
            let most = self.most;
            return Err(wrong(&format!(
                "goes on after {most} pages; narrow the range, or raise the number of pages"
            )));
        }
        self.next = Some(next);
        Ok(())
    }
}

fn checked(base: &Base, current: &Url, link: &str) -> Result<Url> {
    if link.len() > LONGEST {
        return Err(wrong("is longer than 16 KiB"));
    }
    if link.chars().any(char::is_control) {
        return Err(wrong("holds control characters"));
    }
    let Ok(url) = current.join(link) else {
        return Err(wrong("is not an address"));
    };
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("is not an address of the web"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user name"));
    }
    if !url.path().starts_with(ROOT) {
        return Err(wrong("leads out of the API"));
    }
    if url.host_str() != current.host_str() {
        // Not an error: behind a gateway the service may name itself by another host.
        // Which one is not shown: a host's name can hold a key too.
        tracing::debug!("nextLink names another host, which is not asked");
    }
    Ok(base.rehost(&url))
}

fn wrong(what: &str) -> Error {
    Error::new(
        ErrorKind::Malformed,
        "visionone",
        format!("the answer's nextLink {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn follow(link: &str) -> Result<Url> {
        let base = Base::parse("https://api.example")?;
        let mut pages = PageLinks::new(base.at("/v3.0/search/x"), 3);
        pages.follow(&base, &json!({"nextLink": link}))?;
        Ok(pages.next().unwrap().clone())
    }

    #[test]
    fn only_path_and_query_of_a_link_are_followed() {
        for (link, want) in [
            (
                "https://api.example/v3.0/search/x?skipToken=a%3D",
                "https://api.example/v3.0/search/x?skipToken=a%3D",
            ),
            (
                "https://evil.example:99/v3.0/search/x?t=1",
                "https://api.example/v3.0/search/x?t=1",
            ),
            ("//evil.example/v3.0/y", "https://api.example/v3.0/y"),
            (
                "/v3.0/search/x?t=2#f",
                "https://api.example/v3.0/search/x?t=2",
            ),
            ("?t=3 4", "https://api.example/v3.0/search/x?t=3%204"),
        ] {
            assert_eq!(follow(link).unwrap().as_str(), want, "{link}");
        }
    }

    #[test]
    fn a_hostile_link_is_refused() {
        let long = format!("/v3.0/x?{}", "a".repeat(LONGEST));
        for link in [
            "javascript:alert(1)",
            "file:///v3.0/etc/passwd",
            "https://u:p@api.example/v3.0/x",
            "https://api.example/elsewhere",
            "https://api.example/v3.0/../admin",
            "/v3.0/x\r\nHost: evil",
            "https://",
            &long,
        ] {
            assert_eq!(
                follow(link).unwrap_err().kind(),
                ErrorKind::Malformed,
                "{link}"
            );
        }
    }

    #[test]
    fn a_repeated_or_endless_list_is_given_up() {
        let base = Base::parse("https://api.example")
            .map_err(|e| e.to_string())
            .unwrap();
        let mut pages = PageLinks::new(base.at("/v3.0/x"), 3);
        let mut go = |n: u32| pages.follow(&base, &json!({"nextLink": format!("/v3.0/x?n={n}")}));
        assert!(go(1).is_ok() && go(2).is_ok());
        assert!(go(3).unwrap_err().message().contains("after 3 pages"));
        let mut pages = PageLinks::new(base.at("/v3.0/x"), 9);
        let mut go = |n: u32| pages.follow(&base, &json!({"nextLink": format!("/v3.0/x?n={n}")}));
        assert!(go(1).is_ok() && go(2).is_ok());
        assert!(go(1).unwrap_err().message().contains("already"));
    }

    proptest! {
        #[test]
        fn no_link_leaves_the_host(link in "\\PC{1,60}") {
            if let Ok(url) = follow(&link) {
                prop_assert_eq!(url.host_str(), Some("api.example"));
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.path().starts_with(ROOT));
            }
        }
    }
}
