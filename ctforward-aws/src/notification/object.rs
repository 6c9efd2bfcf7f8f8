//! What S3 says of objects, itself and through EventBridge.

use ctforward_core::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{quoted, read, text};
use super::{Item, NamedObject, malformed, name};

const REMOVED: &str = "object removed";
const NO_CREATION: &str = "no object created";
const FOLDER: &str = "folder object";

/// What happened, by the words of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Created,
    Else(&'static str),
}

#[derive(Deserialize)]
struct Named {
    bucket: Option<Bucket>,
    object: Option<Described>,
}

#[derive(Deserialize)]
struct Bucket {
    name: Option<String>,
}

/// S3 and EventBridge write two of the names differently.
#[derive(Deserialize)]
struct Described {
    key: Option<String>,
    size: Option<u64>,
    #[serde(alias = "eTag")]
    etag: Option<String>,
    #[serde(rename = "versionId", alias = "version-id")]
    version: Option<String>,
}

/// A record of `aws:s3`: its `eventVersion`, `eventName` and `s3`.
pub(super) fn of_record(
    version: Option<&RawValue>,
    event: Option<&RawValue>,
    s3: Option<&RawValue>,
) -> Result<Item> {
    let Some(version) = version else {
        return Err(malformed("a record of S3 has no eventVersion"));
    };
    let version = text("eventVersion", version)?;
    if !is_version(&version, "2") {
        let version = quoted(&version);
        return Err(malformed(format!(
            "a record of S3 has the version {version}, and only 2.x is known"
        )));
    }
    let Some(event) = event else {
        return Err(malformed("a record of S3 has no eventName"));
    };
    let event = text("eventName", event)?;
    let happened = in_record(&event)?;
    let Some(s3) = s3 else {
        return Err(malformed("a record of S3 has no member s3"));
    };
    item(happened, read("the member s3 of a record", s3.get())?, true)
}

/// An event of EventBridge: its `source`, `detail-type` and `detail`.
pub(super) fn of_event(
    source: Option<&RawValue>,
    kind: &RawValue,
    detail: Option<&RawValue>,
) -> Result<Item> {
    let kind = text("detail-type", kind)?;
    let source = match source {
        Some(source) => text("source", source)?,
        None => String::new(),
    };
    if source != "aws.s3" {
        return Err(malformed(format!(
            "an event of EventBridge of the source {}, and only aws.s3 is known",
            quoted(&source)
        )));
    }
    let happened = in_event(&kind)?;
    let Some(detail) = detail else {
        return Err(malformed("an event of EventBridge has no detail"));
    };
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "event-version")]
        version: Option<String>,
    }
    let what = "the detail of an event";
    let Version { version } = read(what, detail.get())?;
    if let Some(version) = version
        && !is_version(&version, "1")
    {
        let version = quoted(&version);
        return Err(malformed(format!(
            "an event of EventBridge has the version {version}, and only 1.x is known"
        )));
    }
    item(happened, read(what, detail.get())?, false)
}

/// Whether a version is `major`, a point and a number.
fn is_version(version: &str, major: &str) -> bool {
    version.split_once('.').is_some_and(|(first, minor)| {
        first == major && !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())
    })
}

/// By the names on AWS's page of event types; what is not there may be a creation.
fn in_record(event: &str) -> Result<Happened> {
    let name = event.strip_prefix("s3:").unwrap_or(event);
    let (family, rest) = match name.split_once(':') {
        Some((family, rest)) => (family, Some(rest)),
        None => (name, None),
    };
    Ok(match family {
        "ObjectCreated" if rest.is_some() => Happened::Created,
        "ObjectRemoved" | "LifecycleExpiration" => Happened::Else(REMOVED),
        "ObjectRestore"
        | "ObjectTagging"
        | "ObjectAcl"
        | "Replication"
        | "LifecycleTransition"
        | "IntelligentTiering"
        | "ReducedRedundancyLostObject" => Happened::Else(NO_CREATION),
        _ => {
            let event = quoted(event);
            return Err(malformed(format!(
                "a record of S3 has the unknown eventName {event}"
            )));
        }
    })
}

/// The same of EventBridge.
fn in_event(kind: &str) -> Result<Happened> {
    Ok(match kind {
        "Object Created" => Happened::Created,
        "Object Deleted" => Happened::Else(REMOVED),
        "Object Restore Initiated"
        | "Object Restore Completed"
        | "Object Restore Expired"
        | "Object Storage Class Changed"
        | "Object Access Tier Changed"
        | "Object ACL Updated"
        | "Object Tags Added"
        | "Object Tags Deleted" => Happened::Else(NO_CREATION),
        _ => {
            let kind = quoted(kind);
            return Err(malformed(format!(
                "an event of S3 has the unknown detail-type {kind}"
            )));
        }
    })
}

fn item(happened: Happened, named: Named, encoded: bool) -> Result<Item> {
    let Some(bucket) = named.bucket.and_then(|bucket| bucket.name) else {
        return Err(malformed("a record names no bucket"));
    };
    let bucket = name::bucket(bucket)?;
    let Some((key, object)) = named
        .object
        .and_then(|mut object| Some((object.key.take()?, object)))
    else {
        return Err(malformed("a record names no key"));
    };
    let key = name::key(if encoded {
        name::form_decoded(&key)?
    } else {
        key
    })?;
    let object = NamedObject {
        bucket,
        key,
        version: name::version(object.version)?,
        size: object.size,
        etag: object.etag.and_then(bare),
    };
    Ok(match happened {
        Happened::Else(why) => Item::Skip {
            why,
            object: Some(object.id()),
        },
        Happened::Created if object.key.ends_with('/') && object.size == Some(0) => Item::Skip {
            why: FOLDER,
            object: Some(object.id()),
        },
        Happened::Created => Item::Created(object),
    })
}

/// An ETag without quotes, as notifications have it and some servers do not.
fn bare(etag: String) -> Option<String> {
    let inner = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"'));
    let etag = inner.unwrap_or(&etag);
    (!etag.is_empty()).then(|| etag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_minor_version_of_the_known_major_one() {
        for version in ["2.0", "2.1", "2.6", "2.10", "2.99999999999999999999"] {
            assert!(is_version(version, "2"), "{version}");
        }
        for version in [
            "", "2", "2.", "3.0", "1.0", "22.1", "2.1.0", "2.x", "+2.1", " 2.1",
        ] {
            assert!(!is_version(version, "2"), "{version}");
        }
    }

    #[test]
    fn what_is_no_known_event_is_not_left_out_in_silence() {
        for event in [
            "ObjectCreated:Put",
            "s3:ObjectCreated:*",
            "ObjectCreated:New",
        ] {
            assert_eq!(in_record(event).unwrap(), Happened::Created, "{event}");
        }
        for event in [
            "ObjectRemoved:Delete",
            "s3:ObjectRemoved:DeleteMarkerCreated",
            "LifecycleExpiration:Delete",
        ] {
            assert_eq!(in_record(event).unwrap(), Happened::Else(REMOVED));
        }
        for event in [
            "ObjectRestore:Completed",
            "s3:LifecycleTransition",
            "ObjectAcl:Put",
        ] {
            assert_eq!(in_record(event).unwrap(), Happened::Else(NO_CREATION));
        }
        for event in [
            "",
            "ObjectCreated",
            "objectcreated:put",
            "s3:s3:ObjectCreated:Put",
            "ObjectCreatedX:Put",
            "PutObject",
        ] {
            assert!(in_record(event).is_err(), "{event}");
        }
        for kind in [
            "AWS API Call via CloudTrail",
            "object created",
            "Object Created ",
        ] {
            assert!(in_event(kind).is_err(), "{kind}");
        }
    }

    #[test]
    fn an_etag_is_bare() {
        assert_eq!(bare("\"abc\"".to_owned()).as_deref(), Some("abc"));
        assert_eq!(bare("abc-2".to_owned()).as_deref(), Some("abc-2"));
        assert_eq!(bare("\"\"".to_owned()), None);
    }
}
