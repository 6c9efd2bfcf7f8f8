//! The plan in words, and for programs.

use ctforward_aws::plan::{Cost, Estimate, Guess, Measured, Sample, Settings, Survey, Tally};
use serde_json::json;

use crate::books::{grouped, megabytes};

/// All that is printed; texts from outside in it were made printable.
pub struct Plan {
    pub survey: Survey,
    pub sample: Sample,
    pub settings: Settings,
    pub estimate: Option<Estimate>,
    pub cost: Cost,
    pub with_ledger: bool,
    /// Keys that the listing itself left out by their time.
    pub out_of_time: u64,
    /// Folders that the listing did not enter.
    pub pruned_folders: u64,
    /// The first commands that restore archived objects.
    pub commands: Vec<String>,
}

impl Plan {
    /// One JSON object.
    pub fn json(&self) -> String {
        let (sample, settings) = (&self.sample, &self.settings);
        let sum = |what: fn(&Measured) -> u64| -> u64 { sample.files.iter().map(what).sum() };
        json!({
            "plan": self.survey,
            "ledger": self.with_ledger,
            "listing": {
                "requests": settings.list_requests,
                "out_of_time": self.out_of_time,
                "pruned_folders": self.pruned_folders,
            },
            "restore_commands_first": self.commands,
            "sample": {
                "opened": sample.opened,
                "read": sample.files.len() as u64 - sample.no_log,
                "no_log": sample.no_log,
                "archived": sample.archived,
                "failed": sample.failed,
                "stored_bytes": sum(|file| file.stored),
                "inflated_bytes": sum(|file| file.inflated),
                "records": sum(|file| file.records),
                "sent_bytes": sum(|file| file.sent),
                "not_sendable": sum(|file| file.bad),
            },
            "settings": {
                "batch_bytes": settings.batch_bytes,
                "bytes_per_second": settings.rate,
                "bytes_per_day": settings.per_day,
            },
            "estimate": self.estimate,
            "s3_requests": {
                "list": settings.list_requests,
                "get": self.survey.from_s3.files,
            },
            "cost": {
                "money": self.cost.money(),
                "get_requests": self.cost.get_requests,
                "list_requests": self.cost.list_requests,
                "gb_out": self.cost.gb_out,
                "gb_sent": self.cost.gb_sent,
                "credits": self.cost.credits,
            },
        })
        .to_string()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec!["a plan: nothing was sent, acknowledged or noted".to_owned()];
        self.files(&mut lines);
        self.estimates(&mut lines);
        self.requests(&mut lines);
        self.costs(&mut lines);
        lines.join("\n")
    }

    fn files(&self, lines: &mut Vec<String>) {
        let survey = &self.survey;
        lines.push(format!("listed      {}", files(survey.seen)));
        for (why, count) in &survey.skipped {
            lines.push(format!("  skipped   {}: {why}", files(*count)));
        }
        if self.out_of_time > 0 || self.pruned_folders > 0 {
            lines.push(format!(
                "  besides, the listing left out {} keys by their time, and entered {} folders not at all",
                grouped(self.out_of_time),
                grouped(self.pruned_folders)
            ));
        }
        if survey.without_time > 0 {
            lines.push(format!(
                "  {} carry no time in their keys and are taken all the same",
                files(survey.without_time)
            ));
        }
        if self.with_ledger {
            lines.push(format!(
                "  delivered {}, by the ledger",
                tally(&survey.delivered)
            ));
            if survey.quarantined.files > 0 {
                let kept = tally(&survey.quarantined);
                lines.push(format!("  in quarantine {kept}, by the ledger"));
            }
            if survey.begun > 0 {
                let begun = files(survey.begun);
                lines.push(format!(
                    "  begun by an earlier run, and read again: {begun}"
                ));
            }
        }
        if survey.archived.files > 0 {
            lines.push(format!(
                "  archived  {}: each must be restored before it can be read, and none is in what \
                 follows. A restore has its price. For example:",
                tally(&survey.archived)
            ));
            lines.extend(self.commands.iter().map(|line| format!("    {line}")));
            if survey.without_command > 0 {
                lines.push(format!(
                    "    none for {}: the aws command line would take the key for an address",
                    files(survey.without_command)
                ));
            }
        }
        lines.push(format!("to read     {} as stored", tally(&survey.to_read)));
        if survey.storage_classes.len() > 1 || survey.archived.files > 0 {
            for (class, held) in &survey.storage_classes {
                lines.push(format!("  {class}  {}", tally(held)));
            }
        }
    }

    fn estimates(&self, lines: &mut Vec<String>) {
        let (survey, sample) = (&self.survey, &self.sample);
        let stored: u64 = sample.files.iter().map(|file| file.stored).sum();
        lines.push(format!(
            "sample      {} of {} opened, {} stored",
            grouped(sample.opened),
            files(survey.to_read.files),
            megabytes(stored)
        ));
        let odd = [
            (
                sample.no_log,
                "no CloudTrail log files; they count as empty",
            ),
            (
                sample.archived,
                "archived, which the listing does not show; more will be",
            ),
            (sample.failed, "not read, and left out of the estimates"),
        ];
        for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
            lines.push(format!("  {} of it: {what}", grouped(count)));
        }
        let bad: u64 = sample.files.iter().map(|file| file.bad).sum();
        if bad > 0 {
            let bad = grouped(bad);
            lines.push(format!("  {bad} records in it would go to quarantine"));
        }
        let Some(estimate) = &self.estimate else {
            lines.push(
                "estimates   none: no stored byte was read for a sample, so the inflated size, the \
                 records, the requests to the sink and the time are unknown"
                    .to_owned(),
            );
            return;
        };
        lines.push(if estimate.complete {
            "counted     every file was read".to_owned()
        } else {
            "estimates   from the sample's share in the stored bytes; ± is one standard error, from \
             the choice of the files alone"
                .to_owned()
        });
        let about = |guess: &Guess, shown: String| match guess.relative_error {
            _ if estimate.complete => shown,
            Some(error) => format!("about {shown} ± {:.0} %", error * 100.0),
            None => format!("about {shown}, from one file alone"),
        };
        let inflated = &estimate.inflated_bytes;
        lines.push(format!(
            "  inflated  {}: {:.1} times the stored size",
            about(inflated, megabytes(inflated.about)),
            estimate.ratio
        ));
        let records = &estimate.records;
        lines.push(format!(
            "  records   {}",
            about(records, grouped(records.about))
        ));
        let sent = &estimate.sent_bytes;
        lines.push(format!(
            "  sent      {} before compression, if no rule drops a record",
            about(sent, megabytes(sent.about))
        ));
        lines.push(format!(
            "  requests to the sink  at least {}, of {} at most",
            grouped(estimate.sink_requests_at_least),
            megabytes(self.settings.batch_bytes)
        ));
        lines.push(match (estimate.seconds, self.settings.rate) {
            (Some(seconds), Some(rate)) => format!(
                "  duration  about {} at {} of records a second, if the sink takes as much",
                duration(seconds),
                megabytes(rate)
            ),
            _ => "  duration  unknown: give --plan-rate; what the sink takes is not known here"
                .to_owned(),
        });
        if let (Some(days), Some(most)) = (estimate.days, self.settings.per_day) {
            let most = megabytes(most);
            lines.push(format!(
                "  days      about {days:.1} at {most} of records a day"
            ));
        }
        if survey.to_read.unknown_size > 0 {
            lines.push(format!(
                "  {} are of unknown size, and not in the estimates",
                files(survey.to_read.unknown_size)
            ));
        }
    }

    fn requests(&self, lines: &mut Vec<String>) {
        let (get, list) = (self.survey.from_s3.files, self.settings.list_requests);
        if list > 0 {
            lines.push(format!(
                "S3 requests LIST {}, as many as this plan made; GET about {}, one a file, more \
                 where a body breaks off or is tried again",
                grouped(list),
                grouped(get)
            ));
        }
    }

    fn costs(&self, lines: &mut Vec<String>) {
        let (cost, prices) = (&self.cost, &self.settings.prices);
        let parts = [
            ("GET requests", prices.get_1000, cost.get_requests),
            ("LIST requests", prices.list_1000, cost.list_requests),
            ("read from S3", prices.gb_out, cost.gb_out),
            ("records sent", prices.gb_sent, cost.gb_sent),
        ];
        let line = |name: &str, part: Option<f64>| match part {
            Some(part) => format!("  {name}  about {}", amount(part)),
            None => format!("  {name}  unknown without a sample"),
        };
        let asked: Vec<_> = parts
            .iter()
            .filter(|(_, price, _)| price.is_some())
            .collect();
        if !asked.is_empty() {
            lines.push("cost        estimated, at the prices given".to_owned());
            lines.extend(asked.iter().map(|(name, _, part)| line(name, *part)));
            let whole = asked.iter().all(|(_, _, part)| part.is_some());
            if let (true, true, Some(sum)) = (asked.len() > 1, whole, cost.money()) {
                lines.push(line("together", Some(sum)));
            }
        }
        if prices.credits_gb.is_some() {
            lines.push("credits     estimated, at the price given".to_owned());
            lines.push(line("records sent", cost.credits));
        }
    }
}

pub fn files(count: u64) -> String {
    let noun = if count == 1 { "file" } else { "files" };
    format!("{} {noun}", grouped(count))
}

pub fn tally(tally: &Tally) -> String {
    let unknown = match tally.unknown_size {
        0 => String::new(),
        count => format!(" and {} of unknown size", grouped(count)),
    };
    format!(
        "{}, {}{unknown}",
        files(tally.files),
        megabytes(tally.bytes)
    )
}

/// Small amounts keep their digits.
fn amount(number: f64) -> String {
    if number == 0.0 || number >= 1.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.6}")
    }
}

/// The two largest units of a time.
fn duration(seconds: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time for people to look at"
    )]
    let all = seconds.ceil() as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{all} s"),
        (0, 0, _) => format!("{minutes} min {} s", all % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{} d {hours} h", grouped(days)),
    }
}

#[cfg(test)]
mod tests {
    use super::{amount, duration};

    #[test]
    fn times_and_amounts_as_people_read_them() {
        for (seconds, shown) in [
            (0.2, "1 s"),
            (59.0, "59 s"),
            (61.0, "1 min 1 s"),
            (7_260.0, "2 h 1 min"),
            (180_000.0, "2 d 2 h"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
        assert_eq!(amount(0.0), "0.00");
        assert_eq!(amount(0.0008), "0.000800");
        assert_eq!(amount(22.5), "22.50");
    }
}
