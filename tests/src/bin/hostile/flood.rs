//! A certified member that says too much: messages right in every way, as many as it can sign, small ones and large ones.

use std::time::Duration;

use belfry_proto::{topic::Topic, trust::roster::Roster};
use belfry_tests::{Bundle, Forge, Hostile, Member};

use crate::Aim;

/// How the tally names it.
pub(crate) const FLOOD: &str = "genuine messages";
/// Bytes of noise in a large one, near what a body may hold.
const LARGE: usize = 100_000;
/// After its own network took no more: its queue towards the daemon is full, or the daemon has cut it off.
const REST: Duration = Duration::from_millis(20);

/// Gossips as `member`, whose connection `peer` has, until the attack is over, whatever becomes of it.
pub(crate) async fn attack(
    aim: &Aim,
    peer: &Hostile,
    member: &Member,
    roster: &Roster,
) -> anyhow::Result<()> {
    let mut log = Forge::new(member, aim.group, roster)?;
    for n in 0u64.. {
        if !aim.goes_on() {
            break;
        }
        let bundle = if n.is_multiple_of(4) { Bundle::heavy(1, LARGE) } else { Bundle::indicators(1) };
        let message = log.next(&bundle)?;
        match peer.gossip(Topic::Group(aim.group), message.bytes()).await {
            Ok(()) => aim.tally.count(FLOOD),
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
    Ok(())
}
