//! `belfry.toml`: what an operator may decide, typed once at load.
//!
//! A value travels from text to type in one step and never back: a duration is a [`Duration`], an address an
//! [`Address`], before anything else of belfry sees it. So a mistake is told at the line where it was
//! made ([`ConfigError`] names file, line, key and the mend), and no later code has to doubt a setting.
//!
//! Every key is optional; what a missing one means is its default here and its comment in
//! `config/belfry.example.toml`, which a test holds equal. Secrets never stand in the file: it names where they are.

mod address;
mod error;
mod exports;
mod guards;
mod hooks;
mod policy;
mod sources;
mod url;
pub(crate) mod value;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use belfry_proto::schema::{Purpose, Tlp};
use serde::{Deserialize, Serialize};

pub use self::{
    address::{Address, AddressError, Bootstrap, BootstrapError, PeerIdError, Transport, node_key, peer_id},
    error::ConfigError,
    exports::{Export, Format, Lists},
    guards::Guards,
    hooks::{Hook, Syslog, Target, Webhook},
    sources::{Auth, Credential, Remote, Source, SourceKind},
    url::HttpUrl,
    value::{Filter, parse_tlp},
};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_PATH: &str = "/etc/belfry/belfry.toml";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node as such.
    pub node: Node,
    /// Where the passphrase of the key files comes from.
    pub keys: Keys,
    /// Links to other nodes.
    pub network: Network,
    /// The local API.
    pub api: Api,
    /// The record of who did what through the API.
    pub audit: Audit,
    /// The database.
    pub store: Store,
    /// Repair of what gossip lost.
    pub sync: Sync,
    /// What a publication says when its submitter does not.
    pub publish: Publish,
    /// What is asked before something leaves.
    pub guards: Guards,
    /// What is logged, and how.
    pub log: Log,
    /// What never stands in an export, and what is known to be there by mistake.
    pub lists: Lists,
    /// What tools are given.
    pub exports: Vec<Export>,
    /// What is pushed as it comes, over HTTP.
    pub webhooks: Vec<Webhook>,
    /// What is pushed as it comes, to log servers.
    pub syslog: Vec<Syslog>,
    /// What is taken in from elsewhere.
    pub sources: Vec<Source>,
    /// The arguments that named this configuration and its data folder, for a hint at another command; each after a space.
    #[serde(skip)]
    pub again: String,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Folder of keys, certificate, log and database. Relative to the configuration file's folder.
    pub data_dir: PathBuf,
}

/// `[keys]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// File whose first line is the passphrase; 0600. Unset: the credential, then a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// Name of the systemd credential (`LoadCredentialEncrypted=`) that holds the passphrase.
    pub credential: String,
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Addresses to listen on; empty for a node that only dials.
    pub listen: Vec<Address>,
    /// Addresses under which others reach this node; empty: those it listens on, if they are not wildcards.
    pub external: Vec<Address>,
    /// Nodes to dial before any address record is known.
    pub bootstrap: Vec<Bootstrap>,
    /// Whether this node gives circuits to members that nobody can dial. Unset: a carrier's does, others do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<bool>,
    /// Nodes to ask for circuits, should this one need some, besides the coalition's carriers; dialled like `bootstrap`.
    pub relays: Vec<Bootstrap>,
    /// Most links to admitted nodes.
    pub max_peers: u32,
    /// Longest wait between two dials of a node that does not answer. A dial that is lost takes ten seconds to fail, so once a
    /// partition heals links are back within some three seconds more than this, and with them the admin log.
    #[serde(with = "value::duration")]
    pub redial_interval: Duration,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address of the HTTP API; a loopback one, unless it speaks TLS.
    #[serde(with = "value::address")]
    pub listen: SocketAddr,
    /// Certificate by which it speaks TLS, with those between it and its authority, PEM. Unset: plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM, 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The API's Unix socket. Unset: `api.sock` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// `Host` values accepted beside the loopback names, as `name` or `name:port`.
    #[serde(with = "value::hosts")]
    pub allowed_hosts: Vec<String>,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Bytes of the log that are kept; beyond it the oldest go.
    #[serde(with = "value::size")]
    pub keep: u64,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Free bytes on the data folder's file system below which nothing is written any more.
    #[serde(with = "value::size")]
    pub free_space_floor: u64,
    /// Bytes of messages that are kept of one member in one group. Unset: a sixty-fourth of the file system.
    #[serde(with = "value::optional_size")]
    pub member_quota: Option<u64>,
    /// Whether everything is read once a day, to find what the disk damaged before it is needed.
    pub scrub: bool,
}

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// How often frontiers are compared with a random peer.
    #[serde(with = "value::duration")]
    pub interval: Duration,
}

/// `[publish]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// TLP of a publication that states none and whose objects carry none. Unset: amber+strict.
    #[serde(with = "value::tlp", skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    /// Purpose of a publication that states none. Unset: the group's default.
    #[serde(with = "value::purpose", skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Directives of `tracing`'s `EnvFilter`.
    pub filter: Filter,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people and journald.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Node {
    fn default() -> Self {
        Self { data_dir: PathBuf::from("/var/lib/belfry") }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { passphrase_file: None, credential: "belfry-passphrase".into() }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            listen: Address::any(DEFAULT_PORT),
            external: Vec::new(),
            bootstrap: Vec::new(),
            relay: None,
            relays: Vec::new(),
            // Six links into each of twelve groups, the random ones and room for inbound.
            max_peers: 128,
            redial_interval: Duration::from_secs(4),
        }
    }
}

impl Network {
    /// The key that does not go with the others, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.relay == Some(true) && self.listen.is_empty() {
            return Err((
                "relay",
                "a node that listens nowhere cannot give circuits: set listen, or leave relay to others"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT + 1)),
            tls_certificate: None,
            tls_key: None,
            socket: None,
            allowed_hosts: Vec::new(),
        }
    }
}

impl Api {
    /// Certificate and key, if it speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        self.tls_certificate.clone().zip(self.tls_key.clone())
    }

    /// The key that does not go with the others, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => {
                Err(("tls_certificate", "a certificate needs its key: set tls_key, too".to_owned()))
            }
            (None, Some(_)) => {
                Err(("tls_key", "a key needs its certificate: set tls_certificate, too".to_owned()))
            }
            (None, None) if !self.listen.ip().is_loopback() => Err((
                "listen",
                format!(
                    "{} would offer the API to the network without TLS: set tls_certificate and tls_key, or listen on \
                     127.0.0.1 or [::1]",
                    self.listen
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        // A million calls or so.
        Self { keep: 256 << 20 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { free_space_floor: 1 << 30, member_quota: None, scrub: true }
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: Filter::default(), format: LogFormat::Text }
    }
}

/// UDP and TCP port of a node; the API takes the next one.
const DEFAULT_PORT: u16 = 4717;

impl Config {
    /// Reads `path`; relative paths in it are taken from its folder.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line, key and the mend.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text, path)?;
        if let Some(folder) = path.parent() {
            config.anchor(folder);
        }
        Ok(config)
    }

    /// [`Self::load`] of `named`; without one, of [`DEFAULT_PATH`] if that exists, else the defaults.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn find(named: Option<&Path>) -> Result<Self, ConfigError> {
        match named {
            Some(path) => Self::load(path),
            None if Path::new(DEFAULT_PATH).exists() => Self::load(Path::new(DEFAULT_PATH)),
            None => Ok(Self::default()),
        }
    }

    /// Types `text`; `origin` is the file it came from, for errors only.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::invalid(origin, text, &e))?;
        for (section, checked) in [("network", config.network.check()), ("api", config.api.check())] {
            if let Err((key, message)) = checked {
                return Err(ConfigError::of_key(origin, text, (section, key), message));
            }
        }
        Ok(config)
    }

    /// The configuration as TOML, every key with its value written out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The API's Unix socket.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.api.socket.clone().unwrap_or_else(|| self.node.data_dir.join("api.sock"))
    }

    /// The 0600 file with the token by which this machine's `belfry` commands talk to the daemon.
    #[must_use]
    pub fn cli_token(&self) -> PathBuf {
        self.node.data_dir.join("cli.token")
    }

    fn anchor(&mut self, folder: &Path) {
        let paths = [
            Some(&mut self.node.data_dir),
            self.keys.passphrase_file.as_mut(),
            self.api.socket.as_mut(),
            self.api.tls_certificate.as_mut(),
            self.api.tls_key.as_mut(),
            self.lists.folder.as_mut(),
        ];
        for path in paths.into_iter().flatten() {
            // `join` keeps an absolute path as it is.
            *path = folder.join(&*path);
        }
        for webhook in &mut self.webhooks {
            webhook.secret_file = folder.join(&webhook.secret_file);
            webhook.ca_file = webhook.ca_file.take().map(|path| folder.join(path));
        }
        for syslog in &mut self.syslog {
            syslog.ca_file = syslog.ca_file.take().map(|path| folder.join(path));
        }
        for source in &mut self.sources {
            source.anchor(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const EXAMPLE: &str = include_str!("../../../config/belfry.example.toml");
    const SECTIONS: [&str; 15] = [
        "node", "keys", "network", "api", "audit", "store", "sync", "publish", "guards", "log", "lists",
        "exports", "webhooks", "syslog", "sources",
    ];

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("belfry.toml"))
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    /// The example with its unset keys and tables (`#key = …`, `#[[table]]`, no space) set.
    fn example_with_every_key() -> String {
        EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// serde's own list of a section's fields, taken from its refusal of a key that no section has.
    fn fields(text: &str) -> BTreeSet<String> {
        let error = refusal(text);
        let (_, expected) = error.split_once("expected").expect("serde lists the fields");
        let expected = expected.lines().next().unwrap();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_example_states_the_defaults() {
        assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    }

    #[test]
    fn the_example_shows_every_key_and_no_other() {
        let text = example_with_every_key();
        parse(&text).expect("the keys that are off in the example are right, too");
        let shown: toml::Table = text.parse().unwrap();
        assert_eq!(fields("no-such-key = 1"), SECTIONS.map(str::to_owned).into());
        for section in SECTIONS {
            // Of a section with several tables, each kind shows its own keys.
            let (tables, header) = match &shown[section] {
                toml::Value::Array(tables) => (tables.as_slice(), format!("[[{section}]]")),
                table => (std::slice::from_ref(table), format!("[{section}]")),
            };
            let keys = tables.iter().flat_map(|table| table.as_table().unwrap().keys());
            let shown: BTreeSet<String> = keys.cloned().collect();
            assert_eq!(shown, fields(&format!("{header}\nno-such-key = 1")), "{header}");
        }
    }

    #[test]
    fn what_is_shown_parses_to_itself() {
        let config = parse(&example_with_every_key()).unwrap();
        assert_eq!(parse(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn an_error_names_file_line_key_and_mend() {
        let text = refusal("[node]\ndata_dir = \"x\"\n\n[sync]\ninterval = \"5 parsecs\"\n");
        assert!(text.starts_with("belfry.toml:5:12: sync.interval: "), "{text}");
        assert!(text.contains("5 parsecs"), "{text}");
        assert!(text.contains("as in \"15s\""), "{text}");

        let text = refusal("[network]\nlisen = []\n");
        assert!(text.starts_with("belfry.toml:2:1: network.lisen: "), "{text}");
        assert!(text.contains("`listen`"), "{text}");
    }

    #[test]
    fn wrong_values_are_refused_with_what_was_expected() {
        for (text, expected) in [
            ("[store]\nfree_space_floor = \"1 parsec\"", "64MiB"),
            ("[store]\nfree_space_floor = 5", "string"),
            ("[store]\nmember_quota = \"much\"", "64MiB"),
            ("[sync]\ninterval = \"0s\"", "longer than zero"),
            ("[network]\nlisten = [\"0.0.0.0:1\"]", "/ip4/"),
            ("[network]\nlisten = [\"/ip4/1.2.3.4/sctp/1\"]", "/tcp/"),
            ("[network]\nbootstrap = [\"/ip4/1.2.3.4/tcp/1\"]", "/p2p/"),
            ("[network]\nlisten = []\nrelay = true", "set listen"),
            ("[network]\nrelays = [\"/ip4/1.2.3.4/tcp/1\"]", "/p2p/"),
            ("[api]\nlisten = \"0.0.0.0:80\"", "127.0.0.1"),
            ("[api]\nlisten = \"127.0.0.1\"", "127.0.0.1:4718"),
            ("[api]\ntls_key = \"/k\"", "tls_certificate"),
            ("[api]\ntls_certificate = \"/c\"", "tls_key"),
            ("[api]\nallowed_hosts = [\"https://a/\"]", "name:port"),
            ("[publish]\ntlp = \"pink\"", "amber+strict"),
            ("[publish]\npurpose = \"fun\"", "limit-spread"),
            ("[log]\nfilter = \"a=b=c\"", "info"),
            ("[log]\nformat = \"xml\"", "`text`"),
            ("[node", "]"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }

    #[test]
    fn another_machines_address_needs_tls() {
        let text = "[api]\nlisten = \"0.0.0.0:4718\"\n";
        assert!(refusal(text).starts_with("belfry.toml:2:10: api.listen: "), "{}", refusal(text));
        let config = parse(&format!("{text}tls_certificate = \"c\"\ntls_key = \"k\"\n")).unwrap();
        assert_eq!(config.api.tls_key, Some("k".into()));
    }

    #[test]
    fn relative_paths_are_taken_from_the_files_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("belfry.toml");
        std::fs::write(&path, "[node]\ndata_dir = \"data\"\n").unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.node.data_dir, folder.path().join("data"));
        assert_eq!(config.api_socket(), folder.path().join("data/api.sock"));
        let missing = Config::load(&folder.path().join("no.toml")).unwrap_err().to_string();
        assert!(missing.contains("belfry config show"), "{missing}");
    }
}
