//! Real daemons: the `belfry` binary as admins and operators run it, one process a command.
//!
//! A [`Coalition`] is an offline folder and the members it certified; a [`Member`] is a data folder, its
//! configuration and, while it runs, its daemon. Every port is 0 and asked for afterwards, every folder
//! temporary, and a daemon still running when its member is dropped is killed by its process id.
//!
//! What goes wrong panics with the command, its exit code and its words: this is for tests only.

// A harness: a step that does not work ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod http;
mod node;
pub mod space;

use std::{
    cell::Cell,
    env,
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use node::{Ended, Member};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PASSPHRASE: &str = "the bell of the tests\n";

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

/// The built binary: `BELFRY_BIN`, else beside this test's own.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("BELFRY_BIN") {
        return path.into();
    }
    let test = env::current_exe().unwrap();
    // target/PROFILE/deps/TEST
    let path = test.ancestors().nth(2).unwrap().join("belfry");
    assert!(path.exists(), "{} is not there: run `cargo build --bins` first", path.display());
    path
}

/// A `belfry` command that reads nothing of this machine's.
pub fn belfry<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
#[must_use]
pub fn run(mut command: Command) -> Ran {
    let output: Output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Waits until `condition` gives something; names `what` if it never does.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a certificate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes in `cidr` and `cloud-security`.
    Publisher,
    /// Reads `cidr`.
    Reader,
    /// Speaks for others in `cidr`.
    Steward,
    /// Carries everything, opens nothing.
    Carrier,
}

/// A coalition's offline folder.
pub struct Coalition {
    folder: tempfile::TempDir,
    name: String,
    issued: Cell<u32>,
}

impl Coalition {
    /// `belfry coalition init`.
    #[must_use]
    pub fn found(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("belfry-").tempdir().unwrap();
        let coalition = Self { folder, name: name.to_owned(), issued: Cell::new(0) };
        coalition.secret("passphrase", PASSPHRASE);
        coalition.ok(&["coalition", "init", "--name", name, "--out", "coalition"]);
        coalition
    }

    /// A file of the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner reads.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
        path
    }

    /// Runs a command in the folder, with the passphrase where the command takes one.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = belfry(["--config", "none.toml"]);
        fs::write(self.path("none.toml"), "").unwrap();
        command.args(arguments).current_dir(self.folder.path());
        let takes_one =
            matches!(arguments, ["coalition", "init" | "issue" | "revoke", ..] | ["enroll" | "join", ..]);
        if takes_one && !arguments.contains(&"--passphrase-file") {
            command.args(["--passphrase-file", "passphrase"]);
        }
        run(command)
    }

    /// Runs a command that must succeed; gives its stdout.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "belfry {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Enrols a member and issues its certificate. It joins once all are issued: [`Member::join`].
    #[must_use]
    pub fn issue(&self, name: &str, role: Role) -> Member {
        self.enrol(name, role);
        let (request, certificate) = (format!("{name}.request"), format!("{name}.certificate"));
        let mut issue = vec!["coalition", "issue", &request, "--out", &certificate];
        issue.extend(["--dir", "coalition", "--until", "2099-12-31", "--yes"]);
        issue.extend(match role {
            Role::Publisher => &["--groups", "cidr,cloud-security", "--role", "publisher"][..],
            Role::Reader => &["--groups", "cidr", "--role", "reader"],
            Role::Steward => &["--groups", "cidr", "--role", "steward"],
            Role::Carrier => &["--carrier"],
        });
        self.ok(&issue);
        self.issued.set(self.issued.get() + 1);
        self.member(name)
    }

    /// A member whose certificate is `NAME.certificate`, however it was issued.
    #[must_use]
    pub fn member(&self, name: &str) -> Member {
        Member::new(self, name)
    }

    /// Makes a member's keys and its request, `NAME.request`.
    pub fn enrol(&self, name: &str, role: Role) {
        let request = format!("{name}.request");
        let mut enroll = vec!["enroll", "--charter", "coalition/charter.pem", "--org", name, "--dir", name];
        enroll.extend(["--class", "essential", "--out", &request, "--accept-arrangement", "--accept-rules"]);
        enroll.extend(match role {
            Role::Carrier => &["--carrier"][..],
            Role::Publisher => &["--groups", "cidr,cloud-security"],
            Role::Reader | Role::Steward => &["--groups", "cidr"],
        });
        self.ok(&enroll);
    }

    /// Issues, joins and starts every one of `members`; all know each other when this returns.
    #[must_use]
    pub fn running(&self, members: &[(&str, Role)]) -> Vec<Member> {
        let mut running: Vec<Member> = members.iter().map(|(name, role)| self.issue(name, *role)).collect();
        for member in &running {
            member.join(self);
        }
        let mut bootstrap = Vec::new();
        for member in &mut running {
            member.bootstrap.clone_from(&bootstrap);
            member.start();
            bootstrap.extend(member.address());
        }
        for member in &running {
            member.meets(running.len() - 1);
        }
        running
    }

    /// `belfry coalition export`: the log as a file.
    pub fn export(&self, name: &str) -> PathBuf {
        self.ok(&["coalition", "export", "--out", name, "--dir", "coalition"]);
        self.path(name)
    }

    /// As it was founded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Compiles a library to be preloaded, from C, into `folder`.
#[must_use]
pub fn preloaded(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (file, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    fs::write(&file, source).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&file).arg("-ldl");
    let ran = run(compile);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    library
}

/// Sets permission bits.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a script of `tests/python` with the interpreter that has the outside clients.
///
/// Without `BELFRY_PYTHON` it says so and does nothing; `scripts/test` always sets it. Tells whether all of it ran.
#[track_caller]
pub fn python(script: &str, environment: &[(&str, &str)]) -> bool {
    let Some(python) = env::var_os("BELFRY_PYTHON") else {
        skipped(&format!(
            "{script}: BELFRY_PYTHON is not set; scripts/test makes the interpreter and sets it"
        ));
        return false;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = Command::new(python);
    command.arg("-B").arg(&path).args(["--verbose"]).envs(environment.iter().copied()).stdin(Stdio::null());
    let ran = run(command);
    assert_eq!(ran.code, 0, "{script}\n{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("\nOK") && !ran.stderr.contains("Ran 0 tests"), "{script}\n{}", ran.stderr);
    let is_whole = !ran.stderr.contains("skipped=");
    if !is_whole {
        skipped(&format!("some of {script}: its own words say what is missing"));
    }
    is_whole
}

/// Says that something is not tested here and why. `scripts/test` names the file that gathers it (`BELFRY_SKIPPED`): what tests
/// that pass say is shown nowhere else.
pub fn skipped(what: &str) {
    eprintln!("SKIPPED {what}");
    let Some(path) = env::var_os("BELFRY_SKIPPED") else { return };
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    // One write a line: others append meanwhile.
    file.write_all(format!("{what}\n").as_bytes()).unwrap();
}
