//! Delivery: what members that take every message, pass none on and serve none cost the others.
//!
//! Whole nodes in this process, all in one group, over loopback QUIC. Every honest member publishes one message after the
//! other; of each it is told when each other honest node has it stored. Rounds alternate: in one the droppers are linked
//! into the mesh, as three in ten of all members; in the other, which is the floor, the same honest nodes are among
//! themselves. What never came within the minute that is promised counts as that minute, and is told.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_proto::{crypto::sign::PublicKey, id::MessageId};
use belfry_tests::{Bundle, Coalition, Hostile, Member};
use clap::Args;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{machine, say, stats};

const GROUP: &str = "cidr";
/// How long a message may take to a member.
const WITHIN: Duration = Duration::from_secs(60);
/// The share of deliveries that have to make it.
const TARGET: f64 = 0.999;
/// Links of each dropper into the honest mesh.
const LINKS: usize = 5;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Messages an hour of one author that the charter allows: no more than any run has.
const QUOTA: u32 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Honest members
    #[arg(long, default_value_t = 20)]
    honest: usize,
    /// Members that pass nothing on
    #[arg(long, default_value_t = 9)]
    silent: usize,
    /// Messages of each honest member in a round
    #[arg(long, default_value_t = 10)]
    messages: usize,
    /// Rounds of each side
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Rounds of one side.
#[derive(Default)]
struct Side {
    deliveries: u32,
    late: u32,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Side {
    fn add(&mut self, took: &[Duration], late: u32) {
        let millis: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
        self.deliveries += u32::try_from(took.len()).unwrap_or(u32::MAX);
        self.late += late;
        self.p50.push(stats::percentile(&millis, 0.5));
        self.p99.push(stats::percentile(&millis, 0.99));
    }

    /// The share that came in time.
    fn share(&self) -> f64 {
        f64::from(self.deliveries - self.late) / f64::from(self.deliveries.max(1))
    }

    fn report(&self) -> Value {
        json!({
            "deliveries": self.deliveries,
            "later_than_60_s": self.late,
            "p50_ms": stats::summary(&self.p50),
            "p99_ms": stats::summary(&self.p99),
        })
    }
}

struct Mesh {
    honest: Vec<Member>,
    droppers: Vec<Hostile>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut honest, mut silent, mut messages, mut rounds } = arguments;
    if quick {
        (honest, silent, messages, rounds) = (4, 2, 2, 1);
    }
    ensure!(honest >= 2, "a message needs somebody to reach");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (beside, alone) = runtime.block_on(measure(honest, silent, messages, rounds))?;
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(json!({
        "benchmark": "delivery",
        "delivered_within_60_s": beside.share(),
        "target_at_least": TARGET,
        "is_met": beside.share() >= TARGET,
        "p99_ratio": stats::rounded(stats::median(&beside.p99) / stats::median(&alone.p99)),
        "beside_droppers": beside.report(),
        "floor": alone.report(),
        "honest": honest,
        "droppers": silent,
        "messages_a_round": honest * messages,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

async fn measure(
    honest: usize,
    silent: usize,
    messages: usize,
    rounds: usize,
) -> anyhow::Result<(Side, Side)> {
    say!("starting {honest} nodes and {silent} that pass nothing on");
    let mesh = Mesh::start(honest, silent).await?;
    mesh.round(1).await?;
    let (mut beside, mut alone) = (Side::default(), Side::default());
    for round in 1..=rounds {
        for side in 0..2 {
            if (side + round).is_multiple_of(2) {
                mesh.link().await?;
                let (took, late) = mesh.round(messages).await?;
                beside.add(&took, late);
            } else {
                mesh.unlink().await?;
                let (took, late) = mesh.round(messages).await?;
                alone.add(&took, late);
            }
        }
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        say!(
            "round {round} of {rounds}: p99 {:.1} ms beside droppers, {:.1} ms without; {} and {} later than {WITHIN:?} so far",
            last(&beside.p99),
            last(&alone.p99),
            beside.late,
            alone.late
        );
    }
    Ok((beside, alone))
}

impl Mesh {
    async fn start(honest: usize, silent: usize) -> anyhow::Result<Self> {
        let mut coalition = Coalition::with(|draft| {
            for group in &mut draft.groups {
                group.messages_per_hour = QUOTA;
            }
        })?;
        let mut members = Vec::new();
        for n in 0..honest {
            let member = coalition.member(&format!("honest-{n}")).publisher([GROUP]).issue()?;
            members.push(member.tuned(|tuning| tuning.redial_interval = Duration::from_secs(1)));
        }
        let mut silenced = Vec::new();
        for n in 0..silent {
            silenced.push(coalition.member(&format!("silent-{n}")).publisher([GROUP]).issue()?);
        }
        let group = coalition.group(GROUP)?;
        for at in 0..honest {
            let (started, rest) = members.split_at_mut(at);
            let known: Vec<&Member> = started.iter().take(4).collect();
            if let Some(next) = rest.first_mut() {
                next.start(&coalition, &known).await?;
            }
        }
        let mut droppers = Vec::new();
        for member in &silenced {
            let dropper = Hostile::as_member(member, &coalition).await?;
            dropper.takes_no_keys();
            dropper.subscribe(&[group]).await?;
            droppers.push(dropper);
        }
        Ok(Self { honest: members, droppers })
    }

    /// The honest ones admit each other, and `others`.
    async fn admit(&self, others: &[PublicKey]) -> anyhow::Result<()> {
        let nodes: BTreeSet<PublicKey> =
            self.honest.iter().map(Member::node).chain(others.iter().copied()).collect();
        for member in &self.honest {
            let mut allowed = nodes.clone();
            allowed.remove(&member.node());
            member.network()?.set_allowed(allowed).await?;
        }
        Ok(())
    }

    /// Every dropper has its links.
    async fn link(&self) -> anyhow::Result<()> {
        self.admit(&self.droppers.iter().map(Hostile::node).collect::<Vec<_>>()).await?;
        for (n, dropper) in self.droppers.iter().enumerate() {
            for link in 0..LINKS.min(self.honest.len()) {
                let at = (2 * n + 3 * link) % self.honest.len();
                dropper.join(self.honest.get(at).context("no such node")?).await?;
            }
        }
        Ok(())
    }

    /// No dropper has any.
    async fn unlink(&self) -> anyhow::Result<()> {
        self.admit(&[]).await?;
        for member in &self.honest {
            for dropper in &self.droppers {
                member.loses(&dropper.node()).await?;
            }
        }
        Ok(())
    }

    /// Every honest member publishes so many messages, each once all have those before or a minute went by. How long each
    /// delivery took, and how many took longer than that.
    async fn round(&self, messages: usize) -> anyhow::Result<(Vec<Duration>, u32)> {
        let (mut took, mut late) = (Vec::new(), 0);
        for _ in 0..messages {
            let mut missing = self.publish().await?;
            while !missing.is_empty() {
                let (now, mut left) = (Instant::now(), Vec::new());
                for (begun, id, node) in missing {
                    let holder = self.honest.get(node).context("no such node")?;
                    let so_far = now.duration_since(begun);
                    if holder.store()?.has_message(id)? {
                        took.push(so_far.min(WITHIN));
                        late += u32::from(so_far > WITHIN);
                    } else if so_far > WITHIN {
                        took.push(WITHIN);
                        late += 1;
                    } else {
                        left.push((begun, id, node));
                    }
                }
                missing = left;
                if !missing.is_empty() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        Ok((took, late))
    }

    /// One message of each honest member; which nodes are to get which, and since when.
    async fn publish(&self) -> anyhow::Result<Vec<(Instant, MessageId, usize)>> {
        let bundles: Vec<Bundle> = self.honest.iter().map(|_| Bundle::indicators(1)).collect();
        let sent =
            self.honest.iter().zip(&bundles).enumerate().map(|(author, (member, bundle))| async move {
                let begun = Instant::now();
                let ids = member.publish(GROUP, bundle).tlp("green").flushed().await?;
                anyhow::Ok((author, begun, ids))
            });
        let mut missing = Vec::new();
        for (author, begun, ids) in try_join_all(sent).await? {
            for id in ids {
                let others = (0..self.honest.len()).filter(|node| *node != author);
                missing.extend(others.map(|node| (begun, id, node)));
            }
        }
        Ok(missing)
    }
}
