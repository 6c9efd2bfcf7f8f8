//! What a key of a bucket is, which may hold more than CloudTrail's files.

use super::file_name::FileName;
use super::folder::{Folder, Level};
use super::log_key::LogKey;

/// What a key is, as far as its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyClass<'k> {
    /// A log file in its place: of any kind that holds events.
    Log(LogKey<'k>),
    /// A digest in its place.
    Digest(LogKey<'k>),
    /// A file with the name of a log file or digest in folders that are not the
    /// layout's; [`FileName::is_digest`] tells which.
    FileOnly(FileName<'k>),
    /// A file below a folder of CloudTrail's with a name that is not
    /// CloudTrail's: renamed, put there by others, or of a form that AWS added
    /// later. Only its content can tell.
    Misnamed(Folder<'k>),
    /// A file of another service, below `AWSLogs/<account>/<service>/`.
    #[non_exhaustive]
    Other {
        /// The service's folder, such as `Config`, `vpcflowlogs` or `elasticloadbalancing`.
        service: &'k str,
    },
    /// A folder: the key ends in `/`.
    Folder(Folder<'k>),
    /// None of these.
    Unknown,
}

/// Says what a key is. The key is taken as S3 has it, not percent-encoded.
///
/// A file is what its name says, wherever it lies, so that nothing with a log
/// file's name is taken for something else because of its folders.
///
/// ```
/// use ctforward_core::key::{KeyClass, classify};
///
/// assert!(matches!(
///     classify("AWSLogs/111122223333/Config/us-east-1/2024/1/2/ConfigHistory/x.json.gz"),
///     KeyClass::Other { service: "Config", .. }
/// ));
/// assert!(matches!(
///     classify("copies/111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz"),
///     KeyClass::FileOnly(_)
/// ));
/// assert!(matches!(classify("AWSLogs/111122223333/"), KeyClass::Folder(_)));
/// ```
#[must_use]
pub fn classify(key: &str) -> KeyClass<'_> {
    if key.ends_with('/') {
        return KeyClass::Folder(Folder::parse(key));
    }
    if let Some(log) = LogKey::parse(key) {
        return if log.file.is_digest() {
            KeyClass::Digest(log)
        } else {
            KeyClass::Log(log)
        };
    }
    let (path, name) = key.rsplit_once('/').unwrap_or(("", key));
    if let Some(name) = FileName::parse(name) {
        return KeyClass::FileOnly(name);
    }
    let folder = Folder::parse(path);
    match (folder.level, folder.service, folder.kind) {
        (Level::OtherService, Some(service), _) => KeyClass::Other { service },
        (_, _, Some(_)) => KeyClass::Misnamed(folder),
        _ => KeyClass::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::file_name::tests::names;
    use super::super::log_key::tests::keys;
    use super::*;

    const FILE: &str = "111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

    fn class(key: &str) -> &'static str {
        match classify(key) {
            KeyClass::Log(_) => "log",
            KeyClass::Digest(_) => "digest",
            KeyClass::FileOnly(_) => "file only",
            KeyClass::Misnamed(_) => "misnamed",
            KeyClass::Other { .. } => "other",
            KeyClass::Folder(_) => "folder",
            KeyClass::Unknown => "unknown",
        }
    }

    #[test]
    fn a_shared_bucket() {
        let day = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02";
        for (key, expected) in [
            (format!("{day}/{FILE}"), "log"),
            (format!("{day}/{}", FILE.trim_end_matches(".gz")), "log"),
            (format!("{day}/"), "folder"),
            (format!("{day}/renamed.json.gz"), "misnamed"),
            (format!("{day}/part/{FILE}"), "file only"),
            (FILE.to_owned(), "file only"),
            (
                "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2024/01/02/111122223333_CloudTrail-Digest_us-east-1_my_trail_us-east-1_20240102T030405Z.json.gz".to_owned(),
                "digest",
            ),
            (
                "AWSLogs/111122223333/vpcflowlogs/us-east-1/2024/01/02/111122223333_vpcflowlogs_us-east-1_fl-1_20240102T0305Z_0a1b2c3d.log.gz".to_owned(),
                "other",
            ),
            ("AWSLogs/111122223333/Config/ConfigWritabilityCheckFile".to_owned(), "other"),
            ("AWSLogs/111122223333/CloudTrail-Lake/Query/2024/01/02/q-1/result_1.csv.gz".to_owned(), "other"),
            ("AWSLogs/111122223333/ELBAccessLogTestFile".to_owned(), "unknown"),
            (format!("AWSLogs/111122223333/Config/{FILE}"), "file only"),
            ("readme.txt".to_owned(), "unknown"),
            (String::new(), "unknown"),
            ("/".to_owned(), "folder"),
        ] {
            assert_eq!(class(&key), expected, "{key}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_a_log_or_a_digest_and_a_name_alone_is_never_lost(text in keys(), folder in any::<String>(), name in names()) {
            prop_assert!(matches!(class(&text), "log" | "digest"));
            let elsewhere = format!("{folder}/{name}");
            prop_assert!(matches!(class(&elsewhere), "file only" | "log" | "digest"));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), parts in "(AWSLogs|o-a|[0-9]{12}|CloudTrail|Config|us-east-1|[0-9]{4}|[0-9]{2}|_|T|Z|\\.json|\\.gz|ü|/){0,20}") {
            for text in [&text, &parts] {
                if let KeyClass::Log(key) | KeyClass::Digest(key) = classify(text) {
                    prop_assert_eq!(&key.to_string(), text);
                }
            }
        }
    }
}
