//! Members that nobody can dial, which is most of them.

use anyhow::ensure;
use belfry_node::network::Address;
use belfry_tests::{Bundle, Coalition, Member, Transport};

/// Over whom `one` reaches `other`.
async fn addresses(one: &Member, other: &Member) -> anyhow::Result<Vec<Address>> {
    let peers = one.network()?.peers().await?;
    Ok(peers.into_iter().filter(|peer| peer.node == other.node()).flat_map(|peer| peer.addresses).collect())
}

/// The carrier forwards and stores, but keys pass between members alone: without a circuit nobody could read anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_only_dial_read_each_other_with_nothing_but_a_carrier_to_dial() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut carrier = coalition.member("carrier").carrier().issue()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?.over(Transport::Outbound);
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?.over(Transport::Outbound);
    carrier.start(&coalition, &[]).await?;
    alice.start(&coalition, &[&carrier]).await?;
    bob.start(&coalition, &[&carrier]).await?;
    alice.meets(&bob).await?;
    bob.meets(&alice).await?;
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        let over = addresses(one, other).await?;
        ensure!(!over.is_empty() && over.iter().all(|a| *a == Address::circuit(&carrier.node())), "{over:?}");
    }
    let (said, heard) = (Bundle::indicators(2), Bundle::indicators(2));
    alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.publish("cidr", &heard).tlp("green").flushed().await?;
    bob.shows("cidr", &[said.ids(), heard.ids()].concat()).await?;
    alice.shows("cidr", &[said.ids(), heard.ids()].concat()).await?;
    ensure!(carrier.ids("cidr").await?.is_empty());
    let given = carrier.network()?.counters().snapshot();
    ensure!(given.places_given >= 2 && given.circuits_given >= 1, "{given:?}");
    Ok(())
}
