//! The daemon under attack: a process of its own, so that what it takes is its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context as _, anyhow, bail};
use belfry_node::{
    keys::{DataFolder, Passphrase},
    network::Address,
};
use belfry_proto::{crypto::sign::PublicKey, trust::file};
use belfry_tests::{Coalition, Member, http::Client, until};
use serde_json::Value;

const PASSPHRASE: &str = "a passphrase that guards nothing";

/// What a process takes of its machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Resident bytes.
    pub(crate) memory: u64,
    /// Open descriptors.
    pub(crate) descriptors: usize,
}

impl Taken {
    pub(crate) fn most(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), descriptors: self.descriptors.max(other.descriptors) }
    }
}

/// A running `belfry run`.
pub(crate) struct Target {
    child: Mutex<Child>,
    pid: u32,
    folder: tempfile::TempDir,
    pub(crate) node: PublicKey,
    pub(crate) api: Client,
    pub(crate) quic: Address,
    pub(crate) tcp: Address,
}

impl Target {
    pub(crate) async fn start(belfry: &Path, member: &Member, coalition: &Coalition) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("belfry-hostile-").tempdir()?;
        let data = folder.path().join("alice");
        joined(member, coalition, &data)?;
        let config = configured(folder.path())?;
        let log = fs::File::create(folder.path().join("log"))?;
        let child = Command::new(belfry)
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{}: build it first, or name it with --belfry", belfry.display()))?;
        let pid = child.id();
        let child = Mutex::new(child);
        let status = until("the daemon to answer", async || {
            let mut command = Command::new(belfry);
            command.arg("--config").arg(&config).args(["status", "--json"]).stdin(Stdio::null());
            let output = tokio::task::spawn_blocking(move || command.output()).await;
            let output = output.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            serde_json::from_slice::<Value>(&output.stdout)
                .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
        })
        .await?;
        let api =
            status.pointer("/api/0").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
        let api = api.context("no API in its status")?.parse()?;
        let token = fs::read_to_string(data.join("cli.token"))?;
        let listening =
            status.pointer("/node/listening").and_then(Value::as_array).context("it does not listen")?;
        let address = |part: &str| {
            let found = listening.iter().filter_map(Value::as_str).find(|text| text.contains(part));
            anyhow::Ok(Address::parse(found.with_context(|| format!("no {part} address"))?)?.0)
        };
        let (quic, tcp) = (address("/quic-v1")?, address("/tcp/")?);
        Ok(Self {
            child,
            pid,
            node: member.node(),
            api: Client::new(api, token.trim().to_owned()),
            quic,
            tcp,
            folder,
        })
    }

    /// It is the process that was started.
    pub(crate) fn is_alive(&self) -> anyhow::Result<()> {
        let mut child = self.child.lock().map_err(|_| anyhow!("poisoned"))?;
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the daemon ended with {status}:\n{}", self.log()?),
        }
    }

    pub(crate) async fn taken(&self) -> anyhow::Result<Taken> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        // Its own word: it shows them to nobody but root.
        let descriptors = self.told("belfry_open_descriptors").await?.parse::<usize>()?;
        Ok(Taken { memory: kilobytes * 1024, descriptors })
    }

    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.folder.path().join("log"))?).into_owned())
    }

    /// One number of its metrics.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.told(name).await?.parse()?)
    }

    async fn told(&self, name: &str) -> anyhow::Result<String> {
        let text = self.api.text("/metrics").await?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A data folder as `belfry enroll` and `belfry join` leave it.
fn joined(member: &Member, coalition: &Coalition, data: &Path) -> anyhow::Result<()> {
    let folder = DataFolder::new(data);
    fs::create_dir_all(data)?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700))?;
    member.keys().save(&folder.keys(), &Passphrase::new(PASSPHRASE))?;
    fs::write(folder.charter(), file::write_charter(&coalition.log().charters))?;
    fs::write(folder.log(), file::write_log(coalition.log()))?;
    fs::write(folder.certificate(), file::write_certificate(member.record()))?;
    Ok(())
}

fn configured(folder: &Path) -> anyhow::Result<PathBuf> {
    let passphrase = folder.join("passphrase");
    fs::write(&passphrase, format!("{PASSPHRASE}\n"))?;
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600))?;
    let config = folder.join("belfry.toml");
    let text = format!(
        "[node]\ndata_dir = {:?}\n[keys]\npassphrase_file = {passphrase:?}\n[network]\n\
         listen = [\"/ip4/127.0.0.1/udp/0/quic-v1\", \"/ip4/127.0.0.1/tcp/0\"]\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"warn\"\n",
        folder.join("alice")
    );
    fs::write(&config, text)?;
    Ok(config)
}
