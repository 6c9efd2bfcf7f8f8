//! Commands for people to copy: quoted so that a name from outside stays one word.

use std::borrow::Cow;
use std::fmt::Write as _;

use ctforward_core::ObjectId;
use ctforward_core::text::printable;

/// One word of a POSIX-like shell.
///
/// What could steer a terminal is written as `$'\x…'`, which bash, zsh and ksh read.
pub(crate) fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_./=:@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        return word.to_owned();
    }
    if matches!(printable(word), Cow::Borrowed(_)) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for c in word.chars() {
        if c.is_ascii_graphic() && c != '\'' && c != '\\' || c == ' ' {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('\'');
    out
}

/// The `aws` command that restores an archived object for a week, for people to copy.
///
/// Each name from outside is one word of bash, zsh or ksh, and steers no terminal.
/// `None` where the key looks like an address: the AWS command line would read
/// the file it names instead of taking it as text.
#[must_use]
pub fn restore_command(object: &ObjectId) -> Option<String> {
    let version = object.version.as_deref();
    let words = [
        Some(object.bucket.as_str()),
        Some(object.key.as_str()),
        version,
    ];
    if words.iter().flatten().any(|word| word.contains("://")) {
        return None;
    }
    let mut command = format!(
        "aws s3api restore-object{}{}",
        option("--bucket", &object.bucket),
        option("--key", &object.key)
    );
    if let Some(version) = version {
        command.push_str(&option("--version-id", version));
    }
    command.push_str(" --restore-request Days=7");
    Some(command)
}

/// ` name value`; a value that would pass for an option is tied to its name.
fn option(name: &str, value: &str) -> String {
    let tie = if value.starts_with('-') { '=' } else { ' ' };
    format!(" {name}{tie}{}", quote(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_a_word() {
        let cases = [
            ("AWSLogs/1/a_b.json.gz", "AWSLogs/1/a_b.json.gz"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(id);`id`", "'$(id);`id`'"),
            ("it's", r"'it'\''s'"),
            ("a\nrm -rf ~", r"$'a\x0arm -rf ~'"),
            ("\u{202e}'x\\", r"$'\xe2\x80\xae\x27x\x5c'"),
            ("~root", "'~root'"),
            ("a*?[b]{c,d}!", "'a*?[b]{c,d}!'"),
        ];
        for (word, expected) in cases {
            assert_eq!(quote(word), expected, "{word:?}");
        }
    }

    #[test]
    fn the_restore_command_names_the_object_and_nothing_else() {
        let id = ObjectId::new("logs", "-x/it's").with_version("v1");
        assert_eq!(
            restore_command(&id).as_deref(),
            Some(
                r"aws s3api restore-object --bucket logs --key='-x/it'\''s' --version-id v1 --restore-request Days=7"
            )
        );
        assert_eq!(
            restore_command(&ObjectId::new("logs", "file:///etc/passwd")),
            None
        );
    }
}
