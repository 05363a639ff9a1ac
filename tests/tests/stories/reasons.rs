//! Whoever publishes although a guard objects says why: to its own node, and to its readers where the arrangement asks for it.

use belfry_tests::{Bundle, Coalition, Member};
use serde_json::Value;

const REASON: &str = "the phisher writes from it";

/// What a member is told of the reason for an object.
async fn reason(member: &Member, id: &str) -> anyhow::Result<Value> {
    let answer = member.api()?.get(&format!("/api/v1/objects/{id}")).await?.expect(200)?;
    Ok(answer["objects"][0]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_goes_along_where_the_charter_asks_for_it() -> anyhow::Result<()> {
    let mut coalition = Coalition::with(|draft| draft.ask_reasons = true)?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let (mailbox, plain) = (Bundle::saying("from phisher@mail.test"), Bundle::indicators(1));
    let refused = alice.publish("cidr", &mailbox).tlp("green").send().await?;
    assert_eq!(refused.expect(422)?["code"], "reason-needed");
    alice.publish("cidr", &mailbox).tlp("green").reason(REASON).flushed().await?;
    // What no guard objects to needs none, and says none.
    alice.publish("cidr", &plain).tlp("green").reason("of no account").flushed().await?;
    bob.shows("cidr", &[mailbox.ids(), plain.ids()].concat()).await?;
    assert_eq!(reason(&bob, &mailbox.ids()[0]).await?, REASON);
    assert_eq!(reason(&bob, &plain.ids()[0]).await?, Value::Null);

    // The reason of whoever lets a draft go is the one that counts.
    let drafted = Bundle::saying("from another@mail.test");
    let held = alice.publish("cidr", &drafted).tlp("green").held().send().await?.expect(202)?;
    let draft = held["publication"].as_str().unwrap_or_default().to_owned();
    let release = format!("/api/v1/drafts/{draft}/release?reason=his%20second%20mailbox");
    alice.api()?.post(&release, &[], String::new()).await?.expect(202)?;
    bob.shows("cidr", &drafted.ids()).await?;
    assert_eq!(reason(&bob, &drafted.ids()[0]).await?, "his second mailbox");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_stays_where_it_was_given_unless_the_charter_asks_for_it() -> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").reader(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob]).await?;
    let mailbox = Bundle::saying("from phisher@mail.test");
    alice.publish("cidr", &mailbox).tlp("green").reason(REASON).flushed().await?;
    bob.shows("cidr", &mailbox.ids()).await?;
    assert_eq!(reason(&bob, &mailbox.ids()[0]).await?, Value::Null);
    Ok(())
}
