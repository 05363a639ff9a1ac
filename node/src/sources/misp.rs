//! A MISP feed: `manifest.json`, and an event a file. Only what changed since it was last taken is fetched.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use belfry_proto::{import::Format, stix::neutral};
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use super::{
    Failure, Feed,
    desk::{Desk, Fate},
    remote::{Remote, Said},
    state::State,
};
use crate::{clock, publish::file::Reading};

const ACCEPT: &str = "application/json";
/// Events of a feed. What was taken is remembered by event, in one row.
const MAX_EVENTS: usize = 50_000;
/// Events between two writes of that row: as many are fetched again after a kill, and known then.
const UNSAVED: usize = 64;
/// Characters of what a parser says: it repeats what it was given, however long that is.
const MAX_SAID: usize = 300;

pub(super) struct Misp {
    remote: Remote,
}

/// Event and timestamp.
#[derive(Default)]
struct Manifest(BTreeMap<Uuid, u64>);

#[derive(Deserialize)]
struct Entry {
    #[serde(deserialize_with = "number")]
    timestamp: u64,
}

/// MISP writes it as a text, others as a number.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.trim().parse().map_err(|_| de::Error::custom("is no number of seconds")),
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> de::Visitor<'de> for Bounded {
            type Value = Manifest;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an object of at most {MAX_EVENTS} events by uuid")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Manifest, A::Error> {
                let mut events = BTreeMap::new();
                while let Some((uuid, entry)) = map.next_entry::<Uuid, Entry>()? {
                    events.insert(uuid, entry.timestamp);
                    if events.len() > MAX_EVENTS {
                        return Err(de::Error::invalid_length(events.len(), &self));
                    }
                }
                Ok(Manifest(events))
            }

            /// PHP writes an empty one so.
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Manifest, A::Error> {
                match list.next_element::<de::IgnoredAny>()? {
                    None => Ok(Manifest::default()),
                    Some(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
                }
            }
        }
        deserializer.deserialize_any(Bounded)
    }
}

impl Misp {
    pub(super) const fn new(remote: Remote) -> Self {
        Self { remote }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.remote.url().path)
    }
}

#[async_trait]
impl Feed for Misp {
    async fn run(&mut self, desk: &mut Desk) -> Result<(), Failure> {
        let url = self.remote.url();
        desk.begin(&format!("{}{}", url.origin(), url.path));
        let answer = self.remote.need(&self.path("manifest.json"), ACCEPT).await?;
        let Manifest(events) = manifest(&answer.body)?;
        drop(answer);
        let listed: BTreeSet<Uuid> = events.keys().copied().collect();
        desk.state.misp_base.begin(desk.state.misp_made.len(), clock::now());
        let terms = desk.terms()?;
        if desk.state.misp_terms != terms {
            for refused in std::mem::take(&mut desk.state.misp_refused) {
                desk.state.misp.remove(&refused);
            }
            desk.state.misp_terms = terms;
        }
        desk.state.misp_refused.retain(|uuid| listed.contains(uuid));
        desk.state.misp_unanswered.retain(|uuid, _| listed.contains(uuid));
        desk.state.unnoted();
        let taken = &desk.state.misp;
        let mut changed: Vec<(u64, Uuid)> = events
            .into_iter()
            .filter(|(uuid, timestamp)| taken.get(uuid) != Some(timestamp))
            .map(|(uuid, timestamp)| (timestamp, uuid))
            .collect();
        // As they happened, so that a run that ends early leaves the newest for the next; but what is named and was not there comes
        // behind, lest it take every run's turn.
        changed.sort_unstable_by_key(|(timestamp, uuid)| (desk.state.in_vain(uuid), *timestamp, *uuid));
        let asked = changed.len().min(desk.source.max_items);
        let mut done = Ok(());
        for (count, (timestamp, uuid)) in (1..).zip(changed.into_iter().take(desk.source.max_items)) {
            match self.event(desk, uuid).await {
                Ok(Some(is_refused)) => {
                    desk.state.misp.insert(uuid, timestamp);
                    match is_refused {
                        true => desk.state.misp_refused.insert(uuid),
                        false => desk.state.misp_refused.remove(&uuid),
                    };
                }
                Ok(None) => {}
                Err(failure) => {
                    done = Err(failure);
                    break;
                }
            }
            if count % UNSAVED == 0 {
                desk.save().await?;
            }
        }
        if done.is_ok() {
            done = self.earlier(desk, &listed, desk.source.max_items - asked).await;
        }
        // What was emptied just now goes as well, if all of it together is to be believed.
        let (going, doubt) = desk.going(&listed).await?;
        let taken_back = desk.take_back(&going).await.and(doubt.map_or(Ok(()), Err));
        // What is missing by mistake need not be fetched again; what was taken back must be.
        let State { misp, misp_made, .. } = &mut desk.state;
        misp.retain(|uuid, _| listed.contains(uuid) || misp_made.contains_key(uuid));
        desk.save().await?;
        done.and(taken_back)
    }
}

impl Misp {
    /// Asks once more for events of which it is not known what they were made into, at most `most`.
    async fn earlier(&self, desk: &mut Desk, listed: &BTreeSet<Uuid>, most: usize) -> Result<(), Failure> {
        for (count, uuid) in (1..).zip(desk.ask_again(listed, most)) {
            match self.remote.get(&self.path(&format!("{uuid}.json")), ACCEPT).await? {
                Said::Found(answer) => desk.look_back(uuid, reading(uuid), answer.body).await?,
                Said::No(_) | Said::TooLong(_) => desk.is_not_there(uuid),
            }
            if count % UNSAVED == 0 {
                desk.save().await?;
            }
        }
        Ok(())
    }

    /// Takes an event; whether it is refused, if there is nothing more to do about it until it or our terms change.
    async fn event(&self, desk: &mut Desk, uuid: Uuid) -> Result<Option<bool>, Failure> {
        let item = uuid.to_string();
        if !desk.is_back(uuid).await? {
            return Ok(None);
        }
        let body = match self.remote.get(&self.path(&format!("{item}.json")), ACCEPT).await? {
            Said::Found(answer) => answer.body,
            Said::No(status) => {
                // Named before it was there, perhaps.
                desk.state.missed(uuid);
                desk.refuse(&item, &format!("answers {status}; it is asked for again at the next run"));
                return Ok(None);
            }
            Said::TooLong(most) => {
                desk.refuse(&item, &format!("has more than the {most} bytes that max_size allows"));
                return Ok(Some(true));
            }
        };
        desk.state.misp_unanswered.remove(&uuid);
        let Some((fate, _)) = desk.file(&item, reading(uuid), body, true).await? else { return Ok(None) };
        match &fate {
            Fate::Taken(accepted) | Fate::Known(accepted) => {
                desk.state.misp_leaving.remove(&uuid);
                desk.made(uuid, accepted).await?;
            }
            Fate::Nothing(_) => desk.made(uuid, &[]).await?,
            // What it said before stands.
            Fate::Refused(_) => {}
        }
        Ok(Some(matches!(fate, Fate::Refused(_) | Fate::Nothing(_))))
    }
}

fn manifest(body: &[u8]) -> Result<Manifest, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let said = neutral::gist(&error.to_string(), MAX_SAID);
        Failure::new(format!("its manifest.json is no MISP manifest: {said}"))
    })
}

/// How an event's file is read.
fn reading(event: Uuid) -> Reading {
    Reading { format: Some(Format::Misp), name: format!("{event}.json"), ..Reading::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_misp_and_others_write_it() {
        let uuid = "298fe907-7931-4fd2-8131-2814dd493100";
        let read = |text: &str| serde_json::from_str::<Manifest>(text).map(|found| found.0);
        for timestamp in ["\"1763800000\"", "1763800000"] {
            let found = read(&format!(r#"{{"{uuid}":{{"info":"x","timestamp":{timestamp},"Orgc":{{}}}}}}"#));
            assert_eq!(found.unwrap()[&uuid.parse().unwrap()], 1_763_800_000);
        }
        assert!(read("[]").unwrap().is_empty());
        for wrong in
            ["[1]", r#"{"../../etc/passwd":{"timestamp":1}}"#, r#"{"x":{"timestamp":1}}"#, "{\"", "7"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&format!(r#"{{"{uuid}":{{"timestamp":"soon"}}}}"#)).is_err());
    }

    #[test]
    fn of_what_is_no_manifest_little_is_repeated() {
        let long = "\u{1b}x".repeat(100_000);
        let body = serde_json::to_vec(&long).unwrap();
        let Err(failure) = manifest(&body) else { panic!("a text is no manifest") };
        let said = failure.reason;
        assert!(said.starts_with("its manifest.json is no MISP manifest: "), "{said}");
        assert!(said.contains("line 1") && !said.contains('\u{1b}'), "{said}");
        assert!(said.len() < 10 * MAX_SAID, "{} bytes", said.len());
    }
}
