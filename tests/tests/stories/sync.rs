//! A peer that lies when it is asked for what one missed.

use belfry_proto::{
    envelope,
    schema::{Frontier, LogFrontier, Page, Refusal, SyncRequest, SyncResponse, sync_request, sync_response},
    sync::frontier,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, hostile::refused, logs, until};

fn answer(response: sync_response::Response) -> SyncResponse {
    SyncResponse { response: Some(response) }
}

struct Story {
    coalition: Coalition,
    alice: Member,
    _carol: Member,
    bob: Member,
    liar: Member,
}

async fn story() -> anyhow::Result<Story> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    // Somebody must have greeted alice before she seals anything.
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let liar = coalition.member("liar").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut carol]).await?;
    Ok(Story { coalition, alice, _carol: carol, bob, liar })
}

/// A frontier of one log, with the hash it really has.
fn frontier_of(coalition: &Coalition, log: LogFrontier) -> anyhow::Result<Frontier> {
    let group = belfry_proto::id::GroupId::new(log.group);
    let typed = frontier::read_list(group, std::slice::from_ref(&log))?;
    Ok(Frontier {
        hash: frontier::hash(coalition.id(), group, &typed).to_vec(),
        logs: vec![log],
        more: false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_lies_store_nothing_and_hold_nobody_up() -> anyhow::Result<()> {
    let Story { coalition, mut alice, mut bob, liar, .. } = story().await?;
    let group = coalition.group("cidr")?;
    let said = Bundle::indicators(3);
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    let truth = alice.store()?.envelope(messages[0])?.expect("its own message");
    let first = envelope::decode(&truth)?;

    // It promises a long log of alice's and serves: noise, then alice's message with a flipped signature,
    // then one of its own in alice's place, then more than was asked for.
    let promised = frontier_of(
        &coalition,
        LogFrontier {
            group: group.get(),
            log: first.header().log.to_vec(),
            low: 1,
            height: 1000,
            head: vec![9; 32],
            bodies: 1000,
            frozen: 0,
            missing: Vec::new(),
        },
    )?;
    let forge = Forge::new(&liar, group, coalition.roster())?;
    let mut flipped = prost_envelope(&truth)?;
    flipped.signature[3] ^= 1;
    let own = forge.made_at(&Bundle::indicators(1), belfry_node::clock::now())?;
    let pages: Vec<Vec<Vec<u8>>> = vec![
        vec![b"noise".to_vec()],
        vec![prost::Message::encode_to_vec(&flipped)],
        vec![own.bytes().to_vec()],
        vec![truth.clone(); 300],
        Vec::new(),
    ];
    let served = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hostile = Hostile::as_member(&liar, &coalition).await?;
    let count = std::sync::Arc::clone(&served);
    hostile.answer_sync(move |SyncRequest { request }| match request {
        Some(sync_request::Request::Frontier(_)) => {
            answer(sync_response::Response::Frontier(promised.clone()))
        }
        Some(sync_request::Request::Range(_)) => {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let envelopes = pages[n % pages.len()].clone();
            answer(sync_response::Response::Page(Page { envelopes, more: true, ..Page::default() }))
        }
        _ => refused(Refusal::Unknown),
    });

    // Bob knows nobody but the liar at first; every reconnect asks it again.
    bob.start(&coalition, &[]).await?;
    for round in 1..=5 {
        hostile.subscribe(&[group]).await?;
        hostile.join(&bob).await?;
        until("bob to ask for a page", async || {
            let n = served.load(std::sync::atomic::Ordering::SeqCst);
            if n >= round { Ok(()) } else { Err(format!("{n} pages")) }
        })
        .await?;
        hostile.network().disconnect(&bob.node()).await?;
        bob.loses(&hostile.node()).await?;
    }
    assert!(bob.logs(group)?.is_empty(), "{:?}", bob.logs(group)?);
    assert!(!logs::refusals_of(&hostile.node()).contains(&"not-stored".to_owned()));

    // With the liar still there, the truth comes from alice.
    hostile.join(&bob).await?;
    alice.restart(&[&bob]).await?;
    bob.shows("cidr", &said.ids()).await?;
    assert_eq!(bob.logs(group)?.len(), 1);
    Ok(())
}

fn prost_envelope(bytes: &[u8]) -> anyhow::Result<belfry_proto::schema::Envelope> {
    Ok(prost::Message::decode(bytes)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_message_from_a_liar_is_a_genuine_message() -> anyhow::Result<()> {
    let Story { coalition, alice, mut bob, liar, .. } = story().await?;
    let group = coalition.group("cidr")?;
    let said = Bundle::indicators(1);
    let messages = alice.publish("cidr", &said).tlp("green").flushed().await?;
    let truth = alice.store()?.envelope(messages[0])?.expect("its own message");
    let header = envelope::decode(&truth)?.header().clone();
    // True as far as it goes, while the height is inflated.
    let promised = frontier_of(
        &coalition,
        LogFrontier {
            group: group.get(),
            log: header.log.to_vec(),
            low: 1,
            height: 7,
            head: vec![9; 32],
            bodies: 7,
            frozen: 0,
            missing: Vec::new(),
        },
    )?;
    let hostile = Hostile::as_member(&liar, &coalition).await?;
    hostile.answer_sync(move |SyncRequest { request }| match request {
        Some(sync_request::Request::Frontier(_)) => {
            answer(sync_response::Response::Frontier(promised.clone()))
        }
        Some(sync_request::Request::Range(range)) => {
            let envelopes = if range.from == 1 { vec![truth.clone()] } else { Vec::new() };
            answer(sync_response::Response::Page(Page { envelopes, more: false, ..Page::default() }))
        }
        _ => refused(Refusal::Unknown),
    });
    bob.start(&coalition, &[]).await?;
    hostile.join(&bob).await?;
    bob.stores(&messages).await?;
    let logs = bob.logs(group)?;
    assert_eq!((logs.len(), logs[0].height.get()), (1, 1), "as far as the messages reach, not the promise");
    Ok(())
}

/// Eve tells bob one history and carol another. Whatever they compare first, both end where the histories part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_told_two_histories_both_learn_of_the_fork() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let often =
        |tuning: &mut belfry_node::daemon::Tuning| tuning.sync_interval = std::time::Duration::from_secs(1);
    let eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?.tuned(often);
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?.tuned(often);
    let group = coalition.group("cidr")?;
    let mut forge = Forge::new(&eve, group, coalition.roster())?;
    let first = forge.next(&Bundle::indicators(1))?;
    let twin = forge.made_at(&Bundle::indicators(1), belfry_node::clock::now())?;
    let long: Vec<_> =
        (0..4).map(|_| forge.next(&Bundle::indicators(1))).collect::<anyhow::Result<Vec<_>>>()?;
    for (member, told) in [(&mut bob, long), (&mut carol, vec![twin])] {
        member.start(&coalition, &[]).await?;
        let hostile = Hostile::as_member(&eve, &coalition).await?;
        hostile.subscribe(&[group]).await?;
        hostile.join(member).await?;
        let told: Vec<_> = std::iter::once(first.clone()).chain(told).collect();
        for message in &told {
            until("the topic to be known", async || {
                let said = hostile.gossip(belfry_proto::topic::Topic::Group(group), message.bytes()).await;
                said.map_err(|error| error.to_string())
            })
            .await?;
        }
        member.stores(&told.iter().map(envelope::Decoded::message_id).collect::<Vec<_>>()).await?;
        hostile.stop().await;
    }
    assert!(!bob.logs(group)?[0].forked && !carol.logs(group)?[0].forked);
    carol.restart(&[&bob]).await?;
    for member in [&bob, &carol] {
        until(&format!("{} to know of the fork", member.name()), async || {
            let logs = member.logs(group).map_err(|error| error.to_string())?;
            let ends =
                logs.iter().any(|log| (log.forked, log.frozen.get(), log.height.get()) == (true, 2, 1));
            if ends { Ok(()) } else { Err(format!("{logs:?}")) }
        })
        .await?;
    }
    Ok(())
}
