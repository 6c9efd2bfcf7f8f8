//! What a message says.

use ctforward_core::{Object, ObjectId};

use super::shape::Shape;

/// What one message says: at least one item, in the order of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// The form that it came in, for reports.
    pub shape: Shape,
    /// What it says. All of it is to be decided before the message is acknowledged.
    pub items: Vec<Item>,
}

impl Notification {
    /// The objects that it says were created.
    pub fn created(&self) -> impl Iterator<Item = &NamedObject> {
        self.items.iter().filter_map(|item| match item {
            Item::Created(object) => Some(object),
            Item::Skip { .. } => None,
        })
    }
}

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An object was created. Whether it may be read is for [`Allow`](super::Allow) to say.
    Created(NamedObject),
    /// Nothing to read: a test event, a validation message, a removal, a folder
    /// object (a key that ends in `/`, size 0), an empty list of records.
    #[non_exhaustive]
    Skip {
        /// Why: a few fixed words, the key of the report's count.
        why: &'static str,
        /// The object that it speaks of, if any.
        object: Option<ObjectId>,
    },
}

/// An object that a message names. All of it is text from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedObject {
    /// The bucket's name: letters, digits, `.`, `-` and `_`, and so no ARN.
    pub bucket: String,
    /// The key as S3 has it, decoded where its form encodes keys.
    pub key: String,
    /// The version, where one was named.
    pub version: Option<String>,
    /// The size in bytes, as stored.
    pub size: Option<u64>,
    /// The ETag, without quotes.
    pub etag: Option<String>,
}

impl NamedObject {
    /// The object `key` in `bucket`, of which nothing else is said.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            version: None,
            size: None,
            etag: None,
        }
    }

    /// Its address.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        let id = ObjectId::new(&self.bucket, &self.key);
        match &self.version {
            Some(version) => id.with_version(version),
            None => id,
        }
    }

    /// Its address with what was said of it.
    #[must_use]
    pub fn object(&self) -> Object {
        let mut object = Object::new(self.id());
        object.size = self.size;
        object.etag = self.etag.clone();
        object
    }
}
