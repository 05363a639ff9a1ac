//! A certificate's end: what was said stays, nothing more is said or heard.

use std::time::Duration;

use belfry_node::clock;
use belfry_proto::schema::{Refusal, hello_response};
use belfry_tests::{Bundle, Coalition, Hostile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_member_is_out_and_its_messages_stay() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| draft.grant_delay_h = 0)?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;

    // Issued while the others run, so that its short life is not spent on their start.
    let now = clock::now();
    let until_then = now.saturating_add(Duration::from_secs(10));
    let mut eve = coalition.member("eve").publisher(["cidr"]).valid(now, until_then).issue()?;
    eve.start(&coalition, &[&alice]).await?;
    eve.meets(&alice).await?;
    let said = Bundle::indicators(2);
    eve.publish("cidr", &said).tlp("green").flushed().await?;
    alice.shows("cidr", &said.ids()).await?;
    bob.shows("cidr", &said.ids()).await?;

    for member in [&alice, &bob] {
        member.loses(&eve.node()).await?;
    }
    assert!(clock::now() >= until_then, "nobody hangs up before");
    let refused = eve.publish("cidr", &Bundle::indicators(1)).tlp("green").send().await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let status = eve.status().await?;
    assert!(status["warnings"].to_string().contains("expired"), "{status}");
    eve.stop().await;
    let hostile = Hostile::as_member(&eve, &coalition).await?;
    hostile.dial(&alice).await?;
    let shown = hostile.greet(&alice).await?;
    assert!(
        matches!(shown.response, Some(hello_response::Response::Refused(code)) if code == i32::from(Refusal::NotCertified)),
        "{shown:?}"
    );

    // New keys leave it out.
    let after = Bundle::indicators(1);
    let messages = alice.publish("cidr", &after).tlp("green").flushed().await?;
    bob.shows("cidr", &after.ids()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("bob shows it");
    eve.run(&[]).await?;
    assert!(!eve.opens(&sealed)?);

    // Its messages are still messages: who comes later has them through others.
    let mut dave = coalition.member("dave").reader(["cidr"]).issue()?;
    dave.start(&coalition, &[&alice]).await?;
    dave.shows("cidr", &[said.ids(), after.ids()].concat()).await
}
