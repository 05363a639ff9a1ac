//! A node that was down for long: what was decided, said and taken back meanwhile is its own when it wakes.

use belfry_node::store::MessageState;
use belfry_proto::{envelope, envelope::KeyContext};
use belfry_tests::{Bundle, Coalition, Member, until, wait::that};

use super::withdrawal::{holds, object, tells_revoked, withdrawn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_slept_through_a_charter_a_revocation_new_keys_and_withdrawals_wakes_level_with_the_others()
-> anyhow::Result<()> {
    let mut coalition = Coalition::new()?;
    let mut alice = coalition.member("alice").publisher(["cidr"]).issue()?;
    let mut bob = coalition.member("bob").publisher(["cidr"]).issue()?;
    let mut carol = coalition.member("carol").reader(["cidr"]).issue()?;
    let mut eve = coalition.member("eve").publisher(["cidr"]).issue()?;
    let mut sam = coalition.member("sam").steward(["cidr"]).issue()?;
    coalition.start([&mut alice, &mut bob, &mut carol, &mut eve, &mut sam]).await?;
    let group = coalition.group("cidr")?;
    let [seen, by_bob, by_eve, missed, more, answer] = [(); 6].map(|()| Bundle::indicators(1));
    let retracted = alice.publish("cidr", &seen).tlp("green").flushed().await?;
    bob.publish("cidr", &by_bob).tlp("green").flushed().await?;
    eve.publish("cidr", &by_eve).tlp("green").flushed().await?;
    for member in [&alice, &bob, &carol, &sam] {
        member.shows("cidr", &[seen.ids(), by_bob.ids(), by_eve.ids()].concat()).await?;
    }
    bob.stop().await;

    // The charter's next version, a revocation, and a new reader: the readers change twice, and with them alice's key.
    coalition.amend(|draft| draft.grant_delay_h = 1)?;
    let cut = alice.cut_of(&eve)?;
    let height = coalition.revoke(&eve, cut)?;
    alice.import(&coalition).await?;
    for member in [&alice, &carol, &sam] {
        member.follows(&coalition).await?;
        member.loses(&eve.node()).await?;
    }
    eve.stop().await;
    let mut under = alice.publish("cidr", &missed).tlp("green").flushed().await?;
    let _dave = coalition.member("dave").reader(["cidr"]).issue()?;
    alice.import(&coalition).await?;
    for member in [&carol, &sam] {
        member.follows(&coalition).await?;
    }
    under.extend(alice.publish("cidr", &more).tlp("green").flushed().await?);
    carol.shows("cidr", &[missed.ids(), more.ids()].concat()).await?;
    let mut keys = Vec::new();
    for message in &under {
        let sealed = carol.store()?.envelope(*message)?.expect("carol shows it");
        keys.push(envelope::decode(&sealed)?.header().key_id());
    }
    assert_ne!(keys[0], keys[1]);

    // Of what bob holds one is taken back, and two more of what he never saw: one by its author, one by a steward, whose log
    // may come to him before or after alice's.
    let (patient, rude) = (Bundle::saying("names a patient"), Bundle::saying("against the rules"));
    let erased = alice.publish("cidr", &patient).tlp("green").flushed().await?;
    let hidden = alice.publish("cidr", &rude).tlp("green").flushed().await?;
    sam.shows("cidr", &rude.ids()).await?;
    withdrawn(&alice, &retracted, "retract", "author").await?;
    withdrawn(&alice, &erased, "erase", "author").await?;
    withdrawn(&sam, &hidden, "erase", "rules").await?;
    let ends = [(retracted[0], true), (erased[0], false), (hidden[0], true)];
    for member in [&carol, &sam] {
        for (message, has_body) in ends {
            holds(member, message, MessageState::Withdrawn, has_body).await?;
        }
    }

    // The author is away when he wakes.
    alice.stop().await;
    bob.run(&[&carol, &sam]).await?;
    bob.follows(&coalition).await?;
    assert_eq!(bob.roster()?.charter().version(), 2);
    bob.shows("cidr", &[by_bob.ids(), by_eve.ids(), missed.ids(), more.ids()].concat()).await?;
    for (message, has_body) in ends {
        holds(&bob, message, MessageState::Withdrawn, has_body).await?;
    }
    tells_revoked(&bob, &seen.ids()).await?;
    for never in [&patient, &rude] {
        // Whichever came first, what he tells of it is at most that it ended.
        let told = object(&bob, &never.ids()[0]).await?;
        assert!(told.as_ref().is_none_or(|told| told["revoked"] == true), "{told:?}");
        assert!(!format!("{told:?}").contains("patient") && !format!("{told:?}").contains("against"));
    }
    until("bob's frontier to be carol's", async || {
        let hash = |member: &Member| {
            member.store().map(|store| *store.frontier(group).hash()).map_err(|error| error.to_string())
        };
        that(hash(&bob)? == hash(&carol)?, || format!("{:?} {:?}", bob.logs(group), carol.logs(group)))
    })
    .await?;

    // He goes on in his log, under a key that eve never gets.
    let messages = bob.publish("cidr", &answer).tlp("green").flushed().await?;
    carol.shows("cidr", &answer.ids()).await?;
    let sealed = bob.store()?.envelope(messages[0])?.expect("its own message");
    let key = envelope::decode(&sealed)?.header().key_id().expect("data is sealed");
    let row = bob.store()?.key(key)?.expect("its own key");
    assert!(KeyContext::decode(&row.context)?.roster.height >= height);
    let own: Vec<_> = carol.logs(group)?.into_iter().filter(|log| log.serial == bob.serial()).collect();
    assert_eq!(own.iter().map(|log| log.height.get()).collect::<Vec<_>>(), [2], "one log, no gap");
    eve.run(&[]).await?;
    assert!(carol.opens(&sealed)? && !eve.opens(&sealed)?);
    Ok(())
}
