//! Several submissions that are one deed: all of their drafts are durable in one write, or none is.

use super::{
    Publisher,
    known::{digest, key_of},
    submission::{Accepted, Submission, SubmitError},
    submit::{Checked, blocking, kept},
};
use crate::{
    feed::Notice,
    store::{Basis, Change, Committed, DraftRow, DraftState, Given},
};

impl Publisher {
    /// Checks all and makes all of them durable drafts, in their order; what came before under its idempotency key is told
    /// again.
    ///
    /// # Errors
    /// The first [`SubmitError`]; nothing is kept then.
    pub async fn submit_together(
        &self,
        mut submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, SubmitError> {
        // One alone may go the short way.
        if let [_] = submissions.as_slice()
            && let Some(only) = submissions.pop()
        {
            return Ok(vec![self.submit(only).await?]);
        }
        let this = self.clone();
        blocking(move || this.keep_together(submissions, None)).await
    }

    /// As [`Self::submit_together`], if nothing was said since of what it was decided on: the look and the write are one commit.
    ///
    /// # Errors
    /// [`SubmitError::Overtaken`], or the first other one; nothing is kept then.
    pub async fn submit_on(
        &self,
        bases: Vec<Basis>,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, SubmitError> {
        let this = self.clone();
        blocking(move || this.keep_together(submissions, Some(Given::All(bases)))).await
    }

    /// What a submission came to that was accepted before under its idempotency key, whatever it holds now; none if nothing was.
    ///
    /// # Errors
    /// Another submission has the key; or a fault.
    pub async fn before(&self, submission: Submission) -> Result<Option<Accepted>, SubmitError> {
        let this = self.clone();
        blocking(move || {
            let digest = digest(&submission);
            this.seen(key_of(&submission, digest).as_deref(), digest)
        })
        .await
    }

    fn keep_together(
        &self,
        submissions: Vec<Submission>,
        given: Option<Given>,
    ) -> Result<Vec<Accepted>, SubmitError> {
        let (mut drafts, mut told): (Vec<DraftRow>, Vec<Accepted>) = (Vec::new(), Vec::new());
        for submission in submissions {
            told.push(match self.check(submission)? {
                Checked::New(draft, accepted) => {
                    drafts.push(*draft);
                    accepted
                }
                Checked::Seen(accepted) => accepted,
            });
        }
        self.keep_all(drafts, given)?;
        Ok(told)
    }

    /// Makes checked drafts durable, in one write: all of them, or none.
    pub(super) fn keep_all(&self, drafts: Vec<DraftRow>, given: Option<Given>) -> Result<(), SubmitError> {
        let Some(first) = drafts.first().map(|draft| draft.publication) else { return Ok(()) };
        // Only new ones need room: what was acknowledged once is told again.
        if !self.store.has_room() {
            return Err(SubmitError::NoRoom);
        }
        let places = self.holding.take(&self.store, &drafts)?;
        let is_queued = drafts.iter().any(|draft| draft.state == DraftState::Queued);
        let answer = self.store.commit_blocking(Change::Drafts { rows: drafts, given });
        if matches!(answer, Ok(Committed::Outdated)) {
            return Err(SubmitError::Overtaken(first));
        }
        kept(answer)?;
        places.kept();
        if is_queued {
            self.feed.notify(Notice::DraftQueued);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use belfry_proto::stix::marking::Tlp;

    use super::*;
    use crate::{
        feed::Feed,
        publish::{Defaults, Guards, submit::tests::submission},
        testing::{CIDR, CLOUD, Coalition, Site},
    };

    #[tokio::test]
    async fn of_several_all_are_kept_or_none() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR, CLOUD]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = Publisher::new(
            Arc::clone(&alice.identity),
            site.store.clone(),
            site.roster.clone(),
            Feed::default(),
            Defaults { tlp: Tlp::AmberStrict, purpose: None },
            Guards::default(),
        );
        let of = |group, key: &str| Submission { group, ..submission(key) };
        let broken = Submission { bundle: b"{}".to_vec(), ..of(CLOUD, "b") };
        let refused = publisher.submit_together(vec![of(CIDR, "a"), broken]).await;
        assert!(matches!(refused, Err(SubmitError::NotABundle(_))), "{refused:?}");
        assert_eq!(site.store.queued(10).unwrap(), [], "nor the good one before it");
        let told = publisher.submit_together(vec![of(CIDR, "a"), of(CLOUD, "b")]).await.unwrap();
        assert!(told.iter().all(|one| !one.duplicate));
        assert_eq!(site.store.queued(10).unwrap().len(), 2);
        // The second half of what its client did not hear of.
        let again = vec![of(CIDR, "a"), of(CLOUD, "c")];
        let again = publisher.submit_together(again).await.unwrap();
        assert_eq!((again[0].duplicate, again[1].duplicate), (true, false));
        assert_eq!((again[0].publication, site.store.queued(10).unwrap().len()), (told[0].publication, 3));
    }
}
