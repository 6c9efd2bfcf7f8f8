//! Who can get at the file, and files that are no ledger of this version.

use std::fs;

use super::super::schema::{APPLICATION, CURRENT, STEPS};
use super::*;

fn refused(path: &Path) -> String {
    let error = SqliteLedger::open(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

fn reader_refused(path: &Path) -> String {
    let error = LedgerReader::open(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn everything_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("new");
        let path = inner.join("ledger.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        granted(&ledger, &object("k")).await;
        assert_eq!(mode(&inner), 0o700);
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
        }
        let owners = inner.join("ledger.db.owners");
        assert_eq!(mode(&owners), 0o700);
        for entry in fs::read_dir(owners).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn a_ledger_that_others_can_get_at_is_refused_and_says_what_to_do() {
        let (_folder, path) = place();
        drop(SqliteLedger::open(&path).unwrap());
        for bad in [0o620, 0o602, 0o666] {
            set_mode(&path, bad);
            assert!(refused(&path).contains("chmod 600"));
            assert!(reader_refused(&path).contains("chmod 600"));
        }
        set_mode(&path, 0o644);
        assert!(refused(&path).contains("chmod 600"));
        // What others can read only is not theirs to change.
        LedgerReader::open(&path).unwrap();
        set_mode(&path, 0o600);
        fs::write(path.with_file_name("ledger.db-wal"), "").unwrap();
        set_mode(&path.with_file_name("ledger.db-wal"), 0o666);
        assert!(refused(&path).contains("ledger.db-wal"));
        set_mode(&path.with_file_name("ledger.db-wal"), 0o600);
        SqliteLedger::open_existing(&path).unwrap();
    }

    #[test]
    fn a_folder_that_everybody_can_write_to_is_refused_unless_it_is_sticky() {
        let (folder, path) = place();
        set_mode(folder.path(), 0o777);
        assert!(refused(&path).contains("chmod o-w"));
        assert!(!path.exists());
        set_mode(folder.path(), 0o1777);
        drop(SqliteLedger::open(&path).unwrap());
    }

    #[test]
    fn symbolic_links_are_refused_as_the_ledger_and_beside_it() {
        let (folder, path) = place();
        drop(SqliteLedger::open(&path).unwrap());
        let link = folder.path().join("link.db");
        symlink(&path, &link).unwrap();
        assert!(refused(&link).contains("symbolic link"));
        assert!(reader_refused(&link).contains("symbolic link"));
        let nowhere = folder.path().join("nowhere.db");
        symlink(folder.path().join("missing"), &nowhere).unwrap();
        assert!(refused(&nowhere).contains("symbolic link"));
        assert!(!folder.path().join("missing").exists());
        symlink(&path, folder.path().join("ledger.db-wal")).unwrap();
        assert!(refused(&path).contains("ledger.db-wal"));
        fs::remove_file(folder.path().join("ledger.db-wal")).unwrap();
        fs::remove_dir(folder.path().join("ledger.db.owners")).unwrap();
        symlink(folder.path(), folder.path().join("ledger.db.owners")).unwrap();
        assert!(refused(&path).contains("ledger.db.owners"));
    }

    #[tokio::test]
    async fn a_folder_reached_by_a_link_is_the_same_ledger() {
        let (folder, path) = place();
        let ledger = SqliteLedger::open(&path).unwrap();
        granted(&ledger, &object("k")).await;
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link");
        symlink(folder.path(), &link).unwrap();
        let same = SqliteLedger::open(link.join("ledger.db")).unwrap();
        assert!(is_held(&same, &object("k")).await);
        assert_eq!(same.path(), ledger.path());
    }
}

#[test]
fn only_the_last_folder_is_created_and_only_by_open() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(&folder.path().join("a/b/ledger.db")).contains("create it first"));
    assert!(!folder.path().join("a").exists());
    let path = folder.path().join("a/ledger.db");
    let error = SqliteLedger::open_existing(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    drop(SqliteLedger::open(&path).unwrap());
    let missing = folder.path().join("missing.db");
    for error in [
        SqliteLedger::open_existing(&missing).unwrap_err(),
        LedgerReader::open(&missing).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    assert!(!missing.exists());
    assert!(refused(folder.path()).contains("no plain file"));
}

#[test]
fn an_empty_file_is_made_a_ledger_by_open_alone() {
    let (_folder, path) = place();
    drop(file::private_file(&path).unwrap());
    SqliteLedger::open_existing(&path).unwrap_err();
    assert!(reader_refused(&path).contains("holds nothing"));
    drop(SqliteLedger::open(&path).unwrap());
    LedgerReader::open(&path).unwrap();
}

#[test]
fn what_is_no_ledger_of_this_version_is_refused_and_left_as_it_is() {
    let other_program = "PRAGMA application_id = 7; CREATE TABLE t (x)";
    let unnamed = "CREATE TABLE files (x)";
    let newer = format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}; CREATE TABLE t (x)",
        CURRENT + 1
    );
    let no_version = format!("PRAGMA application_id = {APPLICATION}; CREATE TABLE t (x)");
    for (sql, says) in [
        (other_program, "another program"),
        (unnamed, "another program"),
        (newer.as_str(), "newer"),
        (no_version.as_str(), "damaged"),
    ] {
        for wal in [false, true] {
            let (folder, path) = place();
            drop(file::private_file(&path).unwrap());
            let database = beside(&path);
            if wal {
                database
                    .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
                    .unwrap();
            }
            database.execute_batch(sql).unwrap();
            // With the other program still at it, its log holds all there is.
            let names = ["ledger.db", "ledger.db-wal"];
            let read = || names.map(|name| fs::read(folder.path().join(name)).ok());
            let before = read();
            assert!(refused(&path).contains(says));
            assert!(reader_refused(&path).contains(says));
            assert_eq!(read(), before);
            assert!(!folder.path().join("ledger.db.owners").exists());
            drop(database);
            assert!(refused(&path).contains(says));
        }
    }
    let (_folder, path) = place();
    let text = "not a database, but a text that is long enough to be one ".repeat(100);
    fs::write(&path, &text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(refused(&path).contains("no ledger"));
    assert!(reader_refused(&path).contains("no ledger"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// A ledger as version 1 wrote it, with one delivered file and one in progress.
fn version_1(path: &Path) {
    drop(file::private_file(path).unwrap());
    let database = beside(path);
    database
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; {}; PRAGMA application_id = {APPLICATION}; \
             PRAGMA user_version = 1; \
             INSERT INTO files (bucket, key, state, fence, owner, etag, claimed_at, accepted_at) \
             VALUES ('bucket', 'done', 1, 3, 'w', 'e1', 1000, 2000); \
             INSERT INTO files (bucket, key, state, fence, lease, instance, owner, etag, low_water, claimed_at) \
             VALUES ('bucket', 'open', 0, 5, 9999999999999, 1, 'w', 'e1', 77, 1000);",
            STEPS[0]
        ))
        .unwrap();
}

#[tokio::test]
async fn version_1_is_backed_up_and_migrated_with_its_rows() {
    let (folder, path) = place();
    version_1(&path);
    // Reading does not migrate.
    assert_eq!(
        LedgerReader::open(&path).unwrap().status().unwrap().files(),
        2
    );
    let ledger = SqliteLedger::open_existing(&path).unwrap();
    assert!(is_delivered(&ledger, &object("done")).await);
    let (ticket, resume) = granted(&ledger, &object("open")).await;
    assert_eq!((ticket.fence, resume.mark.low_water), (6, 77));
    let seen = Seen::new([1; 16], [2; 16], Timestamp::UNIX_EPOCH);
    ledger.remember(&[seen]).await.unwrap();
    assert_eq!(ledger.recall(9, Timestamp::MIN).await.unwrap(), [seen]);

    let kept = folder.path().join("ledger.db.backup-v1");
    let version: i32 = beside(&kept)
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    assert_eq!(
        LedgerReader::open(&kept).unwrap().status().unwrap().files(),
        2
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    ledger.close().await;
    // Nothing of a second migration, and no unfinished copies.
    fs::remove_file(&kept).unwrap();
    drop(SqliteLedger::open(&path).unwrap());
    let names = fs::read_dir(folder.path()).unwrap();
    let backups = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        let name = name.to_string_lossy();
        name.starts_with("ledger.db.backup-v1")
            && !name.ends_with("-wal")
            && !name.ends_with("-shm")
    });
    assert_eq!(backups.count(), 0);
}

#[tokio::test]
async fn what_version_2_remembered_is_recalled() {
    let (_folder, path) = place();
    version_1(&path);
    let rows = "PRAGMA user_version = 2; \
        INSERT INTO seen (at, id, content) VALUES (7, zeroblob(16), randomblob(16)); \
        INSERT INTO seen (at, id, content) VALUES (8, x'00ff00ff00ff00ff00ff00ff00ff00ff', zeroblob(16));";
    let version_2 = format!("{}; {rows}", STEPS[1]);
    beside(&path).execute_batch(&version_2).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    let at = |nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap();
    let recalled = ledger.recall(9, Timestamp::MIN).await.unwrap();
    let [first, second] = recalled[..] else {
        panic!("{recalled:?}")
    };
    assert_eq!((first.id, first.at), ([0; 16], at(7)));
    assert_ne!(first.content, [0; 16]);
    let id = std::array::from_fn(|n| if n % 2 == 0 { 0 } else { 0xff });
    assert_eq!(second, Seen::new(id, [0; 16], at(8)));
    let later = Seen::new([1; 16], [2; 16], at(9));
    ledger.remember(&[later]).await.unwrap();
    let newest = ledger.recall(2, Timestamp::MIN).await.unwrap();
    assert_eq!(newest, [second, later]);
}

#[test]
fn without_a_backup_nothing_is_migrated() {
    let (folder, path) = place();
    version_1(&path);
    let in_the_way = folder.path().join("ledger.db.backup-v1");
    fs::create_dir(&in_the_way).unwrap();
    let error = SqliteLedger::open(&path).unwrap_err();
    assert!(error.to_string().contains("without a backup"), "{error}");
    let version: i32 = beside(&path)
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    fs::remove_dir(&in_the_way).unwrap();
    drop(SqliteLedger::open(&path).unwrap());
}
