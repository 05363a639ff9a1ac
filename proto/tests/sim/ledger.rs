//! What the admins granted, kept by hand: the roster is never asked, so that the oracle does not judge the fold by itself.
//!
//! A certificate reads for itself. What of the past it may have goes by its member, over all certificates of it.

use std::collections::BTreeMap;

use belfry_proto::{
    id::{GroupId, Height, LogId, MemberId, MessageId, Serial},
    schema::Role,
    time::Timestamp,
};

pub(crate) type Ledger = BTreeMap<Serial, Granted>;

/// What was granted to one certificate, as the admins meant it.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) member: MemberId,
    pub(crate) groups: BTreeMap<GroupId, Role>,
    pub(crate) carrier: bool,
    pub(crate) supervisor: bool,
    pub(crate) not_after: Timestamp,
    /// From its issue on, and from each resumption; never empty.
    pub(crate) spells: Vec<Spell>,
    /// The last messages that count, once some log was closed.
    pub(crate) cut: Option<BTreeMap<LogId, (u64, MessageId)>>,
}

/// A stretch of the admin log in which a certificate was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spell {
    pub(crate) from: Height,
    /// When its beginning was decided.
    pub(crate) at: Timestamp,
    /// The suspension or revocation that ended it: at which height, and from when.
    pub(crate) to: Option<(Height, Timestamp)>,
    /// That was announced for later: until then it is in force, by whatever clock. Any other end holds wherever it is known.
    pub(crate) is_announced: bool,
}

impl Spell {
    pub(crate) const fn begin(from: Height, at: Timestamp) -> Self {
        Self { from, at, to: None, is_announced: false }
    }

    /// Whether it covers what was done at `when` by somebody whose admin log had come to `height`.
    fn covers(&self, height: Height, when: Timestamp) -> bool {
        let is_before =
            |(to, effective): (Height, Timestamp)| height < to || (self.is_announced && when < effective);
        self.from <= height && self.to.is_none_or(is_before)
    }
}

impl Granted {
    /// The newest spell: by it the certificate is in force, or was last.
    pub(crate) fn since(&self) -> Spell {
        self.spells[self.spells.len() - 1]
    }

    /// Suspension or revocation in force: from which height, and from when.
    pub(crate) fn ended(&self) -> Option<(Height, Timestamp)> {
        self.since().to
    }

    /// Suspensions that are over: from which height to below which.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Height, Height)> {
        self.spells.windows(2).filter_map(|pair| Some((pair[0].to?.0, pair[1].from)))
    }

    pub(crate) fn was_never_out(&self, now: Timestamp) -> bool {
        self.ended().is_none() && self.spells.len() == 1 && now < self.not_after
    }

    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended().is_none_or(|(_, effective)| now < effective) && now < self.not_after
    }
}

/// What a member was entitled to a group by, over all its certificates, oldest first: spells that overlap stand together.
fn unbroken(ledger: &Ledger, member: MemberId, group: GroupId) -> Vec<Vec<Spell>> {
    let of_member = ledger.values().filter(|granted| granted.member == member);
    let reading = of_member.filter(|granted| granted.groups.contains_key(&group));
    let mut spells: Vec<Spell> = reading.flat_map(|granted| granted.spells.iter().copied()).collect();
    spells.sort_by_key(|spell| spell.from);
    let mut all: Vec<Vec<Spell>> = Vec::new();
    for spell in spells {
        match all.last_mut().filter(|last| last.iter().any(|before| before.covers(spell.from, spell.at))) {
            Some(last) => last.push(spell),
            None => all.push(vec![spell]),
        }
    }
    all
}

/// The spell that began a member's entitlement to a group, which lasts without a break, or was its last.
pub(crate) fn entitled_since(ledger: &Ledger, member: MemberId, group: GroupId) -> Option<Spell> {
    unbroken(ledger, member, group).last().map(|spells| spells[0])
}

/// Whether some certificate of its member was in force when a key was made, with an admin log that had come to `height`, and
/// the member is entitled without a break from then to when this certificate was in force: then it may have the key from
/// whoever holds it, be it another node of its member.
pub(crate) fn may_always_have(
    ledger: &Ledger,
    granted: &Granted,
    group: GroupId,
    height: Height,
    when: Timestamp,
) -> bool {
    unbroken(ledger, granted.member, group).iter().any(|spells| {
        let was_entitled = spells.iter().any(|spell| spell.covers(height, when));
        was_entitled && spells.iter().any(|spell| granted.spells.contains(spell))
    })
}
