//! What a decision was made on, so that the commit that carries it out can see whether that still is so.
//!
//! Whoever decides reads first and writes afterwards; between the two, anybody may write. The writer alone has nobody
//! beside it, so it looks once more: a [`Basis`] is taken before anything is read, and holds if nothing was said of its objects
//! since.

use belfry_proto::id::{GroupId, PublicationId};

use super::{
    ReadError, Store, WriteError,
    columns::{Cf, Key},
    drafts::decode_draft,
    ownership::MOST_CLAIMS,
    rows::DraftState,
    txn::Txn,
};

/// What has to be so still, or the change is not made ([`super::Committed::Outdated`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing was said since of what was looked at.
    Holds(Basis),
    /// The same of several looks.
    All(Vec<Basis>),
    /// This draft goes out, or has gone.
    Goes(PublicationId),
}

/// All that is said of some objects, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    places: Vec<(Cf, Vec<u8>)>,
    /// None where more is said than is looked at: what is not looked at may be anything.
    print: Option<[u8; 32]>,
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

impl Store {
    /// What is said of these objects of a group now: every claim of every version, and what is entered under these
    /// (what, of), as opinions on one. Where one of them has more entries than decide whose an object is, it never holds.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn basis(
        &self,
        group: GroupId,
        objects: &[&str],
        entered: &[(&str, &str)],
    ) -> Result<Basis, ReadError> {
        let place =
            |what: &str, of: &str| Key::group(group).bytes(&self.db.vault.blind(group, what, of)).done();
        let objects = objects.iter().map(|object| (Cf::ById, place("object", object)));
        let entered = entered.iter().map(|(what, of)| (Cf::Observables, place(what, of)));
        let places: Vec<(Cf, Vec<u8>)> = objects.chain(entered).collect();
        let print = print(&places, |cf, prefix| {
            let rows = self.db.scan(cf, prefix, prefix).take(MOST_CLAIMS + 1);
            rows.map(|row| row.map(|(key, value)| (key.into_vec(), value.into_vec()))).collect()
        })?;
        Ok(Basis { places, print })
    }
}

fn print(
    places: &[(Cf, Vec<u8>)],
    read: impl Fn(Cf, &[u8]) -> Result<Rows, ReadError>,
) -> Result<Option<[u8; 32]>, ReadError> {
    let mut hasher = blake3::Hasher::new();
    for (cf, prefix) in places {
        let mut rows = read(*cf, prefix)?;
        if rows.len() > MOST_CLAIMS {
            return Ok(None);
        }
        rows.sort_unstable();
        hasher.update(&(rows.len() as u64).to_be_bytes());
        for part in rows.iter().flat_map(|(key, value)| [key, value]) {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}

/// Whether what was given is so, in the batch that is drawn.
pub(super) fn is_so(txn: &Txn<'_>, given: &Given) -> Result<bool, WriteError> {
    match given {
        Given::Holds(basis) => holds(txn, basis),
        Given::All(bases) => {
            for basis in bases {
                if !holds(txn, basis)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Given::Goes(publication) => {
            let bytes = txn.get_sealed(Cf::Drafts, publication.as_ref())?;
            let row = bytes.map(|bytes| decode_draft(*publication, &bytes)).transpose()?;
            Ok(row.is_some_and(|row| matches!(row.state, DraftState::Queued | DraftState::Flushed)))
        }
    }
}

fn holds(txn: &Txn<'_>, basis: &Basis) -> Result<bool, WriteError> {
    let now = print(&basis.places, |cf, prefix| txn.prefixed(cf, prefix, MOST_CLAIMS + 1))?;
    Ok(now.is_some() && now == basis.print)
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Tlp;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        Change, Committed, DraftRow,
        tests::{GROUP, commit, draft, object, open, with_objects},
    };

    const V1: &str = "2026-01-01T00:00:00.000Z";
    const V2: &str = "2026-01-02T00:00:00.000Z";

    fn held(store: &Store, n: u8) -> PublicationId {
        let row = DraftRow { state: DraftState::Held, ..draft(n, None) };
        let publication = row.publication;
        store.commit_blocking(Change::Draft(row)).unwrap();
        publication
    }

    fn release(store: &Store, publication: PublicationId, given: Given) -> Committed {
        let change =
            Change::DraftReleased { publication, reason: None, parts: vec![vec![1]], given: Some(given) };
        store.commit_blocking(change).unwrap()
    }

    fn state(store: &Store, publication: PublicationId) -> DraftState {
        store.draft(publication).unwrap().unwrap().state
    }

    #[test]
    fn what_is_said_of_an_object_between_the_look_and_the_release_keeps_a_draft_held() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, vec![object("a", V1, Tlp::Amber)]));
        let draft = held(&store, 1);
        let looked = || store.basis(GROUP, &["indicator--a"], &[("opinion-on", "note--1")]).unwrap();
        let before = looked();
        commit(&store, with_objects(2, vec![object("b", V1, Tlp::Amber)]));
        assert_eq!(looked(), before, "another object is none of its business");
        commit(&store, with_objects(3, vec![object("a", V2, Tlp::Amber)]));
        assert_eq!(release(&store, draft, Given::Holds(before)), Committed::Outdated);
        assert_eq!((state(&store, draft), store.queued(10).unwrap()), (DraftState::Held, Vec::new()));
        // An answer to what it takes over counts as well.
        let before = looked();
        let mut answer = object("c", V1, Tlp::Amber);
        answer.observables = vec![("opinion-on".to_owned(), "note--1".to_owned())];
        commit(&store, with_objects(4, vec![answer]));
        assert_eq!(release(&store, draft, Given::Holds(before)), Committed::Outdated);
        assert_eq!(release(&store, draft, Given::Holds(looked())), Committed::Done);
        assert_eq!(store.queued(10).unwrap(), [draft]);
    }

    #[test]
    fn a_basis_sees_as_far_as_decisions_do_and_holds_of_nothing_that_is_said_more_often() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let versions = |from: usize, to: usize| {
            let version = |n: usize| object("a", &format!("2026-01-01T00:00:00.{n:06}Z"), Tlp::Amber);
            (from..to).map(version).collect::<Vec<_>>()
        };
        let looked = || Given::Holds(store.basis(GROUP, &["indicator--a"], &[]).unwrap());
        commit(&store, with_objects(1, versions(0, MOST_CLAIMS - 64)));
        let draft = held(&store, 1);
        // Where the entries of one object lie is chance: of these, each would have to lie behind all that a shorter look sees.
        for n in 0..20 {
            let before = looked();
            let at = MOST_CLAIMS - 64 + n;
            commit(&store, with_objects(2 + n as u64, versions(at, at + 1)));
            assert_eq!(release(&store, draft, before), Committed::Outdated, "{n}");
        }
        assert_eq!(release(&store, draft, looked()), Committed::Done);
        commit(&store, with_objects(30, versions(MOST_CLAIMS - 44, MOST_CLAIMS + 1)));
        let draft = held(&store, 2);
        assert_eq!(
            release(&store, draft, looked()),
            Committed::Outdated,
            "what is not looked at may be anything"
        );
    }

    #[test]
    fn of_several_looks_each_has_to_hold() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, vec![object("a", V1, Tlp::Amber), object("b", V1, Tlp::Amber)]));
        let looked = || {
            let of = |id: &str| store.basis(GROUP, &[id], &[]).unwrap();
            Given::All(vec![of("indicator--a"), of("indicator--b")])
        };
        let before = looked();
        commit(&store, with_objects(2, vec![object("b", V2, Tlp::Amber)]));
        let draft = held(&store, 1);
        assert_eq!(release(&store, draft, before), Committed::Outdated);
        assert_eq!(release(&store, draft, looked()), Committed::Done);
    }

    /// Both in one batch: nobody else could see it, and the writer does.
    #[test]
    fn what_is_said_in_the_very_batch_of_the_release_counts() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, vec![object("a", V1, Tlp::Amber)]));
        let draft = held(&store, 1);
        let given = Given::Holds(store.basis(GROUP, &["indicator--a"], &[]).unwrap());
        let newer = Change::Envelope(Box::new(with_objects(2, vec![object("a", V2, Tlp::Amber)])));
        let release = Change::DraftReleased {
            publication: draft,
            reason: None,
            parts: vec![vec![1]],
            given: Some(given),
        };
        let changes: Vec<_> = [newer, release].map(|change| store.prepare(change)).into();
        let answers = futures::executor::block_on(async {
            store.enqueue(changes).await.unwrap().durable().await.unwrap()
        });
        assert!(
            matches!(answers.as_slice(), [Ok(Committed::Stored { .. }), Ok(Committed::Outdated)]),
            "{answers:?}"
        );
        assert_eq!(state(&store, draft), DraftState::Held);
    }

    #[test]
    fn what_follows_another_draft_goes_only_while_that_one_does() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let (first, second) = (held(&store, 1), held(&store, 2));
        assert_eq!(release(&store, second, Given::Goes(first)), Committed::Outdated, "it waits");
        store.commit_blocking(Change::DraftDiscarded { publication: first }).unwrap();
        assert_eq!(release(&store, second, Given::Goes(first)), Committed::Outdated, "it is gone");
        let third = held(&store, 3);
        let change =
            Change::DraftReleased { publication: third, reason: None, parts: vec![vec![1]], given: None };
        assert_eq!(store.commit_blocking(change).unwrap(), Committed::Done);
        assert_eq!(release(&store, second, Given::Goes(third)), Committed::Done);
    }
}
