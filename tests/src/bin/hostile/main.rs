//! A peer that keeps no rule, against a real daemon: raw TCP, raw UDP, raw yamux, raw streams of every protocol, with
//! certificates and without.
//!
//! ```text
//! strangers ─ TCP and UDP noise, half handshakes, silence, yamux frames, hello frames ─┐
//! members   ─ frames of hello, keys, sync, identify, ping and gossip, and yamux ───────┼─▶ belfry run ◀── an honest member,
//! members   ─ answers to whatever they are asked of hello, keys and sync ──────────────┤    publishing all the time
//! a member  ─ genuine messages without end ────────────────────────────────────────────┘
//! ```
//!
//! Every attack draws from one seed: fields at their extremes, lengths that lie, truncations, flipped bits, floods of
//! control messages, streams and connections opened and left. Meanwhile an honest member publishes, and the daemon must
//! show each publication. In the end the daemon must be the same process, with no swarm replaced and no task panicked, its
//! memory and descriptors within bounds, and both back near where they began once the attackers are gone.
//!
//! The last line of stdout is one JSON object; a broken promise is an error.

mod answers;
mod flood;
mod frames;
mod muxer;
mod raw;
mod streams;
mod target;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::ensure;
use belfry_proto::crypto::sign::SigningKey;
use belfry_tests::{Bundle, Coalition, Hostile, Member, until, wait::that};
use clap::Parser;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use target::Target;
use tokio::task::JoinSet;

/// Memory the daemon may take in the worst moment, over what it took before, in bytes. Its queues are bounded: gossip
/// that waits (32 MiB), what one peer may have under way on QUIC (8 MiB each) and on yamux (128 streams of 256 KiB),
/// answers to it. A leak of a kilobyte a frame is more than this within a minute.
const MEMORY: u64 = 384 << 20;
/// Descriptors over what it had before: 128 handshakes under way, as many connections of members and of the lobby.
const DESCRIPTORS: usize = 400;
/// Members that answer. Each rests after faults, in the daemon's book; some are asked while others rest.
const ANSWERING: usize = 4;
/// What may be left of both when nobody attacks any more.
const LEFT_DESCRIPTORS: usize = 24;

#[derive(Debug, Parser)]
struct Arguments {
    /// How long to attack
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// What all attacks are drawn from [default: chosen now, and told]
    #[arg(long)]
    seed: Option<u64>,
    /// The binary [default: `belfry` beside this one]
    #[arg(long)]
    belfry: Option<PathBuf>,
}

/// What was done, by its name.
#[derive(Clone, Debug, Default)]
struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    fn count(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    fn told(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an attack has to know.
#[derive(Clone)]
struct Aim {
    target: Arc<Target>,
    coalition: belfry_proto::id::CoalitionId,
    group: belfry_proto::id::GroupId,
    until: Instant,
    tally: Tally,
}

impl Aim {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    eprintln!("    seed {seed}, {} s", arguments.seconds);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run(&arguments, seed))
}

async fn run(arguments: &Arguments, seed: u64) -> anyhow::Result<()> {
    let belfry = match &arguments.belfry {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("belfry"),
    };
    let mut coalition = Coalition::new()?;
    let alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mallories = (0..streams::PROTOCOLS.len() + 1 + ANSWERING)
        .map(|n| coalition.member(&format!("mallory-{n}")).publisher(["cidr"]).issue())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let flooder = coalition.member("flooder").publisher(["cidr"]).issue()?;
    let target = Arc::new(Target::start(&belfry, &alice, &coalition).await?);
    bob.join(&coalition, coalition.log().clone())?;
    bob.run_to(vec![(alice.node(), target.quic.clone())]).await?;
    delivered(&target, &bob).await?;
    let before = target.taken().await?;

    let aim = Aim {
        target: Arc::clone(&target),
        coalition: coalition.id(),
        group: coalition.group("cidr")?,
        until: Instant::now() + Duration::from_secs(arguments.seconds),
        tally: Tally::default(),
    };
    let flooding = Hostile::as_member(&flooder, &coalition).await?;
    flooding.subscribe(&[aim.group]).await?;
    flooding.join_at(target.node, &target.quic).await?;
    let mut attacks = attacks(&aim, &mallories, seed);
    let (mut peak, mut honest) = (before, 0);
    let served = async {
        while aim.goes_on() {
            delivered(&target, &bob).await?;
            honest += 1;
            target.is_alive()?;
            peak = peak.most(target.taken().await?);
            while let Some(ended) = attacks.try_join_next() {
                ended??;
            }
        }
        anyhow::Ok(())
    };
    let flooded = flood::attack(&aim, &flooding, &flooder, coalition.roster());
    let (served, flooded) = futures::future::join(served, flooded).await;
    served?;
    flooded?;
    flooding.stop().await;
    while let Some(ended) = attacks.join_next().await {
        ended??;
    }
    peak = peak.most(target.taken().await?);

    // Nobody attacks any more: what they held is let go of, and honest members are served.
    until("the daemon to let go of the attackers' descriptors", async || {
        let now = target.taken().await.map_err(|error| error.to_string())?;
        that(now.descriptors <= before.descriptors + LEFT_DESCRIPTORS, || {
            format!("{now:?}, before {before:?}")
        })
    })
    .await?;
    delivered(&target, &bob).await?;
    let after = target.taken().await?;
    let restarts = target.metric("belfry_network_restarts_total").await?;
    let panics =
        target.log()?.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect::<Vec<_>>();
    let tally = aim.tally.told();
    println!(
        "{}",
        json!({
            "program": "hostile", "seconds": arguments.seconds, "seed": seed, "did": tally, "honest_delivered": honest,
            "network_restarts": restarts, "panics": panics.len(),
            "memory_mb": { "before": before.memory >> 20, "peak": peak.memory >> 20, "after": after.memory >> 20 },
            "descriptors": { "before": before.descriptors, "peak": peak.descriptors, "after": after.descriptors },
        })
    );
    ensure!(panics.is_empty(), "tasks of the daemon panicked: {panics:#?}");
    ensure!(restarts == 0.0, "the swarm was replaced {restarts} times");
    ensure!(peak.memory <= before.memory + MEMORY, "memory grew from {before:?} to {peak:?}");
    ensure!(
        peak.descriptors <= before.descriptors + DESCRIPTORS,
        "descriptors grew from {before:?} to {peak:?}"
    );
    let names = ATTACKS.into_iter().chain(answers::ASKED_FOR_SURE);
    let idle: Vec<&str> = names.filter(|name| !tally.contains_key(name)).collect();
    ensure!(idle.is_empty(), "these attacks did nothing: {idle:?}");
    bob.stop().await;
    Ok(())
}

/// Names under which every attack counts at least something.
const ATTACKS: [&str; 14] = [
    flood::FLOOD,
    "tcp noise",
    "tcp half handshake",
    "tcp silence",
    "udp noise",
    "udp quic",
    "yamux as stranger",
    "yamux as member",
    "hello as stranger",
    "/belfry/hello/1",
    "/belfry/sync/1",
    "/belfry/sync/2",
    "/belfry/keys/1",
    "/meshsub/1.1.0",
];

fn attacks(aim: &Aim, mallories: &[Member], seed: u64) -> JoinSet<anyhow::Result<()>> {
    let mut attacks = JoinSet::new();
    let mut salt = 0;
    let mut rng = || {
        salt += 1;
        StdRng::seed_from_u64(seed.wrapping_add(salt))
    };
    for n in 1..=8 {
        attacks.spawn(raw::tcp(aim.clone(), n, rng()));
    }
    attacks.spawn(raw::silence(aim.clone(), 9));
    attacks.spawn(raw::udp(aim.clone(), 10, rng()));
    let stranger = SigningKey::generate(&mut rng());
    attacks.spawn(muxer::attack(aim.clone(), stranger, "yamux as stranger", rng()));
    let stranger = SigningKey::generate(&mut rng());
    attacks.spawn(streams::attack(aim.clone(), stranger, "/belfry/hello/1", "hello as stranger", rng()));
    let mut mallories = mallories.iter();
    for (protocol, mallory) in streams::PROTOCOLS.into_iter().zip(mallories.by_ref()) {
        attacks.spawn(streams::attack(aim.clone(), mallory.keys().node.clone(), protocol, protocol, rng()));
    }
    if let Some(one) = mallories.next() {
        attacks.spawn(muxer::attack(aim.clone(), one.keys().node.clone(), "yamux as member", rng()));
    }
    for mallory in mallories {
        attacks.spawn(answers::attack(aim.clone(), mallory.keys().node.clone(), rng()));
    }
    attacks
}

/// Bob publishes, and the daemon shows it.
async fn delivered(target: &Target, bob: &Member) -> anyhow::Result<()> {
    let bundle = Bundle::indicators(1);
    bob.publish("cidr", &bundle).tlp("green").flushed().await?;
    let ids = bundle.ids();
    until("the attacked daemon to show an honest publication", async || {
        let shown = target.api.ids("cidr").await.map_err(|error| format!("{error:#}"))?;
        that(ids.iter().all(|id| shown.contains(id)), || format!("{} objects without it", shown.len()))
    })
    .await
}
