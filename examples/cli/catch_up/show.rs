//! What is missing, in words and for programs.

use ctforward_aws::plan::{Place, Tally};
use serde_json::{Value, json};

use super::Found;
use crate::books::grouped;
use crate::plan::{files, tally};

impl Found {
    /// One JSON object in one line; the report of what is forwarded is another.
    pub fn json(&self, dry_run: bool) -> String {
        let row = |place: &Place, tally: &Tally| -> Value {
            json!({
                "day": place.day.map(|day| day.to_string()),
                "account": place.account,
                "region": place.region,
                "files": tally.files,
                "bytes": tally.bytes,
            })
        };
        let places: Vec<Value> = self.missing.places().map(|(p, t)| row(p, t)).collect();
        json!({
            "missing": self.survey.to_read,
            "missing_by_place": places,
            "missing_elsewhere": self.missing.elsewhere(),
            "archived": self.survey.archived,
            "seen": self.survey.seen,
            "delivered": self.survey.delivered,
            "quarantined": self.survey.quarantined,
            "begun": self.survey.begun,
            "skipped": self.survey.skipped,
            "dry_run": dry_run,
        })
        .to_string()
    }

    /// For people: a table of so many rows at most.
    pub fn text(&self, rows: usize) -> String {
        let survey = &self.survey;
        let mut lines = vec![format!("listed      {}", files(survey.seen))];
        for (why, count) in &survey.skipped {
            lines.push(format!("  skipped   {}: {why}", files(*count)));
        }
        lines.push(format!(
            "delivered   {}, by the ledger",
            tally(&survey.delivered)
        ));
        if survey.quarantined.files > 0 {
            let kept = tally(&survey.quarantined);
            lines.push(format!("quarantined {kept}, by the ledger; see redrive"));
        }
        if survey.archived.files > 0 {
            lines.push(format!(
                "archived    {}: not delivered, and to be restored first; forward --plan \
                 prints the commands",
                tally(&survey.archived)
            ));
        }
        lines.push(format!("missing     {}", tally(&survey.to_read)));
        if survey.begun > 0 {
            let begun = files(survey.begun);
            lines.push(format!("  of them begun by an earlier run: {begun}"));
        }
        for (place, held) in self.missing.places().take(rows) {
            let text = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
            let day = place
                .day
                .map_or_else(|| "-".to_owned(), |day| day.to_string());
            lines.push(format!(
                "  {day:<10}  {:<12}  {:<16}  {}",
                text(&place.account),
                text(&place.region),
                tally(held)
            ));
        }
        let places = self.missing.places().len();
        if places > rows {
            let shown: u64 = self.missing.places().take(rows).map(|(_, t)| t.files).sum();
            lines.push(format!(
                "  and {} of {} more days, accounts and regions",
                files(survey.to_read.files - shown),
                grouped((places - rows) as u64)
            ));
        }
        lines.join("\n")
    }
}
