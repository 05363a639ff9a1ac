//! One question to many peers: who is asked now, and when whoever did not answer is asked again.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, time::doubled};
use tokio::time::Instant;

/// Until a question without answer is repeated; doubles to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// What is owed by whom; each is asked one at a time.
#[derive(Debug)]
pub(super) struct Questions {
    /// Between two questions to a peer that answers.
    again: Duration,
    questions: BTreeMap<PublicKey, Question>,
}

#[derive(Debug)]
struct Question {
    under_way: bool,
    failures: u32,
    not_before: Instant,
}

impl Questions {
    pub(super) const fn every(again: Duration) -> Self {
        Self { again, questions: BTreeMap::new() }
    }

    /// True if the peer may be asked now; `anew` although it answered a while ago. Then it is.
    pub(super) fn ask(&mut self, peer: PublicKey, anew: bool, now: Instant) -> bool {
        self.questions
            .retain(|_, question| question.under_way || question.failures > 0 || question.not_before > now);
        let fresh = Question { under_way: false, failures: 0, not_before: now };
        let question = self.questions.entry(peer).or_insert(fresh);
        let waits = question.not_before > now && (question.failures > 0 || !anew);
        if question.under_way || waits {
            return false;
        }
        question.under_way = true;
        true
    }

    /// What came of it.
    pub(super) fn told(&mut self, peer: &PublicKey, is_answer: bool, now: Instant) {
        let Some(question) = self.questions.get_mut(peer) else { return };
        question.under_way = false;
        if is_answer {
            (question.failures, question.not_before) = (0, now + self.again);
        } else {
            let wait = doubled(FIRST_RETRY, question.failures, LONGEST_RETRY);
            question.failures = question.failures.saturating_add(1);
            question.not_before = now + wait;
        }
    }

    /// Peers that did not answer, and may be asked again.
    pub(super) fn unanswered(&self, now: Instant) -> Vec<PublicKey> {
        let due =
            |question: &Question| !question.under_way && question.failures > 0 && question.not_before <= now;
        self.questions.iter().filter(|(_, question)| due(question)).map(|(peer, _)| *peer).collect()
    }

    /// Whoever is not there owes nothing.
    pub(super) fn gone(&mut self, peer: &PublicKey) {
        self.questions.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_again_ever_later_and_who_does_is_left_alone() {
        let (mut questions, mut now) = (Questions::every(Duration::from_secs(600)), Instant::now());
        let peer = SigningKey::from_seed(&[1; 32]).public();
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(questions.ask(peer, false, now) && !questions.ask(peer, true, now), "one at a time");
            questions.told(&peer, false, now);
            let asked = now;
            while questions.unanswered(now).is_empty() {
                assert!(!questions.ask(peer, true, now));
                now += Duration::from_secs(1);
            }
            waits.push(now - asked);
        }
        assert!(waits.is_sorted() && waits[0] == FIRST_RETRY && waits[7] == LONGEST_RETRY, "{waits:?}");
        assert!(questions.ask(peer, false, now));
        questions.told(&peer, true, now);
        assert!(questions.unanswered(now + LONGEST_RETRY).is_empty());
        assert!(!questions.ask(peer, false, now) && questions.ask(peer, true, now), "anew");
        questions.gone(&peer);
        assert!(questions.ask(peer, false, now));
    }
}
