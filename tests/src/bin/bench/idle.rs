//! Idle: how much memory a node takes that has nothing to do.
//!
//! The real binary, `belfry run`, in a data folder as enrolling and joining leave it, a member of the default
//! charter's twelve Focus Groups, connected with a few other nodes (which run in this process). Once it is
//! connected and has settled, its resident memory is read from the kernel.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use belfry_node::keys::{DataFolder, Passphrase};
use belfry_proto::{schema::Role, trust::file as armour};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, Member},
    machine,
    node::Node,
    say,
};

const PASSPHRASE: &str = "a passphrase that guards nothing";
/// How long the node may take to be connected: opening its keys alone takes seconds.
const CONNECT: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The binary [default: `belfry` beside this one]
    #[arg(long)]
    belfry: Option<PathBuf>,
    /// Other nodes to be connected with
    #[arg(long, default_value_t = 4)]
    peers: usize,
    /// Seconds to settle before memory is read
    #[arg(long, default_value_t = 30)]
    settle: u64,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { belfry, mut peers, mut settle } = arguments;
    if quick {
        (peers, settle) = (1, 1);
    }
    let belfry = match belfry {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("belfry"),
    };
    let size = std::fs::metadata(&belfry)
        .with_context(|| format!("{}: build it first, or name it with --belfry", belfry.display()))?
        .len();
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (resident, peak, threads, groups) = runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Idle", Role::Publisher)?;
        let others = (0..peers)
            .map(|n| coalition.admit(&format!("Peer {n}"), Role::Publisher))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (mut nodes, mut bootstrap): (Vec<Node>, Vec<_>) = (Vec::new(), Vec::new());
        for (n, other) in others.iter().enumerate() {
            let path = folder.path().join(format!("peer-{n}"));
            let node = Node::start(&coalition, other, path, bootstrap.clone()).await?;
            bootstrap.push(node.address().await?);
            nodes.push(node);
        }
        let bootstrap: Vec<String> =
            bootstrap.iter().map(|(key, address)| format!("{:?}", address.with_node(key))).collect();
        let data_dir = folder.path().join("idle");
        join(&coalition, &member, &data_dir)?;
        let mut process = start(Command::new(&belfry), &data_dir, &bootstrap.join(", "))?;
        say!("waiting for {peers} links");
        connected(&nodes, &member, &mut process.0).await?;
        say!("settling for {settle} s");
        tokio::time::sleep(Duration::from_secs(settle)).await;
        let id = process.0.id().to_string();
        let threads = std::fs::read_dir(format!("/proc/{id}/task"))?.count();
        let measured =
            (machine::resident(&id)?, machine::peak(&id)?, threads, member.certificate.groups.len());
        drop(process);
        for node in nodes {
            node.daemon.shutdown().await;
        }
        anyhow::Ok(measured)
    })?;
    Ok(json!({
        "benchmark": "idle",
        "rss_mb": machine::megabytes(resident),
        "target_rss_mb_at_most": 80,
        "rss_peak_since_start_mb": machine::megabytes(peak),
        "threads": threads,
        "groups": groups,
        "peers": peers,
        "settle_s": settle,
        "binary_bytes": size,
        "machine": machine::facts(quick),
    }))
}

/// Leaves a data folder as `belfry enroll` and `belfry join` do.
pub(crate) fn join(coalition: &Coalition, member: &Member, data_dir: &Path) -> anyhow::Result<()> {
    let folder = DataFolder::new(data_dir);
    std::fs::create_dir_all(data_dir)?;
    std::fs::set_permissions(data_dir, std::fs::Permissions::from_mode(0o700))?;
    member.keys.save(&folder.keys(), &Passphrase::new(PASSPHRASE))?;
    std::fs::write(folder.charter(), armour::write_charter(&coalition.log().charters))?;
    std::fs::write(folder.log(), armour::write_log(coalition.log()))?;
    std::fs::write(folder.certificate(), armour::write_certificate(&member.record))?;
    Ok(())
}

/// A child that does not outlive the benchmark.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the binary in a joined data folder; its configuration stands beside that.
pub(crate) fn start(mut belfry: Command, data_dir: &Path, bootstrap: &str) -> anyhow::Result<Process> {
    let folder = data_dir.parent().context("a data folder without a parent")?;
    let passphrase = folder.join("passphrase");
    std::fs::write(&passphrase, format!("{PASSPHRASE}\n"))?;
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600))?;
    let config = folder.join("belfry.toml");
    let text = format!(
        "[node]\ndata_dir = {data_dir:?}\n[keys]\npassphrase_file = \"passphrase\"\n[network]\n\
         listen = [\"/ip4/127.0.0.1/udp/0/quic-v1\", \"/ip4/127.0.0.1/tcp/0\"]\nbootstrap = [{bootstrap}]\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"warn\"\n[store]\nscrub = false\n"
    );
    std::fs::write(&config, text)?;
    let child = belfry
        .arg("--config")
        .arg(&config)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| belfry.get_program().display().to_string())?;
    Ok(Process(child))
}

async fn connected(nodes: &[Node], member: &Member, process: &mut Child) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    for node in nodes {
        loop {
            if let Some(status) = process.try_wait()? {
                anyhow::bail!("belfry ended with {status}");
            }
            let peers = node.daemon.network().peers().await?;
            if peers.iter().any(|peer| peer.admitted && peer.node == member.certificate.node) {
                break;
            }
            anyhow::ensure!(begun.elapsed() < CONNECT, "the node did not connect");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
