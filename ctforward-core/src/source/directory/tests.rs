use std::fs;

use super::*;
use crate::source::Chunks;

async fn all(source: &mut DirectorySource) -> Vec<Intake> {
    let mut met = Vec::new();
    while let Some(intake) = source.next().await.unwrap() {
        met.push(intake);
    }
    met
}

/// What a source handed over: `key`, or `key: why`.
async fn names(path: &Path) -> Vec<String> {
    let mut source = DirectorySource::new(path).unwrap();
    let met = all(&mut source).await;
    met.into_iter()
        .map(|intake| match intake {
            Intake::File(file) => file.object.id.key,
            Intake::Skip { object, why, .. } => format!("{}: {why}", object.key),
            Intake::Foreign { .. } => unreachable!(),
        })
        .collect()
}

async fn first(path: &Path) -> LogFile {
    let mut source = DirectorySource::new(path).unwrap();
    match source.next().await.unwrap() {
        Some(Intake::File(file)) => file,
        other => panic!("{other:?}"),
    }
}

async fn rest(chunks: &mut dyn Chunks) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[tokio::test]
async fn files_come_by_name_and_what_is_none_is_skipped_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("b/c")).unwrap();
    for name in [
        "b/c/2.json",
        "b/1.json",
        "a.json.gz",
        "a.json.gz.6eF3bD71",
        ".DS_Store",
        "t.json.20240102",
        "x.12345678",
        "z",
    ] {
        fs::write(root.join(name), name).unwrap();
    }
    let expected = [
        ".DS_Store",
        "a.json.gz",
        "a.json.gz.6eF3bD71: temporary name of aws s3 sync",
        "b/1.json",
        "b/c/2.json",
        "t.json.20240102",
        "x.12345678",
        "z",
    ];
    assert_eq!(names(root).await, expected);
    let id = first(root).await.object.id;
    assert_eq!(
        id.bucket,
        format!("file://{}", fs::canonicalize(root).unwrap().display())
    );
}

#[tokio::test]
async fn one_file_is_named_even_with_a_temporary_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json.gz.6eF3bD71");
    fs::write(&path, "x").unwrap();
    let file = first(&path).await;
    assert!(file.named);
    assert_eq!(file.object.id.key, "x.json.gz.6eF3bD71");
    assert_eq!(file.object.size, Some(1));
}

#[tokio::test]
async fn content_comes_whole_with_etag_and_size_as_often_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..700_000u32).map(|n| n.to_le_bytes()[0]).collect();
    fs::write(folder.path().join("f"), &content).unwrap();
    let file = first(folder.path()).await;
    for _ in 0..2 {
        let mut opened = file.open.open().await.unwrap();
        assert_eq!(opened.etag, file.object.etag);
        assert_eq!(opened.size, Some(700_000));
        assert!(rest(&mut *opened.chunks).await.unwrap() == content);
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_an_error() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("grown", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.push(0);
            fs::write(path, bytes).unwrap();
        }),
        ("shrunk", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(300_000).unwrap();
        }),
        ("replaced", |path| {
            let other = path.with_extension("new");
            fs::write(&other, fs::read(path).unwrap()).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("touched", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }),
        ("removed", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, vec![7; 600_000]).unwrap();
        let mut opened = first(folder.path()).await.open.open().await.unwrap();
        opened.chunks.next().await.unwrap().unwrap();
        change(&path);
        let error = rest(&mut *opened.chunks).await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Changed, "{name}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_and_pipes_are_never_opened() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let root = folder.path();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/log.json"), "x").unwrap();
    symlink(outside.path().join("secret"), root.join("link")).unwrap();
    symlink(outside.path(), root.join("linked-folder")).unwrap();
    symlink(root.join("sub/log.json"), root.join("inside")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(root.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let expected = [
        "inside: symbolic link",
        "link: symbolic link",
        "linked-folder: symbolic link",
        "pipe: not a regular file",
        "sub/log.json",
    ];
    assert_eq!(names(root).await, expected);

    // A link, or a folder that leads out, put in place after the walk passed.
    let file = first(&root.join("sub")).await;
    fs::remove_file(root.join("sub/log.json")).unwrap();
    symlink(outside.path().join("secret"), root.join("sub/log.json")).unwrap();
    assert_eq!(
        file.open.open().await.unwrap_err().kind(),
        ErrorKind::Changed
    );

    fs::remove_file(root.join("sub/log.json")).unwrap();
    fs::write(root.join("sub/log.json"), "x").unwrap();
    let mut source = DirectorySource::new(root).unwrap();
    let file = all(&mut source)
        .await
        .into_iter()
        .find_map(|intake| match intake {
            Intake::File(file) => Some(file),
            _ => None,
        });
    fs::rename(root.join("sub"), outside.path().join("sub")).unwrap();
    symlink(outside.path().join("sub"), root.join("sub")).unwrap();
    assert_eq!(
        file.unwrap().open.open().await.unwrap_err().kind(),
        ErrorKind::Changed
    );

    // A link to a file is not followed even when it is named.
    let named = DirectorySource::new(root.join("link")).unwrap_err();
    assert_eq!(named.kind(), ErrorKind::Config);
    // A folder may be a link that somebody named.
    let link = outside.path().join("to-root");
    symlink(root, &link).unwrap();
    assert_eq!(names(&link).await.len(), 5);
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_are_no_text_keep_apart_and_open() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for name in [
        &b"a\xff.json"[..],
        b"a\xfe.json",
        "\u{fffd}61ff2e6a736f6e".as_bytes(),
    ] {
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let keys: std::collections::BTreeSet<String> = names(folder.path()).await.into_iter().collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    let mut opened = first(folder.path()).await.open.open().await.unwrap();
    assert_eq!(rest(&mut *opened.chunks).await.unwrap(), b"x");
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_may_not_be_read_is_handed_over_and_does_not_open() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(folder.path().join("log.json"), "x").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let superuser = fs::read_dir(&closed).is_ok();
    let met = names(folder.path()).await;
    if superuser {
        // Nothing is closed to this user.
        assert_eq!(met, ["log.json"]);
    } else {
        assert_eq!(met, ["closed", "log.json"]);
        let error = first(folder.path()).await.open.open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(
            DirectorySource::new(&closed).unwrap_err().kind(),
            ErrorKind::Unauthorized
        );
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_dropped_call_loses_no_file_and_a_missing_root_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fs::write(folder.path().join(format!("{n:03}")), "x").unwrap();
    }
    let mut source = DirectorySource::new(folder.path()).unwrap();
    let mut keys = Vec::new();
    loop {
        let next = source.next();
        // Polled at most once, then dropped.
        let polled = tokio::select! {
            biased;
            next = next => Some(next.unwrap()),
            () = std::future::ready(()) => None,
        };
        match polled {
            Some(Some(Intake::File(file))) => keys.push(file.object.id.key),
            Some(_) => break,
            None => tokio::task::yield_now().await,
        }
    }
    let expected: Vec<String> = (0..300).map(|n| format!("{n:03}")).collect();
    assert_eq!(keys, expected);
    let missing = DirectorySource::new(folder.path().join("no")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn errors_of_the_file_system_are_classified() {
    let path = Path::new("p\u{1b}");
    for (kind, expected, retryable) in [
        (io::ErrorKind::NotFound, ErrorKind::NotFound, false),
        (
            io::ErrorKind::PermissionDenied,
            ErrorKind::Unauthorized,
            false,
        ),
        (io::ErrorKind::Interrupted, ErrorKind::Unavailable, true),
        (io::ErrorKind::InvalidInput, ErrorKind::Other, false),
    ] {
        let error = classify(&io::Error::from(kind), path);
        assert_eq!((error.kind(), error.is_retryable()), (expected, retryable));
        assert!(error.message().contains("p\\u{1b}"));
    }
}
