//! The way in as a whole: real signatures, a real admin log, the tasks as the daemon runs them.

mod disk;
mod purge;
mod vouched;

use std::collections::BTreeSet;

use belfry_proto::{
    envelope::{self, ContentKey, Decoded},
    id::{GroupId, KeyId, LogId, MemberId},
    schema::{self, CutPoint, ExtendCut, RevocationReason, Revoke},
    trust::statement::Decision,
};
use prost::Message as _;
use tokio::task::JoinSet;

use super::*;
use crate::{
    clock,
    feed::{Notice, Notices},
    membership::Membership,
    store::{
        Change, KeyRow, MessageState,
        MessageState::{Disputed, Opened, Quarantined, Sealed},
    },
    testing::{CIDR, Coalition, Seat, Site, eventually},
};

/// A node whose ingest runs.
struct Receiver {
    site: Site,
    feed: Feed,
    intake: Intake,
    from: PublicKey,
    _tasks: JoinSet<()>,
    _membership: Membership,
}

impl Receiver {
    fn start(mut site: Site, from: &Seat) -> Self {
        let feed = Feed::default();
        let membership = site.membership(&feed);
        let (ingest, queues, intake) = Ingest::new(
            Arc::clone(&site.seat.identity),
            site.store.clone(),
            site.network.clone(),
            site.roster.clone(),
            feed.clone(),
            membership.behind(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(ingest.rejudging());
        tasks.spawn(ingest.checking());
        let (judge, keep, reopen) = ingest.loops(queues, site.inbound.take().unwrap().gossip);
        tasks.spawn(judge);
        tasks.spawn(keep);
        tasks.spawn(reopen);
        let from = from.identity.node;
        Self { site, feed, intake, from, _tasks: tasks, _membership: membership }
    }

    async fn takes(&self, messages: &[Decoded]) -> Vec<Kept> {
        self.intake.offer(self.from, messages.to_vec()).await
    }

    /// As membership does: durable, live, told.
    async fn learns(&self, coalition: &Coalition) {
        let head = coalition.roster.version();
        let known = usize::try_from(self.site.roster.snapshot().version().height.get()).unwrap();
        let records = coalition.roster.records().skip(known);
        let records = records.map(|r| (r.height, r.record.encode_to_vec())).collect();
        self.site.store.commit(Change::Admin { charters: Vec::new(), records, head }).await.unwrap();
        self.site.roster.replace(coalition.roster.clone());
        self.feed.notify(Notice::RosterChanged(head.height));
    }

    async fn learns_key(&self, key: &ContentKey) {
        self.site.store.commit(Change::Key(KeyRow::received(key))).await.unwrap();
        self.feed.notify(Notice::KeyArrived(key.id()));
    }

    fn holds(&self, message: &Decoded) -> bool {
        self.site.store.has_message(message.message_id()).unwrap()
    }

    fn states(&self, messages: &[Decoded]) -> Vec<MessageState> {
        let of = |message: &Decoded| self.site.store.message(message.message_id()).unwrap().unwrap().state;
        messages.iter().map(of).collect()
    }

    async fn ends_with(&self, messages: &[Decoded], expected: &[MessageState]) {
        eventually(&format!("{expected:?}"), async || self.states(messages) == expected).await;
    }

    fn frontier(&self, group: GroupId, log: LogId) -> (u64, u64) {
        let row = self.site.store.log(group, log).unwrap();
        (row.height.get(), row.frozen.get())
    }
}

fn point(message: &Decoded) -> CutPoint {
    let header = message.header();
    CutPoint {
        log: header.log.to_vec(),
        sequence: header.sequence.get(),
        message: message.message_id().to_vec(),
    }
}

fn revocation(seat: &Seat, cut: Vec<CutPoint>) -> Decision {
    let now = clock::now().as_micros();
    Decision::Revoke(Revoke {
        serial: seat.identity.serial.get(),
        member: seat.identity.member.to_vec(),
        reason: RevocationReason::KeyCompromise.into(),
        decided: now,
        effective: now,
        cut,
    })
}

fn extension(seat: &Seat, cut: Vec<CutPoint>) -> Decision {
    Decision::ExtendCut(ExtendCut { serial: seat.identity.serial.get(), cut })
}

#[tokio::test]
async fn a_revocation_hides_what_was_received_and_extending_its_cut_brings_it_back() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    receiver.takes(&messages).await;
    receiver.ends_with(&messages, &[Sealed; 4]).await;
    coalition.decide(1, revocation(&alice, vec![point(&messages[1])]));
    receiver.learns(&coalition).await;
    receiver.ends_with(&messages, &[Sealed, Sealed, Quarantined, Quarantined]).await;
    coalition.decide(1, extension(&alice, vec![point(&messages[2])]));
    receiver.learns(&coalition).await;
    receiver.ends_with(&messages, &[Sealed, Sealed, Sealed, Quarantined]).await;
    // What waited for its key waits for it again.
    let key = messages[2].header().key_id().unwrap();
    eventually("waiting", async || receiver.site.store.waiting_on(key, None, 9).unwrap().len() == 3).await;
}

#[tokio::test]
async fn whoever_learns_of_the_cut_first_and_of_the_messages_later_ends_alike() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let early = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    early.takes(&messages[..2]).await;
    coalition.decide(1, revocation(&alice, vec![point(&messages[2])]));
    early.learns(&coalition).await;
    early.takes(&messages[2..]).await;
    // From the end: each page proves no more of the chain than it holds.
    let late = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    for message in messages.iter().rev() {
        assert_eq!(late.takes(std::slice::from_ref(message)).await, [Kept::Stored]);
    }
    for receiver in [early, late] {
        receiver.ends_with(&messages, &[Sealed, Sealed, Sealed, Quarantined]).await;
        let header = messages[0].header();
        assert_eq!(receiver.frontier(header.group, header.log), (4, 0));
    }
}

#[tokio::test]
async fn a_node_that_was_down_when_the_cut_came_hides_at_its_start() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 2);
    coalition.decide(1, revocation(&alice, Vec::new()));
    let site = Site::new(&coalition, &bob).await;
    // As they were stored before the last record came.
    site.hold(&messages).await;
    let receiver = Receiver::start(site, &alice);
    receiver.ends_with(&messages, &[Quarantined; 2]).await;
}

#[tokio::test]
async fn a_fork_freezes_the_log_and_a_cut_says_which_history_is_true() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let mut messages = coalition.messages(&alice, CIDR, None, 3);
    // The thief of the key signs another second message, and it comes first.
    let forged = coalition.messages(&alice, CIDR, Some(&messages[0]), 1);
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    receiver.takes(&[messages[0].clone(), forged[0].clone()]).await;
    receiver.takes(&messages[1..]).await;
    messages.extend(forged);
    receiver.ends_with(&messages, &[Sealed, Disputed, Disputed, Disputed]).await;
    assert_eq!(receiver.site.store.check(|_| {}).damages, 0, "second messages are where they should be");
    let header = messages[0].header().clone();
    eventually("a frozen log", async || receiver.frontier(header.group, header.log) == (1, 2)).await;
    let row = receiver.site.store.log(header.group, header.log).unwrap();
    let proof = receiver.site.store.fork_proof(&row).unwrap().unwrap();
    assert!(proof.envelopes.iter().any(|bytes| bytes == messages[3].bytes()));
    assert!(!receiver.site.store.is_frozen_unsigned(&row).unwrap());
    coalition.decide(1, revocation(&alice, vec![point(&messages[2])]));
    receiver.learns(&coalition).await;
    receiver.ends_with(&messages, &[Sealed, Sealed, Sealed, Quarantined]).await;
    eventually("the true history", async || receiver.frontier(header.group, header.log) == (3, 0)).await;
    assert_eq!(receiver.site.store.check(|_| {}).damages, 0, "and after they changed places");
    let second = header.sequence.get() + 1;
    let at = belfry_proto::id::Sequence::new(second);
    let served = receiver.site.store.envelopes(header.group, header.log, at, at, usize::MAX).unwrap();
    assert_eq!(served, [messages[1].bytes()], "peers are served the true one");
}

/// The message with a signature that its author did not make.
fn unsigned(message: &Decoded) -> Decoded {
    let mut envelope = schema::Envelope::decode(message.bytes()).unwrap();
    envelope.signature[5] ^= 1;
    envelope::decode(&envelope.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn one_good_signature_admits_what_it_names_and_nothing_else() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let bad = unsigned(&messages[1]);
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let refused = Kept::Refused("bad-signature");
    assert_eq!(receiver.takes(&[messages[0].clone(), bad.clone()]).await, [Kept::Stored, refused.clone()]);
    // The next one names the true second message, so it says nothing of other bytes in its place.
    assert_eq!(receiver.takes(&[bad, messages[2].clone()]).await, [refused, Kept::Stored]);
    assert_eq!(receiver.takes(&messages).await, [Kept::Known, Kept::Stored, Kept::Known]);
    receiver.ends_with(&messages, &[Sealed; 3]).await;
    eventually("all checked", async || receiver.site.store.unchecked().is_empty()).await;
    let header = messages[0].header();
    assert_eq!(receiver.frontier(header.group, header.log), (3, 0));
}

#[tokio::test]
async fn what_is_refused_itself_vouches_for_nothing() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let mut messages = coalition.messages(&alice, CIDR, None, 2);
    messages[1] = unsigned(&messages[1]);
    let (below, last) = (messages[0].clone(), messages[1].clone());
    let after = coalition.messages(&alice, CIDR, Some(&last), 1).remove(0);
    // Well signed and of the right log, and nothing that may stand in it: its date is far ahead.
    let mut future = schema::Envelope::decode(after.bytes()).unwrap();
    let mut header = schema::Header::decode(future.header.as_slice()).unwrap();
    header.created += 3_600_000_000;
    future.header = header.encode_to_vec();
    let parts: [&[u8]; 3] = [&future.header, &future.body_hash, &future.body_len.to_be_bytes()];
    let purpose = belfry_proto::crypto::sign::Purpose::Envelope;
    future.signature = alice.identity.signing.sign(purpose, coalition.id(), &parts).to_vec();
    let future = envelope::decode(&future.encode_to_vec()).unwrap();
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let kept = receiver.takes(&[below, last, future]).await;
    assert_eq!(kept, [Kept::Stored, Kept::Refused("bad-signature"), Kept::Refused("future")]);
    let header = messages[0].header();
    assert_eq!(receiver.frontier(header.group, header.log), (1, 0));
}

#[tokio::test]
async fn whoever_vouches_for_bytes_it_did_not_sign_breaks_its_log_at_every_node_alike() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let mut messages = coalition.messages(&alice, CIDR, None, 2);
    messages[1] = unsigned(&messages[1]);
    messages.extend(coalition.messages(&alice, CIDR, Some(&messages[1]), 2));
    let (group, log) = (messages[0].header().group, messages[0].header().log);

    let whole = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    assert_eq!(whole.takes(&messages).await, [Kept::Stored, Kept::Stored, Kept::Stored, Kept::Stored]);
    whole.ends_with(&messages, &[Sealed, Disputed, Disputed, Disputed]).await;
    eventually("a frozen log", async || whole.frontier(group, log) == (1, 2)).await;

    // From the end, one by one: what follows is here already.
    let backwards = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    for message in messages.iter().rev() {
        assert_eq!(backwards.takes(std::slice::from_ref(message)).await, [Kept::Stored]);
    }
    backwards.ends_with(&messages, &[Sealed, Disputed, Disputed, Disputed]).await;
    eventually("a frozen log", async || backwards.frontier(group, log) == (1, 2)).await;

    // Whoever has only the first is shown the proof.
    let row = whole.site.store.log(group, log).unwrap();
    let proof = whole.site.store.fork_proof(&row).unwrap().unwrap();
    assert!(whole.site.store.is_frozen_unsigned(&row).unwrap(), "nobody signed another history");
    let late = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    late.takes(&messages[..1]).await;
    late.takes(&proof.envelopes.map(|bytes| envelope::decode(&bytes).unwrap())).await;
    late.ends_with(&messages[..3], &[Sealed, Disputed, Disputed]).await;
    eventually("a frozen log", async || late.frontier(group, log) == (1, 2)).await;
    assert_eq!(late.site.store.check(|_| {}).damages, 0);
}

#[tokio::test]
async fn what_is_ahead_of_the_roster_is_parked_by_its_author_if_that_can_be_known() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let behind = coalition.roster.clone();
    let carol = coalition.issue(3, &[CIDR]);
    let by_alice = coalition.messages(&alice, CIDR, None, 1);
    let by_carol = coalition.messages(&carol, CIDR, None, 1);
    let mut forged = schema::Envelope::decode(by_alice[0].bytes()).unwrap();
    forged.signature[5] ^= 1;
    let forged = envelope::decode(&forged.encode_to_vec()).unwrap();
    let site = Site::knowing(&coalition, behind, &bob).await;
    let receiver = Receiver::start(site, &alice);
    assert_eq!(receiver.takes(&by_alice).await, [Kept::Parked]);
    assert_eq!(receiver.takes(&by_carol).await, [Kept::Parked]);
    let kept = receiver.takes(&[forged]).await;
    assert_eq!(kept, [Kept::Refused("bad-signature")], "unsigned bytes take no author's room");
    let parked = receiver.site.store.parked(None, 9).unwrap();
    let parker = |id| parked.iter().find(|row| row.id == id).map(|row| row.parker);
    let (alices, peers) = (crate::store::Parker::Author(alice.identity.member), receiver.from);
    assert_eq!(parker(by_alice[0].message_id()), Some(alices));
    assert_eq!(parker(by_carol[0].message_id()), Some(crate::store::Parker::Peer(peers)));
    receiver.learns(&coalition).await;
    let both = [by_alice[0].clone(), by_carol[0].clone()];
    eventually("both stored", async || {
        both.iter().all(|message| receiver.site.store.has_message(message.message_id()).unwrap())
    })
    .await;
}

#[tokio::test]
async fn what_names_a_height_that_never_comes_is_dropped_after_a_day_wherever_it_lies() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let behind = coalition.roster.clone();
    coalition.issue(3, &[CIDR]);
    let messages = coalition.messages(&alice, CIDR, None, 300);
    let site = Site::knowing(&coalition, behind, &bob).await;
    let park = |message: &Decoded, received| {
        let (id, bytes) = (message.message_id(), message.bytes().to_vec());
        // Shared out over several peers: no share is full.
        let parker = crate::store::Parker::Author(MemberId::new(
            [u8::try_from(message.header().sequence.get() % 9).unwrap(); 16],
        ));
        site.store.commit(Change::Park(crate::store::ParkRow { id, parker, received, bytes }))
    };
    let old = clock::now().saturating_sub(std::time::Duration::from_secs(25 * 3600));
    for message in &messages[..290] {
        park(message, old).await.unwrap();
    }
    for message in &messages[290..] {
        park(message, clock::now()).await.unwrap();
    }
    let receiver = Receiver::start(site, &alice);
    eventually("the old ones gone", async || receiver.site.store.parked(None, 999).unwrap().len() == 10)
        .await;
    assert!(messages[290..].iter().all(|message| {
        receiver.site.store.parked(None, 999).unwrap().iter().any(|row| row.id == message.message_id())
    }));
    // More than one page's worth moves on when the roster does.
    receiver.learns(&coalition).await;
    eventually("stored", async || {
        messages[290..].iter().all(|message| receiver.site.store.has_message(message.message_id()).unwrap())
    })
    .await;
    eventually("none parked", async || receiver.site.store.parked(None, 999).unwrap().is_empty()).await;
}

#[tokio::test]
async fn of_too_many_logs_every_node_shows_the_same_whichever_came_first_and_a_cut_has_the_last_word() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let mut messages: Vec<Decoded> =
        (0..70).flat_map(|n| coalition.messages_of(&alice, CIDR, [n; 16], None, 1)).collect();
    messages.sort_by_key(|message| message.header().log);
    let rising = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let falling = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let kept = rising.takes(&messages).await;
    assert_eq!(kept[..64], vec![Kept::Stored; 64]);
    assert_eq!(kept[64..], vec![Kept::Refused("too-many-logs"); 6]);
    let mut backwards = messages.clone();
    backwards.reverse();
    assert_eq!(falling.takes(&backwards).await, vec![Kept::Stored; 70], "each comes before one that is here");
    let counted: Vec<LogId> = messages[..64].iter().map(|message| message.header().log).collect();
    for receiver in [&rising, &falling] {
        receiver.ends_with(&messages[..64], &[Sealed; 64]).await;
        let logs = async || receiver.site.store.logs(CIDR).iter().map(|row| row.log).collect::<Vec<_>>();
        eventually("the same logs", async || logs().await == counted).await;
    }
    falling.ends_with(&messages[64..], &[Quarantined; 6]).await;
    let instance = messages[69].header().instance;
    let more = coalition.messages_of(&alice, CIDR, instance, Some(&messages[69]), 1);
    assert_eq!(falling.takes(&more).await, [Kept::Refused("too-many-logs")], "a surplus log does not grow");
    // Whoever has stolen a key and opens many logs takes no history away: the cut lists what is true.
    coalition.decide(1, revocation(&alice, vec![point(&messages[69])]));
    for receiver in [&rising, &falling] {
        receiver.learns(&coalition).await;
        receiver.takes(&messages[69..]).await;
        receiver.ends_with(&messages[..64], &[Quarantined; 64]).await;
        receiver.ends_with(&messages[69..], &[Sealed]).await;
    }
}

/// The next key that somebody wants.
async fn wanted(notices: &mut Notices) -> KeyId {
    loop {
        if let Some(Notice::KeyWanted { key, .. }) = notices.recv().await {
            return key;
        }
    }
}

#[tokio::test]
async fn a_page_whose_keys_come_in_time_is_stored_open() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let (mut messages, first) = coalition.messages_with_key(&alice, CIDR, [1; 16], None, 40);
    let (more, second) = coalition.messages_with_key(&alice, CIDR, [1; 16], messages.last(), 40);
    messages.extend(more);
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let mut notices = receiver.feed.subscribe();
    let granted = async {
        // Both are asked for before the page is stored, or waited with one after the other.
        let asked = [wanted(&mut notices).await, wanted(&mut notices).await];
        assert_eq!(BTreeSet::from(asked), BTreeSet::from([first.id(), second.id()]));
        assert!(!receiver.holds(&messages[0]), "the page waits");
        receiver.learns_key(&first).await;
        receiver.learns_key(&second).await;
    };
    let (kept, ()) = tokio::join!(receiver.takes(&messages), granted);
    assert_eq!(kept, vec![Kept::Stored; 80]);
    assert_eq!(receiver.states(&messages), vec![Opened; 80]);
    // What was stored sealed would have been asked for again.
    receiver.feed.notify(Notice::DraftQueued);
    let arrived = [Notice::KeyArrived(first.id()), Notice::KeyArrived(second.id()), Notice::DraftQueued];
    for expected in arrived {
        assert_eq!(notices.recv().await, Some(expected));
    }
}

/// Refused or not answered at all: the page is stored, the author's next one waits for nothing, and both are opened when
/// the key comes after all.
#[tokio::test]
async fn a_page_whose_key_does_not_come_is_stored_sealed_and_opened_later() {
    for is_answered in [true, false] {
        let mut coalition = Coalition::new();
        let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
        let (messages, first) = coalition.messages_with_key(&alice, CIDR, [1; 16], None, 300);
        let (more, second) = coalition.messages_with_key(&alice, CIDR, [1; 16], messages.last(), 3);
        let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
        let mut notices = receiver.feed.subscribe();
        let refused = async {
            let key = wanted(&mut notices).await;
            assert!(!receiver.holds(&messages[0]), "the page waits");
            if is_answered {
                receiver.feed.notify(Notice::KeyRefused(key));
            }
        };
        let (kept, ()) = tokio::join!(receiver.takes(&messages), refused);
        assert_eq!(kept, vec![Kept::Stored; 300]);
        assert_eq!(receiver.states(&messages), vec![Sealed; 300]);
        receiver.takes(&more).await;
        while wanted(&mut notices).await != second.id() {}
        assert!(receiver.holds(&more[2]), "stored first, asked for then");
        for key in [&first, &second] {
            receiver.learns_key(key).await;
        }
        receiver.ends_with(&messages, &[Opened; 300]).await;
        receiver.ends_with(&more, &[Opened; 3]).await;
        assert_eq!(receiver.site.store.waiting_keys(None, 9).unwrap(), []);
    }
}

#[tokio::test]
async fn nobody_makes_us_ask_for_keys_that_their_author_did_not_name() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
    let (messages, _) = coalition.messages_with_key(&alice, CIDR, [1; 16], None, 1);
    let (others, key) = coalition.messages_with_key(&alice, CIDR, [2; 16], None, 1);
    let receiver = Receiver::start(Site::new(&coalition, &bob).await, &alice);
    let mut notices = receiver.feed.subscribe();
    let refused = Kept::Refused("bad-signature");
    let alone = receiver.takes(&[unsigned(&messages[0])]).await;
    assert_eq!(alone, std::slice::from_ref(&refused));
    // Below an entry that is signed, and not named by it.
    assert_eq!(receiver.takes(&[unsigned(&messages[0]), others[0].clone()]).await, [refused, Kept::Stored]);
    receiver.feed.notify(Notice::DraftQueued);
    loop {
        match notices.recv().await {
            Some(Notice::KeyWanted { key: wanted, .. }) => assert_eq!(wanted, key.id()),
            Some(Notice::DraftQueued) => break,
            other => panic!("{other:?}"),
        }
    }
}
