//! How much of one member this node keeps: rates bound what a member says in an hour, and in time any rate fills a disk.
//!
//! ```text
//! kept of the member in the group + the message ≤ store.member_quota ─▶ kept
//!                                          else ─▶ Ignore, over-disk-quota; sync passes it over and tries again in an hour
//! ```
//!
//! What counts is what lies in the store now, so a body that retention or a withdrawal took gives its room back, and what
//! was left out comes by sync. Withdrawals, and the other side of a fork, are kept up to as much again: a member that has used
//! up its room can still take back, and is shown to have signed two histories, and cannot fill the disk by either. What a
//! revoked certificate wrote counts no more: a stolen key must not use up the room of its owner, nor can its thief have more
//! than there was.

use belfry_proto::{
    envelope::Header,
    id::{MemberId, Serial},
    trust::roster::{Roster, Standing},
};

use super::Ingest;
use crate::clock;

impl Ingest {
    /// Whether there is room for a message of so many bytes among those of its member in its group. Of what is on its way
    /// to the disk nothing is known here: by so much a member may be over.
    pub(super) fn has_disk_room(&self, header: &Header, bytes: usize, roster: &Roster) -> bool {
        let member = header.member;
        if member == self.identity.member {
            return true;
        }
        let quota = self.store.member_quota();
        let kept = self.store.kept_bytes(header.group, member, counting(roster));
        let with = kept.saturating_add(bytes as u64);
        let is_needed = || header.sealing().is_none() || !self.is_free(header);
        with <= quota || (with <= quota.saturating_mul(2) && is_needed())
    }

    /// The same in a sentence, where there is none.
    pub(super) fn over_disk_quota(&self, member: MemberId) -> String {
        let quota = self.store.member_quota();
        format!(
            "this node keeps {} MiB of one member in a group (store.member_quota), and member {member} has used that up",
            quota >> 20
        )
    }
}

/// Certificates whose messages count.
fn counting(roster: &Roster) -> impl Fn(Serial) -> bool {
    let now = clock::now();
    move |serial| roster.standing(serial, now) != Standing::Revoked
}
