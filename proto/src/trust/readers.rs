//! Who may read: the one answer that sealing, granting and publishing all use.

use std::collections::BTreeSet;

use crate::{
    crypto::hpke::KemPublic,
    id::{GroupId, Height, MemberId, Serial},
    schema::Audience,
    time::Timestamp,
    trust::roster::Roster,
};

/// One node that may read, with the key to seal to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// Its organisation.
    pub member: MemberId,
    /// Its certificate.
    pub serial: Serial,
    /// Its KEM key.
    pub kem: KemPublic,
}

/// Where a member's unbroken entitlement to a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Height of the entry that gave it.
    pub height: Height,
    /// When its statement was made, by its admins' word: whoever decides by it must not let a backdated
    /// one count (see [`crate::envelope::may_grant`]).
    pub at: Timestamp,
}

impl Roster {
    /// Everyone who may read `group` at `now`, narrowed by the audience. Carriers never; for named
    /// recipients nobody, because theirs is a list of the message's own.
    #[must_use]
    pub fn readers(&self, group: GroupId, audience: Audience, now: Timestamp) -> BTreeSet<Reader> {
        let with_supervisors = match audience {
            Audience::Group => true,
            Audience::WithoutSupervisors => false,
            Audience::Recipients | Audience::Unspecified => return BTreeSet::new(),
        };
        self.certificates()
            .filter(|certificate| !certificate.carrier)
            .filter(|certificate| with_supervisors || !certificate.is_supervisor())
            .filter(|certificate| self.role(certificate.serial, group, now).is_some())
            .map(|c| Reader { member: c.member, serial: c.serial, kem: c.kem.clone() })
            .collect()
    }

    /// Since when a member has been entitled to a group without a break. Renewal and new keys keep it,
    /// suspension breaks it.
    #[must_use]
    pub fn entitled_since(&self, member: MemberId, group: GroupId) -> Option<Since> {
        self.state.entitled.get(&(member, group)).copied()
    }
}
