//! What comes again although this source took it back: it is published anew, under another name, since the same bytes are the
//! same submission otherwise. What somebody else took back stays so.

use belfry_proto::id::PublicationId;
use uuid::Uuid;

use super::{
    Failure,
    desk::Desk,
    state::{State, Took},
};
use crate::{
    publish::submission::{Submission, SubmitError},
    store::DraftState,
};

/// Publications that were taken back, and names of those that came anew, that are remembered. Fewer ⇒ of what a feed had long
/// ago and has again some is taken for known, and stays taken back; more ⇒ the source's row grows.
const MAX_TAKEN: usize = 10_000;

/// Whether what a publication said is still said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// Or it was not this source that took it back.
    Stands,
    /// It is on its way out.
    Leaves,
    /// This source took it back.
    Gone,
}

impl Desk {
    /// Gives a submission that came before another name if this source took back what it came to. Whether it can be handed in
    /// now: not while that is on its way out. What waits for a person to take it back is discarded, for it is there again.
    pub(super) async fn rename(&mut self, submission: &mut Submission) -> Result<bool, Failure> {
        // It is known by its origin: nothing large is copied at each step.
        let bundle = std::mem::take(&mut submission.bundle);
        let named = self.name_anew(submission).await;
        submission.bundle = bundle;
        named
    }

    async fn name_anew(&mut self, submission: &mut Submission) -> Result<bool, Failure> {
        let Some(first) = self.came(submission).await? else { return Ok(true) };
        let mut last = first;
        if let Some(before) = self.state.misp_names.get(&first) {
            submission.idempotency_key = Some(name_after(*before));
            let Some(came) = self.came(submission).await? else { return Ok(true) };
            last = came;
        }
        loop {
            match self.stay(last).await? {
                Stay::Stands => return Ok(true),
                Stay::Leaves => return Ok(false),
                Stay::Gone => {}
            }
            submission.idempotency_key = Some(name_after(last));
            let State { misp_names, misp_taken, .. } = &mut self.state;
            if misp_names.len() >= MAX_TAKEN && !misp_names.contains_key(&first) {
                misp_names.pop_first();
            }
            misp_names.insert(first, last);
            misp_taken.remove(&last);
            let Some(came) = self.came(submission).await? else { return Ok(true) };
            last = came;
        }
    }

    /// What a submission came to before.
    async fn came(&self, submission: &Submission) -> Result<Option<PublicationId>, Failure> {
        let before = self.publisher.before(submission.clone()).await;
        Ok(before.map_err(|error| Failure::of(&error))?.map(|before| before.publication))
    }

    async fn stay(&mut self, publication: PublicationId) -> Result<Stay, Failure> {
        let Some(by) = self.state.misp_taken.get(&publication).map(|took| took.by.clone()) else {
            return Ok(Stay::Stands);
        };
        let mut is_out = false;
        for row in self.rows(by).await? {
            match row.state {
                DraftState::Held => match self.publisher.discard(row.publication).await {
                    Ok(()) => self.keep(row.publication),
                    // Decided at this moment: the next run sees how.
                    Err(SubmitError::NotHeld(_)) => return Ok(Stay::Leaves),
                    Err(error) => return Err(Failure::of(&error)),
                },
                DraftState::Queued => return Ok(Stay::Leaves),
                DraftState::Flushed => is_out = true,
                DraftState::Refused => {}
            }
        }
        Ok(match self.is_taken_back(publication).await? {
            true => Stay::Gone,
            false if is_out => Stay::Leaves,
            false => Stay::Stands,
        })
    }

    /// Whether all that a publication became was taken back.
    async fn is_taken_back(&self, publication: PublicationId) -> Result<bool, Failure> {
        let rows = self.rows(vec![publication]).await?;
        let mut flushed = rows.into_iter().filter(|row| row.state == DraftState::Flushed);
        let Some(row) = flushed.next() else { return Ok(false) };
        Ok(!row.messages.is_empty() && self.standing(row.messages).await?.is_empty())
    }

    /// Notes by which withdrawals this source takes back publications of an event.
    pub(super) fn took(&mut self, event: Uuid, publications: Vec<PublicationId>, by: &[PublicationId]) {
        for publication in publications {
            let taken = &mut self.state.misp_taken;
            if taken.len() >= MAX_TAKEN && !taken.contains_key(&publication) {
                taken.pop_first();
            }
            taken.insert(publication, Took { event, by: by.to_vec() });
        }
    }

    /// A withdrawal was discarded before it went out: what it was to take back stays, as what the event said before its newest
    /// version.
    pub(super) fn keep(&mut self, withdrawal: PublicationId) {
        let State { misp_taken, misp_made, .. } = &mut self.state;
        let kept = misp_taken.iter().filter(|(_, took)| took.by.contains(&withdrawal));
        let kept: Vec<(PublicationId, Uuid)> = kept.map(|(kept, took)| (*kept, took.event)).collect();
        for (publication, event) in kept {
            misp_taken.remove(&publication);
            let made = misp_made.entry(event).or_default();
            if !made.before.contains(&publication) && !made.newest.contains(&publication) {
                made.before.push(publication);
            }
        }
    }
}

/// No file has such a key: it names what comes after this one was taken back.
fn name_after(publication: PublicationId) -> String {
    format!("again:{publication}")
}
