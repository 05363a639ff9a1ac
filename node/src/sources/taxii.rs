//! A collection of a TAXII 2.1 server, page by page.
//!
//! A page is durable before the cursor moves: `next` while there is more (TAXII 2.1 §3.4), else the time the last object was
//! added. A server that no longer knows its `next` is asked from the last time on; pages that come again are known.

use async_trait::async_trait;
use belfry_proto::{limits::MAX_BUNDLE_OBJECTS, time::Timestamp};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::{
    Failure, Feed,
    desk::Desk,
    remote::{Remote, Said, too_long},
    state::Cursor,
};
use crate::outbound::{Answer, path_and_query, segment};

const ACCEPT: &str = "application/taxii+json;version=2.1";
/// Objects asked for at once; servers give fewer.
const PAGE: &str = "1000";
/// Bytes of a server's word for the next page.
const MAX_NEXT: usize = 4096;
const LAST_ADDED: &str = "x-taxii-date-added-last";

pub(super) struct Taxii {
    remote: Remote,
    collection: String,
    /// Path of the collection's objects, once it was found.
    objects: Option<String>,
}

/// Discovery (§4.1) or an API root (§4.2): what tells them apart.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    default: Option<String>,
    api_roots: Vec<String>,
}

/// §5.1
#[derive(Default, Deserialize)]
#[serde(default)]
struct Collections {
    collections: Vec<Collection>,
}

/// §5.2.1
#[derive(Deserialize)]
struct Collection {
    id: String,
    #[serde(default)]
    title: String,
    alias: Option<String>,
    #[serde(default = "yes")]
    can_read: bool,
}

const fn yes() -> bool {
    true
}

/// §3.7
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    more: bool,
    next: Option<String>,
    objects: Objects,
}

/// As many as a bundle may hold.
#[derive(Default)]
struct Objects(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> de::Visitor<'de> for Bounded {
            type Value = Objects;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {MAX_BUNDLE_OBJECTS} objects")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Objects, A::Error> {
                let mut objects = Vec::new();
                while let Some(object) = list.next_element()? {
                    if objects.len() == MAX_BUNDLE_OBJECTS {
                        return Err(de::Error::invalid_length(objects.len() + 1, &self));
                    }
                    objects.push(object);
                }
                Ok(Objects(objects))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

impl Taxii {
    pub(super) const fn new(remote: Remote, collection: String) -> Self {
        Self { remote, collection, objects: None }
    }

    /// Where the collection's objects are, through discovery if the URL is one.
    async fn find(&self) -> Result<String, Failure> {
        let url = self.remote.url();
        let found: Resource = read(&self.remote.need(&url.path, ACCEPT).await?)?;
        let root = match found.default.or_else(|| found.api_roots.first().cloned()) {
            None => url.path.clone(),
            Some(root) => url.path_of(&root).ok_or_else(|| {
                Failure::new(
                    "its discovery names an API root on another host: set url to the API root itself",
                )
            })?,
        };
        let root = if root.ends_with('/') { root } else { format!("{root}/") };
        let found: Collections = read(&self.remote.need(&format!("{root}collections/"), ACCEPT).await?)?;
        let wanted = self.collection.trim();
        let is_it = |one: &&Collection| {
            one.id.eq_ignore_ascii_case(wanted) || one.alias.as_deref() == Some(wanted) || one.title == wanted
        };
        let mut those = found.collections.iter().filter(is_it);
        match (those.next(), those.next()) {
            (Some(one), None) if one.can_read => {
                Ok(format!("{root}collections/{}/objects/", segment(&one.id)))
            }
            (Some(_), None) => Err(Failure::new("its collection is not ours to read")),
            (Some(_), Some(_)) => {
                Err(Failure::new("several of its collections have this title: name it by id"))
            }
            (None, _) => Err(Failure::new(format!(
                "has no collection of this id, alias or title; it shows {} to us",
                found.collections.len()
            ))),
        }
    }
}

#[async_trait]
impl Feed for Taxii {
    async fn run(&mut self, desk: &mut Desk) -> Result<(), Failure> {
        let url = self.remote.url();
        desk.begin(&format!("{}{} {}", url.origin(), url.path, self.collection));
        let objects = match self.objects.take() {
            Some(path) => path,
            None => self.find().await?,
        };
        for _ in 0..desk.source.max_items {
            let cursor = &desk.state.taxii;
            let answer = match self.remote.get(&question(&objects, cursor), ACCEPT).await? {
                Said::Found(answer) => answer,
                Said::No(_) if cursor.next.is_some() => {
                    // Its word is no longer good: from where all is certain, once more.
                    desk.state.taxii.next = None;
                    continue;
                }
                Said::TooLong(most) => return Err(too_long(most)),
                // A server that has nothing may say so with 404 (§3.4); a collection that went, too. The next run looks.
                Said::No(status) => return Err(Failure::new(format!("answers {status} for its collection"))),
            };
            let last = answer.headers.get(LAST_ADDED).and_then(|value| value.to_str().ok());
            let last =
                last.map(str::trim).filter(|text| text.parse::<Timestamp>().is_ok()).map(str::to_owned);
            let Envelope { more, next, objects: Objects(page) } = read(&answer)?;
            if next.as_ref().is_some_and(|next| next.len() > MAX_NEXT) {
                return Err(Failure::new(format!("its `next` has more than {MAX_NEXT} bytes")));
            }
            if !page.is_empty() {
                desk.objects(page).await?;
            }
            let before = desk.state.taxii.clone();
            let is_over = desk.state.taxii.advance(more, next, last);
            if !is_over && desk.state.taxii == before {
                return Err(Failure::new("says that there is more, and not how to get it"));
            }
            desk.save().await?;
            if is_over {
                break;
            }
        }
        self.objects = Some(objects);
        Ok(())
    }
}

impl Cursor {
    /// Behind a page; whether it was the last.
    fn advance(&mut self, more: bool, next: Option<String>, last: Option<String>) -> bool {
        self.last = last.or_else(|| self.last.take());
        match next.filter(|next| more && !next.is_empty()) {
            Some(next) => self.next = Some(next),
            None => {
                self.next = None;
                // Of the same moment there may be more, which a server has to keep together (§3.4).
                if let Some(last) = self.last.take() {
                    self.added_after = Some(last);
                }
            }
        }
        !more
    }
}

fn question(objects: &str, cursor: &Cursor) -> String {
    let mut query = vec![("limit", PAGE)];
    query.extend(cursor.added_after.as_deref().map(|after| ("added_after", after)));
    query.extend(cursor.next.as_deref().map(|next| ("next", next)));
    path_and_query(objects, &query)
}

/// A resource of TAXII, if it is one.
fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, Failure> {
    let kind = answer.headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/taxii+json"))
    {
        return Err(Failure::new("its answer is not TAXII 2.1 (application/taxii+json): look at url"));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::new(format!("its answer breaks off or is no TAXII at line {}", error.line()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_moves_by_next_and_then_to_the_last_object() {
        let mut cursor = Cursor::default();
        assert_eq!(question("/o/", &cursor), "/o/?limit=1000");
        assert!(!cursor.advance(true, Some("a b".to_owned()), Some("2026-01-01T00:00:00Z".to_owned())));
        assert_eq!(question("/o/", &cursor), "/o/?limit=1000&next=a%20b");
        assert!(cursor.advance(false, None, Some("2026-01-02T00:00:00Z".to_owned())));
        assert_eq!(question("/o/", &cursor), "/o/?limit=1000&added_after=2026-01-02T00%3A00%3A00Z");
        // Without news the place stays.
        assert!(cursor.advance(false, None, None));
        assert_eq!(cursor.added_after.as_deref(), Some("2026-01-02T00:00:00Z"));
        // More without a word for it: on from the last object's time.
        assert!(!cursor.advance(true, None, Some("2026-01-03T00:00:00Z".to_owned())));
        assert_eq!(cursor.added_after.as_deref(), Some("2026-01-03T00:00:00Z"));
    }
}
