//! Finds a recent log file by a few listings, and what lies around the prefix.

use ctforward_core::ObjectId;
use ctforward_core::key::{Folder, Kind, Level, LogKey};

use super::ask_bucket::{Bucket, Sample};
use super::fault::Fault;
use super::layout::Around;

/// No look at a bucket lists more pages than this.
const MOST_LISTINGS: usize = 40;

/// Folders beside each other that are entered, where nothing says which is right.
const MOST_BESIDE: usize = 4;

/// Enters the likeliest folders first, and of days the newest, until a log file is found.
pub(crate) async fn walk(bucket: &Bucket) -> Result<(Around, Option<Sample>), Fault> {
    let mut around = Around::default();
    let top = bucket.list(&bucket.prefix, true, 1000).await?;
    around.objects = !top.objects.is_empty() || !top.folders.is_empty();
    around.below = top.folders.iter().take(20).cloned().collect();
    if !around.objects {
        around.instead = instead(bucket).await?;
        return Ok((around, None));
    }
    let mut listed = 1;
    let mut stack: Vec<String> = Vec::new();
    let mut page = (bucket.prefix.clone(), top);
    loop {
        let (folder, found) = page;
        let level = Folder::parse(&folder).level;
        if level == Level::Root && around.root.is_empty() {
            around.root.clone_from(&found.folders);
        }
        if let Some(sample) = newest(bucket, found.objects.iter().map(|o| o.key.as_str())) {
            around.sample = Some(folder);
            return Ok((around, Some(sample)));
        }
        // The last pushed is looked at next.
        stack.extend(likely(&folder, &found.folders).into_iter().rev());
        let Some(next) = stack.pop().filter(|_| listed < MOST_LISTINGS) else {
            break;
        };
        listed += 1;
        let below = bucket.list(&next, true, 1000).await?;
        page = (next, below);
    }
    if around.root.is_empty() {
        around.instead = with_root(bucket, &around.below).await?;
    }
    Ok((around, None))
}

/// The newest of the log files among keys.
fn newest<'k>(bucket: &Bucket, keys: impl Iterator<Item = &'k str>) -> Option<Sample> {
    let logs = keys
        .filter_map(LogKey::parse)
        .filter(|key| key.kind == Kind::CloudTrail);
    let key = logs.max_by_key(|key| key.file.timestamp())?;
    Some(Sample {
        id: ObjectId::new(&bucket.name, key.to_string()),
        account: key.account.to_owned(),
        delivered: key.file.timestamp(),
    })
}

/// The folders to enter below one, the likeliest first.
fn likely(folder: &str, below: &[String]) -> Vec<String> {
    let level = |path: &String| Folder::parse(path).level;
    let here = Folder::parse(folder).level;
    let mut next: Vec<&String> = below
        .iter()
        .filter(|path| {
            let place = Folder::parse(path);
            match place.level {
                Level::OtherService | Level::Off => false,
                Level::Kind => place.kind == Some(Kind::CloudTrail),
                // Not below a root's parent that has the root itself.
                Level::Outside => here == Level::Outside && folder.matches('/').count() < 3,
                _ => true,
            }
        })
        .collect();
    if next.iter().any(|path| level(path) == Level::Root) {
        next.retain(|path| level(path) == Level::Root);
    }
    // Days, months and years: the newest. Regions: where global services are logged.
    next.sort_by_key(|path| {
        let place = Folder::parse(path);
        (
            place.level != Level::Organisation,
            place.region != Some("us-east-1"),
        )
    });
    let most = match next.first().map(|path| level(path)) {
        Some(Level::Year | Level::Month | Level::Day) => {
            next.sort_by(|a, b| b.cmp(a));
            2
        }
        _ => MOST_BESIDE,
    };
    next.into_iter().take(most).cloned().collect()
}

/// Where nothing lies below the prefix: what does, an organisation's folder between.
async fn instead(bucket: &Bucket) -> Result<Vec<String>, Fault> {
    let prefix = bucket.prefix.as_str();
    let ends = prefix.match_indices('/').map(|(at, _)| &prefix[..=at]);
    let root = ends.rev().find(|p| Folder::parse(p).level == Level::Root);
    if let Some(root) = root {
        let rest = &prefix[root.len()..];
        let beside = bucket.list(root, true, 100).await?;
        let organisations = beside
            .folders
            .iter()
            .filter(|f| Folder::parse(f).level == Level::Organisation);
        for organisation in organisations.take(MOST_BESIDE) {
            let moved = format!("{organisation}{rest}");
            if !bucket.list(&moved, false, 1).await?.objects.is_empty() {
                return Ok(vec![moved]);
            }
        }
    }
    let top = bucket.list("", true, 100).await?;
    if top
        .folders
        .iter()
        .any(|f| Folder::parse(f).level == Level::Root)
    {
        return Ok(vec!["AWSLogs/".to_owned()]);
    }
    with_root(bucket, &top.folders).await
}

/// Those of the folders that hold `AWSLogs/`.
async fn with_root(bucket: &Bucket, folders: &[String]) -> Result<Vec<String>, Fault> {
    for folder in folders.iter().take(MOST_BESIDE) {
        let root = format!("{folder}AWSLogs/");
        if !bucket.list(&root, false, 1).await?.objects.is_empty() {
            return Ok(vec![folder.clone()]);
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folder: &str, below: &[&str]) -> Vec<String> {
        let below: Vec<String> = below
            .iter()
            .map(|name| format!("{folder}{name}/"))
            .collect();
        let next = likely(folder, &below);
        next.iter()
            .map(|path| path[folder.len()..].trim_end_matches('/').to_owned())
            .collect()
    }

    #[test]
    fn the_likeliest_and_the_newest_come_first() {
        assert_eq!(of("", &["AWSLogs", "images"]), ["AWSLogs"]);
        assert_eq!(
            of("AWSLogs/", &["111122223333", "o-a1b2c3d4e5"]),
            ["o-a1b2c3d4e5", "111122223333"]
        );
        let kinds = [
            "CloudTrail",
            "CloudTrail-Digest",
            "CloudTrail-Insight",
            "Config",
        ];
        assert_eq!(of("AWSLogs/111122223333/", &kinds), ["CloudTrail"]);
        let regions = ["ap-south-1", "us-east-1"];
        assert_eq!(
            of("AWSLogs/111122223333/CloudTrail/", &regions),
            ["us-east-1", "ap-south-1"]
        );
        let years = ["2024", "2025", "2026"];
        assert_eq!(
            of("AWSLogs/111122223333/CloudTrail/us-east-1/", &years),
            ["2026", "2025"]
        );
        assert_eq!(of("a/b/c/d/", &["e"]), Vec::<String>::new());
    }
}
