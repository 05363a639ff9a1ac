//! Pages of objects: TAXII's filters over one ordered scan.
//!
//! Rows of a group lie in the order they were added, or surfaced for readers outside; a page is the next stretch of it that passes
//! gate, filter and version choice. A page ends at its limit, at its bytes, or at the rows it may
//! examine; in the last two cases it is short and says there is more.

use std::collections::BTreeSet;

use belfry_proto::{id::GroupId, time::Timestamp};

use super::{
    Filter, Inner, Principal, Query, QueryError, Readable, Shown, VersionMatch,
    authorise::admit,
    chosen::Chosen,
    claims::{self, Claim, Version},
    cursor::{self, Listing},
};
use crate::store::{Looks, PageQuery};

/// Bytes of objects on one page. Too low ⇒ large objects come one by one; too high ⇒ sixteen pages at
/// once weigh on a small host.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Rows the store examines in one stretch of a scan.
const STRETCH: usize = 2_000;
/// Rows a request may examine in all; a filter that nothing passes must not read a whole group.
const MAX_EXAMINED: usize = 50_000;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Which objects.
    pub filter: Filter,
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended, as it said.
    pub next: Option<String>,
}

/// A page, in the order its objects were added.
#[derive(Clone, Debug)]
pub struct Page {
    /// The objects.
    pub rows: Vec<Shown>,
    /// Given if there may be more.
    pub next: Option<String>,
}

impl Page {
    /// When the first and the last of it were added.
    #[must_use]
    pub fn dates(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.rows.first()?.met(), self.rows.last()?.met()))
    }
}

impl Query {
    /// A page of a group.
    ///
    /// # Errors
    /// A foreign `next`, or the store.
    pub async fn page(
        &self,
        principal: &Principal,
        of: Readable,
        request: PageRequest,
    ) -> Result<Page, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| inner.page(&mut inner.store.looks(), &principal, of.group(), request)).await
    }

    /// A page of one object's versions; the filter names the object.
    ///
    /// # Errors
    /// No such object for this token, a foreign `next`, or the store.
    pub async fn page_of_object(
        &self,
        principal: &Principal,
        of: Readable,
        request: PageRequest,
    ) -> Result<Page, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let mut looks = inner.store.looks();
            inner.must_hold(&mut looks, &principal, of.group(), &request.filter)?;
            inner.page(&mut looks, &principal, of.group(), request)
        })
        .await
    }

    /// As [`Self::page_of_object`] for every version, oldest first.
    ///
    /// # Errors
    /// As there.
    pub async fn versions_of_object(
        &self,
        principal: &Principal,
        of: Readable,
        mut request: PageRequest,
    ) -> Result<Page, QueryError> {
        request.filter.versions = [VersionMatch::All].into();
        let principal = principal.clone();
        self.read(move |inner| {
            let mut looks = inner.store.looks();
            inner.must_hold(&mut looks, &principal, of.group(), &request.filter)?;
            inner.named(&mut looks, &principal, of.group(), Listing::Versions, request)
        })
        .await
    }

    /// Every version of an object that any member claims, by group and date; of more than fit on a page each member's newest, then
    /// each one's next, and that there are more.
    ///
    /// # Errors
    /// The store.
    pub async fn claims(
        &self,
        principal: &Principal,
        groups: Vec<Readable>,
        object: String,
    ) -> Result<(Vec<Shown>, bool), QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let (mut found, mut looks) = (Vec::new(), inner.store.looks());
            for group in groups {
                found.extend(inner.claimed(&mut looks, &principal, group.group(), &object)?.into_rows());
            }
            let (mut rows, all) = (Vec::new(), found.len());
            let within = claims::within(found, MAX_PAGE_BYTES);
            let is_cut = within.len() < all;
            for claim in within {
                rows.extend(inner.opened(&mut looks, &principal, claim)?);
            }
            Ok((rows, is_cut))
        })
        .await
    }

    /// Whether any member says an object; what stands for what was said does not count.
    ///
    /// # Errors
    /// The store.
    pub async fn is_claimed(
        &self,
        principal: &Principal,
        of: Readable,
        object: String,
    ) -> Result<bool, QueryError> {
        let principal = principal.clone();
        self.read(move |inner| {
            let claims = inner.claimed(&mut inner.store.looks(), &principal, of.group(), &object)?;
            Ok(!claims.rows().iter().all(Claim::is_tombstone))
        })
        .await
    }
}

/// What this node's member says itself of an object, of what the principal may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnVersions {
    /// Whether it says anything.
    pub says: bool,
    /// The versions that were asked for, as they are stated.
    pub meant: BTreeSet<String>,
}

impl Query {
    /// Of what this node's member says itself of an object, the versions that a filter means. However many versions others say,
    /// and however many it says itself, none is passed over: what is one's own can be taken back.
    ///
    /// # Errors
    /// The store.
    pub async fn own_versions(
        &self,
        principal: &Principal,
        of: Readable,
        object: String,
        wanted: BTreeSet<VersionMatch>,
    ) -> Result<OwnVersions, QueryError> {
        let Some(own) = self.own_member() else { return Ok(OwnVersions::default()) };
        let principal = principal.clone();
        self.read(move |inner| {
            let mut versions: Vec<(Version, String)> = Vec::new();
            inner.store.each_said_by(of.group(), &object, own, |view| {
                if let Some(row) = admit(&principal, view).filter(|row| !row.is_tombstone()) {
                    versions.push((Version::of(&row), row.stated_version().to_owned()));
                }
            })?;
            versions.sort();
            let times: Vec<Version> = versions.iter().map(|(version, _)| *version).collect();
            let chosen = claims::chosen(&times, &wanted);
            let says = !versions.is_empty();
            let meant = versions.into_iter().filter(|(version, _)| chosen.contains(&version.added()));
            Ok(OwnVersions { says, meant: meant.map(|(_, stated)| stated).collect() })
        })
        .await
    }
}

impl Inner {
    fn page(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        request: PageRequest,
    ) -> Result<Page, QueryError> {
        if request.filter.ids.is_empty() {
            self.scan(principal, group, request)
        } else {
            self.named(looks, principal, group, Listing::Objects, request)
        }
    }

    fn must_hold(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        filter: &Filter,
    ) -> Result<(), QueryError> {
        for object in &filter.ids {
            if self.claimed(looks, principal, group, object)?.rows().is_empty() {
                return Err(QueryError::UnknownObject);
            }
        }
        Ok(())
    }

    /// Few objects by name: looked up, not searched.
    fn named(
        &self,
        looks: &mut Looks<'_>,
        principal: &Principal,
        group: GroupId,
        listing: Listing,
        request: PageRequest,
    ) -> Result<Page, QueryError> {
        let PageRequest { filter, limit, next } = request;
        let after = after(listing, group, &filter, next.as_deref())?;
        let mut found = Vec::new();
        if !filter.is_other_spec() {
            for object in &filter.ids {
                let versions = claims::shown(self.claimed(looks, principal, group, object)?);
                let chosen = claims::selected(&versions, &filter.versions);
                found.extend(versions.into_iter().filter(|claim| {
                    chosen.contains(&claim.added()) && after.is_none_or(|after| claim.met() > after)
                }));
            }
        }
        found.sort_by_key(Claim::met);
        let (mut page, mut is_cut) = (Filling::new(limit), false);
        for claim in found {
            let row = self.opened(looks, principal, claim)?.filter(|row| {
                // What surfaced since is met there.
                row.met() == claim.met()
                    && filter.takes(row.id(), row.kind())
                    && row.is_told_of(&filter.stated)
            });
            if row.is_some_and(|row| !page.push(row)) {
                is_cut = true;
                break;
            }
        }
        Ok(page.end(is_cut.then_some(()), listing, group, &filter))
    }

    /// The group, in order.
    fn scan(&self, principal: &Principal, group: GroupId, request: PageRequest) -> Result<Page, QueryError> {
        let PageRequest { filter, limit, next } = request;
        let mut position = after(Listing::Objects, group, &filter, next.as_deref())?;
        let mut page = Filling::new(limit);
        if filter.is_other_spec() {
            return Ok(page.end(None, Listing::Objects, group, &filter));
        }
        let (mut chosen, mut examined) = (Chosen::of(self, principal, &filter), 0);
        loop {
            let stretch = self.stretch(&mut chosen, group, (position, STRETCH), &mut page)?;
            let Some((end, more)) = stretch else {
                return Ok(page.end(Some(()), Listing::Objects, group, &filter));
            };
            position = end.or(position);
            examined += STRETCH;
            if !more {
                return Ok(page.end(None, Listing::Objects, group, &filter));
            }
            if examined >= MAX_EXAMINED {
                page.position = position;
                return Ok(page.end(Some(()), Listing::Objects, group, &filter));
            }
        }
    }

    /// A stretch of a scan: up to where rows were looked at, and whether more follow; `None` once the page is full.
    fn stretch(
        &self,
        chosen: &mut Chosen<'_>,
        group: GroupId,
        (after, examine): (Option<Timestamp>, usize),
        page: &mut Filling,
    ) -> Result<Option<(Option<Timestamp>, bool)>, QueryError> {
        let (principal, filter) = (chosen.principal(), chosen.filter());
        let kinds = (!filter.kinds.is_empty()).then(|| filter.kinds.iter().cloned().collect::<Vec<_>>());
        let query = PageQuery { after, kinds, examine };
        let stretch = self.store.page_met(principal.scope().audience, group, &query)?;
        chosen.next_stretch();
        for row in stretch.rows {
            let Some(row) = admit(principal, row) else { continue };
            if row.is_told_of(&filter.stated) && chosen.has(&row)? && !page.push(row) {
                return Ok(None);
            }
        }
        Ok(Some((stretch.next_after, stretch.more)))
    }
}

/// Where a listing goes on: after the cursor, which lies after `added_after`.
fn after(
    listing: Listing,
    group: GroupId,
    filter: &Filter,
    next: Option<&str>,
) -> Result<Option<Timestamp>, QueryError> {
    let cursor = next.map(|next| cursor::decode(listing, group, filter, next)).transpose()?;
    Ok(cursor.max(filter.added_after))
}

/// A page being filled.
struct Filling {
    rows: Vec<Shown>,
    limit: usize,
    bytes: usize,
    /// Up to where everything was looked at.
    position: Option<Timestamp>,
}

impl Filling {
    const fn new(limit: usize) -> Self {
        Self { rows: Vec::new(), limit, bytes: 0, position: None }
    }

    /// Whether there was room; the first object always has.
    fn push(&mut self, row: Shown) -> bool {
        let bytes = self.bytes.saturating_add(row.raw().len());
        if !self.rows.is_empty() && (self.rows.len() >= self.limit || bytes > MAX_PAGE_BYTES) {
            return false;
        }
        self.bytes = bytes;
        self.position = Some(row.met());
        self.rows.push(row);
        true
    }

    fn end(self, more: Option<()>, listing: Listing, group: GroupId, filter: &Filter) -> Page {
        let next = more.and(self.position).map(|position| cursor::encode(listing, group, filter, position));
        Page { rows: self.rows, next }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{crypto::secret::Secret, id::MemberId};

    use super::*;
    use crate::{
        query::{Scope, TokenId},
        store::{MOST_CLAIMS, ObjectRow},
        testing::{CIDR, Coalition, Site, said::indicator},
    };

    const VERSIONS: [&str; 2] = ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"];

    fn reader() -> Principal {
        Principal::new(TokenId::new([0; 8]), "soc".to_owned(), Scope::reads([CIDR]), None)
    }

    fn queried(site: &Site) -> Query {
        let (store, node) = (site.store.clone(), site.seat.identity.node);
        Query::open(store, site.roster.clone(), node, &Secret::new([9; 32])).unwrap()
    }

    #[tokio::test]
    async fn a_version_that_comes_during_a_long_scan_is_met_by_it() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let query = queried(&site);
        let messages = coalition.messages(&alice, CIDR, None, 2);
        let (principal, filter, mut page) = (reader(), Filter::default(), Filling::new(100));
        let mut chosen = Chosen::of(&query.inner, &principal, &filter);
        let mut end = None;
        for (message, version) in messages.iter().zip(VERSIONS) {
            site.say(message, vec![indicator(version)], |_| ()).await;
            let stretch = query.inner.stretch(&mut chosen, CIDR, (end, 1), &mut page).unwrap();
            end = stretch.unwrap().0;
        }
        let met: Vec<String> = page.rows.iter().map(Shown::version).collect();
        assert_eq!(met, VERSIONS);
    }

    /// Where the entries of one object lie is chance, so there are many of whom each has to be shown.
    #[tokio::test]
    async fn a_listing_shows_of_an_object_that_nobody_is_known_to_own_what_a_read_by_its_id_shows() {
        const OTHERS: usize = 12;
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let query = queried(&site);
        let messages = coalition.messages(&alice, CIDR, None, 2 + OTHERS);
        let said = |n: usize| indicator(&format!("2026-01-01T00:00:00.{n:06}Z"));
        let flood = |from: usize, to: usize| (from..to).map(said).collect::<Vec<ObjectRow>>();
        let say = async |n: usize, by: usize, objects: Vec<ObjectRow>| {
            let member = MemberId::new([u8::try_from(by).unwrap(); 16]);
            site.say(&messages[n], objects, |content| content.member = member).await;
        };
        say(0, 7, flood(0, MOST_CLAIMS)).await;
        for n in 1..=OTHERS {
            say(n, 10 + n, vec![said(10_000 + n)]).await;
        }
        say(OTHERS + 1, 7, flood(MOST_CLAIMS, 2 * MOST_CLAIMS)).await;
        let principal = reader();
        let all = |filter: &Filter| {
            let (mut found, mut next) = (Vec::new(), None);
            loop {
                let request = PageRequest { filter: filter.clone(), limit: 500, next };
                let page =
                    query.inner.page(&mut query.inner.store.looks(), &principal, CIDR, request).unwrap();
                found.extend(page.rows.iter().map(|row| (row.date_added(), row.member())));
                next = page.next;
                if next.is_none() {
                    return found;
                }
            }
        };
        for wanted in [VersionMatch::Last, VersionMatch::First, VersionMatch::All] {
            let filter = Filter { versions: [wanted].into(), ..Filter::default() };
            let by_id = all(&Filter { ids: ["indicator--a".to_owned()].into(), ..filter.clone() });
            assert_eq!(all(&filter), by_id, "{wanted}");
            let members: BTreeSet<MemberId> = by_id.iter().map(|(_, member)| *member).collect();
            assert_eq!(members.len(), 1 + OTHERS, "{wanted}");
            assert_eq!(by_id.len() == members.len(), wanted != VersionMatch::All);
        }
    }
}
