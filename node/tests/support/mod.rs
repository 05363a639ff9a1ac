//! Runs the real binary in a temporary folder.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const PASSPHRASE: &str = "correct horse battery staple";

/// A folder with a passphrase file and a configuration that reads nothing from /etc.
pub struct Site {
    folder: tempfile::TempDir,
}

/// What a command did.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Site {
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.secret("passphrase", PASSPHRASE);
        site.secret("other-passphrase", "wrong horse battery staple");
        fs::write(site.path("belfry.toml"), "").unwrap();
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn secret(&self, name: &str, line: &str) {
        fs::write(self.path(name), format!("{line}\n")).unwrap();
        chmod(&self.path(name), 0o600);
    }

    /// Runs `belfry` with the words of `line` (single quotes keep words together) in the folder.
    pub fn run(&self, line: &str) -> Ran {
        self.run_bare(&format!("--config belfry.toml {line}"))
    }

    /// [`Self::run`] without naming the configuration.
    pub fn run_bare(&self, line: &str) -> Ran {
        let output: Output = self.command(line).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belfry"));
        command.args(words(line)).current_dir(self.folder.path()).env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    /// Starts the node whose data folder is `name`, on any ports, and waits until it answers.
    pub fn start(&self, name: &str) -> Node {
        let text = format!(
            "[node]\ndata_dir = \"{name}\"\n[keys]\npassphrase_file = \"passphrase\"\n[network]\n\
             listen = [\"/ip4/127.0.0.1/tcp/0\"]\n[api]\nlisten = \"127.0.0.1:0\"\n[store]\nfree_space_floor = \"1MiB\"\n"
        );
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        self.run_in_background(name, &format!("run --config {name}.toml"))
    }

    /// Runs the node whose configuration is `NAME.toml` with the words of `line`, and waits until it answers.
    pub fn run_in_background(&self, name: &str, line: &str) -> Node {
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = self.command(line);
        let node = Node(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while self.run_bare(&format!("status --config {name}.toml")).code != 0 {
            let log = || fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            assert!(Instant::now() < end, "{name} does not start: {}", log());
            thread::sleep(Duration::from_millis(100));
        }
        node
    }

    /// Runs a command that must succeed; gives its stdout.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "belfry {line}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs a command that must end with `code` and say `said`.
    #[track_caller]
    pub fn refused(&self, line: &str, code: i32, said: &str) {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "belfry {line}\n{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(said), "belfry {line}\nexpected {said:?}, got: {}", ran.stderr);
    }

    /// Founds a coalition in the folder `name`.
    pub fn coalition(&self, name: &str) -> String {
        self.ok(&format!("coalition init --name 'Test {name}' --out {name} --passphrase-file passphrase"))
    }

    /// Enrols `name` for `coalition`, with its data folder and request named after it.
    pub fn enrol(&self, name: &str, coalition: &str, more: &str) -> String {
        self.ok(&format!(
            "enroll --charter {coalition}/charter.pem --org {name} --class essential --groups cidr {more} \
             --accept-arrangement --accept-rules --dir {name} --out {name}.request --passphrase-file passphrase"
        ))
    }

    /// Issues a certificate for `name`'s request, and exports the log to `COALITION.log`.
    pub fn issue(&self, name: &str, coalition: &str, more: &str) -> String {
        let said = self.ok(&format!(
            "coalition issue {name}.request --until 2099-11-30 --yes --dir {coalition} --out {name}.certificate {more} \
             --passphrase-file passphrase"
        ));
        self.ok(&format!("coalition export --out {coalition}.log --dir {coalition}"));
        said
    }

    /// The command by which `name` joins.
    pub fn join(name: &str, coalition: &str) -> String {
        format!("join {name}.certificate --log {coalition}.log --dir {name} --passphrase-file passphrase")
    }
}

/// Waits until `is_so`; names `what` if it never is.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A running daemon; ends with its test.
pub struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
