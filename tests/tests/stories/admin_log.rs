//! The admin log: tampered, stripped, rolled back or forked, it changes nobody's mind.

use belfry_node::clock;
use belfry_proto::{
    id::{EntryId, Height, RosterVersion},
    schema::{
        self, AdminGossip, AdminPage, LogFile, Record, Revoke, admin_gossip::Item, hello_request,
        hello_response,
    },
    topic::Topic,
    trust::statement::Decision,
};
use belfry_tests::{Bundle, Coalition, Hostile, Member, until};
use prost::Message as _;

/// A record out of the log, changed.
fn with_record(log: &LogFile, index: usize, change: impl FnOnce(&mut Record)) -> LogFile {
    let mut log = log.clone();
    change(&mut log.records[index]);
    log
}

fn entry(record: &mut Record) -> &mut schema::Signed {
    record.entry.as_mut().expect("a record has an entry")
}

fn statement(record: &mut Record) -> &mut schema::Signed {
    record.statement.as_mut().expect("a record has a statement")
}

/// Every way to damage record `index`.
fn damaged(log: &LogFile, index: usize) -> Vec<(&'static str, LogFile)> {
    vec![
        ("an admin's signature stripped", with_record(log, index, |r| statement(r).signatures.clear())),
        ("the registrar's signature stripped", with_record(log, index, |r| entry(r).signatures.clear())),
        (
            "a flipped bit in the statement",
            with_record(log, index, |r| {
                let payload = &mut statement(r).payload;
                let last = payload.len() - 1;
                payload[last] ^= 1;
            }),
        ),
        ("a flipped bit in the entry", with_record(log, index, |r| entry(r).payload[3] ^= 1)),
        (
            "a flipped bit in a signature",
            with_record(log, index, |r| statement(r).signatures[0].signature[5] ^= 1),
        ),
        ("no statement", with_record(log, index, |r| r.statement = None)),
        ("no entry", with_record(log, index, |r| r.entry = None)),
    ]
}

#[test]
fn a_damaged_log_is_refused_at_joining() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let _ = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let log = coalition.log().clone();
    for index in 0..log.records.len() {
        for (what, log) in damaged(&log, index) {
            assert!(bob.join(&coalition, log).is_err(), "{what} at entry {}", index + 1);
        }
    }
    let mut rolled_back = log.clone();
    rolled_back.records.pop();
    let refused = bob.join(&coalition, rolled_back).expect_err("it ends before the certificate");
    assert!(refused.to_string().contains("newer log"), "{refused}");
    let mut gap = log.clone();
    gap.records.remove(0);
    assert!(bob.join(&coalition, gap).is_err());
    let mut unsigned = log.clone();
    unsigned.charters[0].signatures.clear();
    assert!(bob.join(&coalition, unsigned).is_err());
    let other = Coalition::new()?;
    assert!(bob.join(&coalition, other.log().clone()).is_err());
    bob.join(&coalition, log)
}

struct Story {
    coalition: Coalition,
    alice: Member,
    bob: Member,
    eve: Member,
    /// The same log, whose last entry suspends bob instead: the registrar signed both.
    branch: LogFile,
}

/// Alice and bob run at the coalition's log; then eve's certificate is revoked, which neither knows.
async fn behind_by_one() -> anyhow::Result<Story> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let suspend = schema::Suspend { serial: bob.serial().get(), cut: Vec::new() };
    let mut branch = coalition.log().clone();
    branch.records.push(coalition.propose(bob.id(), Decision::Suspend(suspend), clock::now()));
    coalition.revoke(&eve, Vec::new())?;
    Ok(Story { coalition, alice, bob, eve, branch })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_foreign_log_is_refused_at_import() -> anyhow::Result<()> {
    let Story { coalition, alice, bob, .. } = behind_by_one().await?;
    let before = alice.roster()?.version();
    let log = coalition.log();
    for index in [0, log.records.len() - 1] {
        for (what, log) in damaged(log, index) {
            let answer = alice.import_text(&log).await?;
            assert_eq!(answer.status, 422, "{what}: {}", answer.body);
            assert_eq!(alice.roster()?.version(), before, "{what}");
        }
    }
    let other = Coalition::new()?;
    let answer = alice.import_text(other.log()).await?;
    assert_eq!(answer.status, 422, "another coalition's: {}", answer.body);
    // An older log is no news.
    let mut older = log.clone();
    older.records.truncate(1);
    let answer = alice.import_text(&older).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(alice.roster()?.version(), before);
    // The whole one is.
    alice.import(&coalition).await?;
    bob.follows(&coalition).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_branch_of_the_log_is_refused_and_whom_it_removes_is_out_until_a_charter_pins_the_first()
-> anyhow::Result<()> {
    let Story { mut coalition, mut alice, bob, eve, branch } = behind_by_one().await?;
    alice.import(&coalition).await?;
    bob.follows(&coalition).await?;
    for member in [&alice, &bob] {
        let answer = member.import_text(&branch).await?;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert!(answer.body.to_string().contains("forked"), "{}", answer.body);
        assert_eq!(member.roster()?.version(), coalition.roster().version());
        assert!(!member.roster()?.is_admitted(&eve.node(), clock::now()));
        assert!(!member.roster()?.is_admitted(&bob.node(), clock::now()));
    }
    alice.loses(&bob.node()).await?;
    alice.warns("suspended on sight").await?;
    alice.restart(&[&bob]).await?;
    assert!(!alice.roster()?.is_admitted(&bob.node(), clock::now()), "it outlives a restart");

    coalition.amend(|_| ())?;
    for member in [&alice, &bob] {
        member.import(&coalition).await?;
        assert!(member.roster()?.is_admitted(&bob.node(), clock::now()));
        assert!(!member.roster()?.is_admitted(&eve.node(), clock::now()));
    }
    alice.meets(&bob).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_change_nothing_whether_gossiped_or_pushed() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    let eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice]).await?;
    let before = alice.roster()?.version();
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.subscribe(&[coalition.group("cidr")?]).await?;
    hostile.join(&alice).await?;
    let index = coalition.log().records.len();
    coalition.revoke(&eve, Vec::new())?;

    let mut ignored = alice.network()?.counters().snapshot().verdict_ignore;
    for (what, log) in damaged(coalition.log(), index) {
        let record = log.records[index].clone();
        let page = AdminPage { charters: Vec::new(), records: vec![record.clone()], more: false };
        let answer = hostile.hello(&alice, hello_request::Request::PushAdmin(page)).await?;
        let stands = matches!(&answer.response, Some(hello_response::Response::Pushed(version))
            if version.height == before.height.get());
        assert!(stands, "{what}: {answer:?}");
        // A record without its statement, or one that does not decode, is malformed: it would cost.
        if record.statement.is_none() || what.contains("flipped bit in the") {
            continue;
        }
        let gossip = AdminGossip { item: Some(Item::Record(record)) };
        hostile.gossip(Topic::Admin, &gossip.encode_to_vec()).await?;
        ignored += 1;
        until(&format!("{what} to be ignored"), async || {
            let now = alice.network().map_err(|e| e.to_string())?.counters().snapshot();
            if now.verdict_ignore >= ignored { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await?;
    }
    assert_eq!(alice.roster()?.version(), before);
    assert!(alice.roster()?.is_admitted(&eve.node(), clock::now()));
    assert!(hostile.score_at(&alice).await?.is_some_and(|score| score >= 0.0));

    // The true record, by the same way.
    let gossip = AdminGossip { item: Some(Item::Record(coalition.log().records[index].clone())) };
    hostile.gossip(Topic::Admin, &gossip.encode_to_vec()).await?;
    alice.follows(&coalition).await?;
    assert!(!alice.roster()?.is_admitted(&eve.node(), clock::now()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_gossip_that_is_none_is_rejected() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mallories = [
        coalition.member("mallory").publisher(["cidr"]).issue()?,
        coalition.member("malice").publisher(["cidr"]).issue()?,
    ];
    coalition.start([&mut alice]).await?;
    for (n, (mallory, bytes)) in mallories.iter().zip([&b"noise"[..], &[]]).enumerate() {
        let hostile = Hostile::as_member(mallory, &coalition).await?;
        hostile.subscribe(&[]).await?;
        hostile.join(&alice).await?;
        hostile.gossip(Topic::Admin, bytes).await?;
        until("its rejection", async || {
            let now = alice.network().map_err(|e| e.to_string())?.counters().snapshot();
            if now.verdict_reject > n as u64 { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await?;
        hostile.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_another_history_is_reported_and_not_followed() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let before = alice.roster()?.version();
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.claims(RosterVersion { height: Height::new(2), head: EntryId::new([9; 32]) }.into());
    hostile.subscribe(&[]).await?;
    hostile.join(&alice).await?;
    until("alice to say that somebody was shown a fork", async || {
        let status = alice.status().await.map_err(|error| format!("{error:#}"))?;
        let says = status["warnings"].to_string().contains(&hostile.node().to_string());
        if says { Ok(()) } else { Err(status.to_string()) }
    })
    .await?;
    assert_eq!(alice.roster()?.version(), before);
    let bundle = Bundle::indicators(1);
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_no_admin_signed_is_never_folded_even_if_the_registrar_orders_it() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice]).await?;
    let now = clock::now();
    let revoke = Decision::Revoke(Revoke {
        serial: eve.serial().get(),
        member: eve.id().to_vec(),
        reason: schema::RevocationReason::Other.into(),
        decided: now.as_micros(),
        effective: now.as_micros(),
        cut: Vec::new(),
    });
    // Signed by eve itself in the admin's place, ordered by the true registrar.
    let mut record = coalition.propose(eve.id(), revoke, now);
    let payload = statement(&mut record).payload.clone();
    let signing = &eve.keys().signing;
    let purpose = belfry_proto::crypto::sign::Purpose::Statement;
    *statement(&mut record) = belfry_proto::trust::signed::sign(payload, purpose, coalition.id(), &[signing]);
    let mut log = coalition.log().clone();
    log.records.push(record);
    let answer = alice.import_text(&log).await?;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(alice.roster()?.version(), coalition.roster().version());
    assert!(alice.roster()?.is_admitted(&eve.node(), clock::now()));
    Ok(())
}
