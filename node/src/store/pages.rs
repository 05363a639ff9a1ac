//! Pages of a group's objects, in the order that readers meet them.
//!
//! Rows lie in the order they were added, so a page is one range scan, or one walk over the entries of a type. Readers
//! outside meet what was under an embargo where it surfaced ([`super::embargo`]): a row there stands for it.

use belfry_proto::{id::GroupId, stix::egress::Audience, time::Timestamp};
use prost::Message;
use rocksdb::DBRawIterator;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    db::Db,
    objects::{ObjectView, Reading, by_type, of_type, read_row},
    values::ObjectValue,
    vault::damaged,
};

/// Which objects of a group.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// Strictly after this date added.
    pub after: Option<Timestamp>,
    /// Only these types; unset for all.
    pub kinds: Option<Vec<String>>,
    /// Rows to look at before answering with `more`.
    pub examine: usize,
}

/// Rows in order of date added.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<ObjectView>,
    /// Up to where rows were looked at; `None` if there were none.
    pub next_after: Option<Timestamp>,
    /// Whether rows follow.
    pub more: bool,
}

impl Store {
    /// Objects of a group in order of date added. Looks at no more than `examine` rows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn page(&self, group: GroupId, query: &PageQuery) -> Result<Page, ReadError> {
        self.page_met(Audience::Inside, group, query)
    }

    /// [`Self::page`], as these readers meet it: those outside meet what was under an embargo where it surfaced, and not where
    /// it was added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn page_met(&self, readers: Audience, group: GroupId, query: &PageQuery) -> Result<Page, ReadError> {
        let start = query.after.map_or(0, |after| after.as_micros().saturating_add(1));
        match query.kinds.as_deref() {
            Some([kind]) => self.page_of_kind(readers, group, kind, start, query.examine),
            Some(kinds) => self.page_of_all(readers, group, kinds, start, query.examine),
            None => self.page_of_all(readers, group, &[], start, query.examine),
        }
    }

    /// What these readers meet at a row.
    fn met<'a>(
        &'a self,
        readers: Audience,
        reading: &mut Reading<'a>,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Option<ObjectView>, ReadError> {
        let row = read_row(&self.db, reading, key, sealed)?;
        match (readers, row) {
            (Audience::Inside, row) => Ok(row),
            (Audience::Outside, Some(row)) => Ok(Some(row).filter(|row| row.surfaced.is_none())),
            (Audience::Outside, None) => {
                let of = stands_for(&self.db, key, sealed)?;
                let (group, here) =
                    columns::read_object(key).ok_or_else(|| damaged(Cf::Objects, key, "is of no group"))?;
                let row = self.object_with(reading, group, of)?;
                Ok(row.filter(|row| row.surfaced == Some(Timestamp::from_micros(here))))
            }
        }
    }

    /// What these readers meet in a group at exactly this time.
    pub(super) fn met_at<'a>(
        &'a self,
        readers: Audience,
        reading: &mut Reading<'a>,
        group: GroupId,
        date: Timestamp,
    ) -> Result<Option<ObjectView>, ReadError> {
        let key = columns::object(group, date.as_micros());
        let sealed = self.db.get(Cf::Objects, &key)?;
        sealed.map_or(Ok(None), |sealed| self.met(readers, reading, &key, &sealed))
    }

    fn page_of_all(
        &self,
        readers: Audience,
        group: GroupId,
        kinds: &[String],
        start: u64,
        examine: usize,
    ) -> Result<Page, ReadError> {
        let prefix = Key::group(group).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::Objects, &columns::object(group, start), &prefix);
        let mut reading = Reading::new();
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(page) };
            let (key, sealed) = row?;
            let view = self.met(readers, &mut reading, &key, &sealed)?;
            page.next_after = columns::read_object(&key).map(|(_, date)| Timestamp::from_micros(date));
            page.rows.extend(view.filter(|view| kinds.is_empty() || kinds.contains(&view.kind)));
        }
        page.more = rows.next().is_some();
        Ok(page)
    }

    fn page_of_kind(
        &self,
        readers: Audience,
        group: GroupId,
        kind: &str,
        start: u64,
        examine: usize,
    ) -> Result<Page, ReadError> {
        let prefix = of_type(group, kind).done();
        let mut page = Page::default();
        let mut rows = self.db.scan(Cf::ByType, &by_type(group, kind, start), &prefix);
        // After the index: what that leads to is there, unless it went since.
        let (mut objects, mut reading) = (self.rows_of(Cf::Objects), Reading::new());
        for _ in 0..examine {
            let Some(row) = rows.next() else { return Ok(page) };
            let (key, _) = row?;
            let date = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            page.next_after = Some(Timestamp::from_micros(date));
            let key = columns::object(group, date);
            if let Some(sealed) = next_at(&self.db, &mut objects, &key)? {
                page.rows.extend(self.met(readers, &mut reading, &key, sealed)?);
            }
        }
        page.more = rows.next().is_some();
        Ok(page)
    }
}

/// The row at `key`, of rows that are looked for in ascending order: mostly it lies right behind the one before.
fn next_at<'r>(db: &Db, rows: &'r mut DBRawIterator<'_>, key: &[u8]) -> Result<Option<&'r [u8]>, ReadError> {
    if rows.key().is_some_and(|at| at < key) {
        rows.next();
    }
    if rows.key() != Some(key) {
        rows.seek(key);
    }
    if rows.key() != Some(key) {
        db.ended(rows)?;
        return Ok(None);
    }
    Ok(rows.value())
}

/// For which row, of the same group, one stands that says nothing itself.
fn stands_for(db: &Db, key: &[u8], sealed: &[u8]) -> Result<Timestamp, ReadError> {
    let plain = db.vault.open(Cf::Objects, key, sealed)?;
    let value = ObjectValue::decode(plain.as_slice());
    let value = value.map_err(|_| damaged(Cf::Objects, key, "does not decode"))?;
    Ok(Timestamp::from_micros(value.stands_for))
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Tlp;
    use tempfile::TempDir;

    use crate::store::{
        ObjectRow,
        tests::{commit, object, open, page, with_objects},
    };

    #[test]
    fn a_page_looks_at_no_more_than_it_says() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, with_objects(1, (0..10).map(|i| object(&i.to_string(), "", Tlp::Green)).collect()));
        let first = page(&store, None, None, 4);
        assert_eq!((first.rows.len(), first.more), (4, true));
        let rest = page(&store, None, first.next_after, 100);
        assert_eq!((rest.rows.len(), rest.more), (6, false));
        let kinds = |kinds: &[&str]| {
            page(&store, Some(kinds.iter().map(|k| (*k).to_owned()).collect()), None, 100).rows.len()
        };
        assert_eq!(
            (kinds(&["indicator"]), kinds(&["malware"]), kinds(&["malware", "indicator"])),
            (10, 0, 10)
        );
    }

    #[test]
    fn of_one_type_each_comes_once_and_in_order_whatever_lies_between() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let of = |n: usize| {
            let kind = if n % 3 == 1 { "malware" } else { "indicator" };
            ObjectRow { kind: kind.to_owned(), ..object(&n.to_string(), "", Tlp::Green) }
        };
        commit(&store, with_objects(1, (0..30).map(of).collect()));
        for (kind, rest) in [("malware", &[1][..]), ("indicator", &[0, 2])] {
            let kinds = || Some(vec![kind.to_owned()]);
            let expected: Vec<String> =
                (0..30).filter(|n| rest.contains(&(n % 3))).map(|n| format!("indicator--{n}")).collect();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = page(&store, kinds(), after, 4);
                found.extend(page.rows.into_iter().map(|row| row.id));
                after = page.next_after;
                if !page.more {
                    break;
                }
            }
            assert_eq!(found, expected, "{kind}");
        }
    }
}
