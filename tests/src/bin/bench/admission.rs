//! Admission: how many hellos a node answers in the lobby while strangers flood it, and what its members notice.
//!
//! Three members share messages; between rounds of peace there are rounds in which strangers without a certificate dial
//! one of them without end, say hello as often as their connection allows, and come again under a new key. Delivery is
//! what the receiving node's clock says at the durable write, less the author's at sealing; all clocks are one here. The
//! strangers run in this process, on the same cores: what they cost themselves counts against the members as well.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use belfry_tests::{Bundle, Coalition, Hostile, Member};
use clap::Args;
use futures::future;
use serde_json::{Value, json};

use crate::{
    machine, say,
    stats::{median, percentile, rounded, summary},
};

/// How long a stranger tries to get in before it comes under a new key.
const KNOCKS: Duration = Duration::from_secs(2);
/// How much longer members' messages may take under the flood, at p99.
const MOST: f64 = 2.0;
/// Between two publications: as a busy group sends them.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Strangers at once
    #[arg(long, default_value_t = 32)]
    strangers: usize,
    /// Messages a round
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// Rounds of peace, and as many of flood
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut strangers, mut messages, mut rounds } = arguments;
    if quick {
        (strangers, messages, rounds) = (4, 5, 1);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::new()?;
        let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
        let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
        let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
        coalition.start([&mut alice, &mut bob, &mut carol]).await?;
        deliveries(&alice, [&bob, &carol], messages.min(10)).await?;
        let (mut peace, mut flood, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let calm = percentile(&deliveries(&alice, [&bob, &carol], messages).await?, 0.99);
            let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
            let knocks = (0..strangers).map(|_| knock(&coalition, &bob, &over, &answered));
            let begun = Instant::now();
            let measured = async {
                let found = deliveries(&alice, [&bob, &carol], messages).await;
                over.store(true, Ordering::Relaxed);
                (found, begun.elapsed())
            };
            let ((found, took), _) = future::join(measured, future::join_all(knocks)).await;
            let under = percentile(&found?, 0.99);
            let count = u32::try_from(answered.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
            let rate = f64::from(count) / took.as_secs_f64();
            say!("round {round}: p99 {calm:.1} ms in peace, {under:.1} ms under {rate:.0} hellos/s");
            peace.push(calm);
            flood.push(under);
            rates.push(rate);
        }
        let ratio = median(&flood) / median(&peace);
        Ok(json!({
            "benchmark": "admission",
            "strangers": strangers,
            "messages_a_round": messages,
            "hellos_per_s": summary(&rates),
            "delivery_p99_ms_in_peace": summary(&peace),
            "delivery_p99_ms_under_flood": summary(&flood),
            "p99_ratio": rounded(ratio),
            "target_p99_ratio_at_most": MOST,
            "is_met": ratio <= MOST,
            "machine": machine::facts(quick),
        }))
    })
}

/// Milliseconds from sealing at `author` to the durable write at each of `readers`, for so many messages.
async fn deliveries(author: &Member, readers: [&Member; 2], messages: usize) -> anyhow::Result<Vec<f64>> {
    let mut sent = Vec::with_capacity(messages);
    for _ in 0..messages {
        sent.extend(author.publish("cidr", &Bundle::indicators(1)).tlp("green").flushed().await?);
        tokio::time::sleep(PACE).await;
    }
    let mut found = Vec::with_capacity(sent.len() * readers.len());
    for reader in readers {
        reader.stores(&sent).await?;
        for id in &sent {
            if let Some(row) = reader.store()?.message(*id)? {
                found.push(row.received.since(row.created).as_secs_f64() * 1000.0);
            }
        }
    }
    Ok(found)
}

/// One stranger after another, until it is over.
async fn knock(
    coalition: &Coalition,
    target: &Member,
    over: &AtomicBool,
    answered: &AtomicU64,
) -> anyhow::Result<()> {
    while !over.load(Ordering::Relaxed) {
        let stranger = Hostile::stranger(coalition).await?;
        if matches!(tokio::time::timeout(KNOCKS, stranger.dial(target)).await, Ok(Ok(()))) {
            while !over.load(Ordering::Relaxed) && stranger.greet(target).await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        stranger.stop().await;
    }
    Ok(())
}
