//! Single answers, without a network.

use belfry_proto::{
    schema::{AddressRecord, ContactRole, Contacts, Mailbox, PullAddresses, Suspend, sync_request::Request},
    trust::{address, contact, statement::Decision},
};

use super::*;
use crate::{
    store::{AddressRow, Change, ContactRow},
    testing::{CIDR, Coalition, Seat, Site},
};

fn said(coalition: &Coalition, by: &Seat) -> Signed {
    let mailbox = Mailbox {
        role: ContactRole::Incident.into(),
        email: "csirt@bank.example".into(),
        ..Mailbox::default()
    };
    let identity = &by.identity;
    contact::make(coalition.id(), identity.member, vec![mailbox], clock::now(), &identity.signing).unwrap()
}

async fn kept(site: &Site, of: &Seat, bytes: Vec<u8>) {
    let (member, signer) = (of.identity.member, of.identity.signing.public());
    site.store.commit(Change::Contact(ContactRow { member, signer, bytes })).await.unwrap();
}

fn asked(
    site: &Site,
    roster: &Roster,
    book: &heard::Contacts,
    by: &Seat,
    request: Request,
) -> Option<Response> {
    let request = SyncRequest { request: Some(request) };
    answer(&site.store, roster, book, &by.identity.node, request, clock::now()).response
}

fn compared(hash: &[u8]) -> Request {
    Request::Contacts(PullContacts { hash: hash.to_vec(), after: Vec::new() })
}

#[tokio::test]
async fn who_is_admitted_no_more_is_told_no_address_nor_contact_and_not_listened_to() {
    let mut coalition = Coalition::new();
    let [alice, bob] = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let site = Site::new(&coalition, &alice).await;
    let book = heard::Contacts::unheard(&site.store);
    let before = coalition.roster.clone();
    let serial = bob.identity.serial.get();
    coalition.decide(2, Decision::Suspend(Suspend { serial, cut: Vec::new() }));
    let refused = Some(Response::Refused(Refusal::NotCertified.into()));
    for request in
        [Request::Addresses(PullAddresses {}), compared(&[]), Request::PushContact(said(&coalition, &bob))]
    {
        assert_ne!(asked(&site, &before, &book, &bob, request.clone()), refused, "{request:?}");
        assert_eq!(asked(&site, &coalition.roster, &book, &bob, request.clone()), refused, "{request:?}");
    }
}

/// The rows of certificates that were replaced or revoked pile up, and lie before those of newer ones.
#[tokio::test]
async fn addresses_of_whom_counts_no_more_take_no_room_from_the_others() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let site = Site::new(&coalition, &alice).await;
    for seat in [&bob, &carol] {
        let (serial, made) = (seat.identity.serial, clock::now());
        let record = address::make(coalition.id(), serial, vec![vec![4; 8]], made, &seat.identity.signing);
        let row = AddressRow { serial, made, bytes: record.encode_to_vec() };
        site.store.commit(Change::Address(row)).await.unwrap();
    }
    let book = heard::Contacts::unheard(&site.store);
    let told = |roster: &Roster| {
        let asked = asked(&site, roster, &book, &carol, Request::Addresses(PullAddresses {}));
        let Some(Response::Addresses(all)) = asked else { panic!("no addresses") };
        let serial = |record: &Signed| AddressRecord::decode(record.payload.as_slice()).unwrap().serial;
        all.records.iter().map(serial).collect::<BTreeSet<u64>>()
    };
    let [of_bob, of_carol] = [&bob, &carol].map(|seat| seat.identity.serial.get());
    assert_eq!(told(&coalition.roster), BTreeSet::from([of_bob, of_carol]));
    coalition.decide(2, Decision::Suspend(Suspend { serial: of_bob, cut: Vec::new() }));
    assert_eq!(told(&coalition.roster), BTreeSet::from([of_carol]));
}

#[tokio::test]
async fn contacts_that_are_level_cost_no_row_and_more_than_their_answer_is_long() {
    let mut coalition = Coalition::new();
    let [alice, bob] = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let (site, roster) = (Site::new(&coalition, &alice).await, &coalition.roster);
    kept(&site, &bob, said(&coalition, &bob).encode_to_vec()).await;
    let book = heard::Contacts::unheard(&site.store);
    let (members, hash) = book.book().standing(roster, clock::now());
    assert_eq!(members, [bob.identity.member]);
    // Behind its back: whoever looks at rows finds none.
    site.store.commit(Change::ContactGone(bob.identity.member)).await.unwrap();
    let level = Some(Response::Contacts(Contacts { hash: hash.to_vec(), ..Contacts::default() }));
    assert_eq!(asked(&site, roster, &book, &bob, compared(&hash)), level);
    let charged = |request| least(&SyncRequest { request: Some(request) });
    assert!(charged(compared(&hash)) >= 64 * 1024);
    assert_eq!(charged(Request::Addresses(PullAddresses {})), 0);
}

#[tokio::test]
async fn a_contact_that_does_not_read_keeps_nobody_from_the_others() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let (site, roster) = (Site::new(&coalition, &alice).await, &coalition.roster);
    let good = said(&coalition, &carol);
    kept(&site, &alice, vec![0xff]).await;
    for seat in [&bob, &carol] {
        kept(&site, seat, said(&coalition, seat).encode_to_vec()).await;
    }
    kept(&site, &carol, good.encode_to_vec()).await;
    let book = heard::Contacts::unheard(&site.store);
    assert_eq!(book.book().standing(roster, clock::now()).0, [bob.identity.member, carol.identity.member]);
    // One that was good when it was looked at, and is not any more.
    kept(&site, &bob, vec![0xff]).await;
    let Some(Response::Contacts(told)) = asked(&site, roster, &book, &bob, compared(&[])) else {
        panic!("no contacts");
    };
    assert_eq!((told.records, told.more), (vec![good], false));
}
