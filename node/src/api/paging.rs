//! Lists by pages: `limit`, and a `next` that goes on behind the last row of the page before.
//!
//! A `next` holds a position in the list's own order, never a row: what was taken away meanwhile leaves no hole, and what
//! came is met where it stands. It is no capability, as those of objects are none.

use axum::Json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use belfry_proto::crypto::pae::Pae;
use serde_json::{Map, Value};

use super::{
    params::{Params, bad},
    problem::Problem,
};

const DOMAIN: &str = "belfry/v1/list";
/// Enough that no two lists meet by accident.
const TAG: usize = 8;

/// Which part of a list is asked for.
pub(super) struct Paging {
    limit: usize,
    after: Option<Vec<u8>>,
    tag: [u8; TAG],
}

impl Paging {
    /// `limit` and `next`, of a list and the filters that it is asked with.
    pub(super) fn of(params: &mut Params, list: &str, filters: &[&str]) -> Result<Self, Problem> {
        let pae = filters
            .iter()
            .fold(Pae::new(DOMAIN).part(list.as_bytes()), |pae, filter| pae.part(filter.as_bytes()));
        let mut tag = [0; TAG];
        tag.iter_mut().zip(pae.hash()).for_each(|(to, from)| *to = from);
        let limit = params.limit()?;
        let after = params.one("next")?.map(|text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            bytes.strip_prefix(&tag).map(<[u8]>::to_vec)
        });
        let wrong = || bad("next", "was not given for this list with these filters; start again without it");
        Ok(Self { limit, after: after.map(|after| after.ok_or_else(wrong)).transpose()?, tag })
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Behind what the page begins.
    pub(super) fn after(&self) -> Option<&[u8]> {
        self.after.as_deref()
    }

    /// The same as a number.
    pub(super) fn after_number(&self) -> Result<Option<u64>, Problem> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
        self.after().map(number).transpose().map_err(|_| bad("next", "holds no position in this list"))
    }

    /// The `next` that goes on behind a position.
    pub(super) fn next(&self, position: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&self.tag[..], position].concat())
    }

    /// The page of a list that is at hand, in the order of `position`, which no two rows share; and its `next`.
    pub(super) fn cut<T>(
        &self,
        mut rows: Vec<T>,
        position: impl Fn(&T) -> Vec<u8>,
    ) -> (Vec<T>, Option<String>) {
        rows.sort_by_cached_key(&position);
        if let Some(after) = self.after() {
            rows.retain(|row| position(row).as_slice() > after);
        }
        let is_cut = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| is_cut).map(|last| self.next(&position(last)));
        (rows, next)
    }
}

/// A page as it is answered: without `next` it is the last one.
pub(super) fn answer(list: &'static str, rows: Vec<Value>, next: Option<String>) -> Json<Value> {
    let mut answer = Map::from_iter([(list.to_owned(), Value::Array(rows))]);
    answer.extend(next.map(|next| ("next".to_owned(), Value::String(next))));
    Json(Value::Object(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(list: &str, filters: &[&str], query: &str) -> Result<Paging, Problem> {
        let uri = format!("/x?{query}").parse().unwrap();
        Paging::of(&mut Params::of(&uri).unwrap(), list, filters)
    }

    fn key(row: &u8) -> Vec<u8> {
        vec![*row]
    }

    #[test]
    fn pages_hold_each_row_once_whatever_comes_and_goes() {
        let mut rows = vec![5, 1, 9, 3, 7];
        let (page, next) = paging("a", &[], "limit=2").unwrap().cut(rows.clone(), key);
        assert_eq!(page, [1, 3]);
        // The last one seen goes, others come before and behind it.
        rows.retain(|row| *row != 3);
        rows.extend([2, 4]);
        let asked = format!("limit=2&next={}", next.unwrap());
        let (page, next) = paging("a", &[], &asked).unwrap().cut(rows.clone(), key);
        assert_eq!(page, [4, 5]);
        let asked = format!("limit=2&next={}", next.unwrap());
        assert_eq!(paging("a", &[], &asked).unwrap().cut(rows, key), (vec![7, 9], None));
    }

    #[test]
    fn a_next_of_another_list_or_filter_is_refused() {
        let next = paging("a", &["open"], "").unwrap().next(&7_u64.to_be_bytes());
        let asked = format!("next={next}");
        assert_eq!(paging("a", &["open"], &asked).unwrap().after_number().unwrap(), Some(7));
        for (list, filters) in [("b", &["open"][..]), ("a", &[]), ("a", &["declined"])] {
            assert!(paging(list, filters, &asked).is_err(), "{list} {filters:?}");
        }
        assert!(paging("a", &[], "next=%25").is_err() && paging("a", &[], "next=").is_err());
        let short = paging("a", &[], "").unwrap().next(&[1]);
        assert!(paging("a", &[], &format!("next={short}")).unwrap().after_number().is_err());
    }
}
