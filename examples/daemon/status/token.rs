use ctforward_visionone::{Expiry, ExpiryWarning};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A token of an endpoint, as far as it can be shown: never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenStatus {
    /// Which one: `current` or `next`.
    pub name: String,
    /// Where it comes from, such as `file /etc/ctforward/token`.
    pub from: String,
    /// What its `exp` says, read and not checked; absent where the token says none.
    pub expires: Option<Timestamp>,
    /// Whole days until then; below 0 once it has expired.
    pub days_left: Option<i64>,
    /// How pressing it is to renew it: `none`, `unknown`, `month`, `week`, `day` or
    /// `expired`.
    #[serde(serialize_with = "word")]
    pub warning: ExpiryWarning,
    /// Whether the endpoint refused it last.
    pub refused: bool,
}

fn word<S: Serializer>(warning: &ExpiryWarning, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match warning {
        ExpiryWarning::None => "none",
        ExpiryWarning::Month => "month",
        ExpiryWarning::Week => "week",
        ExpiryWarning::Day => "day",
        ExpiryWarning::Expired => "expired",
        _ => "unknown",
    })
}

impl TokenStatus {
    /// The token `name` that comes from `from` and expires at `expiry`.
    pub fn new(
        name: impl Into<String>,
        from: impl Into<String>,
        expiry: Expiry,
        now: Timestamp,
    ) -> Self {
        let expires = match expiry {
            Expiry::At(at) => Some(at),
            _ => None,
        };
        let left = expiry.left(now);
        Self {
            name: name.into(),
            from: from.into(),
            expires,
            days_left: left.map(|left| left.as_secs().div_euclid(86_400)),
            warning: expiry.warning(now),
            refused: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_down_and_each_warning_has_its_word() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
        let day = 86_400;
        for (left, days, word) in [
            (31 * day, 31, "none"),
            (30 * day, 30, "month"),
            (7 * day, 7, "week"),
            (day, 1, "day"),
            (1, 0, "day"),
            (0, 0, "expired"),
            (-1, -1, "expired"),
        ] {
            let status = TokenStatus::new("current", "file", Expiry::At(at(left)), now);
            let json = serde_json::to_value(&status).unwrap();
            assert_eq!(json["days_left"], days, "{left}");
            assert_eq!(json["warning"], word, "{left}");
        }
        let opaque = TokenStatus::new("current", "file", Expiry::Unknown, now);
        let json = serde_json::to_value(&opaque).unwrap();
        assert_eq!(
            (&json["days_left"], &json["expires"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(json["warning"], "unknown");
    }
}
