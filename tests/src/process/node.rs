//! One organisation's node: its folder, its configuration, its process.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use super::{Coalition, PATIENCE, Ran, belfry, binary, eventually, http, preloaded, run};

/// How a daemon that did not stay ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 for a signal.
    pub code: i32,
    /// The system kept its memory: wrote it to a file, or handed it to a program.
    pub is_dumped: bool,
    /// Its log.
    pub log: String,
}

impl Ended {
    /// The end of its log.
    #[must_use]
    pub fn last(&self) -> String {
        let lines: Vec<&str> = self.log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).copied().collect::<Vec<_>>().join("\n")
    }
}

/// A member and, while it runs, its daemon.
pub struct Member {
    /// As enrolled; also its organisation.
    pub name: String,
    /// Its data folder.
    pub dir: PathBuf,
    /// Addresses it dials first; takes effect at the next start.
    pub bootstrap: Vec<String>,
    /// Nodes it asks for circuits besides carriers; takes effect at the next start.
    pub relays: Vec<String>,
    /// Log filter; takes effect at the next start.
    pub filter: String,
    /// Where its API listens; takes effect at the next start.
    pub listen: String,
    /// Addresses it listens on for peers, as an inner part of a TOML list; takes effect at the next start.
    pub network: String,
    /// More lines of its configuration, whole sections.
    pub more: String,
    /// More of the daemon's environment; takes effect at the next start.
    pub environment: Vec<(String, String)>,
    /// What starts the daemon, and its arguments before the daemon's own; takes effect at the next start.
    pub launcher: Vec<String>,
    home: PathBuf,
    process: Option<Child>,
}

impl Member {
    pub(super) fn new(coalition: &Coalition, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            dir: coalition.path(name),
            bootstrap: Vec::new(),
            relays: Vec::new(),
            filter: "info".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            network: r#""/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0""#.to_owned(),
            more: String::new(),
            environment: Vec::new(),
            launcher: Vec::new(),
            home: coalition.path("").clone(),
            process: None,
        }
    }

    /// Takes up its certificate with the coalition's newest log.
    pub fn join(&self, coalition: &Coalition) {
        coalition.export("log.pem");
        let certificate = format!("{}.certificate", self.name);
        coalition.ok(&["join", &certificate, "--log", "log.pem", "--dir", &self.name]);
    }

    /// Its configuration file, written anew if anything changed: in one step, for others read it meanwhile.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        let path = self.home.join(format!("{}.toml", self.name));
        let text = format!(
            "[node]\ndata_dir = {:?}\n[keys]\npassphrase_file = \"passphrase\"\n\
             [network]\nlisten = [{}]\nbootstrap = {:?}\nrelays = {:?}\nredial_interval = \"1s\"\n[api]\nlisten = {:?}\n[log]\nfilter = {:?}\n{}",
            self.name, self.network, self.bootstrap, self.relays, self.listen, self.filter, self.more
        );
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return path;
        }
        let draft = path.with_extension("toml.new");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &path).unwrap();
        path
    }

    /// Runs one of the commands that talk to the daemon.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = belfry(["--config"]);
        command.arg(self.config()).args(arguments).current_dir(&self.home);
        run(command)
    }

    /// Runs a command that must succeed; gives its stdout.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            ran.code,
            0,
            "{}: belfry {}\n{}{}",
            self.name,
            arguments.join(" "),
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    }

    /// Gives it a wall clock of its own, from its next start on; [`Self::clock`] sets it.
    pub fn with_clock(&mut self) {
        let library = preloaded(&self.home, "clock", include_str!("clock.c"));
        let file = self.home.join(format!("{}.clock", self.name));
        for (name, value) in [("LD_PRELOAD", library), ("BELFRY_CLOCK", file)] {
            self.environment.push((name.to_owned(), value.display().to_string()));
        }
    }

    /// Keeps every byte it hands to a socket that leads out of it, from its next start on: [`Self::sent`].
    pub fn with_wire(&mut self) {
        let library = preloaded(&self.home, "wire", include_str!("wire.c"));
        for (name, value) in [("LD_PRELOAD", library), ("BELFRY_WIRE", self.wire())] {
            self.environment.push((name.to_owned(), value.display().to_string()));
        }
    }

    fn wire(&self) -> PathBuf {
        self.home.join(format!("{}.wire", self.name))
    }

    /// All that it has sent, call by call: packets to peers, and answers of its API over TCP.
    #[must_use]
    pub fn sent(&self) -> Vec<u8> {
        fs::read(self.wire()).unwrap_or_default()
    }

    /// Sets its clock so many seconds ahead of everybody's.
    pub fn clock(&self, ahead: i64) {
        let (file, draft) = (format!("{}.clock", self.name), format!("{}.clock.new", self.name));
        fs::write(self.home.join(&draft), ahead.to_string()).unwrap();
        fs::rename(self.home.join(draft), self.home.join(file)).unwrap();
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        eventually(&format!("{} answers", self.name), || {
            if let Some(ended) = self.ended() {
                panic!("{} ended with {}: {}", self.name, ended.code, ended.last());
            }
            (self.run(&["status", "--json"]).code == 0).then_some(())
        });
    }

    /// Starts a daemon that shall not stay, and waits for its end.
    #[track_caller]
    #[must_use]
    pub fn start_in_vain(&mut self) -> Ended {
        self.spawn();
        eventually(&format!("{} gives up", self.name), || self.ended())
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = belfry(["--config"]);
        if let Some((launcher, arguments)) = self.launcher.split_first() {
            command = std::process::Command::new(launcher);
            command.args(arguments).arg(binary()).arg("--config").env_remove("CREDENTIALS_DIRECTORY");
        }
        command.arg(self.config()).arg("run").current_dir(&self.home);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// How the daemon ended, if it did.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.process.as_mut()?.try_wait().unwrap()?;
        self.process = None;
        let log = String::from_utf8_lossy(&fs::read(self.log_path()).unwrap()).into_owned();
        Some(Ended { code: status.code().unwrap_or(-1), is_dumped: status.core_dumped(), log })
    }

    /// Asks it to end (SIGTERM) and waits; its exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        self.signalled("-TERM").code
    }

    /// Has it end as a crash does (SIGABRT), and waits.
    #[track_caller]
    #[must_use]
    pub fn abort(&mut self) -> Ended {
        self.signalled("-ABRT")
    }

    #[track_caller]
    fn signalled(&mut self, signal: &str) -> Ended {
        let pid = self.process.as_ref().expect("it runs").id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        eventually(&format!("{} ends", self.name), || self.ended())
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What it wrote to stdout and stderr, over all its starts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.join(format!("{}.log", self.name))
    }

    /// `belfry status --json`.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// `host:port` of its API.
    #[must_use]
    pub fn api(&self) -> String {
        let status = self.status();
        status["api"][0].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
    }

    /// A bootstrap address of it.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.addresses().into_iter().find(|address| address.contains("/quic-v1"))
    }

    /// Where it listens, as bootstrap addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let status = self.status();
        let listening = status["node"]["listening"].as_array().unwrap();
        listening.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until it has so many peers.
    #[track_caller]
    pub fn meets(&self, peers: usize) {
        eventually(&format!("{} has {peers} peers", self.name), || {
            (self.status()["node"]["connected"].as_u64() == Some(peers as u64)).then_some(())
        });
    }

    /// Makes a token by the command line; its text.
    #[track_caller]
    #[must_use]
    pub fn token(&self, name: &str, arguments: &[&str]) -> String {
        let out = self.ok(&[&["token", "create", "--name", name], arguments].concat());
        let token = out.split_whitespace().find(|word| word.starts_with("belfry_"));
        token.unwrap_or_else(|| panic!("no token in {out:?}")).to_owned()
    }

    /// Every object of a collection that the token reads, page by page.
    #[must_use]
    pub fn objects(&self, token: &str, collection: &str) -> Vec<Value> {
        let (api, mut found, mut next) = (self.api(), Vec::new(), String::new());
        loop {
            let path = format!("/taxii2/root/collections/{collection}/objects/?limit=500{next}");
            let page = http::get(&api, &path, token);
            found.extend(page.objects());
            match page.json()["next"].as_str() {
                Some(cursor) => next = format!("&next={cursor}"),
                None => return found,
            }
        }
    }

    /// Waits until its collection shows `ids`, all of them.
    #[track_caller]
    pub fn shows(&self, token: &str, collection: &str, ids: &[String]) {
        eventually(&format!("{} shows {} objects within {PATIENCE:?}", self.name, ids.len()), || {
            let found = self.objects(token, collection);
            ids.iter().all(|id| found.iter().any(|object| object["id"] == **id)).then_some(())
        });
    }

    /// Publishes an indicator with this number by the command line; its STIX id. It is durable, not yet sent.
    #[track_caller]
    pub fn publish(&self, number: u32) -> String {
        let id = format!("indicator--00000000-0000-4000-8000-{number:012x}");
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "id": id, "pattern_type": "stix",
            "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
            "pattern": format!("[domain-name:value = 'n{number}.example']"), "valid_from": "2026-11-01T08:00:00Z",
        });
        let bundle = json!({
            "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [object],
        });
        let file = self.home.join(format!("bundle-{number}.json"));
        fs::write(&file, bundle.to_string()).unwrap();
        self.ok(&["publish", file.to_str().unwrap(), "--group", "cidr", "--tlp", "green"]);
        id
    }

    /// STIX ids that its command line lists, one for each row.
    #[must_use]
    pub fn listed(&self) -> Vec<String> {
        let lines = self.ok(&["objects", "--group", "cidr", "--json", "--limit", "10000"]);
        let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until its command line lists `ids`, all of them.
    #[track_caller]
    pub fn lists(&self, ids: &[String]) {
        eventually(&format!("{} lists {} objects", self.name, ids.len()), || {
            let found = self.listed();
            ids.iter().all(|id| found.contains(id)).then_some(())
        });
    }

    /// A file of its data folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where its files lie beside the data folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
