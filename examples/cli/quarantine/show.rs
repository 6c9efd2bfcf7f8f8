//! `quarantine show`: one entry.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ctforward_core::quarantine::{Filter, Kept, Stored};
use ctforward_core::text::{excerpt, printable};

use super::args::Show;
use super::list::{kept, length};
use crate::books::grouped;
use crate::failure::Failure;
use crate::table::{Cell, Column, Table};

/// Bytes shown of what is kept; `--raw` writes all of them.
const SHOWN: usize = 4096;

pub async fn run(args: Show) -> Result<ExitCode, Failure> {
    let quarantine = super::open(&args.folder).await?;
    let mut entries = quarantine.entries(Filter::new().ids([&args.id]));
    let Some(stored) = entries.next().await? else {
        super::doubt_of(&entries);
        return Err(Failure::work(format!(
            "no entry's id begins with {}",
            args.id
        )));
    };
    if entries.next().await?.is_some() {
        return Err(Failure::usage(format!(
            "several entries' ids begin with {}; give more digits",
            args.id
        )));
    }
    if !args.raw {
        super::print(text(&stored).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Kept::Bytes(bytes) = &stored.entry.kept else {
        return Err(Failure::work(
            "no bytes are kept of this entry; they are in the object that it names",
        ));
    };
    match &args.output {
        Some(path) => write(path, bytes)?,
        None => super::print(bytes)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let path = path.to_string_lossy();
        Failure::work(format!("{}: {error}", printable(&path)))
    })
}

fn text(stored: &Stored) -> String {
    let entry = &stored.entry;
    let mut table = Table::new([Column::left(""), Column::left("")]);
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([Cell::text(name), Cell::text(value)]);
        }
    };
    row("id", Some(stored.hex()));
    row("reason", Some(entry.reason.to_string()));
    row("detail", Some(entry.detail.clone()));
    row("since", Some(entry.at.to_string()));
    row("tried before", Some(entry.attempt.to_string()));
    row("bucket", Some(entry.object.id.bucket.clone()));
    row("key", Some(entry.object.id.key.clone()));
    row("version", entry.object.id.version.clone());
    row("etag", entry.object.etag.clone());
    row("stored bytes", entry.object.size.map(grouped));
    row("offset", entry.offset.map(|offset| offset.to_string()));
    row("kept", Some(kept(entry).to_owned()));
    match &entry.kept {
        Kept::Bytes(bytes) => {
            row("bytes", Some(grouped(length(entry))));
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
            let mut out = table.to_string();
            out.push('\n');
            out.push_str(&excerpt(&shown, shown.len()));
            if bytes.len() > SHOWN {
                out.push('…');
            }
            out.push('\n');
            return out;
        }
        Kept::Reference { length, sha256 } => {
            row("bytes", (*length > 0).then(|| grouped(*length)));
            let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
            row("SHA-256", sha256.as_ref().map(hex));
        }
        _ => {}
    }
    table.to_string()
}
