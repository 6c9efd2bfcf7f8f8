//! A record that owns its bytes.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::index::index;
use super::known::Known;
use super::record::{Escapes, Field, Record};
use crate::{Error, ErrorKind};

/// One record with its own bytes, for records that do not come from a log file:
/// an EventBridge detail, a queue's body, a test.
///
/// ```
/// use ctforward_core::event::RecordBuf;
///
/// let record = RecordBuf::parse(r#"{"eventVersion":"1.08","eventName":"GetObject"}"#)?;
/// assert_eq!(record.as_record().header().event_name().as_deref(), Some("GetObject"));
/// # Ok::<(), ctforward_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBuf {
    bytes: Bytes,
    fields: Vec<Field>,
    escapes: Escapes,
    known: Known,
}

impl RecordBuf {
    /// Takes the bytes of one JSON object, which may be nested to any depth.
    ///
    /// White space around the object is left out; everything inside is kept as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the bytes are not exactly one JSON object in
    /// UTF-8, [`ErrorKind::TooLarge`] from 4 GiB on.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if u32::try_from(bytes.len()).is_err() {
            return Err(Error::new(ErrorKind::TooLarge, "record", "4 GiB or longer"));
        }
        // A raw value is checked without recursion, so depth costs no stack.
        // The error's own text may quote the record: only its place is told.
        let raw: &RawValue = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(
                ErrorKind::Malformed,
                "record",
                format!("no JSON at line {}, column {}", e.line(), e.column()),
            )
        })?;
        // A borrowed raw value lies inside `bytes`, as `slice_ref` asks.
        let bytes = bytes.slice_ref(raw.get().as_bytes());
        let fields = index(&bytes)
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "record", "not a JSON object"))?;
        let escapes = Escapes::of(&bytes);
        let known = Known::of(&bytes, &fields, escapes);
        Ok(Self {
            bytes,
            fields,
            escapes,
            known,
        })
    }

    /// The record; its offset is 0.
    #[must_use]
    pub fn as_record(&self) -> Record<'_> {
        Record::new(&self.bytes, &self.fields, 0, self.escapes, &self.known)
    }

    /// The record's bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_goes_and_inside_stays() {
        let buf = RecordBuf::parse(" \n{ \"a\" : 1624.0 }\n").unwrap();
        assert_eq!(&buf.bytes()[..], b"{ \"a\" : 1624.0 }");
        let record = buf.as_record();
        assert_eq!(record.offset(), 0);
        assert_eq!(record.field("a"), Some(&b"1624.0"[..]));
        assert_eq!(record.field("b"), None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["", "[]", "1", "{} {}", "{\"a\":}", "{\"a\":1", "\"x\""] {
            let err = RecordBuf::parse(bad).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Malformed, "{bad}");
        }
        for bad in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\n\"}"] {
            let err = RecordBuf::parse(bad).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Malformed);
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(300_000), "]".repeat(300_000));
        let buf = RecordBuf::parse(deep).unwrap();
        assert_eq!(buf.as_record().field("a").unwrap().len(), 600_001);
    }

    #[test]
    fn the_last_of_a_doubled_key_wins_and_escaped_keys_match() {
        let buf =
            RecordBuf::parse(r#"{"eventName":"A","event\u004eame":"B","\u0065x":null}"#).unwrap();
        let record = buf.as_record();
        assert_eq!(record.fields().len(), 3);
        assert_eq!(record.field("eventName"), Some(&br#""B""#[..]));
        assert_eq!(record.field("ex"), Some(&b"null"[..]));
    }
}
