use std::sync::Arc;

/// Changes what is sent of a record, and nothing of what is kept of it.
///
/// # Contract
/// - Pure: the same record becomes the same bytes.
/// - Only what a rule names changes; every other byte stays, and the result is
///   one JSON object where the record was one.
/// - A record that it cannot follow is never sent half redacted: see
///   [`Redacted::Unsure`].
pub trait Redactor: Send + Sync {
    /// Writes what is to be sent instead of `record` to `out`, which is empty.
    fn redact(&self, record: &[u8], out: &mut Vec<u8>) -> Redacted;
}

/// What a [`Redactor`] made of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redacted {
    /// Nothing in it is to be changed; what was written is not used.
    Unchanged,
    /// What was written is to be sent.
    Changed,
    /// Whether something in it is to be changed cannot be told: it is not sent,
    /// and goes to quarantine.
    Unsure,
}

impl<R: Redactor + ?Sized> Redactor for Box<R> {
    fn redact(&self, record: &[u8], out: &mut Vec<u8>) -> Redacted {
        (**self).redact(record, out)
    }
}

impl<R: Redactor + ?Sized> Redactor for Arc<R> {
    fn redact(&self, record: &[u8], out: &mut Vec<u8>) -> Redacted {
        (**self).redact(record, out)
    }
}
