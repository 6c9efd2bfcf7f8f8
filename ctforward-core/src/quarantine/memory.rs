use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Quarantine, QuarantineEntry};
use crate::error::Result;

/// A quarantine in memory, for tests and for programs that keep nothing.
#[derive(Debug, Default)]
pub struct MemoryQuarantine {
    entries: Mutex<BTreeMap<[u8; 32], QuarantineEntry>>,
}

impl MemoryQuarantine {
    /// An empty quarantine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds, in the order of the entries' identities.
    #[must_use]
    pub fn entries(&self) -> Vec<QuarantineEntry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }
}

#[async_trait]
impl Quarantine for MemoryQuarantine {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(entry.id()).or_insert_with(|| entry.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kept, Reason};
    use super::*;
    use crate::object::{Object, ObjectId};

    #[tokio::test]
    async fn the_same_entry_twice_is_one_and_another_offset_is_another() {
        let quarantine = MemoryQuarantine::new();
        let entry = QuarantineEntry::new(
            Object::new(ObjectId::new("b", "k")),
            Reason::Refused,
            "no",
            Kept::Bytes("{}".into()),
        )
        .at_offset(0);
        quarantine.put(&entry).await.unwrap();
        quarantine.put(&entry).await.unwrap();
        quarantine.put(&entry.clone().at_offset(9)).await.unwrap();
        assert_eq!(quarantine.entries().len(), 2);
        let mut rewritten = entry;
        rewritten.object = rewritten.object.with_etag("another");
        quarantine.put(&rewritten).await.unwrap();
        assert_eq!(quarantine.entries().len(), 3);
    }
}
