use super::{QuarantineEntry, Reason};

/// Which entries of a quarantine are meant; of itself, all.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Filter {
    reasons: Vec<Reason>,
    bucket: Option<String>,
    key_prefix: String,
    ids: Vec<String>,
}

impl Filter {
    /// All entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only entries with one of these reasons (none named: all).
    pub fn reasons(mut self, reasons: impl IntoIterator<Item = Reason>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// Only entries of this bucket; for a folder, `file://` and its path.
    pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
        self.bucket = Some(bucket.into());
        self
    }

    /// Only entries whose key begins with this.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Only entries whose identity, in lower-case hexadecimal digits, begins with
    /// one of these (none named: all).
    pub fn ids(mut self, prefixes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let prefixes = prefixes.into_iter().map(Into::into);
        self.ids
            .extend(prefixes.map(|p: String| p.to_ascii_lowercase()));
        self
    }

    /// Whether this entry, whose identity reads `id`, is meant.
    #[must_use]
    pub fn takes(&self, id: &str, entry: &QuarantineEntry) -> bool {
        let object = &entry.object.id;
        (self.reasons.is_empty() || self.reasons.contains(&entry.reason))
            && self
                .bucket
                .as_ref()
                .is_none_or(|bucket| *bucket == object.bucket)
            && object.key.starts_with(&self.key_prefix)
            && (self.ids.is_empty() || self.ids.iter().any(|prefix| id.starts_with(prefix)))
    }
}
