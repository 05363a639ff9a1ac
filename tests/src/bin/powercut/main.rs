//! Power cuts: does what was acknowledged survive the moment at which only what reached the disk is left?
//!
//! Killing a process tells nothing of that, for its writes live on in the system's cache. So a store is written on an ext4
//! image in a loop device, whose file lies on a file system that copies by reference (XFS, in a second loop device). At a
//! cut the list of acknowledged drafts is read *first*, then the image is copied: a point in time of what reached the
//! disk. The copy is mounted, its journal replayed, the store in it opened, and the list compared. The writer goes on.
//!
//! ```text
//! writer ─▶ store on ext4 ─▶ loop ─▶ disk.img on XFS ──cp --reflink──▶ cut.img ─▶ loop ─▶ mounted, opened, compared
//! ```
//!
//! `--nosync` makes every sync a lie, to see that this can fail. Needs root and mkfs.xfs; without them it says so and ends
//! with 77. All mounts live in a mount namespace of their own and go with the process. The last line of stdout is JSON.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use belfry_tests::disk;
use clap::Parser;
use serde_json::json;

/// What a test takes for "skipped".
const SKIPPED: u8 = 77;
/// Set in the process that may mount.
const INSIDE: &str = "BELFRY_POWERCUT_INSIDE";
/// Drafts acknowledged between two cuts.
const BETWEEN: usize = 150;
/// Longest wait for them on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cuts the power of a store that is being written.
#[derive(Debug, Parser)]
struct Arguments {
    /// Cuts to make
    #[arg(long, default_value_t = 20)]
    cuts: u32,
    /// Make syncs do nothing: acknowledged drafts must then be lost
    #[arg(long)]
    nosync: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if std::env::var_os(INSIDE).is_none() {
        return outside();
    }
    let folder = tempfile::Builder::new().prefix("belfry-power-").tempdir()?;
    let mut disk = match Disk::made(folder.path()) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("SKIPPED: no disk whose power could be cut: {error:#}");
            return Ok(ExitCode::from(SKIPPED));
        }
    };
    let report = cuts(&arguments, folder.path(), &disk);
    disk.unmount();
    println!("{}", report?);
    Ok(ExitCode::SUCCESS)
}

/// Runs this program again where its mounts are nobody else's.
fn outside() -> anyhow::Result<ExitCode> {
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    let probe = Command::new("unshare").args(["--mount", "true"]).output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: mount namespaces need root: {probe:?}");
        return Ok(ExitCode::from(SKIPPED));
    }
    let status = again.status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn cuts(arguments: &Arguments, folder: &Path, disk: &Disk) -> anyhow::Result<serde_json::Value> {
    let program = std::env::current_exe()?.with_file_name("writer");
    let (store, noted) = (disk.mounted.join("store"), folder.join("acknowledged"));
    let mut writer = disk::Writer::new(&program, &store, &noted);
    if arguments.nosync {
        let under = disk.mounted.display().to_string();
        writer = writer.faults(&disk::faulty(folder)?, &[("UNDER", under), ("NOSYNC", "1".to_owned())]);
    }
    let mut writer = Ended(writer.spawn()?);
    let (mut compared, mut lossy, mut lost) = (0, 0, 0);
    for cut in 1..=arguments.cuts {
        let acknowledged = more_than(&noted, compared, &mut writer.0)?;
        compared = acknowledged.len();
        let missing = disk.cut(folder, |mounted| {
            // Nothing of the folder may have reached the disk, if syncs lie.
            let store = mounted.join("store");
            if !store.join("CURRENT").exists() {
                return Ok(acknowledged.len());
            }
            match disk::open(&store) {
                Ok(store) => Ok(disk::lost(&store, &acknowledged)?.len()),
                Err(error) if arguments.nosync => {
                    eprintln!("    cut {cut}: {error}");
                    Ok(acknowledged.len())
                }
                Err(error) => Err(error).context("what reached the disk does not open"),
            }
        })?;
        eprintln!("    cut {cut}: {} acknowledged, {missing} lost", acknowledged.len());
        lossy += u32::from(missing > 0);
        lost += missing;
    }
    Ok(json!({
        "cuts": arguments.cuts, "syncs": !arguments.nosync, "acknowledged": compared, "cuts_with_loss": lossy, "lost": lost,
    }))
}

/// Waits until clearly more than `before` drafts are acknowledged.
fn more_than(noted: &Path, before: usize, writer: &mut Child) -> anyhow::Result<Vec<u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let acknowledged = disk::acknowledged(noted)?;
        if acknowledged.len() >= before + BETWEEN {
            return Ok(acknowledged);
        }
        if let Some(status) = writer.try_wait()? {
            bail!("the writer ended with {status}");
        }
        ensure!(Instant::now() < deadline, "the writer stands still at {}", acknowledged.len());
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process that does not outlive this one's interest in it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The file system that can lose its power.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    below: PathBuf,
}

impl Disk {
    fn made(folder: &Path) -> anyhow::Result<Self> {
        let below = folder.join("below");
        let outer = image(&folder.join("below.img"), 640 << 20)?;
        run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&outer))?;
        mount(&outer, &below)?;
        let disk =
            Self { image: image(&below.join("disk.img"), 160 << 20)?, mounted: folder.join("disk"), below };
        run(Command::new("mkfs.ext4").args(["-q", "-E", "lazy_itable_init=0"]).arg(&disk.image))?;
        mount(&disk.image, &disk.mounted)?;
        Ok(disk)
    }

    /// What reached the disk by now, mounted for `look`.
    fn cut<T>(&self, folder: &Path, look: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (image, mounted) = (self.below.join("cut.img"), folder.join("cut"));
        run(Command::new("cp").arg("--reflink=always").arg(&self.image).arg(&image))?;
        mount(&image, &mounted)?;
        let found = look(&mounted);
        run(Command::new("umount").arg(&mounted))?;
        fs::remove_file(&image)?;
        found
    }

    fn unmount(&mut self) {
        for mounted in [&self.mounted, &self.below] {
            if let Err(error) = run(Command::new("umount").arg(mounted)) {
                eprintln!("    {error:#}");
            }
        }
    }
}

fn image(path: &Path, bytes: u64) -> anyhow::Result<PathBuf> {
    fs::File::create(path)?.set_len(bytes)?;
    Ok(path.to_owned())
}

fn mount(image: &Path, at: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(at)?;
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| name.clone())?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
