//! Checks as a table, or as JSON.

use std::io::Write as _;

use ctforward_core::{Check, Outcome};
use serde_json::json;

use crate::failure::Failure;
use crate::table::{Cell, Column, Table};

/// In the order in which outcomes matter to a reader.
const ORDER: [Outcome; 5] = [
    Outcome::Fail,
    Outcome::Warn,
    Outcome::Unknown,
    Outcome::Pass,
    Outcome::Skipped,
];

/// Prints the checks on standard output.
pub fn print(checks: &[Check], as_json: bool) -> Result<(), Failure> {
    let text = if as_json { json(checks)? } else { text(checks) };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A program that reads it must not take its absence for success.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::work(
            format!("the checks could not be printed: {error}"),
        )),
        _ => Ok(()),
    }
}

fn count(checks: &[Check], outcome: Outcome) -> usize {
    checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .count()
}

fn json(checks: &[Check]) -> Result<String, Failure> {
    let counts: serde_json::Map<_, _> = ORDER
        .iter()
        .map(|outcome| (outcome.as_str().to_owned(), json!(count(checks, *outcome))))
        .collect();
    let all = json!({ "checks": checks, "counts": counts });
    serde_json::to_string(&all)
        .map(|text| text + "\n")
        .map_err(|error| Failure::work(format!("the checks: {error}")))
}

/// A table of all checks, and below it what mends those that did not pass.
fn text(checks: &[Check]) -> String {
    let mut table = Table::new([
        Column::left(""),
        Column::left("check"),
        Column::left("seen"),
    ]);
    for check in checks {
        table.row([
            Cell::text(check.outcome.as_str()),
            Cell::text(check.id),
            Cell::text(&check.seen),
        ]);
    }
    let mut out = table.to_string();
    for outcome in ORDER {
        for check in checks.iter().filter(|check| check.outcome == outcome) {
            if let Some(fix) = check.fix.as_deref().filter(|_| outcome != Outcome::Pass) {
                out.push_str(&format!(
                    "\n{} {}: {}\n  {fix}\n",
                    outcome.as_str(),
                    check.id,
                    check.title
                ));
            }
        }
    }
    let counts: Vec<String> = ORDER
        .iter()
        .map(|outcome| format!("{} {}", count(checks, *outcome), outcome.as_str()))
        .collect();
    out.push_str(&format!("\n{}\n", counts.join(", ")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_all_and_the_fixes_of_what_did_not_pass() {
        let checks = [
            Check::new("a", "A", Outcome::Pass, "fine").with_fix("nothing"),
            Check::new("b", "B", Outcome::Fail, "bro\u{1b}[2Jken").with_fix("mend it"),
            Check::new("c", "C", Outcome::Unknown, "unseen"),
        ];
        let text = text(&checks);
        assert!(
            text.contains("fail     b      bro\\u{1b}[2Jken\n"),
            "{text}"
        );
        assert!(text.contains("fail b: B\n  mend it\n"));
        assert!(!text.contains("nothing") && !text.contains('\u{1b}'));
        assert!(text.ends_with("1 fail, 0 warn, 1 unknown, 1 pass, 0 skipped\n"));
        let json: serde_json::Value = serde_json::from_str(&json(&checks).unwrap()).unwrap();
        assert_eq!(json["counts"]["fail"], 1);
        assert_eq!(json["checks"][1]["outcome"], "fail");
    }
}
