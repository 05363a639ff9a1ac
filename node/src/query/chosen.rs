//! Which rows of a listing are of the versions that its filter means: those that a read of the object by its id would show, whoever
//! owns it and however often it is said.
//!
//! An object is looked at once in a listing, however many of its rows that meets; once more only for a row that came since.

use std::collections::{BTreeSet, HashMap};

use belfry_proto::{stix::indicator::Indicator, time::Timestamp};

use super::{
    Filter, Inner, Principal, QueryError, Shown,
    claims::{self, Claim, Claims},
};
use crate::{clock, store::Looks};

/// Rows remembered of objects that have several. Too low ⇒ of objects whose rows take turns each is looked at again and again, too
/// high ⇒ memory, in each of the reads that run at once.
const MOST_HELD: usize = if cfg!(test) { 4 } else { 64 * 1024 };

pub(super) struct Chosen<'a> {
    inner: &'a Inner,
    principal: &'a Principal,
    filter: &'a Filter,
    looks: Looks<'a>,
    /// By the object's id.
    known: HashMap<String, Known>,
    held: usize,
    stretch: usize,
}

/// What was found of one object.
struct Known {
    /// When the rows were added that are meant.
    dates: BTreeSet<Timestamp>,
    /// Rows up to there were looked for.
    until: Timestamp,
    /// In which stretch.
    stretch: usize,
}

impl<'a> Chosen<'a> {
    /// Of the objects of one group.
    pub(super) fn of(inner: &'a Inner, principal: &'a Principal, filter: &'a Filter) -> Self {
        let looks = inner.store.looks();
        Self { inner, principal, filter, looks, known: HashMap::new(), held: 0, stretch: 0 }
    }

    pub(super) const fn principal(&self) -> &'a Principal {
        self.principal
    }

    pub(super) const fn filter(&self) -> &'a Filter {
        self.filter
    }

    /// Rows that are asked for from here on were read after all before.
    pub(super) fn next_stretch(&mut self) {
        self.looks = self.inner.store.looks();
        self.stretch += 1;
    }

    /// Whether a row is among the versions that are meant. What is chosen is never older than the row that it is chosen for: a
    /// version that came meanwhile would else not be among what was chosen before it came, and be passed for good.
    pub(super) fn has(&mut self, row: &Shown) -> Result<bool, QueryError> {
        let date = row.date_added();
        if let Some(known) = self.known.get(row.id())
            && (known.stretch == self.stretch || row.met() <= known.until)
        {
            return Ok(known.dates.contains(&date));
        }
        // Most objects have this row alone, and it need not be read again.
        if self.looks.is_sole(row.group(), row.id(), date)? {
            return Ok(self.meant(row, Claims::sole(row))?.contains(&date));
        }
        let claims = self.inner.claimed(&mut self.looks, self.principal, row.group(), row.id())?;
        let until = claims.until();
        let known = Known { dates: self.meant(row, claims)?, until, stretch: self.stretch };
        let is_meant = known.dates.contains(&date);
        self.remember(row.id(), known);
        Ok(is_meant)
    }

    /// Which are meant of an object, one row of which was met.
    fn meant(&mut self, met: &Shown, claims: Claims) -> Result<BTreeSet<Timestamp>, QueryError> {
        if self.filter.without_expired
            && let [only] = claims.rows()
            && self.is_over(met, *only)?
        {
            return Ok(BTreeSet::new());
        }
        Ok(claims::selected(&claims::shown(claims), &self.filter.versions))
    }

    fn is_over(&mut self, met: &Shown, only: Claim) -> Result<bool, QueryError> {
        if only.added() == met.date_added() {
            return Ok(is_over(met));
        }
        Ok(self.inner.opened(&mut self.looks, self.principal, only)?.is_some_and(|row| is_over(&row)))
    }

    fn remember(&mut self, id: &str, known: Known) {
        let rows = 1 + known.dates.len();
        if self.held + rows > MOST_HELD {
            self.known.clear();
            self.held = 0;
        }
        self.held += rows;
        self.known.insert(id.to_owned(), known);
    }
}

/// Whether an indicator is past what its author says, and nobody was ever shown another version of it.
fn is_over(row: &Shown) -> bool {
    let until = || Indicator::read(row.raw())?.valid_until();
    row.kind() == "indicator"
        && !row.is_revoked()
        && !row.has_outlived()
        && until().is_some_and(|until| until <= clock::now())
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::secret::Secret;

    use super::*;
    use crate::{
        query::{Query, Scope, TokenId, authorise::admit},
        store::ObjectRow,
        testing::{CIDR, Coalition, Site, said::indicator},
    };

    #[tokio::test]
    async fn an_object_is_looked_at_once_in_a_listing_and_again_only_for_a_row_that_came_since() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let (store, node) = (site.store.clone(), site.seat.identity.node);
        let query = Query::open(store, site.roster.clone(), node, &Secret::new([9; 32])).unwrap();
        let messages = coalition.messages(&alice, CIDR, None, 5);
        let version = |n: usize| indicator(&format!("2026-01-0{n}T00:00:00.000Z"));
        site.say(&messages[0], vec![version(1), version(2)], |_| ()).await;
        let (principal, filter) = (
            Principal::new(TokenId::new([0; 8]), "soc".to_owned(), Scope::reads([CIDR]), None),
            Filter::default(),
        );
        let rows = || -> Vec<Shown> {
            let rows = site.store.versions(CIDR, "indicator--a").unwrap();
            rows.into_iter().map(|row| admit(&principal, row).unwrap()).collect()
        };
        let mut chosen = Chosen::of(&query.inner, &principal, &filter);
        let has =
            |chosen: &mut Chosen<'_>, row: &Shown| (chosen.has(row).unwrap(), chosen.known[row.id()].stretch);
        let before = rows();
        assert_eq!(has(&mut chosen, &before[0]), (false, 0));
        chosen.next_stretch();
        assert_eq!(has(&mut chosen, &before[1]), (true, 0), "known from before");
        site.say(&messages[1], vec![version(3)], |_| ()).await;
        chosen.next_stretch();
        let newest = rows().pop().unwrap();
        assert_eq!(has(&mut chosen, &newest), (true, 2), "it came since");
        assert_eq!(has(&mut chosen, &before[1]), (false, 2));
        for (n, name) in (2..).zip(["b", "c", "d"]) {
            let named = |n| ObjectRow { id: format!("indicator--{name}"), ..version(n) };
            site.say(&messages[n], vec![named(1), named(2)], |_| ()).await;
            chosen.next_stretch();
            let row = site.store.versions(CIDR, &format!("indicator--{name}")).unwrap().remove(0);
            assert!(!chosen.has(&admit(&principal, row).unwrap()).unwrap());
            assert!(chosen.held <= MOST_HELD && chosen.known.contains_key(&format!("indicator--{name}")));
        }
        assert!(!chosen.known.contains_key("indicator--a"), "there was no room for it any more");
    }
}
