//! The built program in a process of its own, and what it costs.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctforward_benches::Dice;
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::resource::{UsageWho, getrusage};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What a process came to.
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
    pub(crate) peak_mib: f64,
    stdout: String,
}

/// A log file of `bytes` inflated bytes, written as it is made.
pub(crate) fn write_log(path: &Path, seed: u64, bytes: u64) -> Fallible<u64> {
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
pub(crate) fn measure(command: &mut Command) -> Fallible<Cost> {
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

pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The stand-in in a process of its own, and its endpoint.
pub(crate) fn standin(cli: &Path) -> Fallible<(Server, String)> {
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

pub(crate) fn forward(cli: &Path, endpoint: &str, source: &Path, more: &[&str]) -> Fallible<Cost> {
    let mut command = Command::new(cli);
    command
        .env("VISIONONE_INGEST_TOKEN", "a-token-for-the-stand-in")
        .arg("forward")
        .arg(source)
        .args(["--endpoint", endpoint, "--report", "json"])
        .args(more);
    measure(&mut command)
}

pub(crate) fn count(cost: &Cost, key: &str) -> Fallible<u64> {
    let report: serde_json::Value = serde_json::from_str(&cost.stdout)?;
    Ok(report["records"][key].as_u64().ok_or("no such count")?)
}

pub(crate) fn built_cli() -> Fallible<PathBuf> {
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
