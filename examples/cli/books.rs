//! What became of everything, for people and for programs.

use std::path::Path;
use std::process::ExitCode;

use ctforward_core::Report;
use ctforward_core::pipeline::End;
use ctforward_core::text::printable;

use crate::console::Console;
use crate::failure::chain;

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes as people read them.
pub fn megabytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a size for people to look at")]
    let size = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", size / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size / 1e6),
        _ => format!("{:.2} GB", size / 1e9),
    }
}

/// An age as people read it.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What a run leaves behind on this machine.
pub struct Kept<'a> {
    pub ledger: bool,
    pub quarantine: Option<&'a Path>,
    /// Records and files that rounds before this one put aside.
    pub aside: u64,
    /// Things that would not be sent, in a dry run.
    pub would_keep: u64,
    /// The source never ends by itself: to be interrupted is no failure.
    pub endless: bool,
}

impl Kept<'_> {
    /// Of a dry run.
    pub fn nothing(would_keep: u64) -> Self {
        Self {
            ledger: false,
            endless: false,
            quarantine: None,
            aside: 0,
            would_keep,
        }
    }
}

/// The books in a few lines.
pub fn text(report: &Report) -> String {
    let (files, records, bytes) = (&report.files, &report.records, &report.bytes);
    let mut lines = vec![
        format!(
            "files    {} seen = {} delivered + {} skipped + {} quarantined + {} failed",
            grouped(files.seen),
            grouped(files.delivered),
            grouped(files.skipped),
            grouped(files.quarantined),
            grouped(files.failed)
        ),
        format!(
            "records  {} in = {} accepted + {} filtered + {} duplicate + {} quarantined + {} undecided",
            grouped(records.read),
            grouped(records.accepted),
            grouped(records.filtered),
            grouped(records.duplicate),
            grouped(records.quarantined),
            grouped(records.undecided)
        ),
    ];
    if records.resumed > 0 {
        let resumed = grouped(records.resumed);
        lines.push(format!(
            "         {resumed} more were decided by an earlier run"
        ));
    }
    lines.push(format!(
        "bytes    {} read, {} inflated, {} sent, in {:.2} s",
        megabytes(bytes.compressed),
        megabytes(bytes.inflated),
        megabytes(bytes.sent),
        report.seconds
    ));
    if let (Some(half), all) = (
        report.freshness.quantile(0.5),
        report.freshness.quantile(0.99),
    ) {
        let all = all.map_or("more".to_owned(), age);
        lines.push(format!(
            "age      half of the records were accepted within {} of their eventTime, 99 % within {all}",
            age(half)
        ));
    }
    if report.conflicting > 0 {
        lines.push(format!(
            "         {} records were sent although their eventID came before with other bytes",
            grouped(report.conflicting)
        ));
    }
    for (rule, count) in &report.filtered_by {
        let noun = if *count == 1 { "record" } else { "records" };
        lines.push(format!(
            "         {} {noun} filtered by {rule}",
            grouped(*count)
        ));
    }
    for (why, count) in &report.skipped_because {
        let noun = if *count == 1 { "file" } else { "files" };
        lines.push(format!(
            "         {} {noun} skipped: {why}",
            grouped(*count)
        ));
    }
    lines.join("\n")
}

/// Names what is left, and finds the exit status: 0 all accepted, 1 not
/// finished, 3 finished but something was not sent (or, in a dry run, would not be).
pub fn conclude(report: &Report, console: &Console, kept: &Kept<'_>) -> ExitCode {
    const NAMED: usize = 20;
    for (object, error) in report.failures.iter().take(NAMED) {
        console.line(&format!("not finished: {object}: {}", chain(error)));
    }
    let unnamed = report.files.failed.saturating_sub(NAMED as u64);
    if unnamed > 0 {
        console.line(&format!("not finished: {} more files", grouped(unnamed)));
    }
    match &report.end {
        End::Failed(error) => console.line(&format!("ctforward: {}", chain(error))),
        End::Stopped => console.line("ctforward: interrupted"),
        _ => {}
    }
    let ended = match report.end {
        End::Exhausted => true,
        // So every run of a queue ends that is not to be drained.
        End::Stopped => kept.endless,
        _ => false,
    };
    if report.files.failed > 0 || !ended {
        let undecided = grouped(report.records.undecided);
        let again = if kept.ledger {
            "what is finished is skipped, and the rest goes on where it was"
        } else {
            "it reads every file from its beginning, and what was accepted is sent once more"
        };
        console.line(&format!(
            "ctforward: {} files are not finished, with {undecided} records read and not known \
             to be accepted; there may be files not yet seen. Run it again: {again}.",
            grouped(report.files.failed)
        ));
        return ExitCode::from(1);
    }
    if report.files.quarantined > 0 || report.records.quarantined > 0 || kept.aside > 0 {
        let place = match kept.quarantine {
            Some(folder) => {
                let folder = printable(&folder.to_string_lossy()).into_owned();
                format!("they are kept in {folder}; see quarantine list and redrive")
            }
            None => "they stay in the source, at the places named above".to_owned(),
        };
        console.line(&format!(
            "ctforward: {} records were not sent, and {} files not to their end; {place}",
            grouped(report.records.quarantined),
            grouped(report.files.quarantined)
        ));
        if kept.aside > 0 {
            let aside = grouped(kept.aside);
            console.line(&format!("ctforward: and {aside} on the days before"));
        }
        return ExitCode::from(3);
    }
    if kept.would_keep > 0 {
        let would_keep = grouped(kept.would_keep);
        console.line(&format!(
            "ctforward: {would_keep} things would not be sent, as named above"
        ));
        return ExitCode::from(3);
    }
    // A misspelt account or region leaves out everything, and looks like success.
    let out: u64 = report
        .skipped_because
        .iter()
        .filter(|(why, _)| why.contains("asked for"))
        .map(|(_, count)| count)
        .sum();
    if out > 0 && out == report.files.seen {
        console.line(
            "note: the options left out every file; check accounts, regions, kinds and times",
        );
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(megabytes(1_500_000), "1.5 MB");
    }
}
