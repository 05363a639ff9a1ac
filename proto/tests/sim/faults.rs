//! What goes wrong inside a node: crashes at the very point where something becomes durable, and, to try the
//! oracle, nodes that break a rule.

use std::fmt;

/// Everything a node makes durable, one batch each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Point {
    AdminLog,
    Envelope,
    Parked,
    Unparked,
    Key,
    GrantedKey,
    Reopened,
    Rejudged,
    Reweighed,
    Draft,
    OwnLog,
    Flush,
    Contacts,
}

impl Point {
    pub(crate) const ALL: [Self; 13] = [
        Self::AdminLog,
        Self::Envelope,
        Self::Parked,
        Self::Unparked,
        Self::Key,
        Self::GrantedKey,
        Self::Reopened,
        Self::Rejudged,
        Self::Reweighed,
        Self::Draft,
        Self::OwnLog,
        Self::Flush,
        Self::Contacts,
    ];
}

/// The process died here: everything volatile is gone, and so is whatever the handler had not yet sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed {
    pub(crate) point: Point,
    /// Whether the batch had reached the disk.
    pub(crate) after: bool,
}

/// A crash that is planned for one of the next batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fuse {
    /// Only batches of this kind count; any, if `None`.
    pub(crate) point: Option<Point>,
    /// Batches that still go through.
    pub(crate) length: u32,
    pub(crate) after: bool,
}

impl Fuse {
    /// Whether the batch at `point` is the one to crash at.
    pub(crate) fn burn(fuse: &mut Option<Self>, point: Point) -> Option<Crashed> {
        let lit = fuse.as_mut().filter(|fuse| fuse.point.is_none_or(|only| only == point))?;
        if let Some(shorter) = lit.length.checked_sub(1) {
            lit.length = shorter;
            return None;
        }
        let after = lit.after;
        *fuse = None;
        Some(Crashed { point, after })
    }
}

/// One rule that all nodes of a run break, so that the oracle has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Believes the name in a header.
    SkipsVerification,
    /// Lets anything signed into its log.
    SkipsAdmission,
    /// Hands keys to whoever asks.
    GrantsAnyone,
    /// Hands keys to every node of its own member, whatever became of that.
    TrustsItsMember,
    /// Takes the second node of a member for a newcomer.
    ForgetsItsMembers,
    /// Goes on sealing under a key whose readers shrank.
    KeepsItsKey,
    /// Sends its messages before they are durable.
    GossipsBeforeDurable,
    /// Leaves shown what a cut reached later.
    NeverJudgesAgain,
    /// Goes on in a log with two histories.
    IgnoresForks,
    /// Tells nobody of a fork that it can prove.
    KeepsProofsToItself,
    /// Relies on gossip alone.
    NeverSyncs,
    /// Waits for answers to sync that were lost.
    WaitsForEver,
    /// Drops what a message's audience says.
    IgnoresAudience,
    /// Shows what was taken back.
    IgnoresWithdrawals,
    /// Takes a body for good that a lift could still bring back.
    ShredsAtOnce,
    /// Takes a bare header for the whole message.
    TakesBareHeaders,
    /// Signs by a clock that others say is wrong.
    SealsByAnyClock,
    /// Leaves a log out of the slices that it lists.
    LeavesOutALog,
    /// Believes whoever brings a contact record.
    TakesAnyContact,
    /// Takes the contact record it hears last for the newest.
    TakesOlderContacts,
    /// Relies on being told of contact records.
    NeverComparesContacts,
    /// Lets the contact record of a member go as soon as its certificates have run out.
    ForgetsContactsAtOnce,
    /// Keeps the contact record of who is a member no more.
    KeepsContactsForEver,
}

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.after { "after" } else { "before" }, self.point)
    }
}
