//! Admission: how many hellos a node answers in the lobby while strangers flood it, and what its members notice.
//!
//! Three members share messages; between rounds of peace there are rounds in which strangers without a certificate flood one
//! of them, from as many hosts as there are strangers (see [`strangers`]): they greet as often as they are let, or only dial,
//! or only begin a handshake, and come again at once. Delivery is what the receiving node's clock says at the durable write,
//! less the author's at sealing; all clocks are one here.
//!
//! The strangers run in a process of their own that computes only while nobody else wants to (`chrt --idle`), on the same
//! cores: elsewhere they would compute on machines of their own, so they take what the members leave, and what they cost
//! themselves is not what is measured. (Under `nice -n 19` a member's thread that wakes waits until a stranger's turn is over:
//! milliseconds.) That also bounds the flood: when the members work, there is less of it. How much of one there was is told:
//! `dials_per_s` and `hellos_said_per_s` are what strangers tried, `dials_refused_per_s` (the node closed) and `hellos_per_s`
//! (refused by what they show, after a look at it) what came of it; `hellos_busy_per_s`, `_otherwise_`, `_closed_` and `_late_`,
//! and `dials_late_per_s`, the rest. The target is met under a flood alone: [`HELLOS`] a second, or as many dials refused of
//! [`DIALS`].
//!
//! Behind the messages of each round a member that the flooded node does not know yet joins there, from a host that it does
//! not know either, and is restarted (`join_s_*`, `return_s_*`): seconds from its start until both have admitted each other.
//!
//! `members_cores_*` is the processor time of the members' process, all three nodes of it, a second;
//! `cpu_ms_per_hello` is what the flood adds to it, divided by the hellos answered, the cost of every refusal included.
//! `--open-door` lifts the bounds on handshakes, and on hellos of who shows no certificate of its own: what they spare.

pub(crate) mod strangers;

use std::{
    collections::BTreeMap,
    env,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use belfry_node::{
    api::limit::Rate,
    clock,
    network::{Address, DoorstepLimits, LobbyLimits, NetworkConfig},
};
use belfry_proto::schema::{Greet, HelloRequest, hello_request};
use belfry_tests::{Bundle, Coalition, Member, Transport};
use clap::Args;
use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    machine, say,
    stats::{median, percentile, rounded, summary},
};

/// How much longer members' messages may take under the flood, at p99.
const MOST: f64 = 2.0;
/// What makes a flood: so many hellos a second that are judged, or as many dials refused
const HELLOS: f64 = 100.0;
/// of so many.
const DIALS: f64 = 1000.0;
/// Between two publications: as a busy group sends them.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Strangers at once that greet
    #[arg(long, default_value_t = 32)]
    strangers: u8,
    /// Strangers besides that only dial; as many more only begin to
    #[arg(long, default_value_t = 4)]
    diallers: u8,
    /// Messages a round
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// Rounds of peace, and as many of flood
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Without bounds on handshakes and hellos
    #[arg(long)]
    open_door: bool,
}

/// What was found, round by round.
#[derive(Debug, Default)]
struct Found {
    peace: Vec<f64>,
    flood: Vec<f64>,
    cores_in_peace: Vec<f64>,
    cores_under_flood: Vec<f64>,
    cpu_ms_per_hello: Vec<f64>,
    in_peace: Arrivals,
    under_flood: Arrivals,
    /// By the strangers' names for them, a second.
    strangers: BTreeMap<String, Vec<f64>>,
}

/// Seconds that members took to come.
#[derive(Debug, Default)]
struct Arrivals {
    joins: Vec<f64>,
    returns: Vec<f64>,
}

impl Arrivals {
    /// A new member comes to `target` from `host`, twice.
    async fn comes(&mut self, coalition: &mut Coalition, target: &Member, host: &str) -> anyhow::Result<()> {
        let listen = Address::parse(&format!("/ip4/{host}/udp/0/quic-v1"))?.0;
        let newcomer = coalition.member(&format!("of {host}")).reader(["cidr"]).issue()?;
        let mut newcomer = newcomer.networked(|network| network.listen = vec![listen]);
        let begun = Instant::now();
        newcomer.start(coalition, &[target]).await?;
        both_meet(&newcomer, target).await?;
        self.joins.push(begun.elapsed().as_secs_f64());
        newcomer.stop().await;
        target.loses(&newcomer.node()).await?;
        let begun = Instant::now();
        newcomer.run(&[target]).await?;
        both_meet(&newcomer, target).await?;
        self.returns.push(begun.elapsed().as_secs_f64());
        newcomer.stop().await;
        Ok(())
    }
}

async fn both_meet(one: &Member, other: &Member) -> anyhow::Result<()> {
    one.meets(other).await?;
    other.meets(one).await
}

pub(crate) fn run(mut arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    if quick {
        arguments = Arguments { strangers: 4, diallers: 1, messages: 5, rounds: 1, ..arguments };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::with(|draft| {
            for group in &mut draft.groups {
                // What one member may say in an hour is not what is measured.
                group.messages_per_hour = u32::MAX;
            }
        })?;
        let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
        let mut bob = coalition.member("bob").reader(["cidr"]).issue()?.over(Transport::Both);
        let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
        if arguments.open_door {
            bob = bob.networked(open_door);
        }
        coalition.start([&mut alice, &mut bob, &mut carol]).await?;
        let readers = [&bob, &carol];
        deliveries(&alice, readers, arguments.messages.min(10)).await?;
        let mut found = Found::default();
        for round in 0..arguments.rounds {
            let calm = timed(deliveries(&alice, readers, arguments.messages)).await?;
            found.in_peace.comes(&mut coalition, &bob, &format!("127.3.0.{}", round + 1)).await?;
            let flood = Flood::begin(&arguments, &bob, greeting(&coalition, &alice)).await?;
            let under = timed(deliveries(&alice, readers, arguments.messages)).await?;
            found.under_flood.comes(&mut coalition, &bob, &format!("127.4.0.{}", round + 1)).await?;
            found.round(&calm, &under, &flood.end()?);
            say!("round {round}: {}", found.latest());
        }
        if !quick {
            say!("the flooded node: {:?}", bob.network()?.refusals().counts());
        }
        Ok(found.report(&arguments, quick))
    })
}

impl Found {
    /// `rates` is by the strangers' names for them, a second.
    fn round(&mut self, calm: &Timed, under: &Timed, rates: &BTreeMap<String, f64>) {
        for (name, rate) in rates {
            self.strangers.entry(name.clone()).or_default().push(*rate);
        }
        let answered = ["hellos_judged", "hellos_busy", "hellos_otherwise"];
        let answered: f64 = answered.iter().filter_map(|name| rates.get(*name)).sum::<f64>() * under.took;
        self.peace.push(percentile(&calm.deliveries, 0.99));
        self.flood.push(percentile(&under.deliveries, 0.99));
        self.cores_in_peace.push(calm.cpu / calm.took);
        self.cores_under_flood.push(under.cpu / under.took);
        let more = (under.cpu - calm.cpu / calm.took * under.took).max(0.0);
        self.cpu_ms_per_hello.push(more * 1000.0 / answered.max(1.0));
    }

    /// So many a second, round by round.
    fn of(&self, name: &str) -> &[f64] {
        self.strangers.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether there was anything to withstand.
    fn is_flood(&self) -> bool {
        let rate = |name: &str| median(self.of(name));
        rate("hellos_judged") >= HELLOS || (rate("dials") >= DIALS && rate("dials_refused") >= HELLOS)
    }

    fn latest(&self) -> String {
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        format!(
            "p99 {:.1} ms in peace, {:.1} ms under {:.0} hellos/s of {:.0} and {:.0} dials/s, {:.0} of them refused; {:.2} and {:.2} cores; joined in {:.1} and {:.1} s",
            last(&self.peace),
            last(&self.flood),
            last(self.of("hellos_judged")),
            last(self.of("hellos")),
            last(self.of("dials")),
            last(self.of("dials_refused")),
            last(&self.cores_in_peace),
            last(&self.cores_under_flood),
            last(&self.in_peace.joins),
            last(&self.under_flood.joins),
        )
    }

    fn report(&self, arguments: &Arguments, quick: bool) -> Value {
        let ratio = median(&self.flood) / median(&self.peace);
        json!({
            "benchmark": "admission",
            "strangers": arguments.strangers,
            "diallers": u16::from(arguments.diallers) * 2,
            "strangers_run": "in a process of their own, chrt --idle, on the same cores",
            "bounds": if arguments.open_door { "none" } else { "as by default" },
            "messages_a_round": arguments.messages,
            "hellos_per_s": summary(self.of("hellos_judged")),
            "hellos_said_per_s": summary(self.of("hellos")),
            "hellos_busy_per_s": summary(self.of("hellos_busy")),
            "hellos_otherwise_per_s": summary(self.of("hellos_otherwise")),
            "hellos_closed_per_s": summary(self.of("hellos_closed")),
            "hellos_late_per_s": summary(self.of("hellos_late")),
            "dials_per_s": summary(self.of("dials")),
            "dials_refused_per_s": summary(self.of("dials_refused")),
            "dials_late_per_s": summary(self.of("dials_late")),
            "cpu_ms_per_hello": summary(&self.cpu_ms_per_hello),
            "members_cores_in_peace": summary(&self.cores_in_peace),
            "members_cores_under_flood": summary(&self.cores_under_flood),
            "join_s_in_peace": summary(&self.in_peace.joins),
            "join_s_under_flood": summary(&self.under_flood.joins),
            "return_s_in_peace": summary(&self.in_peace.returns),
            "return_s_under_flood": summary(&self.under_flood.returns),
            "delivery_p99_ms_in_peace": summary(&self.peace),
            "delivery_p99_ms_under_flood": summary(&self.flood),
            "p99_ratio": rounded(ratio),
            "target_p99_ratio_at_most": MOST,
            "is_flood": self.is_flood(),
            "is_met": ratio <= MOST && self.is_flood(),
            "machine": machine::facts(quick),
        })
    }
}

/// The strangers' process, and since when it runs.
struct Flood(Child, Instant);

impl Flood {
    async fn begin(arguments: &Arguments, target: &Member, hello: HelloRequest) -> anyhow::Result<Self> {
        let listening = target.daemon()?.listening().await;
        let over = |transport: &str| {
            let found = listening.iter().find(|address| address.to_string().contains(transport));
            found.with_context(|| format!("{} does not listen on{transport}", target.name()))
        };
        let child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(env::current_exe()?)
            .arg("strangers")
            .args(["--quic", &over("/udp/")?.to_string()])
            .args(["--tcp", &socket(over("/tcp/")?)?])
            .args(["--hello", &hex::encode(hello.encode_to_vec())])
            .args(["--greeting", &arguments.strangers.to_string()])
            .args(["--dialling", &arguments.diallers.to_string()])
            .args(["--beginning", &arguments.diallers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("chrt")?;
        Ok(Self(child, Instant::now()))
    }

    /// Ends it, and says what came of it a second.
    fn end(mut self) -> anyhow::Result<BTreeMap<String, f64>> {
        let took = self.1.elapsed().as_secs_f64();
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "the strangers ended with {}", output.status);
        let counts: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout)?;
        Ok(counts.into_iter().map(|(name, count)| (name, count / took)).collect())
    }
}

/// As sockets write it.
fn socket(address: &Address) -> anyhow::Result<String> {
    let text = address.to_string();
    let (_, rest) = text.split_once("/ip4/").context("not IPv4")?;
    Ok(rest.replace("/tcp/", ":"))
}

/// A hello that shows `member`'s certificate.
fn greeting(coalition: &Coalition, member: &Member) -> HelloRequest {
    let greet = Greet {
        coalition: coalition.id().to_vec(),
        certificate: Some(member.record().clone()),
        roster: Some(coalition.roster().version().into()),
        charter_version: 1,
        now: clock::now().as_micros(),
        your_logs: Vec::new(),
    };
    HelloRequest { request: Some(hello_request::Request::Greet(greet)) }
}

fn open_door(network: &mut NetworkConfig) {
    let any = Rate { per_second: 1e9, burst: 1e9 };
    let most = usize::MAX;
    network.doorstep = DoorstepLimits {
        per_host: any,
        strangers: any,
        open_per_host: most,
        open_strangers: most,
        open_known: most,
        open_hostless: most,
    };
    network.lobby = LobbyLimits { unproven: network.lobby.requests, ..network.lobby };
}

/// What deliveries took, and what they cost this process.
struct Timed {
    deliveries: Vec<f64>,
    /// Seconds of processor time.
    cpu: f64,
    /// Seconds.
    took: f64,
}

async fn timed(deliveries: impl Future<Output = anyhow::Result<Vec<f64>>>) -> anyhow::Result<Timed> {
    let (cpu, begun) = (machine::cpu_seconds()?, Instant::now());
    let deliveries = deliveries.await?;
    Ok(Timed { deliveries, cpu: machine::cpu_seconds()? - cpu, took: begun.elapsed().as_secs_f64() })
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
