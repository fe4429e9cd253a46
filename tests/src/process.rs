//! What Linux tells of a running process.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// CPU time so far, of all its threads, in user and system; in steps of 10 ms.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    // The name before it is in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).context("a short stat")?.parse::<u64>().context("no ticks");
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// CPU time so far of the threads that still run, in nanoseconds' steps: for what takes some milliseconds.
pub fn cpu_of_threads(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(&folder).context(folder)? {
        // One that has ended meanwhile has no file any more.
        let Ok(told) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanoseconds = told.split_whitespace().next().context("an empty schedstat")?.parse()?;
        sum += Duration::from_nanos(nanoseconds);
    }
    Ok(sum)
}

/// CPU time so far of the main thread, which runs the JavaScript and the modules of a Deno process: what a hosted
/// worker's limits count.
pub fn cpu_of_main_thread(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task/{pid}/schedstat");
    let told = std::fs::read_to_string(&path).context(path)?;
    let nanoseconds = told.split_whitespace().next().context("an empty schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory in MB.
pub fn resident_mb(pid: u32) -> Result<f64> {
    megabytes(pid, "VmRSS:")
}

/// The most memory that was resident since its start or since [`forget_peak`], in MB.
pub fn peak_mb(pid: u32) -> Result<f64> {
    megabytes(pid, "VmHWM:")
}

/// Begins anew to watch for the most memory.
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").context(path)
}

fn megabytes(pid: u32, what: &'static str) -> Result<f64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context(what)?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1_024.0)
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).context(path)
}
