//! Contact records between nodes: set, told on, compared; forged, older, too many; of whoever is a member no more.

use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::MemberId,
    schema::{ContactRecord, ContactRole, Mailbox, Revoke, Signature, Signed, Suspend},
    time::Timestamp,
    trust::{contact, signed::sign, statement::Decision},
};

use super::*;
use crate::store::{Change, ContactRow};

fn incident(email: &str) -> Mailbox {
    Mailbox { role: ContactRole::Incident.into(), email: email.into(), ..Mailbox::default() }
}

/// E-mail addresses that a node holds of a member.
fn known(site: &Site, of: &Seat) -> Vec<String> {
    let rows = site.store.contacts().unwrap();
    let row = rows.iter().find(|row| row.member == of.identity.member);
    let signed = row.map(|row| Signed::decode(row.bytes.as_slice()).unwrap());
    let mailboxes = signed.map(|signed| contact::read(&signed).unwrap().mailboxes).unwrap_or_default();
    mailboxes.into_iter().map(|mailbox| mailbox.email).collect()
}

/// What `signing` says of `member`, without looking.
fn said(
    coalition: &Coalition,
    member: MemberId,
    signing: &SigningKey,
    made: Timestamp,
    emails: &[&str],
) -> Signed {
    let record = ContactRecord {
        coalition: coalition.id().to_vec(),
        member: member.to_vec(),
        mailboxes: emails.iter().map(|email| incident(email)).collect(),
        made: made.as_micros(),
    };
    sign(record.encode_to_vec(), Purpose::Contact, coalition.id(), &[signing])
}

fn own(coalition: &Coalition, seat: &Seat, made: Timestamp, email: &str) -> Signed {
    said(coalition, seat.identity.member, &seat.identity.signing, made, &[email])
}

/// As if it had been verified once, and kept.
async fn kept(site: &Site, of: &Seat, bytes: Vec<u8>) {
    let (member, signer) = (of.identity.member, of.identity.signing.public());
    site.store.commit(Change::Contact(ContactRow { member, signer, bytes })).await.unwrap();
}

fn counted(membership: &Membership, code: &str) -> u64 {
    let counts = membership.network.refusals().counts();
    counts.iter().filter(|(way, of, _)| *way == Way::Admin && *of == code).map(|(.., count)| *count).sum()
}

#[tokio::test]
async fn a_contact_reaches_who_is_connected_and_who_comes_later_and_a_new_one_takes_its_place() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let mut host = Running::start(Site::new(&coalition, &alice).await);
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host.site).await;
    node.ready(&host.site).await;
    host.ready(&node.site).await;
    for email in ["csirt@alice.example", "soc@alice.example"] {
        host.import.contact(vec![incident(email)]).await.unwrap();
        assert_eq!(known(&host.site, &alice), [email], "on disk when it is answered");
        eventually(email, async || known(&node.site, &alice) == [email]).await;
    }
    // The author is not asked: it told its record on, and is gone.
    drop(host);
    let late = Running::start(Site::new(&coalition, &carol).await);
    late.site.connect(&node.site).await;
    eventually("the contact", async || known(&late.site, &alice) == ["soc@alice.example"]).await;
}

#[tokio::test]
async fn a_forged_an_oversized_and_an_older_contact_are_refused_and_counted() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let (from, now) = (bob.identity.node, clock::now());
    let before = now.saturating_sub(Duration::from_secs(60));

    let forged = said(&coalition, alice.identity.member, &bob.identity.signing, now, &["csirt@evil.example"]);
    membership.contact_pushed(from, forged.clone()).await;
    let many = ["csirt@bob.example"; 9];
    let many = said(&coalition, bob.identity.member, &bob.identity.signing, now, &many);
    membership.contact_pushed(from, many.clone()).await;
    let long = format!("csirt@{}.example", "bob.".repeat(90));
    membership.contact_pushed(from, own(&coalition, &bob, now, &long)).await;
    membership.learn_contacts(from, vec![forged, many]).await;
    assert!(site.store.contacts().unwrap().is_empty());
    assert_eq!((counted(&membership, "bad-signature"), counted(&membership, "contact-malformed")), (2, 3));

    let good = own(&coalition, &bob, now, "csirt@bob.example");
    membership.contact_pushed(from, good.clone()).await;
    assert_eq!(known(&site, &bob), ["csirt@bob.example"]);
    let older = own(&coalition, &bob, before, "old@bob.example");
    membership.contact_pushed(from, older.clone()).await;
    assert_eq!(counted(&membership, "contact-older"), 1);
    // In an answer it is no fault, and what is held already is none anywhere.
    membership.learn_contacts(from, vec![older, good.clone()]).await;
    membership.contact_pushed(from, good).await;
    assert_eq!(
        (known(&site, &bob), counted(&membership, "contact-older")),
        (vec!["csirt@bob.example".to_owned()], 1)
    );
}

/// A member that signs one record after the other costs others some writes, and takes none of anybody else's.
#[tokio::test]
async fn a_flood_of_contacts_is_cut() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let (from, now) = (bob.identity.node, clock::now());
    for n in 0..100 {
        let record = own(&coalition, &bob, now.saturating_add(Duration::from_micros(n)), "csirt@bob.example");
        membership.contact_pushed(from, record).await;
    }
    let cut = counted(&membership, "too-many-contacts");
    assert!((90..=99).contains(&cut), "{cut}");
    membership.contact_pushed(from, own(&coalition, &alice, now, "csirt@alice.example")).await;
    assert_eq!(known(&site, &alice), ["csirt@alice.example"]);
    // The operator's own word does not wait, and the clock that was ahead is no hindrance.
    let ahead = own(&coalition, &alice, now.saturating_add(Duration::from_secs(200)), "ahead@alice.example");
    membership.contact_pushed(from, ahead).await;
    for n in 0..20 {
        membership.set_contact(vec![incident(&format!("soc-{n}@alice.example"))]).await.unwrap();
    }
    assert_eq!(known(&site, &alice), ["soc-19@alice.example"]);
}

#[tokio::test]
async fn a_suspended_members_contact_counts_for_nothing_and_a_revoked_ones_is_let_go() {
    let (mut coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let none = contact::sum(coalition.id(), std::iter::empty());
    let hash = |membership: &Membership| membership.contacts.hash(&membership.roster_now(), clock::now());
    membership
        .contact_pushed(bob.identity.node, own(&coalition, &bob, clock::now(), "csirt@bob.example"))
        .await;
    let with_bob = hash(&membership);
    assert_ne!(with_bob, none);

    let serial = bob.identity.serial.get();
    for (decision, counts, kept) in [
        (Decision::Suspend(Suspend { serial, cut: Vec::new() }), false, true),
        (Decision::Resume(schema::Resume { serial }), true, true),
        (
            Decision::Revoke(Revoke {
                serial,
                member: bob.identity.member.to_vec(),
                reason: schema::RevocationReason::Left.into(),
                decided: clock::now().as_micros(),
                effective: clock::now().as_micros(),
                cut: Vec::new(),
            }),
            false,
            false,
        ),
    ] {
        coalition.decide(2, decision);
        let record = coalition.roster.records().last().unwrap().record.clone();
        assert!(membership.offer(Vec::new(), vec![record]).await);
        assert_eq!(hash(&membership), if counts { with_bob } else { none });
        assert_eq!(site.store.contacts().unwrap().len(), usize::from(kept));
    }
    // Nor does it come back by whoever has not heard.
    let late = own(&coalition, &bob, clock::now(), "csirt@bob.example");
    membership.contact_pushed(alice.identity.node, late).await;
    assert_eq!((site.store.contacts().unwrap().len(), counted(&membership, "not-valid")), (0, 1));
}

/// Whoever stole a key cannot keep what its owner said out for longer than the key lasts.
#[tokio::test]
async fn what_a_revoked_key_said_gives_way_to_an_older_record_by_a_valid_one() {
    let (mut coalition, alice, bob) = pair();
    let second = coalition.issue_again(2, 5, &[CIDR]);
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let (from, now) = (second.identity.node, clock::now());
    let true_one = own(&coalition, &second, now.saturating_sub(Duration::from_secs(60)), "csirt@bob.example");
    membership.contact_pushed(from, own(&coalition, &bob, now, "csirt@evil.example")).await;
    membership.contact_pushed(from, true_one.clone()).await;
    assert_eq!(known(&site, &bob), ["csirt@evil.example"], "as long as the key is good");

    let revoke = Revoke {
        serial: bob.identity.serial.get(),
        member: bob.identity.member.to_vec(),
        reason: schema::RevocationReason::KeyCompromise.into(),
        decided: now.as_micros(),
        effective: now.as_micros(),
        cut: Vec::new(),
    };
    coalition.decide(2, Decision::Revoke(revoke));
    let record = coalition.roster.records().last().unwrap().record.clone();
    assert!(membership.offer(Vec::new(), vec![record]).await);
    membership.learn_contacts(from, vec![true_one]).await;
    assert_eq!(known(&site, &bob), ["csirt@bob.example"]);
}

#[tokio::test]
async fn contacts_that_were_not_told_are_asked_for_again() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let (greeted, record) =
        (admitting(&coalition.roster), own(&coalition, &alice, clock::now(), "csirt@alice.example"));
    let mut asked = 0;
    let sync = move |request| {
        if !matches!(request, sync_request::Request::Contacts(_)) {
            return nothing(request);
        }
        asked += 1;
        match asked {
            1 => sync_response::Response::Refused(Refusal::Busy.into()),
            _ => sync_response::Response::Contacts(schema::Contacts {
                records: vec![record.clone()],
                ..schema::Contacts::default()
            }),
        }
    };
    let _tasks = answering(&mut host, move |_| hello_response::Response::Greeted(greeted.clone()), sync);
    let node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    eventually("the contact", async || known(&node.site, &alice) == ["csirt@alice.example"]).await;
}

/// Pages go on behind the last member, and a peer whose pages lead nowhere is not followed.
#[tokio::test]
async fn an_answer_of_several_pages_is_followed_as_long_as_it_goes_on() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let greeted = admitting(&coalition.roster);
    let now = clock::now();
    let pages = [
        own(&coalition, &alice, now, "csirt@alice.example"),
        own(&coalition, &bob, now, "csirt@bob.example"),
    ];
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let sync = move |request| {
        let sync_request::Request::Contacts(pull) = request else { return nothing(request) };
        let record = if pull.after.is_empty() { &pages[0] } else { &pages[1] };
        noted.lock().unwrap().push(pull.after);
        sync_response::Response::Contacts(schema::Contacts {
            records: vec![record.clone()],
            more: true,
            ..schema::Contacts::default()
        })
    };
    let _tasks = answering(&mut host, move |_| hello_response::Response::Greeted(greeted.clone()), sync);
    let mut node = Running::start(Site::new(&coalition, &bob).await);
    node.site.connect(&host).await;
    node.ready(&host).await;
    eventually("both", async || node.site.store.contacts().unwrap().len() == 2).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..2], [Vec::new(), alice.identity.member.to_vec()]);
    assert!(!asked.contains(&bob.identity.member.to_vec()), "there are no more than two members");
}

/// Records are made up as fast as members and signatures that nobody looks at: what was sent counts, not what of it is good.
#[tokio::test]
async fn a_peer_that_sends_without_end_what_is_too_large_is_left() {
    let (coalition, alice, bob) = pair();
    let mut host = Site::new(&coalition, &alice).await;
    let (id, asked) = (coalition.id(), Arc::new(AtomicUsize::new(0)));
    let noted = Arc::clone(&asked);
    let sync = move |request| {
        let sync_request::Request::Contacts(_) = request else { return nothing(request) };
        let n = noted.fetch_add(1, Ordering::Relaxed) as u128 + 1;
        let record = ContactRecord {
            coalition: id.to_vec(),
            member: n.to_be_bytes().to_vec(),
            ..ContactRecord::default()
        };
        let signature = Signature { signature: vec![0; 8192], ..Signature::default() };
        sync_response::Response::Contacts(schema::Contacts {
            records: vec![Signed { payload: record.encode_to_vec(), signatures: vec![signature] }],
            more: true,
            ..schema::Contacts::default()
        })
    };
    let _tasks = answering(&mut host, |_| panic!("it is not greeted"), sync);
    let site = Site::new(&coalition, &bob).await;
    site.connect(&host).await;
    let most = coalition.roster.members().count();
    eventually("an answer", async || {
        let node = host.node();
        let fetched = crate::membership::contact::fetched(&site.network, &node, [0; 32], most);
        let fetched = tokio::time::timeout(PATIENCE, fetched).await.expect("it ends");
        fetched.is_some_and(|records| records.is_empty())
    })
    .await;
    assert_eq!(asked.load(Ordering::Relaxed), most);
}

#[tokio::test]
async fn what_does_not_read_any_more_is_let_go_and_hides_nothing() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let now = clock::now();
    kept(&site, &alice, own(&coalition, &alice, now, "csirt@alice.example").encode_to_vec()).await;
    // By rules that were wider once.
    kept(&site, &bob, own(&coalition, &bob, now, "csirt").encode_to_vec()).await;
    let mut membership = membership(&site, &Feed::default());
    let with_alice = membership.contacts.hash(&membership.roster_now(), now);
    assert_ne!(with_alice, contact::sum(coalition.id(), std::iter::empty()));
    membership.forget_contacts().await;
    let members: Vec<MemberId> = site.store.contacts().unwrap().iter().map(|row| row.member).collect();
    assert_eq!(members, [alice.identity.member]);
    assert!(site.store.damage().borrow().is_none(), "the disk is as good as before");
    let good = own(&coalition, &bob, now, "csirt@bob.example");
    membership.contact_pushed(bob.identity.node, good).await;
    membership.forget_contacts().await;
    assert_eq!(known(&site, &bob), ["csirt@bob.example"]);
}

#[tokio::test]
async fn what_was_signed_under_a_clock_that_ran_ahead_counts_nowhere_and_keeps_nothing_out() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let now = clock::now();
    let ahead = now.saturating_add(Duration::from_secs(24 * 3600));
    for seat in [&alice, &bob] {
        kept(&site, seat, own(&coalition, seat, ahead, "ahead@bank.example").encode_to_vec()).await;
    }
    let mut membership = membership(&site, &Feed::default());
    let none = contact::sum(coalition.id(), std::iter::empty());
    assert_eq!(membership.contacts.hash(&membership.roster_now(), now), none);
    let made = membership.set_contact(vec![incident("csirt@alice.example")]).await.unwrap();
    assert!(made <= clock::now(), "others take it");
    membership.contact_pushed(bob.identity.node, own(&coalition, &bob, now, "csirt@bob.example")).await;
    assert_eq!(known(&site, &alice), ["csirt@alice.example"]);
    assert_eq!(known(&site, &bob), ["csirt@bob.example"]);
}

#[tokio::test]
async fn nothing_is_said_under_a_clock_that_others_tell_to_be_off() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    membership.hellos.send_replace(Hellos::told(&[3_600_000_000, 3_600_000_000]));
    let refused = membership.set_contact(vec![incident("csirt@alice.example")]).await.unwrap_err();
    assert!(matches!(refused, NotKept::ClockOff), "{refused}");
    assert!(site.store.contacts().unwrap().is_empty());
    membership.hellos.send_replace(Hellos::told(&[0, 0]));
    membership.set_contact(vec![incident("csirt@alice.example")]).await.unwrap();
    assert_eq!(known(&site, &alice), ["csirt@alice.example"]);
}

#[tokio::test]
async fn contacts_that_are_pushed_take_no_place_from_what_keeps_the_roster_true() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let membership = membership(&site, &Feed::default());
    let contacts = membership.contacts();
    let record = own(&coalition, &bob, clock::now(), "csirt@bob.example");
    let taken = (0..1000).filter(|_| contacts.pushed(bob.identity.node, record.clone())).count();
    assert_eq!((taken, membership.commands.0.capacity()), (PUSHES, COMMANDS));
}

/// However many members say something new at once; what the operator itself says is told whatever others do.
#[tokio::test]
async fn records_of_others_are_told_on_a_few_at_a_time() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let membership = membership(&site, &Feed::default());
    let record = own(&coalition, &bob, clock::now(), "csirt@bob.example");
    // Nothing of these runs, or ends, before something is waited for.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..100 {
        membership.tell_contact(record.clone(), Some(bob.identity.node));
    }
    assert_eq!(tasks() - before, directory::TELLING);
    membership.tell_contact(record, None);
    assert_eq!(tasks() - before, directory::TELLING + 1);
}
