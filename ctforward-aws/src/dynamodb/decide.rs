//! What a row answers to a claim; pure.

use std::time::Duration;

use ctforward_core::Object;
use ctforward_core::ledger::rewritten;

use super::row::{Row, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Finished, and still the same file.
    Delivered,
    Held {
        remaining: Duration,
    },
    /// It may be granted; `anew` from the first byte, else from the row's mark.
    Free {
        anew: bool,
    },
}

/// Whether the row says that this very file is finished. One that has expired says
/// nothing.
pub(super) fn finished(row: &Row, object: &Object, now: i64) -> bool {
    row.state != State::InProgress && !expired(row, now) && !another(row, object)
}

/// What a claim at `now` (in milliseconds) is to be told.
pub(super) fn answer(row: &Row, object: &Object, now: i64) -> Answer {
    if finished(row, object, now) {
        return Answer::Delivered;
    }
    match row.lease {
        Some(until) if until > now => Answer::Held {
            remaining: Duration::from_millis(until.abs_diff(now)),
        },
        _ => Answer::Free {
            anew: row.state != State::InProgress,
        },
    }
}

fn another(row: &Row, object: &Object) -> bool {
    let quarantined = row.state == State::Quarantined;
    rewritten(row.etag.as_deref(), row.size, quarantined, object)
}

/// DynamoDB deletes a row some time after its time has come, up to days later.
fn expired(row: &Row, now: i64) -> bool {
    row.ttl.is_some_and(|ttl| ttl.saturating_mul(1000) <= now)
}

#[cfg(test)]
mod tests {
    use ctforward_core::ObjectId;
    use ctforward_core::ledger::Mark;

    use super::*;

    const NOW: i64 = 1_767_312_345_678;

    fn row(state: State) -> Row {
        Row {
            state,
            fence: 7,
            lease: None,
            call: None,
            etag: Some("e1".to_owned()),
            size: Some(4),
            mark: Mark::default(),
            ttl: None,
        }
    }

    fn object() -> Object {
        Object::new(ObjectId::new("b", "k"))
    }

    #[test]
    fn a_lease_holds_to_its_last_millisecond_and_no_longer() {
        let mut row = row(State::InProgress);
        assert_eq!(answer(&row, &object(), NOW), Answer::Free { anew: false });
        row.lease = Some(NOW + 1);
        let remaining = Duration::from_millis(1);
        assert_eq!(answer(&row, &object(), NOW), Answer::Held { remaining });
        row.lease = Some(NOW);
        assert_eq!(answer(&row, &object(), NOW), Answer::Free { anew: false });
    }

    #[test]
    fn finished_is_said_of_the_same_file_only() {
        for state in [State::Delivered, State::Quarantined] {
            let row = row(state);
            for same in [object(), object().with_etag("e1"), object().with_size(4)] {
                assert_eq!(answer(&row, &same, NOW), Answer::Delivered, "{same:?}");
            }
            for other in [object().with_etag("e2"), object().with_size(5)] {
                let free = Answer::Free { anew: true };
                assert_eq!(answer(&row, &other, NOW), free, "{other:?}");
                assert!(!finished(&row, &other, NOW));
            }
        }
        // Missing when it was looked for, and there now.
        let mut gone = row(State::Quarantined);
        (gone.etag, gone.size) = (None, None);
        assert!(finished(&gone, &object(), NOW));
        assert!(!finished(&gone, &object().with_etag("e1"), NOW));
        assert!(!finished(&row(State::InProgress), &object(), NOW));
    }

    #[test]
    fn a_row_past_its_time_is_not_there_though_it_was_not_deleted() {
        let mut row = row(State::Delivered);
        row.ttl = Some(NOW / 1000 + 1);
        assert_eq!(answer(&row, &object(), NOW), Answer::Delivered);
        row.ttl = Some(NOW / 1000);
        assert_eq!(answer(&row, &object(), NOW), Answer::Free { anew: true });
        assert!(!finished(&row, &object(), NOW));
        row.ttl = Some(i64::MAX);
        assert!(finished(&row, &object(), NOW));
    }
}
