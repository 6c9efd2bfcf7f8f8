//! What the built `forward` costs: processor time against `gzip -dc` on the
//! same files, and peak memory for files of very different size.
//!
//! Real processes on loopback HTTP: `forward` in one, `standin --discard` in
//! another. Linux only, for the peak of a process's memory.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctforward_benches::Dice;
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::resource::{UsageWho, getrusage};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What a process came to.
struct Cost {
    cpu: f64,
    wall: f64,
    peak_mib: f64,
    stdout: String,
}

/// A log file of `bytes` inflated bytes, written as it is made.
fn write_log(path: &Path, seed: u64, bytes: u64) -> Fallible<u64> {
    let mut out = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    let (mut dice, mut line, mut written) = (Dice::new(seed), String::new(), 12);
    out.write_all(b"{\"Records\":[")?;
    loop {
        line.clear();
        ctforward_benches::record(&mut dice, &mut line);
        written += line.len() as u64 + 1;
        out.write_all(line.as_bytes())?;
        if written >= bytes {
            break;
        }
        out.write_all(b",")?;
    }
    out.write_all(b"]}")?;
    out.finish()?.flush()?;
    Ok(written + 1)
}

fn children_cpu() -> Fallible<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        #[allow(clippy::cast_precision_loss, reason = "seconds of processor time")]
        let seconds = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Runs a command to its end, watching its peak memory.
fn measure(command: &mut Command) -> Fallible<Cost> {
    let before = children_cpu()?;
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let pipe = child.stdout.take().ok_or("no pipe")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(pipe));
    let mut peak_kib = 0.0f64;
    let ended = loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
            peak_kib = peak_kib.max(peak.unwrap_or(0.0));
        }
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = began.elapsed().as_secs_f64();
    let stdout = reader.join().map_err(|_| "the reader failed")??;
    if !ended.success() {
        return Err(format!("{command:?} ended with {ended}: {stdout}").into());
    }
    Ok(Cost {
        cpu: children_cpu()? - before,
        wall,
        peak_mib: peak_kib / 1024.0,
        stdout,
    })
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The stand-in in a process of its own, and its endpoint.
fn standin(cli: &Path) -> Fallible<(Server, String)> {
    let mut child = Command::new(cli)
        .args(["standin", "--discard", "--addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
    let server = Server(child);
    for line in lines {
        if let Some(endpoint) = line?.trim().strip_prefix("HTTP event collection") {
            return Ok((server, endpoint.trim().to_owned()));
        }
    }
    Err("the stand-in printed no endpoint".into())
}

fn forward(cli: &Path, endpoint: &str, source: &Path, more: &[&str]) -> Fallible<Cost> {
    let mut command = Command::new(cli);
    command
        .env("VISIONONE_INGEST_TOKEN", "a-token-for-the-stand-in")
        .arg("forward")
        .arg(source)
        .args(["--endpoint", endpoint, "--report", "json"])
        .args(more);
    measure(&mut command)
}

fn count(cost: &Cost, key: &str) -> Fallible<u64> {
    let report: serde_json::Value = serde_json::from_str(&cost.stdout)?;
    Ok(report["records"][key].as_u64().ok_or("no such count")?)
}

fn built_cli() -> Fallible<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "-p",
            "ctforward-examples",
            "--example",
            "cli",
        ])
        .status()?;
    if !built.success() {
        return Err("the example cli does not build".into());
    }
    let mut path = std::env::current_exe()?;
    path.pop();
    path.pop();
    Ok(path.join("examples/cli"))
}

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
