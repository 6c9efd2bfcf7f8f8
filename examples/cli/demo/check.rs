//! Whether what arrived is what was made.

use std::collections::BTreeMap;

use ctforward_core::Report;
use ctforward_core::pipeline::End;
use ctforward_core::text::excerpt;

use super::bucket::Bucket;
use crate::books::grouped;

/// So many lines that differ are shown of each sort.
const SHOWN: usize = 3;

/// Everything that differs, a line each; empty where nothing does.
pub fn differences(bucket: &Bucket, lines: &[impl AsRef<[u8]>], report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if !matches!(report.end, End::Exhausted) {
        found.push("the run did not come to its end".to_owned());
    }
    if !report.balanced() {
        found.push("the books do not balance".to_owned());
    }
    let made = bucket.records.len() as u64;
    for (what, is, should_be) in [
        ("files delivered", report.files.delivered, bucket.log_files),
        ("files skipped", report.files.skipped, bucket.other_files),
        ("records accepted", report.records.accepted, made),
        ("records received", lines.len() as u64, made),
    ] {
        if is != should_be {
            found.push(format!(
                "{what}: {}, not {}",
                grouped(is),
                grouped(should_be)
            ));
        }
    }
    // How often each was made, less how often it was received.
    let mut balance: BTreeMap<&[u8], i64> = BTreeMap::new();
    for record in &bucket.records {
        *balance.entry(record.as_bytes()).or_default() += 1;
    }
    let known = balance.clone();
    for line in lines {
        *balance.entry(line.as_ref()).or_default() -= 1;
    }
    let mut sort = |what: &str, of: &dyn Fn(&[u8], i64) -> bool| {
        let those: Vec<&[u8]> = balance
            .iter()
            .filter(|(line, left)| of(line, **left))
            .map(|(line, _)| *line)
            .collect();
        if those.is_empty() {
            return;
        }
        found.push(format!("{} {what}:", grouped(those.len() as u64)));
        for line in those.iter().take(SHOWN) {
            found.push(format!(
                "  {}",
                excerpt(&String::from_utf8_lossy(line), 200)
            ));
        }
    };
    sort("records were not received", &|_, left| left > 0);
    sort("records were received more than once", &|line, left| {
        left < 0 && known.contains_key(line)
    });
    sort("lines were received that nobody made", &|line, _| {
        !known.contains_key(line)
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn differing(lines: &[&str]) -> String {
        let bucket = Bucket {
            log_files: 0,
            other_files: 0,
            records: ["{\"a\":1.0}", "{\"b\":2}"].map(str::to_owned).into(),
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
        };
        differences(&bucket, lines, &Report::default()).join("\n")
    }

    #[test]
    fn what_is_missing_doubled_or_changed_is_said() {
        let only_the_books = differing(&["{\"b\":2}", "{\"a\":1.0}"]);
        assert_eq!(only_the_books, "records accepted: 0, not 2");
        let changed = differing(&["{\"b\":2}", "{\"a\":1}"]);
        assert!(
            changed.contains("1 records were not received:\n  {\"a\":1.0}"),
            "{changed}"
        );
        assert!(changed.contains("1 lines were received that nobody made:\n  {\"a\":1}"));
        let doubled = differing(&["{\"b\":2}", "{\"b\":2}", "{\"a\":1.0}"]);
        assert!(doubled.contains("1 records were received more than once:\n  {\"b\":2}"));
        assert!(doubled.contains("records received: 3, not 2"));
    }
}
