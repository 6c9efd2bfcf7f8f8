//! This process, as Linux tells of it. Elsewhere only its start is known.

use std::sync::OnceLock;

use jiff::Timestamp;
use metrics::{counter, gauge};

/// Linux counts processor time for programs in hundredths of a second.
const TICKS: u64 = 100;

static STARTED: OnceLock<Timestamp> = OnceLock::new();

/// Notes when this process began.
pub(super) fn begin() {
    let started = STARTED.get_or_init(Timestamp::now);
    #[allow(clippy::cast_precision_loss, reason = "a time in seconds")]
    gauge!("process_start_time_seconds").set(started.as_second() as f64);
    set();
}

/// What `/proc` says now. It is memory, not a disk: nothing waits.
pub(super) fn set() {
    #[allow(clippy::cast_precision_loss, reason = "bytes and counts")]
    if let Some(bytes) = resident() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        gauge!("process_open_fds").set(files.count().saturating_sub(1) as f64);
    }
    if let Some(seconds) = processor() {
        counter!("process_cpu_seconds_total").absolute(seconds);
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn processor() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; what follows it are numbers.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}
