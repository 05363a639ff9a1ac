//! Messages made by hand with a member's true keys: what a compromised or faulty node could sign.

use belfry_node::clock;
use belfry_proto::{
    crypto::sign::Purpose,
    envelope::{
        self, Author, ContentKey, Decoded, Draft, KeyContext, Position, SealWith, Withdrawal, seal_message,
    },
    id::{CoalitionId, GroupId, LogId, MessageId, RosterVersion, Sequence},
    schema::{self, Audience, InformationClass, Tlp, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
    trust::{certificate::Certificate, roster::Roster},
};
use prost::Message as _;

use crate::{Bundle, Member};

/// One log of one member, written by hand.
pub struct Forge<'a> {
    member: &'a Member,
    certificate: Certificate,
    coalition: CoalitionId,
    roster: RosterVersion,
    key: ContentKey,
    position: Position,
}

impl<'a> Forge<'a> {
    /// A new log of `member` in `group`, with a content key of its own, at this roster.
    ///
    /// # Errors
    /// The roster has no certificate of the member.
    pub fn new(member: &'a Member, group: GroupId, roster: &Roster) -> anyhow::Result<Self> {
        let certificate = roster
            .certificate(member.serial())
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("{} has no certificate here", member.name()))?;
        let (coalition, version) = (roster.coalition(), roster.version());
        let instance = rand::random();
        let context = KeyContext {
            coalition,
            group,
            audience: Audience::Group,
            author: member.id(),
            log: envelope::log_id(coalition, group, &certificate, &instance),
            epoch: 1,
            created: clock::now(),
            roster: version,
        };
        let key = ContentKey::generate(context, &mut rand::rng());
        let position = Position {
            group,
            instance,
            predecessor: None,
            sequence: Sequence::new(1),
            prev: MessageId::ZERO,
        };
        Ok(Self { member, certificate, coalition, roster: version, key, position })
    }

    /// The key of its messages.
    #[must_use]
    pub const fn key(&self) -> &ContentKey {
        &self.key
    }

    /// The log it writes.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.key.context().log
    }

    /// The next message of the log, created now: right in every way.
    ///
    /// # Errors
    /// The bundle does not fit one message.
    pub fn next(&mut self, bundle: &Bundle) -> anyhow::Result<Decoded> {
        self.next_at(bundle, clock::now())
    }

    /// The next message of the log, created then.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_at(&mut self, bundle: &Bundle, created: Timestamp) -> anyhow::Result<Decoded> {
        self.next_of(&payload(bundle), created)
    }

    /// The next message of the log, with these bytes as its payload.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_of(&mut self, payload: &[u8], created: Timestamp) -> anyhow::Result<Decoded> {
        let made = self.made_of(payload, created)?;
        self.position.sequence = Sequence::new(self.position.sequence.get() + 1);
        self.position.prev = made.message_id();
        Ok(made)
    }

    /// The next message of the log withdraws others, or lifts such withdrawals.
    ///
    /// # Errors
    /// The targets break a rule of their own.
    pub fn withdraws(
        &mut self,
        targets: Vec<MessageId>,
        mode: WithdrawalMode,
        ground: WithdrawalGround,
    ) -> anyhow::Result<Decoded> {
        let author = Author {
            coalition: self.coalition,
            certificate: &self.certificate,
            signing: &self.member.keys().signing,
            roster: self.roster,
        };
        let draft = Draft::Withdrawal(Withdrawal { targets, mode, ground });
        let made = seal_message(&draft, &self.position, &author, clock::now(), &mut rand::rng())?;
        self.position.sequence = Sequence::new(self.position.sequence.get() + 1);
        self.position.prev = made.message_id();
        Ok(made)
    }

    /// A message for the next place of the log, created at `created`; the place stays free.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn made_at(&self, bundle: &Bundle, created: Timestamp) -> anyhow::Result<Decoded> {
        self.made_of(&payload(bundle), created)
    }

    fn made_of(&self, payload: &[u8], created: Timestamp) -> anyhow::Result<Decoded> {
        let author = Author {
            coalition: self.coalition,
            certificate: &self.certificate,
            signing: &self.member.keys().signing,
            roster: self.roster,
        };
        let draft = Draft::Data { payload, key: SealWith::Content(&self.key) };
        Ok(seal_message(&draft, &self.position, &author, created, &mut rand::rng())?)
    }

    /// A message whose header `change` has changed, signed again with the member's key. The body stays sealed
    /// for the header before.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn altered(
        &self,
        bundle: &Bundle,
        change: impl FnOnce(&mut schema::Header),
    ) -> anyhow::Result<Vec<u8>> {
        let mut envelope = self.envelope(bundle)?;
        let mut header = schema::Header::decode(envelope.header.as_slice())?;
        change(&mut header);
        envelope.header = header.encode_to_vec();
        self.sign(&mut envelope);
        Ok(envelope.encode_to_vec())
    }

    /// A message's outer parts, to take apart.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn envelope(&self, bundle: &Bundle) -> anyhow::Result<schema::Envelope> {
        Ok(schema::Envelope::decode(self.made_at(bundle, clock::now())?.bytes())?)
    }

    /// Signs an envelope's header, body hash and length with the member's key.
    pub fn sign(&self, envelope: &mut schema::Envelope) {
        let length = envelope.body_len.to_be_bytes();
        let parts = [envelope.header.as_slice(), &envelope.body_hash, &length];
        envelope.signature =
            self.member.keys().signing.sign(Purpose::Envelope, self.coalition, &parts).to_vec();
    }
}

/// A one-part payload under TLP:GREEN.
#[must_use]
pub fn payload(bundle: &Bundle) -> Vec<u8> {
    schema::Payload {
        publication: rand::random::<[u8; 16]>().to_vec(),
        part: 1,
        parts: 1,
        classes: vec![InformationClass::Indicator.into()],
        purpose: schema::Purpose::Detect.into(),
        tlp: Tlp::Green.into(),
        objects: bundle.objects.iter().map(|object| object.to_string().into_bytes()).collect(),
        ..schema::Payload::default()
    }
    .encode_to_vec()
}
