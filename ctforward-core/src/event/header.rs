//! The header of a record: what filters, counts and reports ask for, read when asked.

use std::borrow::Cow;

use jiff::Timestamp;

use super::record::Record;
use super::scan::{path, text};
use super::version::EventVersion;

/// A lazy view of the header fields of one [`Record`].
///
/// Each method reads one field when it is called and borrows the text where it
/// has no escape. A field that is absent, `null`, of another type or not
/// readable is `None`: the header decides nothing that it cannot read. Where a
/// key comes twice, the last one counts. Field meanings are those of AWS's
/// [record contents](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html).
///
/// The texts are data from outside; print them through [`crate::text::printable`].
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    record: Record<'a>,
}

impl<'a> Record<'a> {
    /// The record's header, read field by field when asked.
    #[must_use]
    pub fn header(&self) -> Header<'a> {
        Header { record: *self }
    }
}

impl<'a> Header<'a> {
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text(self.record.field(name)?)
    }

    /// `eventVersion`, such as `"1.08"`; a bare number is taken too.
    #[must_use]
    pub fn event_version(&self) -> Option<EventVersion> {
        let raw = self.record.field("eventVersion")?;
        match text(raw) {
            Some(text) => EventVersion::read(&text),
            None => EventVersion::read(std::str::from_utf8(raw).ok()?),
        }
    }

    /// `eventTime` as an instant: when the request was completed, in UTC, to the second.
    ///
    /// RFC 3339 with any offset; a time without an offset is no instant.
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        self.event_time_str()?.parse().ok()
    }

    /// `eventTime` as it is written.
    #[must_use]
    pub fn event_time_str(&self) -> Option<Cow<'a, str>> {
        self.text("eventTime")
    }

    /// `eventSource`: the service, such as `s3.amazonaws.com`.
    #[must_use]
    pub fn event_source(&self) -> Option<Cow<'a, str>> {
        self.text("eventSource")
    }

    /// `eventName`: the action, such as `GetObject`.
    #[must_use]
    pub fn event_name(&self) -> Option<Cow<'a, str>> {
        self.text("eventName")
    }

    /// `awsRegion`: the region that the request was made to.
    #[must_use]
    pub fn aws_region(&self) -> Option<Cow<'a, str>> {
        self.text("awsRegion")
    }

    /// `sourceIPAddress`: an address, a service's name, or `AWS Internal`.
    #[must_use]
    pub fn source_ip_address(&self) -> Option<Cow<'a, str>> {
        self.text("sourceIPAddress")
    }

    /// `eventID`; an aggregated event calls it `eventId`.
    #[must_use]
    pub fn event_id(&self) -> Option<Cow<'a, str>> {
        self.text("eventID").or_else(|| self.text("eventId"))
    }

    /// `eventCategory`: `Management`, `Data`, `NetworkActivity`, `Insight` or
    /// `Aggregated` so far; since version 1.07.
    #[must_use]
    pub fn event_category(&self) -> Option<Cow<'a, str>> {
        self.text("eventCategory")
    }

    /// `eventType`, such as `AwsApiCall`.
    #[must_use]
    pub fn event_type(&self) -> Option<Cow<'a, str>> {
        self.text("eventType")
    }

    /// `readOnly`: a boolean, or the text `"true"` or `"false"`.
    #[must_use]
    pub fn read_only(&self) -> Option<bool> {
        match self.record.field("readOnly")? {
            b"true" => Some(true),
            b"false" => Some(false),
            raw => match &*text(raw)? {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
        }
    }

    /// `errorCode`: absent where the request was granted.
    #[must_use]
    pub fn error_code(&self) -> Option<Cow<'a, str>> {
        self.text("errorCode")
    }

    /// `recipientAccountId`: the account that received the event.
    #[must_use]
    pub fn recipient_account_id(&self) -> Option<Cow<'a, str>> {
        self.text("recipientAccountId")
    }

    /// `sharedEventID`: the same in the events of several accounts that stem
    /// from one action, and in both ends of an Insights event.
    #[must_use]
    pub fn shared_event_id(&self) -> Option<Cow<'a, str>> {
        self.text("sharedEventID")
    }

    /// The account the event belongs to: the first that is there of
    ///
    /// 1. `recipientAccountId`,
    /// 2. `accountId` (aggregated events),
    /// 3. `userIdentity.accountId`,
    /// 4. `userIdentity.sessionContext.sessionIssuer.accountId`.
    #[must_use]
    pub fn account_id(&self) -> Option<Cow<'a, str>> {
        self.recipient_account_id()
            .or_else(|| self.text("accountId"))
            .or_else(|| {
                let identity = self.user_identity()?;
                identity
                    .account_id()
                    .or_else(|| identity.session_issuer_account_id())
            })
    }

    /// `userIdentity`, if it is an object.
    #[must_use]
    pub fn user_identity(&self) -> Option<Identity<'a>> {
        let raw = self.record.field("userIdentity")?;
        raw.starts_with(b"{").then_some(Identity { raw })
    }
}

/// A lazy view of a record's `userIdentity`: who made the request.
///
/// Each method scans the object's bytes (never the whole record) when it is
/// called; what [`Header`] says of absent and unreadable fields holds here too.
/// See AWS's
/// [userIdentity element](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html).
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    raw: &'a [u8],
}

impl<'a> Identity<'a> {
    fn text<const N: usize>(&self, segments: [&str; N]) -> Option<Cow<'a, str>> {
        text(path(self.raw, segments)?)
    }

    /// The object's bytes, as they lie in the record.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// `type`, such as `AssumedRole`; an open list.
    #[must_use]
    pub fn kind(&self) -> Option<Cow<'a, str>> {
        self.text(["type"])
    }

    /// `arn`: the principal that made the call.
    #[must_use]
    pub fn arn(&self) -> Option<Cow<'a, str>> {
        self.text(["arn"])
    }

    /// `accountId`: the account that owns the principal.
    #[must_use]
    pub fn account_id(&self) -> Option<Cow<'a, str>> {
        self.text(["accountId"])
    }

    /// `principalId`: the principal's unique identifier.
    #[must_use]
    pub fn principal_id(&self) -> Option<Cow<'a, str>> {
        self.text(["principalId"])
    }

    /// `userName`: the friendly name of the identity.
    #[must_use]
    pub fn user_name(&self) -> Option<Cow<'a, str>> {
        self.text(["userName"])
    }

    /// `sessionContext.sessionIssuer.accountId`: the account that issued the session.
    #[must_use]
    pub fn session_issuer_account_id(&self) -> Option<Cow<'a, str>> {
        self.text(["sessionContext", "sessionIssuer", "accountId"])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    #[test]
    fn the_header_of_a_management_event() {
        let buf = RecordBuf::parse(
            r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/r/s","principalId":"AROAEXAMPLE:s","accountId":"111122223333","userName":"\u00fc"},
            "eventTime":"2024-05-06T07:08:09Z","eventSource":"s3.amazonaws.com","eventName":"Get\u004fbject","awsRegion":"us-west-2","sourceIPAddress":"192.0.2.1","eventID":"e-1","eventType":"AwsApiCall","eventCategory":"Data","readOnly":true,"errorCode":"AccessDenied","sharedEventID":"s-1","recipientAccountId":"444455556666"}"#,
        )
        .unwrap();
        let h = buf.as_record().header();
        assert_eq!(h.event_version(), Some(EventVersion::new(1, 11)));
        assert_eq!(h.event_time().unwrap().to_string(), "2024-05-06T07:08:09Z");
        assert!(matches!(
            h.event_source(),
            Some(Cow::Borrowed("s3.amazonaws.com"))
        ));
        assert_eq!(h.event_name().as_deref(), Some("GetObject"));
        assert_eq!(h.aws_region().as_deref(), Some("us-west-2"));
        assert_eq!(h.source_ip_address().as_deref(), Some("192.0.2.1"));
        assert_eq!(h.event_id().as_deref(), Some("e-1"));
        assert_eq!(h.event_type().as_deref(), Some("AwsApiCall"));
        assert_eq!(h.event_category().as_deref(), Some("Data"));
        assert_eq!(h.read_only(), Some(true));
        assert_eq!(h.error_code().as_deref(), Some("AccessDenied"));
        assert_eq!(h.shared_event_id().as_deref(), Some("s-1"));
        assert_eq!(h.account_id().as_deref(), Some("444455556666"));
        let who = h.user_identity().unwrap();
        assert_eq!(who.kind().as_deref(), Some("AssumedRole"));
        assert_eq!(who.account_id().as_deref(), Some("111122223333"));
        assert_eq!(who.principal_id().as_deref(), Some("AROAEXAMPLE:s"));
        assert_eq!(who.user_name().as_deref(), Some("ü"));
        assert!(who.arn().unwrap().ends_with("/s"));
    }

    #[test]
    fn null_and_wrong_types_are_none() {
        let buf = RecordBuf::parse(
            r#"{"eventVersion":null,"userIdentity":"root","eventTime":5,"eventSource":{},"eventName":["x"],"readOnly":"maybe","eventID":null,"errorCode":"\ud800"}"#,
        )
        .unwrap();
        let h = buf.as_record().header();
        assert_eq!(h.event_version(), None);
        assert_eq!(h.event_time(), None);
        assert_eq!(h.event_source(), None);
        assert_eq!(h.event_name(), None);
        assert_eq!(h.read_only(), None);
        assert_eq!(h.event_id(), None);
        assert_eq!(h.error_code(), None);
        assert_eq!(h.account_id(), None);
        assert!(h.user_identity().is_none());
    }

    #[test]
    fn the_account_is_looked_for_in_the_stated_order() {
        for (raw, account) in [
            (r#"{"recipientAccountId":"1","accountId":"2"}"#, "1"),
            (
                r#"{"recipientAccountId":null,"accountId":"2","userIdentity":{"accountId":"3"}}"#,
                "2",
            ),
            (
                r#"{"userIdentity":{"accountId":"3","sessionContext":{"sessionIssuer":{"accountId":"4"}}}}"#,
                "3",
            ),
            (
                r#"{"userIdentity":{"sessionContext":{"sessionIssuer":{"accountId":"4"}}}}"#,
                "4",
            ),
        ] {
            let buf = RecordBuf::parse(raw).unwrap();
            let found = buf.as_record().header().account_id();
            assert_eq!(found.as_deref(), Some(account), "{raw}");
        }
    }

    #[test]
    fn aggregated_ids_text_booleans_and_bare_versions_are_read() {
        let buf = RecordBuf::parse(r#"{"eventId":"a-1","readOnly":"false","eventVersion":1.10}"#)
            .unwrap();
        let h = buf.as_record().header();
        assert_eq!(h.event_id().as_deref(), Some("a-1"));
        assert_eq!(h.read_only(), Some(false));
        assert_eq!(h.event_version(), Some(EventVersion::new(1, 10)));
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(value in prop_oneof![
            any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
            "\"[0-9TZ:+.-]{0,30}\"",
            "\"\\+?-?[0-9]{1,9}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\"",
        ]) {
            let raw = format!("{{\"eventVersion\":{value},\"eventTime\":{value},\"readOnly\":{value},\"userIdentity\":{{\"type\":{value}}}}}");
            let buf = RecordBuf::parse(raw).unwrap();
            let h = buf.as_record().header();
            let _ = (h.event_version(), h.event_time(), h.read_only());
            let text: String = serde_json::from_str(&value).unwrap();
            let kind = h.user_identity().unwrap().kind();
            prop_assert_eq!(kind.as_deref(), Some(text.as_str()));
        }
    }
}
