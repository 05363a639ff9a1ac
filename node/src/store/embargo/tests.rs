//! Embargoes that end, as readers on either side meet it.

use belfry_proto::{
    id::{LogId, Sequence},
    schema::{WithdrawalGround, WithdrawalMode},
};
use tempfile::TempDir;

use super::*;
use crate::{
    clock,
    store::{
        Aged, Change, Committed, EnvelopeRow, MOST_CLAIMS, MessageState, Most, ObjectRow, ObjectView,
        OpenedRows, Page, PageQuery, Store,
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
        store.commit_blocking(Change::EmbargoesOver { over, now }).unwrap();
    }
}

/// The same object as in [`under`], in other words.
fn otherwise(mut row: EnvelopeRow) -> EnvelopeRow {
    let objects = row.content.iter_mut().flat_map(|content| &mut content.objects);
    objects.for_each(|object| object.raw = b"{\"name\":\"in other words\"}".to_vec());
    row
}

/// Message `n`, whose body can be let go.
fn whole(row: EnvelopeRow) -> EnvelopeRow {
    let (header, body) = (vec![1; 50], Some(vec![2; 500]));
    let bytes = schema::Envelope { header, body, ..schema::Envelope::default() }.encode_to_vec();
    EnvelopeRow { bytes, ..row }
}

/// Lets the body of message `n` go, which is past its group's retention.
fn expire(store: &Store, n: u64) {
    let (log, through) = (LogId::new([1; 32]), Sequence::new(n));
    let aged = Aged { group: GROUP, log, messages: vec![id(n)], through, more: false };
    store.commit_blocking(Change::Expire(aged)).unwrap();
}

fn versions(store: &Store, name: &str) -> Vec<ObjectView> {
    store.versions(GROUP, &format!("indicator--{name}")).unwrap()
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
fn every_version_surfaces_when_its_embargo_ends_and_once() {
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
    of(2, "a", 2, Timestamp::ZERO, schema::Tlp::Amber);
    of(3, "b", 1, until, schema::Tlp::Green);
    of(4, "b", 2, until, schema::Tlp::Green);
    end_all(&store, until);
    let surfaced =
        |name: &str| versions(&store, name).iter().map(|row| row.surfaced.is_some()).collect::<Vec<_>>();
    assert_eq!(surfaced("a"), [true, false], "whoever may not have AMBER has the first one as the newest");
    assert_eq!(surfaced("b"), [true, true]);
    let mut met = ids(page(&store, Audience::Outside, None));
    met.sort_unstable();
    assert_eq!(met, ["a", "a", "b", "b"]);
}

#[test]
fn what_others_say_of_an_object_is_kept_inside_as_long_as_its_owner_asks_and_met_then() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, under(1, 2, "theirs", until));
    commit(&store, otherwise(under(2, 3, "theirs", Timestamp::ZERO)));
    // What somebody asks for another's object opens or closes nothing of that one's.
    commit(&store, under(3, 3, "own", Timestamp::ZERO));
    commit(&store, otherwise(under(4, 2, "own", until)));
    let kept = |name: &str| versions(&store, name).iter().map(|row| row.kept_until).collect::<Vec<_>>();
    assert_eq!(kept("theirs"), [None, Some(until)]);
    assert_eq!(kept("own"), [None, None]);
    end_all(&store, until);
    let surfaced =
        |name: &str| versions(&store, name).iter().map(|row| row.surfaced.is_some()).collect::<Vec<_>>();
    assert_eq!((kept("theirs"), surfaced("theirs")), (vec![None, None], vec![true, true]));
    assert_eq!(surfaced("own"), [false, true], "its owner's was never kept");
}

#[test]
fn what_an_embargo_of_others_kept_inside_is_free_when_that_is_taken_back() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, under(1, 2, "a", until));
    commit(&store, otherwise(under(2, 3, "a", Timestamp::ZERO)));
    let before = versions(&store, "a")[1].date_added;
    withdraw(&store, 3, 1);
    let left = versions(&store, "a");
    let left: Vec<_> = left.iter().filter(|row| !row.tombstone).collect();
    assert_eq!((left.len(), left[0].kept_until), (1, None));
    assert!(left[0].date_added > before, "whoever polls meets it");
}

#[test]
fn what_another_member_asked_of_its_own_word_leaves_nothing_due_when_that_goes() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, under(1, 2, "a", Timestamp::ZERO));
    commit(&store, under(2, 3, "a", until));
    withdraw(&store, 3, 2);
    end_all(&store, clock::now());
    assert_eq!(versions(&store, "a")[0].surfaced, None);
    end_all(&store, until);
    assert_eq!((versions(&store, "a")[0].surfaced, store.next_embargo().unwrap()), (None, None));
}

#[test]
fn an_object_past_its_retention_that_another_says_too_is_met_where_it_surfaced() {
    // However long the first commit takes, it has to come before the end.
    let before_its_end = |wait: u64| {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let until = Timestamp::from_micros(clock::now().as_micros() + wait);
        commit(&store, whole(under(1, 2, "a", until)));
        (versions(&store, "a")[0].date_added < until).then_some((folder, store, until))
    };
    let (_folder, store, until) = (0..10).find_map(|n| before_its_end(1_000_000 << n)).unwrap();
    commit(&store, under(2, 3, "a", Timestamp::ZERO));
    commit(&store, under(3, 2, "b", Timestamp::ZERO));
    while clock::now() <= until {
        std::thread::yield_now();
    }
    end_all(&store, clock::now());
    let met = versions(&store, "a")[0].surfaced;
    assert!(met.is_some());
    expire(&store, 1);
    end_all(&store, clock::now());
    let left = versions(&store, "a");
    assert_eq!((left.len(), left[0].member, left[0].surfaced), (1, MemberId::new([3; 16]), met));
    assert_eq!(ids(page(&store, Audience::Outside, None)), ["b", "a"], "once, for who had not come so far");
    assert_eq!(ids(page(&store, Audience::Inside, None)), ["a", "b"]);
}

#[test]
fn an_object_past_its_retention_under_an_embargo_is_met_if_another_says_it_without() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, whole(under(1, 2, "a", until)));
    commit(&store, under(2, 3, "a", Timestamp::ZERO));
    commit(&store, otherwise(under(3, 4, "a", Timestamp::ZERO)));
    commit(&store, under(4, 2, "b", Timestamp::ZERO));
    expire(&store, 1);
    end_all(&store, clock::now());
    assert_eq!(ids(page(&store, Audience::Outside, None)), ["b", "a", "a"], "and what it kept besides");
    assert!(versions(&store, "a").iter().all(|row| row.kept_until.is_none()));
    end_all(&store, until);
    assert_eq!(ids(page(&store, Audience::Outside, None)), ["b", "a", "a"], "and never again");
}

#[test]
fn what_came_while_our_clock_ran_ahead_is_met_all_the_same() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    // By the clock of that time its embargo was over long ago.
    let ahead = Timestamp::from_micros(clock::now().as_micros() + 24 * FAR);
    let mut feed = Feed::load(&store.db).unwrap();
    let mut txn = Txn::new(&store.db, ahead);
    let date = feed.next_date(&txn, GROUP).unwrap();
    assert_eq!(date, ahead.as_micros());
    let (message, member) = (id(1), MemberId::new([2; 16]));
    note(&mut txn, until.as_micros(), message);
    let (due, _) = Embargo::Message { ends: until, message }.row();
    assert!(txn.get(Cf::Embargoes, &due).unwrap().is_some(), "it is noted, over or not");
    let value = ObjectValue {
        id: "indicator--a".to_owned(),
        kind: "indicator".to_owned(),
        tlp: schema::Tlp::Green.into(),
        member: member.to_vec(),
        message: message.to_vec(),
        conditions: Some(Conditions { embargo_until: until.as_micros(), ..Conditions::default() }),
        ..ObjectValue::default()
    };
    objects::put_row(&mut txn, GROUP, date, &value, &[]);
    // Set right again, at its end.
    txn.now = until;
    let mut step = Step { now: until, looked_at: 0, found: 0, kept: BTreeMap::new() };
    step.row(&mut feed, &mut txn, (GROUP, date), until).unwrap();
    let met = removal::row(&txn, GROUP, date).unwrap().unwrap().surfaced;
    assert!(met > date);
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

/// Message `n`, by which a member says so many versions of an object of this name, each under the same embargo.
fn many(n: u64, member: u8, name: &str, count: usize, until: Timestamp) -> EnvelopeRow {
    let mut row = under(n, member, name, until);
    row.content.iter_mut().for_each(|content| content.objects = said(name, count));
    row
}

fn said(name: &str, count: usize) -> Vec<ObjectRow> {
    let version = |n: usize| format!("2026-01-01T00:00:00.{n:06}Z");
    (0..count).map(|n| object(name, &version(n), schema::Tlp::Green)).collect()
}

/// How many rows surfaced, of those of an object.
fn surfaced(store: &Store, name: &str) -> usize {
    versions(store, name).iter().filter(|row| row.surfaced.is_some()).count()
}

#[test]
fn an_end_that_is_more_than_one_step_is_ended_in_steps_and_nothing_is_passed_over() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, many(1, 2, "a", 3 * MOST_LOOKED_AT, until));
    commit(&store, otherwise(many(2, 3, "a", 2 * MOST_LOOKED_AT, Timestamp::ZERO)));
    let (mut steps, mut before) = (0, 0);
    loop {
        let over = store.embargoes_over(until, 64).unwrap();
        if over.is_empty() {
            break;
        }
        store.commit_blocking(Change::EmbargoesOver { over, now: until }).unwrap();
        let after = surfaced(&store, "a");
        assert!(after - before <= MOST_LOOKED_AT, "{before} to {after} in one step");
        (steps, before) = (steps + 1, after);
    }
    assert!(steps >= 5, "{steps}");
    assert_eq!(surfaced(&store, "a"), 5 * MOST_LOOKED_AT);
}

#[test]
fn whoever_takes_back_what_kept_others_inside_looks_at_none_of_them_then() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, whole(many(1, 2, "a", 2 * MOST_LOOKED_AT, until)));
    commit(&store, otherwise(many(2, 3, "a", 2 * MOST_LOOKED_AT, Timestamp::ZERO)));
    expire(&store, 1);
    // What others say of one object is one thing to do, however many versions of it went.
    let of = |over: Vec<Embargo>| over.into_iter().filter(|of| matches!(of, Embargo::Object { .. })).count();
    assert_eq!(of(store.embargoes_over(clock::now(), 9_999).unwrap()), 1);
    assert_eq!(surfaced(&store, "a"), 0);
    end_all(&store, clock::now());
    assert_eq!(surfaced(&store, "a"), 2 * MOST_LOOKED_AT, "the owner is gone, and so is what it asked");
}

#[test]
fn an_embargo_that_was_over_leaves_nothing_to_do_when_its_message_goes() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, whole(under(1, 2, "a", Timestamp::from_micros(1))));
    commit(&store, otherwise(under(2, 3, "a", Timestamp::ZERO)));
    end_all(&store, clock::now());
    expire(&store, 1);
    assert_eq!(store.next_embargo().unwrap(), None);
}

#[test]
fn whoever_says_an_object_more_often_than_is_looked_at_does_not_own_it_and_opens_nothing() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, under(1, 2, "a", until));
    commit(&store, otherwise(under(2, 3, "a", Timestamp::ZERO)));
    let kept = || versions(&store, "a").into_iter().filter(|row| row.member == MemberId::new([3; 16]));
    assert!(kept().all(|row| row.kept_until == Some(until)));
    // The owner's claim is but one of them all: of those that are looked at, another member's may be the first.
    commit(&store, many(3, 3, "a", MOST_CLAIMS + 1, Timestamp::ZERO));
    assert!(kept().count() >= objects::MAX_VERSIONS - 2);
    assert!(kept().all(|row| row.kept_until == Some(until)), "nobody is known to own it");
    let owner = ownership_of(&store, "a");
    assert_eq!(owner, crate::store::ownership::Owner::Unknown);
}

#[test]
fn nothing_that_others_say_is_passed_over_however_often_they_say_it() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    let count = objects::MAX_VERSIONS + 100;
    commit(&store, under(1, 2, "a", until));
    commit(&store, otherwise(many(2, 3, "a", count, Timestamp::ZERO)));
    end_all(&store, until);
    let mut surfaced = 0;
    let all = store.each_object(GROUP, None, |row| {
        surfaced += usize::from(row.surfaced.is_some());
        std::ops::ControlFlow::Continue(())
    });
    assert!(all.unwrap().is_continue());
    assert_eq!(surfaced, count + 1);
}

#[test]
fn who_came_to_keep_an_object_inside_keeps_there_what_is_found_after_that() {
    let folder = TempDir::new().unwrap();
    let (store, first) = (open(&folder), later());
    let last = Timestamp::from_micros(first.as_micros() + FAR);
    commit(&store, under(1, 2, "a", first));
    commit(&store, otherwise(under(2, 3, "a", Timestamp::ZERO)));
    store.until_present();
    let most = Most { by_member: 9, all: 9 };
    let mut looks = store.looks();
    let mut kept = |value: &str| {
        let dates = looks.entered(GROUP, "ipv4-addr", value, most).unwrap().dates;
        let row = looks.object_at(GROUP, dates[0]).unwrap().unwrap();
        (row.member, row.kept_until)
    };
    assert_eq!(kept("198.51.100.7"), (MemberId::new([3; 16]), Some(first)));
    commit(&store, under(3, 4, "a", last));
    let mut news = under(4, 5, "a", Timestamp::ZERO);
    for object in news.content.iter_mut().flat_map(|content| &mut content.objects) {
        object.raw = b"{\"name\":\"news\"}".to_vec();
        object.observables = vec![("ipv4-addr".to_owned(), "198.51.100.9".to_owned())];
    }
    commit(&store, news);
    assert_eq!(kept("198.51.100.9"), (MemberId::new([5; 16]), Some(last)));
}

#[test]
fn who_keeps_an_object_inside_is_looked_for_once_for_all_rows_that_are_read_of_it() {
    let folder = TempDir::new().unwrap();
    let (store, until) = (open(&folder), later());
    commit(&store, under(1, 2, "a", until));
    commit(&store, otherwise(many(2, 3, "a", 2, Timestamp::ZERO)));
    let dates: Vec<Timestamp> = versions(&store, "a").iter().skip(1).map(|row| row.date_added).collect();
    let mut reading = objects::Reading::new();
    let mut kept =
        |date: Timestamp| store.object_with(&mut reading, GROUP, date).unwrap().unwrap().kept_until;
    assert_eq!(kept(dates[0]), Some(until));
    for row in store.db.scan(Cf::Embargoes, &[], &[]).map(Result::unwrap) {
        store.db.rocks.delete_cf(store.db.cf(Cf::Embargoes), row.0).unwrap();
    }
    assert_eq!(kept(dates[1]), Some(until), "it was found before");
    assert_eq!(store.object_at(GROUP, dates[1]).unwrap().unwrap().kept_until, None);
}

/// Whose the writer takes an object to be.
fn ownership_of(store: &Store, name: &str) -> crate::store::ownership::Owner {
    let txn = Txn::new(&store.db, clock::now());
    let object = objects::by_id(&store.db.vault, GROUP, &format!("indicator--{name}"));
    let claims = removal::claims_of(&txn, &object).unwrap();
    Firsts::of(&claims, |date| removal::row(&txn, GROUP, date)).unwrap().owner(None)
}

#[test]
fn bodies_of_messages_that_say_much_go_one_step_after_the_other() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=3 {
        commit(&store, whole(many(n, 2, &n.to_string(), 100, Timestamp::ZERO)));
    }
    let log = LogId::new([1; 32]);
    let far = Timestamp::from_micros(clock::now().as_micros() + FAR);
    for left in [2, 1, 0] {
        let aged = store.aged(GROUP, log, far, 64).unwrap().unwrap();
        let expected = if left == 0 { Committed::Done } else { Committed::More };
        assert_eq!(store.commit_blocking(Change::Expire(aged)).unwrap(), expected);
        let held = (1..=3).filter(|n| !versions(&store, &n.to_string()).is_empty()).count();
        assert_eq!(held, left);
    }
    assert!(store.aged(GROUP, log, far, 64).unwrap().is_none());
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
