//! How latency and bytes grow with the coalition.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{Pace, SETTLE, Shape, Side, belfry::Mesh};
use crate::{machine, say, stats};

/// Messages times members a second: what two cores carry with room to spare.
const DELIVERIES: u32 = 300;

pub(super) fn run(dir: &Path, seconds: u32, rounds: usize, quick: bool) -> anyhow::Result<Value> {
    let memory = true;
    let shapes: &[(usize, usize)] = match quick {
        true => &[(5, 5), (8, 3)],
        false => &[(20, 20), (100, 100), (200, 200), (200, 15)],
    };
    let steps = shapes
        .iter()
        .map(|&(nodes, members)| measure(dir, Shape { nodes, members, memory }, seconds, rounds, quick))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({
        "benchmark": "propagation-growth",
        "steps": steps,
        "deliveries_per_s": DELIVERIES,
        "object_bytes": crate::content::INDICATOR,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

fn measure(dir: &Path, shape: Shape, seconds: u32, rounds: usize, quick: bool) -> anyhow::Result<Value> {
    let Shape { nodes, members, .. } = shape;
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir_in(dir)?;
    let every = Duration::from_secs(1) * u32::try_from(members)? / DELIVERIES;
    let messages = Duration::from_secs(seconds.into()).div_duration_f64(every).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let pace = Pace { messages: messages as usize, every };
    let settle = if quick { SETTLE / 10 } else { SETTLE };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        say!("starting {nodes} nodes, {members} of them in the group");
        let mesh = Mesh::start(shape, folder.path()).await?;
        let links = mesh.edges(settle).await?.len();
        say!("{links} links; warming up");
        mesh.warm_up(settle).await?;
        let (mut side, mut bytes) = (Side::default(), Vec::new());
        for round in 1..=rounds {
            let (cpu, before) = (machine::cpu_seconds()?, mesh.bytes());
            mesh.round(pace).await?;
            side.add(&mesh.latencies()?, machine::cpu_seconds()? - cpu);
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            bytes.push((mesh.bytes() - before) as f64 / (pace.messages * members) as f64);
            let last = |values: &[f64]| values.last().copied().unwrap_or_default();
            say!(
                "round {round} of {rounds}: p50 {:.1} ms p99 {:.1} ms, {:.0} bytes a message and member",
                last(&side.p50),
                last(&side.p99),
                last(&bytes)
            );
        }
        mesh.stop().await;
        anyhow::Ok(json!({
            "nodes": nodes,
            "members": members,
            "links": links,
            "messages_a_round": pace.messages,
            "stream_bytes_per_message_and_member": stats::summary(&bytes),
            "latency": side.report(),
        }))
    })?;
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(report)
}
