//! Events that were taken before it was noted what each was made into: without that, what a feed takes back of them would stay.
//!
//! What they became is known by their bytes, as any submission that comes twice. So each that the feed still has as it was taken is asked for
//! once more, and nothing of it is handed in. Of one that the feed changed or took back before it could be asked for, nobody here can tell
//! any more which publications are its own; that is said, once. So it is of one that the feed lists and does not have, however often it is
//! asked for.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Failure, desk::Desk, state::State};
use crate::publish::{file::Reading, submission::Accepted};

/// What is noted of an event whose publications nobody can tell.
const UNTOLD: &str = "was taken before it was noted what it became, and is not there as it was then: what the feed takes back of that stays \
                      until a person takes it back";

/// Times that one is asked for in vain. Fewer ⇒ one that a feed lacks for a while is given up, more ⇒ one that never comes back is asked for
/// longer.
pub(super) const MOST_ASKED: u8 = 24;

/// An event, and how many there are besides.
fn named(first: &Uuid, more: usize) -> String {
    match more {
        0 => first.to_string(),
        1 => format!("{first} and 1 other event"),
        more => format!("{first} and {more} other events"),
    }
}

impl State {
    /// Those events; found once, by what is known before a run.
    pub(super) fn unnoted(&mut self) -> &mut BTreeSet<Uuid> {
        let Self { misp, misp_refused, misp_made, misp_unnoted, .. } = self;
        misp_unnoted.get_or_insert_with(|| {
            let is_unnoted =
                |event: &&Uuid| !misp_refused.contains(*event) && !misp_made.contains_key(*event);
            misp.keys().filter(is_unnoted).copied().collect()
        })
    }
}

impl Desk {
    /// Those of them that the feed lists and that can be asked for now, at most `most`. What a newer version was noted for, is
    /// noted; what is not listed is told of and forgotten, unless the feed lists nothing, which is more likely a mistake.
    pub(super) fn ask_again(&mut self, listed: &BTreeSet<Uuid>, most: usize) -> Vec<Uuid> {
        let unnoted = std::mem::take(self.state.unnoted());
        let (there, gone): (BTreeSet<Uuid>, BTreeSet<Uuid>) = unnoted
            .into_iter()
            .filter(|event| !self.state.misp_made.contains_key(event))
            .partition(|event| listed.is_empty() || listed.contains(event));
        if let Some(first) = gone.first() {
            self.note(&named(first, gone.len() - 1), UNTOLD);
        }
        let mut asked: Vec<Uuid> = there.iter().filter(|event| listed.contains(*event)).copied().collect();
        // What was not there before comes behind: it keeps no other from its turn.
        asked.sort_by_key(|event| self.state.in_vain(event));
        asked.truncate(most);
        *self.state.unnoted() = there;
        asked
    }

    /// One of them is listed and cannot be had: it is asked for at a later run, but not for ever.
    pub(super) fn is_not_there(&mut self, event: Uuid) {
        if self.state.missed(event) >= MOST_ASKED {
            self.note(&event.to_string(), UNTOLD);
            self.state.unnoted().remove(&event);
        }
    }

    /// Notes what an event was made into when it was taken, by its bytes; takes nothing.
    pub(super) async fn look_back(
        &mut self,
        event: Uuid,
        reading: Reading,
        bytes: Vec<u8>,
    ) -> Result<(), Failure> {
        match self.came_to(reading, bytes).await? {
            Some(accepted) => {
                self.made(event, &accepted).await?;
                if let Some(made) = self.state.misp_made.get_mut(&event) {
                    // It was known before anything was counted.
                    made.came = None;
                }
            }
            None => self.note(&event.to_string(), UNTOLD),
        }
        self.state.misp_unanswered.remove(&event);
        self.state.unnoted().remove(&event);
        Ok(())
    }

    /// What a file came to when it was handed in; nothing unless all of it was.
    async fn came_to(&self, reading: Reading, bytes: Vec<u8>) -> Result<Option<Vec<Accepted>>, Failure> {
        let submission = self.submission()?;
        let default_pap = self.source.pap;
        let read = tokio::task::spawn_blocking(move || reading.read(&bytes, submission)).await;
        let Ok(taken) = read.map_err(|error| Failure::of(&error))? else { return Ok(None) };
        let mut accepted = Vec::new();
        for mut submission in taken.submissions {
            submission.pap = submission.pap.or(default_pap);
            let before = self.publisher.before(submission).await.map_err(|error| Failure::of(&error))?;
            let Some(before) = before else { return Ok(None) };
            accepted.push(before);
        }
        Ok((!accepted.is_empty()).then_some(accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_beside_the_one_that_is_named_are_counted_as_such() {
        let told = [0, 1, 2].map(|more| named(&Uuid::nil(), more).replace(&Uuid::nil().to_string(), "ID"));
        assert_eq!(told, ["ID", "ID and 1 other event", "ID and 2 other events"]);
    }
}
