//! Whoever holds no valid certificate learns nothing, and is not heard.

use belfry_node::network::RequestError;
use belfry_proto::{
    schema::{
        Greet, HelloResponse, PullAdmin, PullFrontier, Refusal, Signed, hello_request, hello_response,
        sync_request,
    },
    topic::Topic,
};
use belfry_tests::{Bundle, Coalition, Forge, Hostile, Member, until};

fn refused(response: &HelloResponse) -> Option<Refusal> {
    match response.response {
        Some(hello_response::Response::Refused(code)) => Refusal::try_from(code).ok(),
        _ => None,
    }
}

async fn pair() -> anyhow::Result<(Coalition, Member, Member)> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    Ok((coalition, alice, bob))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_told_nothing_whatever_it_shows() -> anyhow::Result<()> {
    let (coalition, alice, bob) = pair().await?;
    let stranger = Hostile::stranger(&coalition).await?;
    let group = coalition.group("cidr")?;
    stranger.subscribe(&[group]).await?;
    stranger.dial(&alice).await?;

    let shown = stranger.greet(&alice).await?;
    assert!(refused(&shown).is_some(), "no certificate: {shown:?}");
    let shown = stranger.greet_as(&alice, Some(bob.record().clone())).await?;
    assert_eq!(refused(&shown), Some(Refusal::NotCertified), "another's certificate: {shown:?}");
    let mut stripped = bob.record().clone();
    stripped.statement.as_mut().expect("a record has a statement").signatures.clear();
    let shown = stranger.greet_as(&alice, Some(stripped)).await?;
    assert_eq!(refused(&shown), Some(Refusal::NotCertified), "a stripped certificate: {shown:?}");
    let pull = hello_request::Request::PullAdmin(PullAdmin { from_height: 1, from_charter: 1 });
    let shown = stranger.hello(&alice, pull).await?;
    assert_eq!(refused(&shown), Some(Refusal::NotCertified), "the admin log: {shown:?}");
    let other = Greet { coalition: vec![7; 32], ..Greet::default() };
    let shown = stranger.hello(&alice, hello_request::Request::Greet(other)).await?;
    assert!(refused(&shown).is_some(), "another coalition: {shown:?}");

    // The lobby speaks hello only.
    let frontier = PullFrontier { group: group.get(), hash: vec![0; 32], after: Vec::new() };
    let asked = stranger.ask_sync(&alice, sync_request::Request::Frontier(frontier)).await;
    assert!(matches!(asked, Err(RequestError::Held | RequestError::Stream(_))), "{asked:?}");
    let asked = stranger.ask_keys(&alice, group, &[belfry_proto::id::KeyId::ZERO]).await;
    assert!(matches!(asked, Err(RequestError::Held | RequestError::Stream(_))), "{asked:?}");

    // Members share meanwhile; no gossip reaches the lobby.
    let bundle = Bundle::indicators(2);
    alice.publish("cidr", &bundle).tlp("green").flushed().await?;
    bob.shows("cidr", &bundle.ids()).await?;
    assert_eq!(stranger.heard(), Vec::<Vec<u8>>::new());
    let peers = alice.network()?.peers().await?;
    assert!(peers.iter().filter(|peer| peer.node == stranger.node()).all(|peer| !peer.admitted));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_coalition_admits_nobody() -> anyhow::Result<()> {
    let (coalition, alice, _bob) = pair().await?;
    let mut other = Coalition::new()?;
    let mallory = other.member("mallory").publisher(["cidr"]).issue()?;
    // It names our coalition, with the certificate of its own.
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.dial(&alice).await?;
    let shown = hostile.greet(&alice).await?;
    assert_eq!(refused(&shown), Some(Refusal::NotCertified), "{shown:?}");
    // And as what it is.
    let honest = Hostile::as_member(&mallory, &other).await?;
    honest.dial(&alice).await?;
    let shown = honest.greet(&alice).await?;
    assert!(refused(&shown).is_some(), "another coalition: {shown:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_no_admin_signed_admits_nobody() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    alice.start(&coalition, &[]).await?;

    // Its true certificate, with its own signature in the admin's place: under the admin's key, and under its own.
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    hostile.dial(&alice).await?;
    let own = &mallory.keys().signing;
    let admin = coalition.roster().charter().admins().iter().next().copied().expect("there is an admin");
    for key in [admin, own.public()] {
        let mut record = mallory.record().clone();
        let statement: &mut Signed = record.statement.as_mut().expect("a record has a statement");
        let signature = own.sign(
            belfry_proto::crypto::sign::Purpose::Statement,
            coalition.id(),
            &[statement.payload.as_slice()],
        );
        statement.signatures[0].key = key.as_bytes().to_vec();
        statement.signatures[0].signature = signature.to_vec();
        let shown = hostile.greet_as(&alice, Some(record)).await?;
        assert_eq!(refused(&shown), Some(Refusal::NotCertified), "{shown:?}");
    }
    // The true one is good.
    hostile.join(&alice).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_signs_is_not_believed_from_a_member_either() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mallory = coalition.member("mallory").publisher(["cidr"]).issue()?;
    coalition.start([&mut alice]).await?;
    let hostile = Hostile::as_member(&mallory, &coalition).await?;
    let group = coalition.group("cidr")?;
    hostile.subscribe(&[group]).await?;
    hostile.join(&alice).await?;

    // Certified by another coalition's admins under the same serial and group.
    let mut other = Coalition::new()?;
    let _ = other.member("first").publisher(["cidr"]).issue()?;
    let stranger = other.member("stranger").publisher(["cidr"]).issue()?;
    let forged = Forge::new(&stranger, group, other.roster())?.altered(&Bundle::indicators(1), |header| {
        header.coalition = coalition.id().to_vec();
        header.roster = Some(coalition.roster().version().into());
    })?;
    hostile.gossip(Topic::Group(group), &forged).await?;
    until("its refusal", async || {
        let refusals = belfry_tests::logs::refusals_of(&hostile.node());
        if refusals == ["other-member"] { Ok(()) } else { Err(format!("{refusals:?}")) }
    })
    .await?;
    assert!(alice.logs(group)?.is_empty());
    Ok(())
}
