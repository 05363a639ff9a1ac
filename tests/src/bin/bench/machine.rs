//! What this runs on, and how much of it a process takes.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// Facts without which figures say nothing.
pub(crate) fn facts(quick: bool) -> Value {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    json!({
        "cores": cores(),
        "load_average": load.join(" "),
        "optimised": !cfg!(debug_assertions),
        "quick": quick,
    })
}

/// Threads that can run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Cores that one side of a comparison has, and those of all else, as lists such as `0,1`.
pub(crate) struct Halves {
    measured: String,
    others: String,
}

impl Halves {
    /// Of the cores that this process may use.
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let mut cores: Vec<u32> = Vec::new();
        for part in allowed.context("/proc/self/status names no cores")?.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            cores.extend(first.parse::<u32>()?..=last.parse()?);
        }
        ensure!(cores.len() > 1, "one core has no halves");
        let (measured, others) = cores.split_at(cores.len() / 2);
        let list = |cores: &[u32]| cores.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        Ok(Self { measured: list(measured), others: list(others) })
    }

    /// A program on the cores that are measured.
    pub(crate) fn measured(&self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(&self.measured).arg(program);
        command
    }

    /// All threads of this process go there, too.
    pub(crate) fn measured_for_this_process(&self) -> anyhow::Result<()> {
        go_to(&self.measured)
    }

    /// All threads of this process leave them.
    pub(crate) fn others_for_this_process(&self) -> anyhow::Result<()> {
        go_to(&self.others)
    }
}

fn go_to(cores: &str) -> anyhow::Result<()> {
    let process = std::process::id().to_string();
    let done =
        Command::new("taskset").args(["-a", "-c", "-p", cores, &process]).output().context("taskset")?;
    ensure!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Resident memory of a process now, in bytes; `process` is a number or `self`.
pub(crate) fn resident(process: &str) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// Its peak since the process began or [`forget_peak`].
pub(crate) fn peak(process: &str) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

/// Seconds of processor time this process has taken so far, in user mode and in the kernel.
pub(crate) fn cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds_of("self")
}

/// The same of a process; `process` is a number or `self`.
pub(crate) fn cpu_seconds_of(process: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The second field is the name in parentheses, and may hold anything; user time is the fourteenth.
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>().with_context(|| format!("{path} holds no times"))?;
    // The kernel counts in hundredths for everybody, whatever its own clock does.
    Ok(f64::from(ticks) / 100.0)
}

/// Starts a new peak for this process.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    forget_peak_of("self")
}

/// The same for a process of ours; `process` is a number or `self`. Of a daemon, which keeps everybody but root out of its
/// memory, the peak otherwise counts since it began.
pub(crate) fn forget_peak_of(process: &str) -> anyhow::Result<()> {
    let path = format!("/proc/{process}/clear_refs");
    match fs::write(&path, "5") {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            crate::say!("{path}: {error}; the peak is told since it began");
            Ok(())
        }
        written => written.with_context(|| path.clone()),
    }
}

fn status(process: &str, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line =
        text.lines().find(|line| line.starts_with(field)).with_context(|| format!("{path}: no {field}"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// Megabytes with one digit: what the targets are stated in.
#[expect(clippy::cast_precision_loss, reason = "memory and files are far below 2^52 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}

/// Removes a folder of a finished round; what is left over is only disk.
pub(crate) fn clear(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        crate::say!("{}: {error}", path.display());
    }
}
