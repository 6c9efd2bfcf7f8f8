//! `inspect`: what log files hold, in counts.

mod counts;
mod read;
mod show;
pub mod tally;

use std::io::Write as _;
use std::process::ExitCode;

use ctforward_core::source::DirectorySource;
use ctforward_core::text::printable;

use crate::args::Inspect;
use crate::failure::Failure;
use counts::Counts;
pub use tally::safe_json;

/// Reads the files and prints their counts: status 0, 1 where something was not
/// read for a reason that may pass, 3 where a file was unreadable or a record bad.
pub async fn run(args: Inspect) -> Result<ExitCode, Failure> {
    // A wrong name is found before hours of reading.
    for path in &args.paths {
        if let Err(error) = std::fs::symlink_metadata(path) {
            let path = path.to_string_lossy();
            return Err(Failure::usage(format!("{}: {error}", printable(&path))));
        }
    }
    let mut counts = Counts::default();
    for path in &args.paths {
        let mut source = DirectorySource::new(path)?;
        read::all(&mut source, &mut counts, &mut |line| eprintln!("{line}")).await;
    }
    let out = if args.json {
        format!("{}\n", safe_json(&show::json(&counts, args.top)))
    } else {
        show::text(&counts, args.top)
    };
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(out.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(Failure::work(format!("standard output: {error}"))),
        Ok(()) => {}
    }
    Ok(if counts.files.failed > 0 {
        ExitCode::from(1)
    } else if counts.files.unreadable > 0 || counts.bad_records > 0 {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
}
