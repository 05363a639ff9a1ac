//! Messages that break a rule: each gets the verdict of the wire format's table, none is stored, honest traffic
//! goes on.

use std::time::Duration;

use belfry_node::{clock, network::Snapshot};
use belfry_proto::{
    crypto::hash,
    envelope,
    limits::{MAX_BODY, MAX_HEADER},
    schema,
    topic::Topic,
    trust::certificate::Certificate,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, logs, until};
use prost::Message as _;

/// One way to be wrong.
struct Wrong {
    what: &'static str,
    code: &'static str,
    make: fn(&Forge<'_>) -> anyhow::Result<Vec<u8>>,
}

fn changed(forge: &Forge<'_>, change: impl FnOnce(&mut schema::Envelope)) -> anyhow::Result<Vec<u8>> {
    let mut envelope = forge.envelope(&Bundle::indicators(1))?;
    change(&mut envelope);
    Ok(envelope.encode_to_vec())
}

/// Faults every honest node sees without its roster, and a bad signature: they cost their bringer.
const REJECTED: [Wrong; 10] = [
    Wrong { what: "noise", code: "malformed", make: |_| Ok(b"GET / HTTP/1.1".to_vec()) },
    Wrong {
        what: "a message cut short",
        code: "malformed",
        make: |forge| {
            let whole = changed(forge, |_| ())?;
            Ok(whole[..whole.len() - 1].to_vec())
        },
    },
    Wrong {
        what: "an unknown field appended",
        code: "malformed",
        make: |forge| {
            let mut bytes = changed(forge, |_| ())?;
            bytes.extend([0x78, 1]);
            Ok(bytes)
        },
    },
    Wrong {
        what: "an unknown field in the signed header",
        code: "malformed",
        make: |forge| {
            changed(forge, |envelope| {
                envelope.header.extend([0xf8, 0x01, 1]);
                forge.sign(envelope);
            })
        },
    },
    Wrong {
        what: "a flipped signature",
        code: "bad-signature",
        make: |forge| changed(forge, |envelope| envelope.signature[0] ^= 1),
    },
    Wrong {
        what: "a changed body",
        code: "other-body",
        make: |forge| changed(forge, |envelope| envelope.body.as_mut().expect("it has one")[0] ^= 1),
    },
    Wrong {
        what: "no body",
        code: "bodiless",
        make: |forge| changed(forge, |envelope| envelope.body = None),
    },
    Wrong {
        what: "a body over the limit",
        code: "malformed",
        make: |forge| {
            changed(forge, |envelope| {
                let body = vec![7; MAX_BODY + 1];
                envelope.body_hash = hash::body(&body).to_vec();
                envelope.body_len = body.len() as u64;
                envelope.body = Some(body);
                forge.sign(envelope);
            })
        },
    },
    Wrong {
        what: "a header over the limit",
        code: "malformed",
        make: |forge| {
            forge.altered(&Bundle::indicators(1), |header| {
                header.targets = vec![vec![1; 32]; MAX_HEADER / 32];
            })
        },
    },
    Wrong {
        what: "year 10000",
        code: "malformed",
        make: |forge| forge.altered(&Bundle::indicators(1), |header| header.created = u64::MAX),
    },
];

/// Faults that may be the receiver's own, or its clock's: nobody is blamed.
const IGNORED: [Wrong; 8] = [
    Wrong {
        what: "another coalition's",
        code: "other-coalition",
        make: |forge| forge.altered(&Bundle::indicators(1), |header| header.coalition = vec![9; 32]),
    },
    Wrong {
        what: "another member's name",
        code: "other-member",
        make: |forge| forge.altered(&Bundle::indicators(1), |header| header.member = vec![9; 16]),
    },
    Wrong {
        what: "a log that is not of its keys",
        code: "foreign-log",
        make: |forge| forge.altered(&Bundle::indicators(1), |header| header.log = vec![9; 32]),
    },
    Wrong {
        what: "another branch of the admin log",
        code: "other-branch",
        make: |forge| {
            forge.altered(&Bundle::indicators(1), |header| {
                header.roster.as_mut().expect("it has one").head = vec![9; 32];
            })
        },
    },
    Wrong { what: "an hour ahead", code: "future", make: |forge| made(forge, |now| now + 3_600_000_000) },
    Wrong { what: "an hour old", code: "stale", make: |forge| made(forge, |now| now - 3_600_000_000) },
    Wrong { what: "of 1970", code: "outside-validity", make: |forge| dated(forge, 1) },
    Wrong {
        what: "of year 9000",
        code: "outside-validity",
        make: |forge| dated(forge, 7_030 * 31_556_952_000_000),
    },
];

fn made(forge: &Forge<'_>, at: fn(u64) -> u64) -> anyhow::Result<Vec<u8>> {
    dated(forge, at(clock::now().as_micros()))
}

fn dated(forge: &Forge<'_>, created: u64) -> anyhow::Result<Vec<u8>> {
    forge.altered(&Bundle::indicators(1), |header| header.created = created)
}

struct Story {
    coalition: Coalition,
    alice: Member,
    bob: Member,
}

/// Alice and bob run; `mallories` are certified publishers whose nodes a story plays.
async fn with_mallories(count: usize) -> anyhow::Result<(Story, Vec<Member>)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr", "cloud-security"]).issue()?;
    let mallories = (0..count)
        .map(|n| coalition.member(&format!("mallory-{n}")).publisher(["cidr", "cloud-security"]).issue())
        .collect::<anyhow::Result<Vec<_>>>()?;
    coalition.start([&mut alice, &mut bob]).await?;
    Ok((Story { coalition, alice, bob }, mallories))
}

async fn refused_as(hostile: &Hostile, codes: &[&str], what: &str) -> anyhow::Result<()> {
    until(&format!("{what} to be refused as {codes:?}"), async || {
        let seen = logs::refusals_of(&hostile.node());
        if seen == codes { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await
}

fn counts(member: &Member) -> anyhow::Result<Snapshot> {
    Ok(member.network()?.counters().snapshot())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_honest_node_refuses_is_rejected_and_costs_its_bringer() -> anyhow::Result<()> {
    let (Story { coalition, alice, bob }, mallories) = with_mallories(REJECTED.len()).await?;
    let group = coalition.group("cidr")?;
    for (n, (wrong, mallory)) in REJECTED.iter().zip(&mallories).enumerate() {
        let hostile = Hostile::as_member(mallory, &coalition).await?;
        hostile.subscribe(&[group]).await?;
        hostile.join(&alice).await?;
        let forge = Forge::new(mallory, group, coalition.roster())?;
        hostile.gossip(Topic::Group(group), &(wrong.make)(&forge)?).await?;
        refused_as(&hostile, &[wrong.code], wrong.what).await?;
        until(&format!("{} to be counted", wrong.what), async || {
            let now = counts(&alice).map_err(|error| error.to_string())?.verdict_reject;
            if now == n as u64 + 1 { Ok(()) } else { Err(now.to_string()) }
        })
        .await?;
        until(&format!("the bringer of {} to pay", wrong.what), async || {
            match hostile.score_at(&alice).await {
                Ok(Some(score)) if score < -15.0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        hostile.stop().await;
    }
    assert!(alice.logs(group)?.is_empty() && bob.logs(group)?.is_empty());
    assert!(logs::refusals_of(&alice.node()).is_empty(), "nothing of it was passed on");
    let honest = Bundle::indicators(1);
    alice.publish("cidr", &honest).tlp("green").flushed().await?;
    bob.shows("cidr", &honest.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_our_own_fault_is_ignored_and_blames_nobody() -> anyhow::Result<()> {
    let (Story { coalition, alice, bob }, mallories) = with_mallories(1).await?;
    let (group, other) = (coalition.group("cidr")?, coalition.group("cloud-security")?);
    let mallory = &mallories[0];
    let hostile = Hostile::as_member(mallory, &coalition).await?;
    hostile.subscribe(&[group, other]).await?;
    // Bob listens to both groups.
    hostile.join(&bob).await?;
    let mut forge = Forge::new(mallory, group, coalition.roster())?;
    let mut codes = Vec::new();
    for wrong in &IGNORED {
        hostile.gossip(Topic::Group(group), &(wrong.make)(&forge)?).await?;
        codes.push(wrong.code);
        refused_as(&hostile, &codes, wrong.what).await?;
    }
    let right = forge.next(&Bundle::indicators(1))?;
    hostile.gossip(Topic::Group(other), right.bytes()).await?;
    codes.push("wrong-topic");
    refused_as(&hostile, &codes, "a message on another group's topic").await?;
    assert!(bob.logs(group)?.is_empty() && bob.logs(other)?.is_empty());
    assert_eq!(counts(&bob)?.verdict_reject, 0);
    assert!(hostile.score_at(&bob).await?.is_some_and(|score| score >= 0.0));

    // Still heard: the same message where it belongs is taken, and passed on to who has no other way to it.
    hostile.gossip(Topic::Group(group), right.bytes()).await?;
    bob.stores(&[right.message_id()]).await?;
    alice.stores(&[right.message_id()]).await?;
    assert_eq!(counts(&alice)?.verdict_reject, 0);
    assert!(alice.network()?.peers().await?.iter().all(|peer| peer.score >= 0.0), "bob is not blamed either");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_cannot_write_in_another_members_log() -> anyhow::Result<()> {
    let (Story { coalition, alice, bob }, mallories) = with_mallories(1).await?;
    let group = coalition.group("cidr")?;
    let said = Bundle::indicators(1);
    alice.publish("cidr", &said).tlp("green").flushed().await?;
    bob.shows("cidr", &said.ids()).await?;
    let first = envelope::decode(&alice.ciphertext(group)?[0])?;
    let head = first.header();

    let hostile = Hostile::as_member(&mallories[0], &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;
    let forge = Forge::new(&mallories[0], group, coalition.roster())?;
    // The next place of alice's log: under mallory's own name, then under alice's.
    let own_name = forge.altered(&Bundle::indicators(1), |header| {
        header.log = head.log.to_vec();
        header.log_instance = head.instance.to_vec();
        header.sequence = 2;
        header.prev = first.message_id().to_vec();
    })?;
    hostile.gossip(Topic::Group(group), &own_name).await?;
    refused_as(&hostile, &["foreign-log"], "alice's log under mallory's name").await?;
    let certificate: &Certificate = coalition.roster().certificate(alice.serial()).expect("it was issued");
    let her_name = forge.altered(&Bundle::indicators(1), |header| {
        header.log = head.log.to_vec();
        header.log_instance = head.instance.to_vec();
        header.sequence = 2;
        header.prev = first.message_id().to_vec();
        header.member = certificate.member.to_vec();
        header.serial = certificate.serial.get();
    })?;
    hostile.gossip(Topic::Group(group), &her_name).await?;
    refused_as(&hostile, &["foreign-log", "bad-signature"], "alice's log under alice's name").await?;

    // Alice's log goes on as if nothing had been.
    let next = Bundle::indicators(1);
    alice.publish("cidr", &next).tlp("green").flushed().await?;
    bob.shows("cidr", &next.ids()).await?;
    let logs = bob.logs(group)?;
    assert_eq!((logs.len(), logs[0].height.get(), logs[0].forked), (1, 2, false));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_lags_is_not_blamed_and_catches_up() -> anyhow::Result<()> {
    let (Story { mut coalition, alice, bob }, mallories) = with_mallories(1).await?;
    let group = coalition.group("cidr")?;
    // A roster that alice and bob have not seen: its message waits for the log, and is no offence.
    let late = coalition.member("late").reader(["cloud-security"]).issue()?;
    let mallory = &mallories[0];
    let hostile = Hostile::as_member(mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;
    let mut forge = Forge::new(mallory, group, coalition.roster())?;
    let ahead = forge.next(&Bundle::indicators(1))?;
    hostile.gossip(Topic::Group(group), ahead.bytes()).await?;
    until("the message to be parked", async || {
        let parked = bob.store().and_then(|store| Ok(store.parked(None, 10)?)).map_err(|e| e.to_string())?;
        if parked.iter().any(|row| row.id == ahead.message_id()) {
            Ok(())
        } else {
            Err(format!("{}", parked.len()))
        }
    })
    .await?;
    assert!(hostile.score_at(&bob).await?.is_some_and(|score| score >= 0.0));
    assert!(!bob.store()?.has_message(ahead.message_id())?);
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    bob.stores(&[ahead.message_id()]).await?;
    assert_eq!(bob.store()?.parked(None, 10)?.len(), 0);
    assert!(late.serial().get() > mallory.serial().get());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_that_seals_nonsense_harms_only_itself() -> anyhow::Result<()> {
    let (Story { coalition, alice, bob }, mallories) = with_mallories(1).await?;
    let group = coalition.group("cidr")?;
    let mallory = &mallories[0];
    let hostile = Hostile::as_member(mallory, &coalition).await?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&bob).await?;
    // A right message, and one whose body opens to no STIX; both with a key that mallory hands to bob.
    let mut forge = Forge::new(mallory, group, coalition.roster())?;
    let nonsense = forge.next(&Bundle { objects: vec![serde_json::json!({ "type": "indicator" })] })?;
    let good = Bundle::indicators(1);
    let right = forge.next(&good)?;
    let kem = &coalition.roster().certificate(bob.serial()).expect("it was issued").kem;
    let sealed = forge.key().grant_to(kem, &mut rand::rng());
    let pushed = schema::KeysRequest {
        group: group.get(),
        key_ids: Vec::new(),
        pushed: vec![schema::SealedGrant { key_id: forge.key().id().to_vec(), sealed }],
    };
    let answer = hostile.network().keys(&bob.node(), pushed).await?;
    assert_eq!(answer.stored, [forge.key().id().to_vec()]);
    for message in [&nonsense, &right] {
        hostile.gossip(Topic::Group(group), message.bytes()).await?;
    }
    // Admitted, so passed on; the fault is the author's and shows nowhere.
    bob.shows("cidr", &good.ids()).await?;
    alice.shows("cidr", &good.ids()).await?;
    alice.stores(&[nonsense.message_id(), right.message_id()]).await?;
    assert_eq!(bob.ids("cidr").await?, good.ids());
    assert!(hostile.score_at(&bob).await?.is_some_and(|score| score >= 0.0));
    assert_eq!(counts(&bob)?.verdict_reject + counts(&alice)?.verdict_reject, 0);
    Ok(())
}

#[test]
fn the_ages_of_the_table_lie_where_their_codes_say() {
    let hour = Duration::from_secs(3600);
    assert!(hour > envelope::admit::MAX_GOSSIP_AGE + Duration::from_secs(120));
}
