//! What the store and its folder tell of the node's condition, read where it may block: the store decrypts and waits for the disk.

use std::{path::PathBuf, sync::Arc};

use belfry_proto::{
    id::MemberId,
    time::Timestamp,
    trust::{charter::Group, roster::Roster},
};

use super::{contacts, kept, newcomers};
use crate::{
    heal,
    heard::Hellos,
    identity::Identity,
    query::over_disk_quota,
    store::{self, Store},
};

/// Drafts and parked envelopes counted; beyond it the number is "at least".
pub(super) const COUNTED: usize = 10_000;
/// Members named in one warning.
const NAMED: usize = 5;

/// A look at the store, at one moment.
pub(super) struct Reading {
    pub(super) identity: Arc<Identity>,
    pub(super) store: Store,
    /// Its folder.
    pub(super) kept_in: PathBuf,
    pub(super) roster: Arc<Roster>,
    pub(super) hellos: Hellos,
    pub(super) now: Timestamp,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) drafts: usize,
    /// Those that wait for a person since the database was copied.
    pub(super) copied: usize,
    pub(super) parked: usize,
    pub(super) readable_only_here: usize,
    pub(super) contact: Option<String>,
    pub(super) newcomers: Vec<String>,
    pub(super) kept: Option<String>,
    pub(super) over_disk_quota: Vec<String>,
    pub(super) healed: Vec<String>,
}

impl Reading {
    /// Reads it, on a thread that may wait.
    pub(super) async fn told(self) -> Stored {
        tokio::task::spawn_blocking(move || self.read()).await.unwrap_or_else(|error| {
            tracing::error!("what the store tells of this node cannot be told: {error}");
            Stored::default()
        })
    }

    fn read(&self) -> Stored {
        let Self { identity, store, roster, hellos, now, .. } = self;
        let (own, member) = (identity.serial, identity.member);
        Stored {
            drafts: store.queued(COUNTED).map_or(0, |queued| queued.len()),
            copied: store.copied_drafts(COUNTED).unwrap_or_default(),
            parked: store.parked(None, COUNTED).map_or(0, |parked| parked.len()),
            readable_only_here: store
                .own_keys(None)
                .map_or(0, |keys| keys.iter().filter(|key| key.holders == 0).count()),
            contact: contacts::unsaid(roster, store, own, member, *now),
            newcomers: newcomers::told(roster, store, own, *now),
            kept: kept::told(roster, store, hellos, member, *now),
            over_disk_quota: self.over_disk_quota(),
            healed: self.healed(),
        }
    }

    /// A warning for each group in which members have used up their room.
    fn over_disk_quota(&self) -> Vec<String> {
        let Self { roster, store, .. } = self;
        let named = |member: &MemberId| match roster.member(*member) {
            Some(found) => found.organisation.name.clone(),
            None => member.to_string(),
        };
        let warning = |group: &Group| {
            let over = over_disk_quota(roster, store, group.id, Some(self.identity.member));
            let mut names: Vec<String> = over.iter().take(NAMED).map(named).collect();
            names.extend((over.len() > NAMED).then(|| format!("{} more", over.len() - NAMED)));
            (!names.is_empty()).then(|| {
                format!(
                    "Of these members no more is kept in {}, they have used up their {} MiB of room (over-disk-quota): {}. \
                     Raise store.member_quota if that is in order.",
                    group.slug,
                    store.member_quota() >> 20,
                    names.join(", ")
                )
            })
        };
        roster.charter().groups().iter().filter_map(warning).collect()
    }

    /// What healing left to say.
    fn healed(&self) -> Vec<String> {
        let unhealed = heal::unhealed(&self.kept_in)
            .map(|why| format!("The store is damaged and could not be healed, and is used as it is: {why}."));
        let damaged = store::aside(&self.kept_in);
        let aside = damaged.exists().then(|| {
            format!(
                "The store was healed; what it was is kept in {}, with HEALED.txt about it. Delete that folder once you \
                 have looked at the disk and checked what was healed: it keeps also what is withdrawn or erased since, and \
                 until it is gone nothing is healed again.",
                damaged.display()
            )
        });
        unhealed.into_iter().chain(aside).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::mpsc};

    use super::*;
    use crate::{
        clock,
        testing::{CIDR, Coalition, Site},
    };

    /// On a runtime whose one thread for what may wait is taken: whoever read on the thread that asks would be done at once.
    #[test]
    fn what_the_store_tells_is_read_on_no_thread_that_others_need() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut coalition = Coalition::new();
            let alice = coalition.issue(1, &[CIDR]);
            let site = Site::new(&coalition, &alice).await;
            let reading = Reading {
                identity: Arc::clone(&alice.identity),
                store: site.store.clone(),
                kept_in: PathBuf::from("no-such-store"),
                roster: site.roster.snapshot(),
                hellos: Hellos::told(&[]),
                now: clock::now(),
            };
            let (done, taken) = mpsc::channel::<()>();
            let taken = tokio::task::spawn_blocking(move || taken.recv().is_ok());
            let mut told = pin!(reading.told());
            let is_told = tokio::select! {
                biased;
                _ = &mut told => true,
                () = std::future::ready(()) => false,
            };
            assert!(!is_told);
            done.send(()).unwrap();
            assert!(taken.await.unwrap());
            assert_eq!(told.await, Stored::default());
        });
    }
}
