//! One page of a listing: asked for, checked and decoded.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, RequestPayer};
use ctforward_core::{Error, ErrorKind, Result, Retry};

use super::reader::Patience;
use super::stats::{StatsHandle, count};
use crate::error::{Asked, ORIGIN};
use crate::facts::from_sdk;

/// What a page is asked with.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) prefix: &'a str,
    /// Group keys by the folder below the prefix.
    pub(crate) folders: bool,
    pub(crate) start_after: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) etag: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) class: Option<String>,
}

/// A page, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Found>,
    pub(crate) folders: Vec<String>,
    /// Where the next page begins; `None` on the last.
    pub(crate) token: Option<String>,
}

/// Asks for pages.
pub(crate) struct Lister {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    pub(crate) owner: Option<String>,
    pub(crate) request_payer: bool,
    pub(crate) page_size: i32,
    /// How many folders are listed at the same time.
    pub(crate) parallel: usize,
    pub(crate) patience: Patience,
    pub(crate) stats: StatsHandle,
}

impl Lister {
    pub(crate) async fn page(&self, request: Request<'_>) -> Result<Page> {
        count(&self.stats.0.requests, 1);
        let output = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(request.prefix)
            .set_delimiter(request.folders.then(|| "/".to_owned()))
            // A continuation token carries its own place in the listing.
            .set_start_after(
                request
                    .start_after
                    .filter(|_| request.token.is_none())
                    .map(str::to_owned),
            )
            .set_continuation_token(request.token.map(str::to_owned))
            .max_keys(self.page_size)
            // A key may hold characters that no XML can: one such key must not
            // make the page, and with it the run, unreadable.
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner.clone())
            .set_request_payer(self.request_payer.then_some(RequestPayer::Requester))
            .customize()
            .config_override(self.patience.overrides(&self.client))
            .send()
            .await
            .map_err(|e| {
                let bucket = &self.bucket;
                from_sdk(&e, Asked::List { bucket })
            })?;
        decode(output)
    }
}

/// An answer that is no page of a listing: asking again may bring a whole one.
pub(crate) fn broken(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, ORIGIN, why).with_retry(Retry::Backoff)
}

pub(crate) fn decode(output: ListObjectsV2Output) -> Result<Page> {
    let encoded = output.encoding_type == Some(EncodingType::Url);
    let text = |text: String| {
        if encoded {
            url_decode(&text).ok_or_else(|| broken("a listing names a key that cannot be decoded"))
        } else {
            Ok(text)
        }
    };
    // An answer that breaks off within its XML reads as a shorter page; it still
    // says how much it was to hold.
    let held = output.contents().len() + output.common_prefixes().len();
    let announced = output.key_count.and_then(|n| usize::try_from(n).ok());
    if announced.is_some_and(|announced| held < announced) {
        return Err(broken(
            "a listing's page holds fewer keys than it announces",
        ));
    }
    // One that breaks off before that does not even say whether more follows.
    let Some(truncated) = output.is_truncated else {
        return Err(broken("a listing's page does not say whether more follows"));
    };
    let mut page = Page {
        objects: Vec::with_capacity(output.contents().len()),
        folders: Vec::with_capacity(output.common_prefixes().len()),
        token: None,
    };
    if truncated {
        let token = output.next_continuation_token.filter(|t| !t.is_empty());
        let missing = || broken("a listing goes on without saying where");
        page.token = Some(token.ok_or_else(missing)?);
    }
    for object in output.contents.unwrap_or_default() {
        let key = object
            .key
            .ok_or_else(|| broken("a listing has an object without a key"))?;
        page.objects.push(Found {
            key: text(key)?,
            etag: object.e_tag.map(|e| super::bare_etag(&e).to_owned()),
            size: object.size.and_then(|n| u64::try_from(n).ok()),
            class: object.storage_class.map(|class| class.as_str().to_owned()),
        });
    }
    for folder in output.common_prefixes.unwrap_or_default() {
        let prefix = folder
            .prefix
            .ok_or_else(|| broken("a listing has a folder without a name"))?;
        page.folders.push(text(prefix)?);
    }
    Ok(page)
}

/// The encoding of `encoding-type=url`: `%XX`, and `+` for a space.
fn url_decode(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = hex(bytes.next()?)?;
                let low = hex(bytes.next()?)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Object;

    use super::*;

    #[test]
    fn keys_are_decoded_once_and_bad_encodings_are_refused() {
        let cases = [
            ("AWSLogs/1/x.json.gz", Some("AWSLogs/1/x.json.gz")),
            ("a+b%2Bc%2520", Some("a b+c%20")),
            ("%01%C3%BC", Some("\u{1}ü")),
            ("%zz", None),
            ("%2", None),
            ("%FF", None),
        ];
        for (text, expected) in cases {
            assert_eq!(url_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_page_that_is_none_is_an_error_and_never_an_end() {
        let truncated = ListObjectsV2Output::builder().is_truncated(true);
        assert!(
            decode(truncated.clone().build())
                .unwrap_err()
                .is_retryable()
        );
        let empty = truncated.next_continuation_token("");
        assert!(decode(empty.build()).is_err());
        let silent = ListObjectsV2Output::builder();
        assert!(decode(silent.build()).unwrap_err().is_retryable());
        let cut = ListObjectsV2Output::builder()
            .is_truncated(false)
            .key_count(2)
            .contents(Object::builder().key("a").build());
        assert!(decode(cut.build()).unwrap_err().is_retryable());
        let nameless = ListObjectsV2Output::builder()
            .is_truncated(false)
            .contents(Object::builder().build());
        assert!(decode(nameless.build()).is_err());
    }

    #[test]
    fn keys_are_taken_as_they_are_unless_the_answer_says_encoded() {
        let object = Object::builder().key("a+b").e_tag("\"e\"").size(-1).build();
        let plain = ListObjectsV2Output::builder()
            .is_truncated(false)
            .contents(object);
        let page = decode(plain.clone().build()).unwrap();
        let found = Found {
            key: "a+b".to_owned(),
            etag: Some("e".to_owned()),
            size: None,
            class: None,
        };
        assert_eq!(page.objects, [found]);
        let page = decode(plain.encoding_type(EncodingType::Url).build()).unwrap();
        assert_eq!(page.objects[0].key, "a b");
    }
}
