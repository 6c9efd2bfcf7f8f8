//! What the built `forward` costs: processor time against `gzip -dc` on the
//! same files, and peak memory for files of very different size.
//!
//! Real processes on loopback HTTP: `forward` in one, `standin --discard` in
//! another. Linux only, for the peak of a process's memory.

use std::path::PathBuf;
use std::process::Command;

mod process;

use process::{Fallible, built_cli, count, forward, measure, standin, write_log};

fn main() -> Fallible<()> {
    // `cargo bench -- --test` asks whether the benchmark runs, not for figures.
    let smoke = std::env::args().any(|arg| arg == "--test");
    let mega = if smoke { 10_000 } else { 1_000_000 };
    let cli = built_cli()?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("many"))?;
    let mut inflated = 0;
    for file in 0..60 {
        inflated += write_log(
            &path(&format!("many/{file:02}.json.gz")),
            file,
            1650 * mega / 1000,
        )?;
    }
    write_log(&path("100.json.gz"), 100, 100 * mega)?;
    write_log(&path("1000.json.gz"), 1000, 1000 * mega)?;
    let (server, endpoint) = standin(&cli)?;

    println!(
        "60 files, {:.1} MB inflated, over loopback HTTP (least of 5 runs):",
        inflated as f64 / 1e6
    );
    let (mut ours, mut gzip) = (f64::MAX, f64::MAX);
    let mut wall = f64::MAX;
    for _ in 0..5 {
        let cost = forward(&cli, &endpoint, &path("many"), &[])?;
        ours = ours.min(cost.cpu);
        wall = wall.min(cost.wall);
        let files: Vec<PathBuf> = std::fs::read_dir(path("many"))?
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec gzip -dc \"$@\" > /dev/null", "sh"])
            .args(files);
        gzip = gzip.min(measure(&mut command)?.cpu);
    }
    println!("  forward   {ours:.3} s of processor time, {wall:.3} s");
    println!("  gzip -dc  {gzip:.3} s of processor time");
    println!("  ratio     {:.2}", ours / gzip);

    println!("one file, peak memory of forward:");
    for (name, more) in [
        ("100.json.gz", &[][..]),
        ("1000.json.gz", &[][..]),
        (
            "1000.json.gz",
            &["--event-since", "2027-01-01", "--linger", "60s"][..],
        ),
    ] {
        let cost = forward(&cli, &endpoint, &path(name), more)?;
        println!(
            "  {name:13} {:5.1} MiB, {} of {} records accepted, {:.2} s of processor time, {:.2} s {}",
            cost.peak_mib,
            count(&cost, "accepted")?,
            count(&cost, "in")?,
            cost.cpu,
            cost.wall,
            more.join(" ")
        );
    }
    drop(server);
    Ok(())
}
