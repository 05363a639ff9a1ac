//! A group keeps bodies as long as its charter says. What is past that goes at every node, and is missed by nobody.

use std::time::Duration;

use belfry_node::{
    clock,
    store::{Change, KeyRow, MessageState},
};
use belfry_proto::{
    envelope::Decoded,
    id::{GroupId, MessageId},
    schema::{
        Frontier, LogFrontier, Page, Refusal, SyncRequest, SyncResponse, sync_request,
        sync_response::Response,
    },
    sync::{
        frontier,
        retention::{Bare, bare, is_past},
    },
    trust::charter_draft::Draft,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, hostile::refused, until, wait::that};
use prost::Message as _;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT_DAYS: u64 = 2;

fn charter(draft: &mut Draft) {
    for group in &mut draft.groups {
        group.retention_days = KEPT_DAYS;
    }
}

/// A peer that offers this log of another member, and serves its entries as they are given.
async fn offering(
    coalition: &Coalition,
    group: GroupId,
    peer: &Member,
    log: &[Decoded],
    entries: Vec<Vec<u8>>,
) -> anyhow::Result<Hostile> {
    let last = log.last().expect("a log");
    let held = LogFrontier {
        group: group.get(),
        log: last.header().log.to_vec(),
        low: 1,
        height: log.len() as u64,
        head: last.message_id().to_vec(),
        bodies: log.len() as u64,
        frozen: 0,
        missing: Vec::new(),
    };
    let hash = frontier::hash(coalition.id(), group, &[frontier::LogFrontier::try_from(&held)?]).to_vec();
    let hostile = Hostile::as_member(peer, coalition).await?;
    hostile.answer_sync(move |SyncRequest { request }| match request {
        Some(sync_request::Request::Frontier(_)) => {
            let promise = Frontier { hash: hash.clone(), logs: vec![held.clone()], more: false };
            SyncResponse { response: Some(Response::Frontier(promise)) }
        }
        Some(sync_request::Request::Range(range)) => {
            let from = usize::try_from(range.from - 1).expect("small");
            let envelopes = entries.get(from..).unwrap_or_default().to_vec();
            SyncResponse { response: Some(Response::Page(Page { envelopes, ..Page::default() })) }
        }
        _ => refused(Refusal::Unknown),
    });
    hostile.subscribe(&[group]).await?;
    Ok(hostile)
}

fn without_body(entry: &Decoded) -> anyhow::Result<Vec<u8>> {
    let mut envelope = belfry_proto::schema::Envelope::decode(entry.bytes())?;
    envelope.body = None;
    Ok(envelope.encode_to_vec())
}

async fn stand_as(member: &Member, messages: &[MessageId], state: MessageState) -> anyhow::Result<()> {
    let store = member.store()?;
    for message in messages {
        until(&format!("{} to hold a message as {}", member.name(), state.as_str()), async || {
            let found = store.message(*message).map_err(|error| error.to_string())?;
            that(found.as_ref().is_some_and(|row| row.state == state), || format!("{found:?}"))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_past_the_retention_go_and_no_late_joiner_waits_for_them() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(charter)?;
    let author = coalition.member("author").publisher(["cidr"]).issue()?;
    let peer = coalition.member("peer").reader(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    // Of another group: all that bob has of them is the time.
    let mut others =
        [coalition.member("dan").reader(["iam"]).issue()?, coalition.member("erin").reader(["iam"]).issue()?];
    let group = coalition.group("cidr")?;
    // Three messages of three days ago, two of now.
    let mut forge = Forge::new(&author, group, coalition.roster())?;
    let (mut log, mut bundles) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let bundle = Bundle::indicators(1);
        let age = if n < 3 { 3 * DAY } else { Duration::ZERO };
        log.push(forge.next_at(&bundle, clock::now().saturating_sub(age))?);
        bundles.push(bundle);
    }
    let ids: Vec<MessageId> = log.iter().map(Decoded::message_id).collect();
    let all: Vec<String> = bundles.iter().flat_map(Bundle::ids).collect();

    bob.start(&coalition, &[]).await?;
    bob.store()?.commit(Change::Key(KeyRow::received(forge.key()))).await?;
    let whole = log.iter().map(|entry| entry.bytes().to_vec()).collect();
    let hostile = offering(&coalition, group, &peer, &log, whole).await?;
    hostile.join(&bob).await?;
    bob.shows("cidr", &all).await?;
    hostile.stop().await;

    // Bodies are looked at when a node has started and others vouch for its clock, and every hour.
    for other in &mut others {
        other.start(&coalition, &[]).await?;
    }
    let [dan, erin] = &others;
    bob.restart(&[dan, erin]).await?;
    stand_as(&bob, &ids[..3], MessageState::Expired).await?;
    stand_as(&bob, &ids[3..], MessageState::Opened).await?;
    assert_eq!(bob.ids("cidr").await?, all[3..], "what went is not told as revoked: nobody took it back");
    for id in &ids[..3] {
        let held = bob.store()?.envelope(*id)?.expect("its place stays");
        assert!(belfry_proto::envelope::decode(&held)?.lacks_body());
    }

    carol.start(&coalition, &[&bob]).await?;
    carol.stores(&ids).await?;
    stand_as(&carol, &ids[..3], MessageState::Expired).await?;
    let (of_bob, of_carol) = (bob.logs(group)?, carol.logs(group)?);
    assert_eq!((of_carol[0].height.get(), of_carol[0].bodies), (5, 5), "nothing is missing of it");
    assert_eq!(of_bob[0].bodies, 5);
    assert_eq!(bob.store()?.frontier(group).hash(), carol.store()?.frontier(group).hash());

    // Nothing is let go of twice, and nothing comes back.
    bob.restart(&[&carol, dan, erin]).await?;
    stand_as(&bob, &ids[..3], MessageState::Expired).await?;
    assert_eq!(bob.ids("cidr").await?, all[3..]);
    Ok(())
}

/// Retention excuses what is past it, not whoever strips a younger body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_still_kept_is_missed() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(charter)?;
    let author = coalition.member("author").publisher(["cidr"]).issue()?;
    let liar = coalition.member("liar").reader(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let group = coalition.group("cidr")?;
    let mut forge = Forge::new(&author, group, coalition.roster())?;
    let log = vec![
        forge.next_at(&Bundle::indicators(1), clock::now().saturating_sub(3 * DAY))?,
        forge.next_at(&Bundle::indicators(1), clock::now())?,
    ];
    let stripped = log.iter().map(without_body).collect::<anyhow::Result<_>>()?;
    let hostile = offering(&coalition, group, &liar, &log, stripped).await?;
    bob.start(&coalition, &[]).await?;
    hostile.join(&bob).await?;
    bob.stores(&[log[0].message_id()]).await?;
    until("the liar to be held to account", async || {
        let code = belfry_tests::logs::refusals_of(&hostile.node());
        that(code.contains(&"bodiless".to_owned()), || format!("{code:?}"))
    })
    .await?;
    assert!(!bob.store()?.has_message(log[1].message_id())?);
    Ok(())
}

#[test]
fn what_is_past_is_told_by_date_and_what_others_let_go_by_a_day_and_every_charter() -> anyhow::Result<()> {
    let coalition = Coalition::with(charter)?;
    let (roster, now) = (coalition.roster(), clock::now());
    let group = coalition.group("cidr")?;
    let terms = roster.charter().group(group).expect("a group");
    let ago = |days| now.saturating_sub(days * DAY);
    assert!(is_past(terms, ago(3), now) && !is_past(terms, ago(1), now));
    let judged = |created| bare(roster, group, created, now);
    assert_eq!(judged(ago(3)), Bare::Past);
    assert_eq!(judged(now.saturating_sub(DAY + DAY / 2)), Bare::Past, "another node may be a little ahead");
    assert_eq!(judged(now.saturating_sub(DAY / 2)), Bare::Missing);
    // Kept for ever: nothing excuses.
    let coalition = Coalition::new()?;
    assert_eq!(bare(coalition.roster(), group, ago(3000), now), Bare::Missing);
    Ok(())
}
