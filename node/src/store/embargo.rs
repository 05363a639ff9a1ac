//! Embargoes that end: readers outside, who poll by date or hold a place in the feed, meet then what was kept from them.
//!
//! ```text
//! an object comes under an embargo ─▶ a row, due at its end                                  (the very same batch)
//! due ─▶ Change::EmbargoesOver ─┬─ its author asks for no more time ─▶ a row that stands for it, of a fresh date and
//!                               │                                     number in the feed, for readers outside alone
//!                               └─ it does, said something newer for
//!                                  them since, or the object is gone ─▶ nothing
//! ```
//!
//! The object's own row keeps its date: within the organisation nothing happened to it, and whoever polls there does not
//! meet it twice. It says where it surfaced, so that readers outside are not shown it where it was added, and so that what
//! stands for it goes when it goes. Work left undone by a crash is still a row.

use belfry_proto::{
    id::{GroupId, MessageId},
    schema::{self, Pap},
    stix::{
        egress::{self, Audience, Marks, Policy, Use},
        marking::Tlp,
    },
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    feed::Feed,
    messages, objects,
    removal::{self, Reporter},
    rows::Conditions,
    txn::Txn,
    values::{ObjectValue, ReporterValue},
    vault::damaged,
};

/// Rows of objects looked at in one step: a few milliseconds. Too low ⇒ more synced batches, too high ⇒ a feed whose embargo ends
/// at one time holds up the writer.
const MOST_LOOKED_AT: usize = 1024;

/// Rows of one member that are looked at for something newer, the latest first. Too low ⇒ what many versions were said of may
/// surface behind its last word; too high ⇒ who says thousands holds up the writer.
const LOOKED_BACK: usize = 16;

/// The widest way out there is: what it holds back is held back from everybody outside.
const OUTSIDE: Policy =
    Policy { purpose: Use::Detect, audience: Audience::Outside, most: Tlp::Amber, unstated_pap: Pap::Clear };

/// The end of a message's embargo, its own or one of its objects'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embargo {
    /// When.
    pub ends: Timestamp,
    /// Whose.
    pub message: MessageId,
}

/// Notes that an object of a message is under an embargo, if it is: `until` is in microseconds, 0 for none.
pub(super) fn note(txn: &mut Txn<'_>, until: u64, message: MessageId) {
    if until > txn.now.as_micros() {
        let ends = Timestamp::from_micros(until);
        txn.put(Cf::Embargoes, key(Embargo { ends, message }), Vec::new());
    }
}

/// Notes that a saying goes which asked for a longer embargo than what is left of a row: that may be over by now.
pub(super) fn shortened(txn: &mut Txn<'_>, message: MessageId) {
    txn.put(Cf::Embargoes, key(Embargo { ends: txn.now, message }), Vec::new());
}

pub(super) fn key(embargo: Embargo) -> Vec<u8> {
    Key::default().u64(embargo.ends.as_micros()).bytes(embargo.message.as_ref()).done()
}

fn read_key(key: &[u8]) -> Result<Embargo, ReadError> {
    let fault = || damaged(Cf::Embargoes, key, "does not decode");
    let (ends, message) = key.split_first_chunk::<8>().ok_or_else(fault)?;
    let ends = Timestamp::from_micros(u64::from_be_bytes(*ends));
    Ok(Embargo { ends, message: MessageId::try_from(message).map_err(|_| fault())? })
}

/// Lets what these embargoes kept inside be met outside. Those that are too many for one step stand in their rows.
pub(super) fn end(feed: &mut Feed, txn: &mut Txn<'_>, over: &[Embargo]) -> Result<(), ReadError> {
    let mut looked_at = 0;
    for embargo in over {
        if looked_at >= MOST_LOOKED_AT {
            break;
        }
        txn.delete(Cf::Embargoes, key(*embargo));
        let Some(group) = group_of(txn, embargo.message)? else { continue };
        for date in messages::dates_of(txn, embargo.message)? {
            looked_at += 1;
            let Some(value) = removal::row(txn, group, date)? else { continue };
            if is_over(txn, group, date, &value, *embargo)? {
                surface(feed, txn, group, date, value)?;
            }
        }
    }
    Ok(())
}

/// The group of a message that is here.
fn group_of(txn: &Txn<'_>, message: MessageId) -> Result<Option<GroupId>, ReadError> {
    let place = messages::place(txn, message)?;
    let place = place.as_deref().and_then(|place| place.get(..columns::PLACE_LEN));
    Ok(place.and_then(columns::read_place).map(|(group, ..)| group))
}

/// Whether this end is the last that a row's author asked for, of all the times that it said it, and it was kept from readers
/// outside until then.
fn is_over(
    txn: &Txn<'_>,
    group: GroupId,
    date: u64,
    value: &ObjectValue,
    embargo: Embargo,
) -> Result<bool, ReadError> {
    let ends = embargo.ends.as_micros();
    if value.tombstone || value.stands_for > 0 || date.max(value.surfaced) >= ends || !may_leave(value) {
        return Ok(false);
    }
    let mut last = until(value.conditions.as_ref());
    for other in removal::reporters(txn, group, date)? {
        if !other.differs && value.member == other.member.as_ref() {
            last = last.max(until(said(txn, &other)?.conditions.as_ref()));
        }
    }
    // A longer one that its author asked for may have gone with what asked for it.
    let is_unmet = value.surfaced == 0 && date < last && last < ends;
    Ok((last == ends || is_unmet) && !is_said_anew(txn, group, value, ends)?)
}

/// Whether readers outside have something newer of its member's by then: what surfaced behind that would be taken for its last
/// word.
fn is_said_anew(txn: &Txn<'_>, group: GroupId, value: &ObjectValue, ends: u64) -> Result<bool, ReadError> {
    let is_newer = |other: &ObjectValue| {
        other.member == value.member
            && removal::version_time(other) > removal::version_time(value)
            && may_leave(other)
            && until(other.conditions.as_ref()) <= ends
    };
    let claims = removal::claims_of(txn, group, &value.id)?.into_iter().rev();
    for (date, _) in claims.filter(|(_, member)| *member == value.member).take(LOOKED_BACK) {
        if removal::row(txn, group, date)?.is_some_and(|other| is_newer(&other)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn until(conditions: Option<&Conditions>) -> u64 {
    conditions.map_or(0, |conditions| conditions.embargo_until)
}

/// Whether a saying keeps its object inside at present.
pub(super) fn holds_back(txn: &Txn<'_>, reporter: &Reporter) -> Result<bool, ReadError> {
    Ok(!reporter.differs && until(said(txn, reporter)?.conditions.as_ref()) > txn.now.as_micros())
}

fn said(txn: &Txn<'_>, reporter: &Reporter) -> Result<ReporterValue, ReadError> {
    let plain = txn.get_sealed(Cf::Reporters, &reporter.key)?.unwrap_or_default();
    ReporterValue::decode(plain.as_slice())
        .map_err(|_| damaged(Cf::Reporters, &reporter.key, "does not decode"))
}

/// Whether anybody outside may have a row, its embargo aside.
fn may_leave(value: &ObjectValue) -> bool {
    let terms: &[String] = match &value.conditions {
        Some(conditions) => &conditions.terms,
        None => &[],
    };
    let marks = Marks {
        tlp: schema::Tlp::try_from(value.tlp).ok().and_then(Option::<Tlp>::from).unwrap_or(Tlp::Red),
        is_for_named_recipients: value.recipients,
        pap: None,
        embargo_until: None,
        terms,
    };
    egress::may_leave(&OUTSIDE, &marks, Timestamp::ZERO).is_ok()
}

fn surface(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    group: GroupId,
    date: u64,
    before: ObjectValue,
) -> Result<(), ReadError> {
    // Its author gave it another embargo after one was over.
    objects::delete_surfaced(txn, group, &before);
    let value = ObjectValue { surfaced: feed.next_date(txn, group)?, ..before };
    txn.put_sealed(group, Cf::Objects, columns::object(group, date), &value.encode_to_vec());
    objects::put_surfaced(txn, group, date, &value);
    feed.announce(txn, group, value.surfaced);
    Ok(())
}

impl Store {
    /// Embargoes that are over by `now`, at most `most`, the first to end at the front.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn embargoes_over(&self, now: Timestamp, most: usize) -> Result<Vec<Embargo>, ReadError> {
        let mut over = Vec::new();
        for row in self.db.scan(Cf::Embargoes, &[], &[]).take(most) {
            let embargo = read_key(&row?.0)?;
            if embargo.ends > now {
                break;
            }
            over.push(embargo);
        }
        Ok(over)
    }

    /// When the next one ends.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_embargo(&self) -> Result<Option<Timestamp>, ReadError> {
        let first = self.db.scan(Cf::Embargoes, &[], &[]).next().transpose()?;
        Ok(first.map(|(key, _)| read_key(&key)).transpose()?.map(|embargo| embargo.ends))
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        id::MemberId,
        schema::{WithdrawalGround, WithdrawalMode},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{
        clock,
        store::{
            Change, EnvelopeRow, MessageState, OpenedRows, Page, PageQuery,
            tests::{GROUP, commit, envelope, id, object, open, opened},
        },
    };

    /// Far enough that nothing here takes so long.
    const FAR: u64 = 3_600_000_000;

    fn later() -> Timestamp {
        Timestamp::from_micros(clock::now().as_micros() + FAR)
    }

    /// Message `n`, by which a member says one object under an embargo.
    fn under(n: u64, member: u8, name: &str, until: Timestamp) -> EnvelopeRow {
        let conditions = Conditions { embargo_until: until.as_micros(), ..Conditions::default() };
        let content = opened(n, member, vec![object(name, "v1", schema::Tlp::Green)]);
        let content = OpenedRows { conditions, ..content };
        EnvelopeRow { state: MessageState::Opened, content: Some(content), ..envelope(n) }
    }

    fn page(store: &Store, readers: Audience, kinds: Option<&str>) -> Page {
        let kinds = kinds.map(|kind| vec![kind.to_owned()]);
        store.page_met(readers, GROUP, &PageQuery { after: None, kinds, examine: 100 }).unwrap()
    }

    fn ids(page: Page) -> Vec<String> {
        page.rows.into_iter().map(|row| row.id.replace("indicator--", "")).collect()
    }

    fn end_all(store: &Store, now: Timestamp) {
        loop {
            let over = store.embargoes_over(now, 1).unwrap();
            if over.is_empty() {
                return;
            }
            store.commit_blocking(Change::EmbargoesOver(over)).unwrap();
        }
    }

    #[test]
    fn what_was_under_an_embargo_is_met_outside_behind_what_came_since_and_inside_where_it_was() {
        let folder = TempDir::new().unwrap();
        let (store, until) = (open(&folder), later());
        commit(&store, under(1, 2, "a", until));
        commit(&store, under(2, 2, "b", Timestamp::ZERO));
        drop(store);
        let store = open(&folder);
        assert_eq!(store.next_embargo().unwrap(), Some(until), "a restart forgets none");
        assert_eq!(store.embargoes_over(Timestamp::from_micros(until.as_micros() - 1), 9).unwrap(), []);
        end_all(&store, until);
        assert_eq!(store.next_embargo().unwrap(), None);
        for kinds in [None, Some("indicator")] {
            assert_eq!(ids(page(&store, Audience::Outside, kinds)), ["b", "a"]);
            assert_eq!(ids(page(&store, Audience::Inside, kinds)), ["a", "b"], "and once");
        }
        let outside = page(&store, Audience::Outside, None);
        assert!(outside.rows[0].surfaced.is_none());
        assert_eq!(outside.next_after, outside.rows[1].surfaced);
        let fed = |readers| {
            let rows = store.feed_met(readers, 0, 9).unwrap().rows.into_iter();
            rows.map(|(number, row)| (number, row.id.replace("indicator--", ""))).collect::<Vec<_>>()
        };
        assert_eq!(fed(Audience::Outside), [(2, "b".to_owned()), (3, "a".to_owned())]);
        assert_eq!(fed(Audience::Inside), [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(store.versions(GROUP, "indicator--a").unwrap().len(), 1);
    }

    #[test]
    fn only_the_last_embargo_that_its_author_asked_for_ends_it() {
        let folder = TempDir::new().unwrap();
        let (store, first) = (open(&folder), later());
        let [second, third] = [1, 2].map(|n| Timestamp::from_micros(first.as_micros() + n * FAR));
        commit(&store, under(1, 2, "a", first));
        commit(&store, under(2, 2, "a", second));
        commit(&store, under(3, 3, "a", third));
        let met = || page(&store, Audience::Outside, None).rows[0].surfaced;
        end_all(&store, first);
        assert_eq!(met(), None);
        end_all(&store, second);
        let surfaced = met();
        assert!(surfaced.is_some(), "what another member asks of its own word holds back that word alone");
        end_all(&store, third);
        assert_eq!((met(), store.next_embargo().unwrap()), (surfaced, None));
    }

    #[test]
    fn what_a_longer_embargo_kept_back_is_met_when_what_asked_for_it_goes() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let first = Timestamp::from_micros(crate::clock::now().as_micros() + 200_000);
        commit(&store, under(1, 2, "a", first));
        commit(&store, under(2, 2, "a", Timestamp::from_micros(first.as_micros() + FAR)));
        end_all(&store, first);
        let met = || page(&store, Audience::Outside, None).rows[0].surfaced;
        assert_eq!(met(), None, "its author asked for more time");
        while crate::clock::now() <= first {
            std::thread::yield_now();
        }
        withdraw(&store, 3, 2);
        end_all(&store, crate::clock::now());
        assert!(met().is_some());
    }

    #[test]
    fn what_was_said_anew_for_readers_outside_surfaces_behind_that_no_more() {
        let folder = TempDir::new().unwrap();
        let (store, until) = (open(&folder), later());
        let of = |n: u64, name: &str, day: u8, embargo: Timestamp, tlp: schema::Tlp| {
            let mut row = under(n, 2, name, embargo);
            row.content.iter_mut().for_each(|content| {
                content.objects = vec![object(name, &format!("2026-01-0{day}T00:00:00.000Z"), tlp)];
            });
            commit(&store, row);
        };
        of(1, "a", 1, until, schema::Tlp::Green);
        of(2, "a", 2, Timestamp::ZERO, schema::Tlp::Green);
        of(3, "b", 1, until, schema::Tlp::Green);
        of(4, "b", 2, Timestamp::ZERO, schema::Tlp::AmberStrict);
        of(5, "c", 1, until, schema::Tlp::Green);
        of(6, "c", 2, until, schema::Tlp::Green);
        end_all(&store, until);
        let surfaced = |name: &str| {
            let rows = store.versions(GROUP, &format!("indicator--{name}")).unwrap();
            rows.iter().map(|row| row.surfaced.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(surfaced("a"), [false, false], "its second version is out");
        assert_eq!(surfaced("b"), [true, false], "nobody outside has its second version");
        assert_eq!(surfaced("c"), [false, true], "the last of two that end at once");
    }

    #[test]
    fn what_nobody_outside_may_have_or_is_withdrawn_by_then_is_not_met_there() {
        let folder = TempDir::new().unwrap();
        let (store, until) = (open(&folder), later());
        let with = |n: u64, name: &str, change: fn(&mut OpenedRows)| {
            let mut row = under(n, 2, name, until);
            row.content.iter_mut().for_each(change);
            commit(&store, row);
        };
        with(1, "strict", |content| content.objects[0].tlp = schema::Tlp::AmberStrict);
        with(2, "named", |content| content.recipients = true);
        with(3, "terms", |content| content.conditions.terms = vec!["sharing=never".to_owned()]);
        with(4, "gone", |_| {});
        with(5, "over", |content| content.conditions.embargo_until = 1);
        withdraw(&store, 6, 4);
        let before = store.feed_bounds().unwrap();
        end_all(&store, until);
        assert_eq!(store.feed_bounds().unwrap(), before);
    }

    #[test]
    fn what_stands_for_an_object_goes_with_it() {
        let folder = TempDir::new().unwrap();
        let (store, until) = (open(&folder), later());
        commit(&store, under(1, 2, "a", until));
        end_all(&store, until);
        let met = page(&store, Audience::Outside, None).next_after.unwrap();
        withdraw(&store, 2, 1);
        assert_eq!(store.db.get(Cf::Objects, &columns::object(GROUP, met.as_micros())).unwrap(), None);
        let left = page(&store, Audience::Outside, Some("indicator")).rows;
        assert!(left.iter().all(|row| row.tombstone), "{left:?}");
    }

    /// Message `n`, by which the author of message `target` takes that back.
    fn withdraw(store: &Store, n: u64, target: u64) {
        use belfry_proto::envelope::Word;

        use crate::store::Withdraws;
        let word = Word {
            id: id(n),
            group: GROUP,
            member: MemberId::new([2; 16]),
            mode: WithdrawalMode::Retract,
            ground: WithdrawalGround::Author,
            by_steward: false,
            created: Timestamp::from_micros(n),
            seen: Timestamp::from_micros(n),
        };
        let withdraws = Some(Withdraws { word, targets: vec![id(target)] });
        commit(store, EnvelopeRow { key_id: None, state: MessageState::Closed, withdraws, ..envelope(n) });
        let work = store.to_reweigh(Timestamp::ZERO, 9).unwrap();
        store.commit_blocking(Change::Reweigh { work, now: Timestamp::ZERO }).unwrap();
        store.commit_blocking(Change::Surface(100)).unwrap();
    }
}
