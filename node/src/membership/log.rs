//! The admin log: verify, persist, then use.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{Height, RosterVersion, Serial},
    schema::{self, AdminGossip, admin_gossip::Item},
    topic::Topic,
    trust::{
        charter::CharterError,
        charter_change::{self, changes},
        log::{LogError, VerifiedRecord, verify_record},
        on_sight::RemovalSeen,
        roster::{Roster, Standing},
    },
    verdict::Verdict,
};
use prost::Message;
use tokio::time::Instant;

use super::{Membership, charters::is_held, on_sight};
use crate::{clock, feed::Notice, network::PublishError, store::Change};

impl Membership {
    /// Folds what a peer or a file brought, as far as it goes on from our head. True if the roster advanced.
    ///
    /// Order matters: fold a copy, make it durable, swap it in, tell the network, tell the feed. A crash
    /// between any two leaves an older roster in memory than on disk, never the other way round.
    pub(super) async fn offer(
        &mut self,
        charters: Vec<schema::Signed>,
        records: Vec<schema::Record>,
    ) -> bool {
        let mut roster = Roster::clone(&self.roster_now());
        let Folded { charters, records, refused, refused_record, conflict, beside } =
            fold(&mut roster, charters, records);
        for (charter, error) in refused {
            self.charter_refused(&roster, &charter, error);
        }
        if let Some(error) = refused_record {
            self.refused(&error);
        }
        let advanced = self.advance(roster, charters, records).await;
        // What is beside our log is measured against what that is now.
        if let Some(conflict) = conflict {
            self.told_conflict(&conflict).await;
        }
        for seen in beside {
            let record = seen.record().clone();
            let is_news = match record.entry {
                None => self.judge_unordered(Ok(seen)).await == Verdict::Accept,
                Some(_) => self.take_sight(seen).await,
            };
            if is_news {
                self.spread_record(record).await;
            }
        }
        advanced
    }

    /// Makes durable what went on from our log, and goes by it. True if something did.
    async fn advance(
        &mut self,
        roster: Roster,
        charters: Vec<(u64, Vec<u8>)>,
        records: Vec<(Height, Vec<u8>)>,
    ) -> bool {
        let earlier = self.roster_now();
        let before = (earlier.charter().version(), earlier.version().height);
        if (roster.charter().version(), roster.version().height) == before {
            return false;
        }
        self.look_at_clock(clock::now());
        let change = Change::Admin { charters, records, head: roster.version() };
        if let Err(error) = self.store.commit(change).await {
            tracing::error!("the admin log could not be made durable, so it is not used: {error}");
            if let Some(record) = roster.records().last().cloned() {
                self.note_ahead(record);
            }
            return false;
        }
        tell_changes(&roster, before.0);
        tell_undone(&earlier, &roster);
        let version = roster.version();
        tracing::info!(roster.height = version.height.get(), "admin log at {version}");
        self.roster.replace(roster);
        self.abreast.grown(Instant::now(), &mut rand::rng());
        self.tell_new_readers(before.1);
        self.allow().await;
        self.subscribe().await;
        self.feed.notify(Notice::RosterChanged(version.height));
        self.settle_beacon().await;
        self.forget_contacts().await;
        self.settle_charter();
        self.forget_settled(&earlier).await;
        self.grown();
        true
    }

    /// Says in the log who reads this node's groups by an entry above `below`, and by which new node; status says it until the grant delay
    /// ends.
    fn tell_new_readers(&self, below: Height) {
        let roster = self.roster_now();
        let own = self.identity.serial.get();
        let is_new = |serial: Serial| serial.get() > below.get() && serial.get() > own;
        let ours = roster.certificates().filter(|certificate| certificate.member == self.identity.member);
        for certificate in ours.filter(|certificate| is_new(certificate.serial)) {
            tracing::warn!("another node of this member was certified: certificate {}", certificate.serial);
        }
        for group in self.identity.kept_groups(&roster) {
            let slug = roster.charter().group(group).map_or("?", |group| group.slug.as_str());
            for member in roster.members().filter(|member| member.id != self.identity.member) {
                let since = roster.entitled_since(member.id, group).map(|since| since.height);
                if since.is_some_and(|since| since > below && since.get() > own) {
                    let name = &member.organisation.name;
                    tracing::warn!(member.id = %member.id, group = slug, "new reader of {slug}: {name:?}");
                }
            }
            let others =
                roster.certificates().filter(|certificate| certificate.member != self.identity.member);
            for certificate in others.filter(|certificate| is_new(certificate.serial)) {
                let since = roster.entitled_since(certificate.member, group).map(|since| since.height.get());
                let (serial, name) = (certificate.serial, &certificate.organisation.name);
                // Where its member is the new reader, that is said above.
                if certificate.groups.contains_key(&group) && since.is_some_and(|since| since < serial.get())
                {
                    let member = certificate.member;
                    tracing::warn!(member.id = %member, group = slug, "new node of {name:?} reads {slug}: certificate {serial}");
                }
            }
        }
    }

    pub(super) async fn judge_record(&mut self, record: schema::Record, from: PublicKey) -> Verdict {
        let roster = self.roster_now();
        if let schema::Record { entry: None, statement: Some(statement) } = &record {
            let seen = RemovalSeen::unordered(roster.charters(), statement);
            return self.judge_unordered(seen).await;
        }
        let verified = match verify_record(roster.charters(), &record) {
            Ok(verified) => verified,
            Err(error) => {
                tracing::debug!(peer = %from, "record refused: {error}");
                return self.refused(&error);
            }
        };
        let ours = roster.version().height.get();
        if verified.height.get() <= ours {
            // Whoever has our branch learns of the other by this.
            return if self.told_earlier(&verified).await { Verdict::Accept } else { Verdict::Ignore };
        }
        if verified.height.get() > ours + 1 {
            self.see(&verified).await;
            self.note_ahead(verified);
            self.pull(from);
            // Signed by the registrar and new to us: others may be waiting for it too.
            return Verdict::Accept;
        }
        if verified.prev != roster.version().head {
            // Next by its height, and of another log: nothing of it goes on from ours.
            self.refused(&LogError::Fork(verified.height));
            return if self.see(&verified).await { Verdict::Accept } else { Verdict::Ignore };
        }
        if self.offer(Vec::new(), vec![record]).await {
            return Verdict::Accept;
        }
        self.note_ahead(verified);
        Verdict::Ignore
    }
}

impl Membership {
    /// Gossips what the log has beyond `before`, in order. Who misses one learns of it at the next hello; of a charter that is too
    /// large for gossip, and so of what stands behind it, everybody does at once.
    pub(super) async fn spread(&mut self, before: &Roster) {
        let now = self.roster_now();
        let beyond = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let charters = now
            .charters()
            .signed()
            .iter()
            .skip(beyond(before.charter().version()))
            .cloned()
            .map(Item::Charter);
        let records = now.records().skip(beyond(before.version().height.get()));
        for item in charters.chain(records.map(|record| Item::Record(record.record.clone()))) {
            let gossip = AdminGossip { item: Some(item) };
            if let Err(error) = self.network.publish(Topic::Admin, gossip.encode_to_vec()).await {
                tracing::debug!("admin log not gossiped: {error}");
                if matches!(error, PublishError::TooLarge { .. }) {
                    self.abreast.pulled(Instant::now());
                    self.greet_behind();
                }
                return;
            }
        }
    }
}

/// Says in the log what a new charter changes against version `before`; `belfry charter` says it again.
fn tell_changes(roster: &Roster, before: u64) {
    let new = roster.charter();
    let Some(old) = roster.charters().version(before).filter(|old| old.version() < new.version()) else {
        return;
    };
    let version = new.version();
    tracing::info!(
        charter.version = version,
        "charter version {version} is in force; it was version {before}"
    );
    // Taken all the same: whether a charter is ours must not depend on when it comes.
    if new.is_expired_at(clock::now()) {
        tracing::warn!(
            charter.version = version,
            "charter version {version} expired on {}: nobody publishes until there is a newer one",
            new.expires()
        );
    }
    for charter_change::Change { what, before, after } in changes(old, new) {
        tracing::info!(
            charter.version = version,
            "charter version {version}, {what}: {before:?} -> {after:?}"
        );
    }
}

/// Says in the log whom a new charter brought back, because it pins an entry before their removal. Status says it, too, as long
/// as the log has the removal.
fn tell_undone(before: &Roster, now: &Roster) {
    if before.charter().version() == now.charter().version() {
        return;
    }
    let (version, at) = (now.charter().version(), clock::now());
    let is_out = |standing| matches!(standing, Standing::Revoked | Standing::Suspended);
    for certificate in now.certificates().filter(|certificate| {
        is_out(before.standing(certificate.serial, at))
            && now.standing(certificate.serial, at) == Standing::Valid
    }) {
        let (serial, name) = (certificate.serial, &certificate.organisation.name);
        tracing::warn!(
            charter.version = version,
            certificate.serial = %serial,
            "charter version {version} undid the removal of certificate {serial} of {name:?}: it holds again"
        );
    }
}

/// What of a page went on from our log.
#[derive(Default)]
struct Folded {
    charters: Vec<(u64, Vec<u8>)>,
    records: Vec<(Height, Vec<u8>)>,
    /// Charters that are not ours and did not go on from them.
    refused: Vec<(schema::Signed, CharterError)>,
    /// Why the first record that did not go on did not.
    refused_record: Option<LogError>,
    /// The first entry that is another than ours at its height.
    conflict: Option<VerifiedRecord>,
    /// Removals that are in no entry of ours: of another branch, beyond a gap, or ordered by nobody.
    beside: Vec<RemovalSeen>,
}

/// Applies charters and records that go on from where `roster` stands; stops at the first that does not.
fn fold(roster: &mut Roster, charters: Vec<schema::Signed>, records: Vec<schema::Record>) -> Folded {
    let mut folded = Folded::default();
    for charter in charters {
        if is_held(roster, &charter.payload) {
            continue;
        }
        let bytes = charter.encode_to_vec();
        match roster.apply_charter(charter.clone()) {
            Ok(()) => folded.charters.push((roster.charter().version(), bytes)),
            Err(error) => folded.refused.push((charter, error)),
        }
    }
    let (mut records, mut taken) = (records.into_iter(), BTreeSet::new());
    roster.settle_later();
    for record in records.by_ref() {
        if record.entry.is_none() && record.statement.is_some() {
            folded.beside.extend(on_sight::removal(roster, &record, &mut taken));
            continue;
        }
        let bytes = record.encode_to_vec();
        let applied = verify_record(roster.charters(), &record).and_then(|verified| {
            if verified.height <= roster.version().height {
                let ours = RosterVersion { height: verified.height, head: verified.entry_id };
                if !roster.is_prefix(ours) {
                    folded.beside.extend(RemovalSeen::of(&verified));
                    folded.conflict.get_or_insert(verified);
                }
                return Ok(None);
            }
            let height = verified.height;
            roster.apply(verified).map(|()| Some(height))
        });
        match applied {
            Ok(Some(height)) => folded.records.push((height, bytes)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(roster.height = roster.version().height.get(), "admin log refused: {error}");
                folded.refused_record = Some(error);
                folded.beside.extend(on_sight::removal(roster, &record, &mut taken));
                break;
            }
        }
    }
    roster.settle();
    // What does not go on from our log may remove somebody all the same.
    folded.beside.extend(records.filter_map(|record| on_sight::removal(roster, &record, &mut taken)));
    folded
}
