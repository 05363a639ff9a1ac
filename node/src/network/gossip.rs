//! Gossipsub as this coalition uses it: unsigned (envelopes are), judged before forwarded, no peer exchange.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use belfry_proto::{crypto::hash, id::CoalitionId, limits::MAX_TRANSMIT, topic::Topic};
use libp2p::gossipsub::{
    self, Behaviour, ConfigBuilder, DataTransform, IdentTopic, Message, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, RawMessage, TopicHash, TopicScoreParams, TopicSubscriptionFilter,
    ValidationMode, score_parameter_decay,
};

use super::{
    counters::Counters,
    error::StartError,
    limits::{CONTROL_FRAME, CONTROL_IDS, FRAME, PEER_QUEUE, TOPICS},
};

pub(super) type Gossipsub = Behaviour<Doorway, gossipsub::MaxCountSubscriptionFilter<OurTopics>>;

/// How long an id is remembered as seen: late copies over slow paths arrive within minutes.
const SEEN: Duration = Duration::from_secs(15 * 60);
/// How long a message waits in the queue to a slow peer before it is dropped (libp2p's second loses bursts).
const QUEUED: Duration = Duration::from_secs(10);
/// Heartbeats (seconds) for which a message can be judged and asked for again.
const HISTORY: usize = 15;
/// Digits of a topic's wire name.
const TOPIC_DIGITS: usize = 64;

/// Gossipsub as this node runs it, without the node: what a measurement against gossipsub alone starts from.
#[derive(Debug)]
pub struct GossipSettings {
    /// Mesh, queues, sizes, message ids.
    pub config: gossipsub::Config,
    /// Scores over all topics.
    pub scores: PeerScoreParams,
    /// What scores lead to.
    pub thresholds: PeerScoreThresholds,
    /// Scores on one topic.
    pub topic: TopicScoreParams,
}

impl GossipSettings {
    /// The settings of every node; there are no others.
    ///
    /// # Errors
    /// [`StartError::Gossip`] if they contradict each other.
    pub fn new() -> Result<Self, StartError> {
        let config = ConfigBuilder::default()
            .validation_mode(ValidationMode::Anonymous)
            .validate_messages()
            .message_id_fn(message_id)
            .history_length(HISTORY)
            .forward_queue_duration(QUEUED)
            .publish_queue_duration(QUEUED)
            .duplicate_cache_time(SEEN)
            .max_transmit_size(FRAME)
            .max_control_message_size(CONTROL_FRAME)
            .max_control_messages_sent(CONTROL_IDS)
            .connection_handler_queue_len(PEER_QUEUE)
            .mesh_n(8)
            .mesh_n_low(6)
            .mesh_n_high(12)
            .mesh_outbound_min(3)
            .heartbeat_initial_delay(Duration::from_secs(1))
            .prune_peers(0)
            .build()
            .map_err(|e| StartError::Gossip(e.to_string()))?;
        Ok(Self { config, scores: scores(), thresholds: thresholds(), topic: topic_scores() })
    }
}

pub(super) fn behaviour(doorway: Doorway) -> Result<Gossipsub, StartError> {
    let GossipSettings { config, scores, thresholds, .. } = GossipSettings::new()?;
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: OurTopics,
        max_subscribed_topics: TOPICS,
        max_subscriptions_per_request: TOPICS,
    };
    let refused = |e: &'static str| StartError::Gossip(e.to_owned());
    let mut gossip = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        doorway,
    )
    .map_err(refused)?;
    gossip.with_peer_score(scores, thresholds).map_err(StartError::Gossip)?;
    Ok(gossip)
}

pub(super) fn wire_topic(topic: Topic, coalition: CoalitionId) -> IdentTopic {
    IdentTopic::new(topic.wire_name(coalition))
}

/// Every byte counts: gossipsub marks an id as seen before anyone has looked at the message, so an id over
/// less would let a forged copy shadow the true one.
fn message_id(message: &Message) -> MessageId {
    MessageId::new(hash::gossip_id(message.topic.as_str(), &message.data).as_bytes())
}

/// A private mesh is sparse and quiet: a peer that delivers nothing may have nothing to deliver, so delivery
/// rates cost nothing. What costs is sending what every honest node would have refused.
fn scores() -> PeerScoreParams {
    PeerScoreParams {
        topic_score_cap: 10.0,
        app_specific_weight: 0.0,
        // Members behind one NAT, and all nodes of a test, share an address.
        ip_colocation_factor_weight: 0.0,
        // Grafting against a backoff and broken promises: forgiven a few, then felt.
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_secs(600)),
        // A slow link is no misdeed; its messages are dropped, and sync brings them.
        slow_peer_weight: 0.0,
        // As long as the invalid messages themselves are remembered: reconnecting does not wash them off.
        retain_score: INVALID_DECAY,
        ..PeerScoreParams::default()
    }
}

/// How long until an invalid message is forgiven.
const INVALID_DECAY: Duration = Duration::from_secs(3600);

/// Scores on one topic. One invalid message costs 20, two 80, three 180 (the square of their number).
pub(super) fn topic_scores() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 200.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        first_message_deliveries_cap: 30.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: score_parameter_decay(INVALID_DECAY),
        ..TopicScoreParams::default()
    }
}

/// A topic that was left counts no more: what still arrives on it was sent in good faith.
pub(super) fn no_topic_scores() -> TopicScoreParams {
    TopicScoreParams { topic_weight: 0.0, ..topic_scores() }
}

/// One invalid message: out of the mesh and no gossip. Two: not published to. Three: not listened to.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -15.0,
        publish_threshold: -50.0,
        graylist_threshold: -100.0,
        // No peer exchange: who exists, the roster says.
        accept_px_threshold: f64::MAX,
        opportunistic_graft_threshold: 1.0,
    }
}

/// Subscriptions are kept by name, so only names that can be topics are.
#[derive(Clone, Debug, Default)]
pub(super) struct OurTopics;

impl TopicSubscriptionFilter for OurTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        let name = topic.as_str().as_bytes();
        name.len() == TOPIC_DIGITS && name.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// Turns messages away before gossipsub keeps them. It would hold those on topics nobody here subscribes to
/// for fifteen heartbeats without telling anyone: a remote could fill the memory with them.
#[derive(Clone)]
pub(super) struct Doorway {
    topics: Arc<ArcSwap<HashSet<TopicHash>>>,
    counters: Arc<Counters>,
}

impl Doorway {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { topics: Arc::default(), counters }
    }

    pub(super) fn open(&self, topics: HashSet<TopicHash>) {
        self.topics.store(Arc::new(topics));
    }
}

impl DataTransform for Doorway {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, std::io::Error> {
        if raw.data.len() > MAX_TRANSMIT || !self.topics.load().contains(&raw.topic) {
            self.counters.gossip_unwanted.more();
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_agree_with_each_other() {
        let gossip = behaviour(Doorway::new(Arc::default()));
        assert!(gossip.is_ok());
        assert_eq!(topic_scores().validate(), Ok(()));
        assert_eq!(no_topic_scores().validate(), Ok(()));
    }

    #[test]
    fn only_topic_names_can_be_subscribed_to() {
        let mut filter = OurTopics;
        let ours = wire_topic(Topic::Admin, CoalitionId::ZERO).hash();
        assert!(filter.can_subscribe(&ours));
        assert!(!filter.can_subscribe(&TopicHash::from_raw("a".repeat(100_000))));
        assert!(!filter.can_subscribe(&TopicHash::from_raw("Z".repeat(64))));
    }

    #[test]
    fn the_positive_scores_stay_below_their_cap() {
        let topic = topic_scores();
        let best = topic.time_in_mesh_weight * topic.time_in_mesh_cap
            + topic.first_message_deliveries_weight * topic.first_message_deliveries_cap;
        assert!(best <= scores().topic_score_cap);
    }
}
