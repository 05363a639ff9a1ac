//! Thirty nodes in one process, a third of which are nobody's friends.
//!
//! Twenty honest publishers; nine members that take every message, pass none on and serve none; one that floods. In the
//! middle the honest ones are parted into halves, which both go on publishing.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, MessageId, Sequence},
    topic::Topic,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, until, wait::that};
use futures::future::try_join_all;

const HONEST: usize = 20;
const SILENT: usize = 9;
/// Links of each hostile member into the honest ones.
const LINKS: usize = 5;
/// What the charter lets one author say in an hour.
const QUOTA: u32 = 60;
/// Genuine messages of the flood.
const FLOOD: usize = 1_000;

struct Crowd {
    coalition: Coalition,
    group: GroupId,
    honest: Vec<Member>,
    silent: Vec<Hostile>,
    flooding: Member,
}

async fn crowd() -> anyhow::Result<Crowd> {
    let mut coalition = Coalition::with(|draft| {
        for group in &mut draft.groups {
            group.messages_per_hour = QUOTA;
        }
    })?;
    let mut named = |name: String| coalition.member(&name).publisher(["cidr"]).issue();
    let mut honest = Vec::new();
    for n in 0..HONEST {
        honest.push(named(format!("honest-{n}"))?.tuned(|tuning| {
            tuning.redial_interval = Duration::from_secs(1);
            tuning.sync_interval = Duration::from_secs(5);
        }));
    }
    let silent = (0..SILENT).map(|n| named(format!("silent-{n}"))).collect::<anyhow::Result<Vec<_>>>()?;
    let flooding = named("flooding".to_owned())?;
    let group = coalition.group("cidr")?;
    for at in 0..HONEST {
        let (started, rest) = honest.split_at_mut(at);
        rest[0].start(&coalition, &started.iter().take(4).collect::<Vec<_>>()).await?;
    }
    let placed =
        silent.iter().enumerate().map(|(n, member)| placed(member, &coalition, group, &honest, 2 * n));
    let silent = try_join_all(placed).await?;
    Ok(Crowd { coalition, group, honest, silent, flooding })
}

/// A hostile node in `member`'s name, linked with every third honest node from the `first` on.
async fn placed(
    member: &Member,
    coalition: &Coalition,
    group: GroupId,
    honest: &[Member],
    first: usize,
) -> anyhow::Result<Hostile> {
    let hostile = Hostile::as_member(member, coalition).await?;
    hostile.takes_no_keys();
    hostile.subscribe(&[group]).await?;
    for n in 0..LINKS {
        hostile.join(&honest[(first + 3 * n) % honest.len()]).await?;
    }
    Ok(hostile)
}

/// Every one of `members` publishes one bundle; what became of it.
async fn published(members: &[Member], bundles: &mut Vec<Bundle>) -> anyhow::Result<Vec<MessageId>> {
    let said: Vec<Bundle> = members.iter().map(|_| Bundle::indicators(1)).collect();
    let sent = members
        .iter()
        .zip(&said)
        .map(|(member, bundle)| member.publish("cidr", bundle).tlp("green").flushed());
    let messages = try_join_all(sent).await?.concat();
    bundles.extend(said);
    Ok(messages)
}

/// From now on they admit each other, and `hostile`, and nobody else.
async fn admit(members: &[Member], hostile: &[PublicKey]) -> anyhow::Result<()> {
    let nodes: BTreeSet<PublicKey> =
        members.iter().map(Member::node).chain(hostile.iter().copied()).collect();
    for member in members {
        let mut others = nodes.clone();
        others.remove(&member.node());
        member.network()?.set_allowed(others).await?;
    }
    Ok(())
}

type Digest = BTreeSet<(LogId, Sequence, MessageId, u64)>;

/// How far it holds the honest ones' logs.
fn digest(member: &Member, crowd: &Crowd) -> anyhow::Result<Digest> {
    let logs = member.logs(crowd.group)?.into_iter().filter(|log| log.serial != crowd.flooding.serial());
    Ok(logs.map(|log| (log.log, log.height, log.head, log.bodies)).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_that_drops_and_floods_and_a_partition_keep_nothing_from_the_honest() -> anyhow::Result<()> {
    let crowd = crowd().await?;
    let Crowd { coalition, group, honest, silent, flooding } = &crowd;
    let flooder = placed(flooding, coalition, *group, honest, 1).await?;
    let hostile: Vec<PublicKey> = silent.iter().map(Hostile::node).chain([flooder.node()]).collect();
    let mut bundles = Vec::new();
    let mut messages = published(honest, &mut bundles).await?;

    // Messages that are right in every way but their number, all the time that follows.
    let mut forge = Forge::new(flooding, *group, coalition.roster())?;
    let flood = (0..FLOOD).map(|_| forge.next(&Bundle::indicators(1))).collect::<anyhow::Result<Vec<_>>>()?;
    let log = forge.log();
    let flooded = async {
        for message in &flood {
            // Its own network may refuse what its peers' queues do not take.
            let _ = flooder.gossip(Topic::Group(*group), message.bytes()).await;
        }
    };
    let parted = async {
        let (one, other) = honest.split_at(HONEST / 2);
        admit(one, &hostile).await?;
        admit(other, &hostile).await?;
        for (side, rest) in [(one, other), (other, one)] {
            for member in side {
                for lost in rest {
                    member.loses(&lost.node()).await?;
                }
            }
        }
        let here = published(one, &mut bundles).await?;
        let there = published(other, &mut bundles).await?;
        for (side, own, others) in [(one, &here, &there), (other, &there, &here)] {
            for member in side {
                member.stores(own).await?;
                let leaked = others
                    .iter()
                    .filter(|id| member.store().is_ok_and(|s| s.has_message(**id).unwrap_or(true)));
                assert_eq!(leaked.count(), 0, "the halves were not apart at {}", member.name());
            }
        }
        anyhow::Ok([here, there].concat())
    };
    let (by_halves, ()) = futures::join!(parted, flooded);
    messages.extend(by_halves?);

    admit(honest, &hostile).await?;
    messages.extend(published(&honest[..4], &mut bundles).await?);
    for member in honest {
        member.stores(&messages).await?;
    }
    let expected = digest(&honest[0], &crowd)?;
    assert_eq!(expected.iter().map(|(.., bodies)| *bodies).sum::<u64>(), messages.len() as u64);
    for member in honest {
        until(&format!("{} to be level", member.name()), async || {
            let found = digest(member, &crowd).map_err(|error| error.to_string())?;
            that(found == expected, || format!("{found:?} instead of {expected:?}"))
        })
        .await?;
    }
    // Readable, too: keys come from whoever has them and is honest.
    let ids: Vec<String> = bundles.iter().flat_map(Bundle::ids).collect();
    let mut most = 0;
    for member in honest {
        member.shows("cidr", &ids).await?;
        most = most.max(member.store()?.held(*group, log)?.len());
    }
    // An hour's worth by gossip, as much again by sync.
    assert!((1..=2 * QUOTA as usize + 20).contains(&most), "somebody keeps {most} messages of the flood");
    assert!(silent.iter().any(|hostile| !hostile.heard().is_empty()), "the silent ones were in nobody's way");
    Ok(())
}
