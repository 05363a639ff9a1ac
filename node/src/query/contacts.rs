//! Where members' functions are reached, by their own signed word.

use belfry_proto::{
    id::{MemberId, Serial},
    schema::{self, ContactRole, Mailbox},
    time::Timestamp,
    trust::{
        contact,
        names::Named as _,
        roster::{Roster, Standing},
    },
};
use prost::Message as _;
use serde::Serialize;

use super::{Principal, Query, QueryError};
use crate::{clock, store::ContactRow};

/// What one member says of itself, signed by a key that is certified now.
#[derive(Clone, Debug, Serialize)]
pub struct ContactView {
    /// Whose.
    pub member: MemberId,
    /// Its name.
    pub organisation: String,
    /// Whether it is this node's own member.
    pub own: bool,
    /// Certificate whose key signed it.
    pub certificate: Serial,
    /// When it was signed.
    pub made: Timestamp,
    /// Its mailboxes, in its own order.
    pub mailboxes: Vec<MailboxView>,
}

/// One mailbox of a function; what is not said is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailboxView {
    /// What it is there for.
    pub role: &'static str,
    /// E-mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Form or page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Telephone of a desk.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// Fingerprint of an OpenPGP key, in hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub openpgp: String,
    /// Where that key is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_url: String,
    /// Languages spoken there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// When somebody is there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hours: String,
}

impl From<Mailbox> for MailboxView {
    fn from(mailbox: Mailbox) -> Self {
        let Mailbox { role, email, url, phone, openpgp, key_url, languages, hours } = mailbox;
        let role = ContactRole::try_from(role).unwrap_or_default().name();
        let openpgp = hex::encode_upper(openpgp);
        Self { role, email, url, phone, openpgp, key_url, languages, hours }
    }
}

impl Query {
    /// Every contact that counts now, by member. Of whoever took its mailboxes back, or is no valid member, there is none.
    ///
    /// # Errors
    /// A token for outside, or the store.
    pub async fn contacts(&self, principal: &Principal) -> Result<Vec<ContactView>, QueryError> {
        self.inside(principal)?;
        let roster = self.roster();
        self.read(move |inner| {
            let (own, now) = (inner.own_member(), clock::now());
            let rows = inner.store.contacts()?.into_iter();
            Ok(rows.filter_map(|row| view(&roster, row, own, now)).collect())
        })
        .await
    }
}

fn view(roster: &Roster, row: ContactRow, own: Option<MemberId>, now: Timestamp) -> Option<ContactView> {
    let member = roster.member(row.member)?;
    let certificate = member.serials.iter().copied().find(|serial| {
        roster.standing(*serial, now) == Standing::Valid
            && roster.certificate(*serial).is_some_and(|certificate| certificate.signing == row.signer)
    })?;
    // It was verified when it was kept.
    let signed = schema::Signed::decode(row.bytes.as_slice()).ok()?;
    let contact = contact::read(&signed).ok()?;
    let counts = !contact::is_to_come(roster, contact.rank.made, now);
    (counts && !contact.mailboxes.is_empty()).then(|| ContactView {
        member: member.id,
        organisation: member.organisation.name.clone(),
        own: own == Some(member.id),
        certificate,
        made: contact.rank.made,
        mailboxes: contact.mailboxes.into_iter().map(MailboxView::from).collect(),
    })
}
