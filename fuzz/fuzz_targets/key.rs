//! Keys of a bucket: nothing panics, and what is taken apart prints as it was.
#![no_main]

use ctforward_core::key::{Encoding, FileName, Folder, KeyClass, Kind, Level, LogKey, classify};
use libfuzzer_sys::fuzz_target;

const FOLDERS: &str = "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/us-east-1/2024/01/02";
const FILE: &str = "111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

fuzz_target!(|text: &str| {
    check(text);
    // The text as the folders of a sound name, and as the name in sound folders.
    check(&format!("{text}/{FILE}"));
    check(&format!("{FOLDERS}/{text}"));
});

fn check(text: &str) {
    check_name(text);
    check_folder(text);
    let key = LogKey::parse(text);
    if let Some(key) = key {
        check_key(key, text);
    }
    let last = text.rsplit('/').next().unwrap_or(text);
    let class = classify(text);
    match class {
        KeyClass::Log(log) | KeyClass::Digest(log) => {
            assert_eq!(Some(log), key);
            assert_eq!(
                log.file.is_digest(),
                matches!(class, KeyClass::Digest(_)),
                "{text:?}"
            );
        }
        _ => assert_eq!(key, None, "{class:?}, though it is a whole key: {text:?}"),
    }
    match class {
        KeyClass::FileOnly(name) => assert_eq!(name.to_string(), last),
        KeyClass::Folder(folder) => {
            assert!(text.ends_with('/'));
            assert_eq!(folder, Folder::parse(text));
        }
        KeyClass::Other { service, .. } => assert!(text.contains(service)),
        _ => {}
    }
    // What has a log file's name is never taken for something else.
    if FileName::parse(last).is_some() {
        assert!(
            matches!(
                class,
                KeyClass::Log(_) | KeyClass::Digest(_) | KeyClass::FileOnly(_)
            ),
            "{class:?} of {text:?}"
        );
    }
}

fn check_name(text: &str) {
    if let Some(kind) = Kind::parse(text) {
        assert_eq!(kind.to_string(), text);
    }
    let Some(name) = FileName::parse(text) else {
        return;
    };
    assert_eq!(name.to_string(), text);
    assert!(!text.contains('/'));
    let _ = name.timestamp();
    for encoding in [Encoding::Gzip, Encoding::Plain] {
        let other = name.with_encoding(encoding);
        assert_eq!(FileName::parse(&other.to_string()), Some(other));
    }
}

fn check_folder(text: &str) {
    let folder = Folder::parse(text);
    if !text.ends_with('/') {
        assert_eq!(Folder::parse(&format!("{text}/")), folder);
    }
    if let Some((first, last)) = folder.days {
        assert!(first <= last && folder.may_hold(first) && folder.may_hold(last));
    }
}

fn check_key(key: LogKey<'_>, text: &str) {
    assert_eq!(key.to_string(), text);
    // No folder on the way rules the key out, or a lister would not come to it.
    // (A prefix may be anything, and mislead; below the root nothing does.)
    let below = key.prefix.map_or(0, |prefix| prefix.len() + 1);
    for (at, _) in text.match_indices('/').filter(|(at, _)| *at > below) {
        let folder = Folder::parse(&text[..=at]);
        assert!(
            !matches!(
                folder.level,
                Level::Off | Level::Outside | Level::OtherService
            ),
            "{folder:?} on the way to {text:?}"
        );
        assert_eq!(folder.prefix, key.prefix);
        assert!(folder.organisation.is_none() || folder.organisation == key.organisation);
        assert!(folder.account.is_none_or(|account| account == key.account));
        assert!(folder.kind.is_none_or(|kind| kind == key.kind));
        assert!(folder.region.is_none_or(|region| region == key.region));
        assert!(folder.may_hold(key.date), "{folder:?}, {text:?}");
        assert_eq!(folder.service, None);
    }
    let made = LogKey::of(key.prefix, key.organisation, key.file);
    assert_eq!(LogKey::parse(&made.unwrap().to_string()), made);
}
