use jiff::Timestamp;
use serde::Serialize;

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
    /// How pressing it is.
    pub warning: TokenWarning,
    /// Whether the endpoint refused it last.
    pub refused: bool,
}

/// How pressing it is to renew a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenWarning {
    /// More than 30 days are left.
    None,
    /// The token does not say when it expires.
    Unknown,
    /// 30 days are left, or less.
    Month,
    /// Seven days, or less.
    Week,
    /// One day, or less.
    Day,
    /// It has expired.
    Expired,
}

impl TokenStatus {
    /// The token `name` that comes from `from` and says to expire at `expires`.
    pub fn new(
        name: impl Into<String>,
        from: impl Into<String>,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let left = expires.map(|at| at.as_second() - now.as_second());
        const DAY: i64 = 86_400;
        let warning = match left {
            None => TokenWarning::Unknown,
            Some(left) if left <= 0 => TokenWarning::Expired,
            Some(left) if left <= DAY => TokenWarning::Day,
            Some(left) if left <= 7 * DAY => TokenWarning::Week,
            Some(left) if left <= 30 * DAY => TokenWarning::Month,
            Some(_) => TokenWarning::None,
        };
        Self {
            name: name.into(),
            from: from.into(),
            expires,
            days_left: left.map(|left| left.div_euclid(DAY)),
            warning,
            refused: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_at_thirty_seven_and_one_days() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
        let day = 86_400;
        for (left, days, warning) in [
            (31 * day, 31, TokenWarning::None),
            (30 * day + 1, 30, TokenWarning::None),
            (30 * day, 30, TokenWarning::Month),
            (7 * day + 1, 7, TokenWarning::Month),
            (7 * day, 7, TokenWarning::Week),
            (day, 1, TokenWarning::Day),
            (1, 0, TokenWarning::Day),
            (0, 0, TokenWarning::Expired),
            (-1, -1, TokenWarning::Expired),
        ] {
            let status = TokenStatus::new("current", "file", Some(at(left)), now);
            assert_eq!(
                (status.days_left, status.warning),
                (Some(days), warning),
                "{left}"
            );
        }
        let opaque = TokenStatus::new("current", "file", None, now);
        assert_eq!(
            (opaque.days_left, opaque.warning),
            (None, TokenWarning::Unknown)
        );
    }
}
