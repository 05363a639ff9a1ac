//! Objects on their way in: what one message says of one object, and which row it comes to.
//!
//! ```text
//! claim ─▶ the first of its version, or a further one ─▶ a row of its own, a date, a number in the feed
//!       └▶ said before ─▶ its message joins that row: as a reporter, or in other words
//! ```

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    schema::Tlp,
};
use prost::Message;

use super::{
    ReadError,
    columns::{self, Cf, Key},
    embargo,
    feed::Feed,
    leaving, objects,
    rows::{ObjectRow, OpenedRows},
    txn::Txn,
    values::{ClaimValue, DatesValue, ObjectValue, ReporterValue},
    vault::{Packed, Vault, damaged},
};

/// Claims of one version of one object looked at for equal bytes.
const MAX_CLAIMS: usize = 64;

/// Bytes that name an object in [`Claim::version`], as in [`objects::by_id`].
const OBJECT: usize = 4 + 16;

/// One object of one publication on its way in, with its places in the indexes: everything about it that does
/// not depend on when it comes, so that the one writer need not make it.
pub(super) struct Claim {
    group: GroupId,
    member: MemberId,
    message: MessageId,
    marking: [u8; 2],
    /// group ‖ H(id) ‖ H(version).
    version: Vec<u8>,
    raw_tag: Vec<u8>,
    kind: String,
    tlp: u8,
    /// Not outside before, in microseconds; 0 for at any time.
    embargo_until: u64,
    value: Packed,
    /// What its message is noted with, should another one have said it before.
    reporter: Vec<u8>,
    /// H(kind, value) of each observable.
    observables: Vec<[u8; 16]>,
}

impl Claim {
    /// Every object of a publication part, in its order; the part has lost them then.
    pub(super) fn all_of(vault: &Vault, group: GroupId, content: &mut OpenedRows) -> Vec<Self> {
        let objects = std::mem::take(&mut content.objects);
        objects.into_iter().map(|object| Self::of(vault, group, content, object)).collect()
    }

    fn of(vault: &Vault, group: GroupId, content: &OpenedRows, object: ObjectRow) -> Self {
        let id = vault.blind(group, "object", &object.id);
        let version = vault.blind(group, "version", &object.version);
        let marking = [tlp_byte(object.tlp), u8::from(content.recipients)];
        let observables: Vec<[u8; 16]> =
            object.observables.iter().map(|(kind, observed)| vault.blind(group, kind, observed)).collect();
        let stated = object.stated.as_ref();
        let conditions = content.conditions.of_object(object.pap, stated);
        // What an object says of itself counts instead of what its message says of all.
        let purpose = stated.and_then(|stated| stated.purpose).map_or(content.purpose, i32::from);
        let class = stated.and_then(|stated| stated.class);
        let classes = class.map_or_else(|| content.classes.clone(), |class| vec![i32::from(class)]);
        let raw_tag = vault.tag("raw", &[marking.as_slice(), &object.raw].concat()).to_vec();
        let kind = object.kind.clone();
        let value = ObjectValue {
            id: object.id,
            kind: object.kind,
            version: object.version,
            tlp: object.tlp.into(),
            revoked: object.revoked,
            recipients: content.recipients,
            member: content.member.to_vec(),
            serial: content.serial.get(),
            message: content.message.to_vec(),
            publication: content.publication.to_vec(),
            created: content.created.as_micros(),
            purpose,
            classes: classes.clone(),
            raw: object.raw,
            observables: observables.iter().map(|tag| tag.to_vec()).collect(),
            tombstone: false,
            conditions: Some(conditions.clone()),
            end: 0,
            surfaced: 0,
            stands_for: 0,
            outlived: false,
            arrived: 0,
        };
        let embargo_until = conditions.embargo_until;
        let reporter = ReporterValue {
            serial: content.serial.get(),
            publication: content.publication.to_vec(),
            created: content.created.as_micros(),
            purpose,
            classes,
            conditions: Some(conditions),
            arrived: 0,
        };
        Self {
            group,
            member: content.member,
            message: content.message,
            marking,
            version: Key::group(group).bytes(&id).bytes(&version).done(),
            raw_tag,
            kind,
            tlp: tlp_byte(object.tlp),
            embargo_until,
            value: Packed::of(&value.encode_to_vec()),
            reporter: reporter.encode_to_vec(),
            observables,
        }
    }

    /// Where the claim stands if another one of the same version came first.
    fn key(&self) -> Vec<u8> {
        [self.version.as_slice(), self.member.as_ref(), &self.marking].concat()
    }

    /// Notes that what others say of the object is under this claim's embargo, too.
    fn keep(&self, txn: &mut Txn<'_>) {
        let object = self.version.get(..OBJECT).unwrap_or(&self.version);
        embargo::keep(txn, object, &self.kind, (self.member, self.message), self.embargo_until);
    }

    fn entry(&self, date_added: u64) -> ClaimValue {
        ClaimValue {
            date_added,
            raw_tag: self.raw_tag.clone(),
            member: self.member.to_vec(),
            marking: self.marking.to_vec(),
            arrived: 0,
        }
    }
}

/// Enters objects of a publication part: each gets its place in the group's order and in the feed.
/// `said` is what its message is noted with.
pub(super) fn enter(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    group: GroupId,
    said: &mut DatesValue,
    claims: Vec<Claim>,
) -> Result<(), ReadError> {
    for claim in claims {
        embargo::note(txn, claim.embargo_until, claim.message);
        let place = match settled(txn, group, &claim)? {
            Place::Known(known) => {
                if !said.dates.contains(&known.date_added) {
                    join(txn, &claim, &known);
                    said.dates.push(known.date_added);
                }
                continue;
            }
            place => place,
        };
        let date_added = feed.next_date(txn, group)?;
        insert(txn, &claim, &place, date_added);
        said.dates.push(date_added);
        feed.announce(txn, group, date_added);
    }
    Ok(())
}

/// Where a claim is entered.
enum Place {
    /// The first claim of its version has a key of its own, so that news are told by one look.
    First,
    Further,
    /// It needs no row: the same member said it before, or another member said the same bytes under the same
    /// marking.
    Known(Known),
}

/// The row that already says what a claim says.
struct Known {
    date_added: u64,
    /// Under the same version, but in other words: the first ones stay.
    differs: bool,
    /// The claiming member has no entry of its own yet.
    is_new_member: bool,
}

/// Where this claim goes, once what would have it join a row that is on its way out took that away.
fn settled(txn: &mut Txn<'_>, group: GroupId, claim: &Claim) -> Result<Place, ReadError> {
    loop {
        let place = place(txn, claim)?;
        // The row is the message's of somebody who stays then, or gone.
        if let Place::Known(known) = &place
            && leaving::let_go(txn, group, known.date_added)?
        {
            continue;
        }
        return Ok(place);
    }
}

/// Where this claim goes.
fn place(txn: &Txn<'_>, claim: &Claim) -> Result<Place, ReadError> {
    let decode = |key: &[u8], value: &[u8]| {
        ClaimValue::decode(value).map_err(|_| damaged(Cf::ById, key, "does not decode"))
    };
    let own = |entry: &ClaimValue| {
        let differs = entry.raw_tag != claim.raw_tag;
        Place::Known(Known { date_added: entry.date_added, differs, is_new_member: false })
    };
    let Some(first) = txn.get(Cf::ById, &claim.version)? else { return Ok(Place::First) };
    let first = decode(&claim.version, &first)?;
    if first.member == claim.member.as_ref() && first.marking == claim.marking {
        return Ok(own(&first));
    }
    let key = claim.key();
    if let Some(further) = txn.get(Cf::ById, &key)? {
        return Ok(own(&decode(&key, &further)?));
    }
    for (found, value) in txn.prefixed(Cf::ById, &claim.version, MAX_CLAIMS)? {
        let other = decode(&found, &value)?;
        if other.raw_tag == claim.raw_tag {
            let date_added = other.date_added;
            return Ok(Place::Known(Known { date_added, differs: false, is_new_member: true }));
        }
    }
    Ok(Place::Further)
}

/// Notes that this claim's message says a row's bytes too, or the row's version in other words: either
/// surfaces should the row's author be hidden.
fn join(txn: &mut Txn<'_>, claim: &Claim, known: &Known) {
    if known.is_new_member {
        txn.put(Cf::ById, claim.key(), claim.entry(known.date_added).encode_to_vec());
    }
    let key = columns::reporter(claim.group, known.date_added, claim.member, claim.message, known.differs);
    // Whoever becomes the author by it has said it since then and not since the first did: a field more behind the others.
    let arrived = ReporterValue { arrived: txn.now.as_micros(), ..ReporterValue::default() };
    let value = [claim.reporter.as_slice(), &arrived.encode_to_vec()].concat();
    txn.put_sealed(claim.group, Cf::Reporters, key, &value);
    if !known.differs {
        claim.keep(txn);
        for tag in &claim.observables {
            let key = columns::observable(claim.group, tag, claim.member.as_ref(), known.date_added);
            txn.put(Cf::Observables, key, Vec::new());
        }
    }
}

/// Writes the row and its index entries.
fn insert(txn: &mut Txn<'_>, claim: &Claim, place: &Place, date_added: u64) {
    let group = claim.group;
    claim.keep(txn);
    txn.put_packed(group, Cf::Objects, columns::object(group, date_added), &claim.value);
    let key = match place {
        Place::First => claim.version.clone(),
        Place::Further | Place::Known(_) => claim.key(),
    };
    txn.put(Cf::ById, key, claim.entry(date_added).encode_to_vec());
    txn.put(Cf::ByType, objects::by_type(group, &claim.kind, date_added), vec![claim.tlp]);
    for tag in &claim.observables {
        txn.put(
            Cf::Observables,
            columns::observable(group, tag, claim.member.as_ref(), date_added),
            Vec::new(),
        );
    }
}

/// TLP as one byte of a key.
fn tlp_byte(tlp: Tlp) -> u8 {
    u8::try_from(i32::from(tlp)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::MemberId, schema::Tlp};
    use tempfile::TempDir;

    use crate::store::{
        EnvelopeRow, MessageState,
        tests::{GROUP, commit, envelope, object, open, opened},
    };

    #[test]
    fn equal_claims_merge_as_reporters_but_not_across_markings() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let claim = |n: u64, member: u8, tlp| {
            let content = opened(n, member, vec![object("a", "v1", tlp)]);
            commit(
                &store,
                EnvelopeRow { state: MessageState::Opened, content: Some(content), ..envelope(n) },
            );
        };
        claim(1, 2, Tlp::Amber);
        claim(2, 3, Tlp::Amber);
        claim(3, 4, Tlp::Green);
        claim(4, 2, Tlp::Amber);
        let rows = store.versions(GROUP, "indicator--a").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].reporters, [MemberId::new([3; 16])]);
        assert_eq!(rows[1].reporters, []);
    }
}
