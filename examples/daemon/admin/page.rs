//! The status page: one document with its own script and style.

use bytes::Bytes;
use ctforward_core::{Error, ErrorKind, Result};
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::base64;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page and the policy that lets it run its own script, and no other.
pub(super) struct Page {
    pub(super) html: Bytes,
    pub(super) policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Result<Self> {
        // Nothing else may stand between the tags: the policy names the hash of all of it.
        let html = HTML.replace("{style}", STYLE).replace("{script}", SCRIPT);
        let hash = |text: &str| base64::encode(&Sha256::digest(text.as_bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE),
        );
        let policy = HeaderValue::from_str(&policy).map_err(|e| {
            Error::new(
                ErrorKind::Other,
                "admin",
                "the page's policy fits in no header",
            )
            .with_source(e)
        })?;
        Ok(Self {
            html: Bytes::from(html),
            policy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_sets_text_only_and_loads_nothing() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "localStorage",
            "sessionStorage",
            "cookie",
            "src=",
            "import",
            "setAttribute(\"on",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        let page = Page::new().unwrap();
        let html = String::from_utf8(page.html.to_vec()).unwrap();
        // No handlers and no styles in attributes: the policy would stop them.
        for word in [
            "{style}", "{script}", " onclick", " style=", "http:", "https:", "<iframe",
        ] {
            assert!(!HTML.contains(" style=") && !html.contains(word), "{word}");
        }
        assert_eq!(html.matches("<script").count(), 1);
        assert_eq!(html.matches("</script").count(), 1);
        assert_eq!(html.matches("<style").count(), 1);
    }

    #[test]
    fn the_policy_names_the_hash_of_what_is_between_the_tags() {
        let page = Page::new().unwrap();
        let html = String::from_utf8(page.html.to_vec()).unwrap();
        let policy = page.policy.to_str().unwrap();
        for tag in ["script", "style"] {
            let (_, rest) = html.split_once(&format!("<{tag}>")).unwrap();
            let (within, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            let hash = base64::encode(&Sha256::digest(within.as_bytes()));
            assert!(
                policy.contains(&format!("{tag}-src 'sha256-{hash}';")),
                "{tag}"
            );
        }
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    }
}
