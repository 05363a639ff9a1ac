//! What is erased leaves the disk, which takes room there.

use tokio::sync::watch;

use super::*;
use crate::{
    heard::Hellos,
    space::{Space, tests::Disk},
};

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_not_filled_by_what_is_erased_and_it_leaves_once_there_is_room() {
    let mut coalition = Coalition::new();
    let [alice, bob] = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let disk = Disk::with(1000);
    let space = Space::new(100, disk.clone());
    space.look();
    let mut site = Site::new(&coalition, &bob).await;
    site.store = site.store.clone().with_space(space.clone());
    let receiver = Receiver::start(site, &alice);
    let messages = coalition.messages(&alice, CIDR, None, 1);
    receiver.site.hold(&messages).await;
    receiver.holds_erasure(&coalition, &alice, &[&messages[0]], clock::now()).await;
    let hellos = watch::Sender::new(Hellos::told(&[0, 0]));
    let (vouched, ingest) = (receiver.clock(&hellos), receiver.intake.ingest.clone());
    ingest.reweigh_due(&vouched).await.unwrap();

    disk.set(1);
    space.look();
    let purging = tokio::spawn(ingest.clone().run_purge());
    assert!(!ingest.purge().await);
    assert!(receiver.site.store.has_purges().unwrap());
    disk.set(1000);
    space.look();
    eventually("the body leaves the disk", async || !receiver.site.store.has_purges().unwrap()).await;
    purging.abort();
}
