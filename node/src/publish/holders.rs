//! Who else holds what was published, by their own word.
//!
//! At a hello a node tells its peer how much it holds of that peer's logs. So whoever waits for a publication has a few of
//! its readers greeted once more, and hears how far they are. It is their word and no proof; but only readers are
//! asked, and one who lies about it could as well drop what it holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, MemberId, PublicationId, Sequence},
    schema::{Audience, Greet, HelloRequest, HelloResponse, hello_request, hello_response},
    trust::roster::Roster,
};
use rand::seq::IteratorRandom as _;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    clock,
    identity::Identity,
    network::Network,
    roster::LiveRoster,
    store::{DraftRow, ReadError, Store},
};

/// Members asked at once. Too low ⇒ one that lags hides that others have it; too high ⇒ a publication to a hundred
/// members costs as many greetings.
const ASKED: usize = 8;
/// How long each has.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two rounds, whoever waits: each costs every peer asked an eighth of what it grants us in a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Who holds a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Other members that may read it now.
    pub readers: usize,
    /// Of them, those that are connected and were asked.
    pub asked: usize,
    /// Of them, those that say they hold its last message.
    pub holders: Vec<MemberId>,
}

/// The asking half of the publish use-case.
pub struct Holders {
    identity: Arc<Identity>,
    store: Store,
    network: Network,
    roster: LiveRoster,
    /// When the latest round began; held while one runs, so that no number of clients makes it more of them.
    round: Mutex<Option<Instant>>,
}

/// The last message of a publication.
struct Last {
    group: GroupId,
    log: LogId,
    sequence: Sequence,
}

impl Holders {
    /// Asks over `network`.
    #[must_use]
    pub fn new(identity: Arc<Identity>, store: Store, network: Network, roster: LiveRoster) -> Self {
        Self { identity, store, network, roster, round: Mutex::new(None) }
    }

    /// Who holds a publication; `None` for one that this node never took, or has not sent.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn of(&self, publication: PublicationId) -> Result<Option<Held>, ReadError> {
        let Some(draft) = self.store.draft(publication)? else { return Ok(None) };
        let Some(last) = self.last(&draft)? else { return Ok(None) };
        let roster = self.roster.snapshot();
        let readers = readers(&roster, &draft, self.identity.member);
        let mut round = self.round.lock().await;
        if let Some(before) = *round {
            tokio::time::sleep_until(before + PAUSE).await;
        }
        *round = Some(Instant::now());
        let peers = self.network.peers().await.unwrap_or_default();
        // One node a member: the others get it from that one.
        let here: BTreeMap<MemberId, PublicKey> = peers
            .iter()
            .filter(|peer| peer.admitted)
            .filter_map(|peer| Some((readers.get(&peer.node)?.to_owned(), peer.node)))
            .collect();
        let asked = here.into_iter().sample(&mut rand::rng(), ASKED);
        let count = asked.len();
        let answers = asked.into_iter().map(|(member, node)| {
            let (last, roster) = (&last, &roster);
            async move { self.has(&node, roster, last).await.then_some(member) }
        });
        let holders = futures::future::join_all(answers).await.into_iter().flatten().collect();
        let members: std::collections::BTreeSet<MemberId> = readers.into_values().collect();
        Ok(Some(Held { readers: members.len(), asked: count, holders }))
    }

    fn last(&self, draft: &DraftRow) -> Result<Option<Last>, ReadError> {
        let Some(message) = draft.messages.last() else { return Ok(None) };
        let row = self.store.message(*message)?;
        Ok(row.map(|row| Last { group: row.group, log: row.log, sequence: row.sequence }))
    }

    async fn has(&self, node: &PublicKey, roster: &Roster, last: &Last) -> bool {
        let greet = Greet {
            coalition: roster.coalition().to_vec(),
            certificate: Some(self.identity.record.clone()),
            roster: Some(roster.version().into()),
            charter_version: roster.charter().version(),
            now: clock::now().as_micros(),
            // What we hold of its logs is told at the hello of a new connection.
            your_logs: Vec::new(),
        };
        let request = HelloRequest { request: Some(hello_request::Request::Greet(greet)) };
        let answer = timeout(PATIENCE, self.network.hello(node, request)).await;
        let Ok(Ok(HelloResponse { response: Some(hello_response::Response::Greeted(greeted)) })) = answer
        else {
            return false;
        };
        greeted.your_logs.iter().any(|told| {
            told.group == last.group.get()
                && told.log == last.log.as_ref()
                && told.height >= last.sequence.get()
        })
    }
}

/// Nodes of other members that may read it now.
fn readers(roster: &Roster, draft: &DraftRow, own: MemberId) -> BTreeMap<PublicKey, MemberId> {
    let to_named = draft.audience == Audience::Recipients;
    // What names its readers is sealed to each of them; a withdrawal, to nobody.
    let audience = if to_named { Audience::Group } else { draft.audience };
    let readers = roster.readers(draft.group, audience, clock::now()).into_iter();
    readers
        .filter(|reader| reader.member != own && (!to_named || draft.recipients.contains(&reader.member)))
        .filter_map(|reader| Some((roster.certificate(reader.serial)?.node, reader.member)))
        .collect()
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema;

    use super::*;
    use crate::{
        store::DraftState,
        testing::{CIDR, Coalition},
    };

    fn draft(audience: Audience, recipients: Vec<MemberId>) -> DraftRow {
        DraftRow {
            publication: PublicationId::new([1; 16]),
            group: CIDR,
            audience,
            recipients,
            parts: Vec::new(),
            part_count: 1,
            objects: Vec::new(),
            submitter: "siem".to_owned(),
            idempotency_key: None,
            digest: [0; 32],
            created: clock::now(),
            state: DraftState::Flushed,
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: None,
            tlp: schema::Tlp::Amber,
            reason: None,
        }
    }

    #[tokio::test]
    async fn only_other_members_that_may_read_it_are_asked() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let bob = coalition.issue(2, &[CIDR]);
        let carol = coalition.issue(3, &[CIDR]);
        let _outside = coalition.issue(4, &[]);
        let site = crate::testing::Site::new(&coalition, &alice).await;
        let roster = site.roster.snapshot();
        let asked = |audience, recipients: Vec<MemberId>| {
            let nodes = readers(&roster, &draft(audience, recipients), alice.identity.member);
            nodes.into_values().collect::<std::collections::BTreeSet<_>>()
        };
        let (bob, carol) = (bob.identity.member, carol.identity.member);
        assert_eq!(asked(Audience::Group, Vec::new()), [bob, carol].into());
        assert_eq!(asked(Audience::Recipients, vec![carol]), [carol].into());
    }
}
