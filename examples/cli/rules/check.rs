//! `rules check`: what is wrong with rules files, and what they come to.

use std::fmt::Write as _;
use std::process::ExitCode;

use ctforward_core::stage::{Redaction, Rule, Rules, With};
use ctforward_core::text::printable;

use super::args::Check;
use super::load::{load, name};

/// Status 0, or 2 where a file is wrong.
pub fn run(args: &Check) -> ExitCode {
    let mut wrong = false;
    for path in &args.files {
        let name = name(path);
        match load(path) {
            Ok(rules) => {
                for warning in rules.warnings() {
                    eprintln!("{name}: warning: {warning}");
                }
                say!("{name}: {}", summary(&rules));
            }
            Err(lines) => {
                wrong = true;
                for line in lines {
                    eprintln!("{line}");
                }
            }
        }
    }
    if wrong {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

/// What the rules come to, in lines.
fn summary(rules: &Rules) -> String {
    let mut out = match rules.includes() {
        None => "no include rules: every record goes on".to_owned(),
        Some(include) => format!("{} include rules", include.len()),
    };
    // Writing to a String cannot fail.
    let _ = write!(out, ", {} exclude rules", rules.excludes().len());
    if let Some(redact) = rules.redact() {
        let known = if redact.known_secrets() {
            Redaction::secrets_paths().len()
        } else {
            0
        };
        let with = match redact.with() {
            With::Hmac => "a keyed hash",
            _ => "a mark",
        };
        let paths = redact.paths().len() + known;
        let _ = write!(out, ", {paths} paths redacted by {with}");
    }
    let lists = [
        ("include", rules.includes().unwrap_or_default()),
        ("exclude", rules.excludes()),
    ];
    for (list, rules) in lists {
        for rule in rules {
            let _ = write!(
                out,
                "\n  {list}  {}  {}",
                printable(rule.name()),
                fields(rule)
            );
        }
    }
    out
}

fn fields(rule: &Rule) -> String {
    let selectors = rule.selectors().iter().map(|selector| {
        let values: usize = selector.conditions().map(|(_, values)| values.len()).sum();
        format!("{} ({values})", printable(selector.field()))
    });
    selectors.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_each_rule_and_steers_nothing() {
        let rules = Rules::from_json(
            br#"{"exclude":[{"Name":"kms","FieldSelectors":[
                {"Field":"eventSource","Equals":["kms.amazonaws.com"]},
                {"Field":"\u001b[2J","StartsWith":["a","b"],"NotEquals":["c"]}]}],
                "redact":{"paths":["a.b"]}}"#,
        )
        .unwrap();
        assert_eq!(
            summary(&rules),
            "no include rules: every record goes on, 1 exclude rules, 1 paths redacted by a mark\n  \
             exclude  kms  eventSource (1), \\u{1b}[2J (3)"
        );
    }
}
