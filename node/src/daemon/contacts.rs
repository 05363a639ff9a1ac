//! What an operator is told of its own contact where nobody is shown it any more.

use belfry_proto::{
    id::{MemberId, Serial},
    schema::Signed,
    time::Timestamp,
    trust::{
        contact,
        roster::{Roster, Standing},
    },
};
use prost::Message as _;

use crate::store::Store;

/// A sentence with its mend, if what this member said of itself counts no more although its node may say it again.
pub(super) fn unsaid(
    roster: &Roster,
    store: &Store,
    own: Serial,
    member: MemberId,
    now: Timestamp,
) -> Option<String> {
    // Of a certificate that is not valid its own warning tells; until then nothing can be said anew.
    if roster.standing(own, now) != Standing::Valid {
        return None;
    }
    let row = match store.contact(member) {
        Ok(row) => row?,
        Err(error) => {
            tracing::error!("whether this member's own contact counts cannot be told: {error}");
            return None;
        }
    };
    let signed = Signed::decode(row.bytes.as_slice()).ok()?;
    let said = contact::read(&signed).ok()?;
    let made = said.rank.made;
    // What was taken back is shown to nobody either way.
    if said.mailboxes.is_empty() || contact::stands(roster, member, &row.signer, made, now) {
        return None;
    }
    let why = if contact::is_to_come(roster, made, now) {
        format!("it was signed for {made}, under a clock that ran ahead")
    } else {
        "the key that signed it is none of its valid certificates' any more".to_owned()
    };
    Some(format!("This member's contact is shown to nobody: {why}. Say it again: `belfry contact set`."))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::{
        schema::{ContactRole, Mailbox, Suspend},
        trust::statement::Decision,
    };

    use super::*;
    use crate::{
        clock,
        store::{Change, ContactRow},
        testing::{CIDR, Coalition, Seat, Site},
    };

    async fn said(site: &Site, coalition: &Coalition, by: &Seat, made: Timestamp, emails: &[&str]) {
        let mailbox = |email: &&str| Mailbox {
            role: ContactRole::Incident.into(),
            email: (*email).to_owned(),
            ..Mailbox::default()
        };
        let (member, signing) = (by.identity.member, &by.identity.signing);
        let mailboxes = emails.iter().map(mailbox).collect();
        let signed = contact::make(coalition.id(), member, mailboxes, made, signing).unwrap();
        let row = ContactRow { member, signer: signing.public(), bytes: signed.encode_to_vec() };
        site.store.commit(Change::Contact(row)).await.unwrap();
    }

    #[tokio::test]
    async fn a_contact_that_counts_no_more_is_told_until_it_is_said_again() {
        let mut coalition = Coalition::new();
        let old = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &old).await;
        let now = clock::now();
        let told = |coalition: &Coalition, by: &Seat| {
            unsaid(&coalition.roster, &site.store, by.identity.serial, by.identity.member, now)
        };
        assert_eq!(told(&coalition, &old), None, "it said nothing");
        said(&site, &coalition, &old, now, &["csirt@bank.example"]).await;
        assert_eq!(told(&coalition, &old), None);

        let new = coalition.issue_again(1, 5, &[CIDR]);
        let serial = old.identity.serial.get();
        coalition.decide(1, Decision::Suspend(Suspend { serial, cut: Vec::new() }));
        assert!(told(&coalition, &new).is_some_and(|told| told.contains("`belfry contact set`")));
        assert_eq!(told(&coalition, &old), None, "it cannot say it again");
        said(&site, &coalition, &old, now, &[]).await;
        assert_eq!(told(&coalition, &new), None, "taken back");
        said(&site, &coalition, &new, now, &["csirt@bank.example"]).await;
        assert_eq!(told(&coalition, &new), None);
        let ahead = now.saturating_add(Duration::from_secs(24 * 3600));
        said(&site, &coalition, &new, ahead, &["csirt@bank.example"]).await;
        assert!(told(&coalition, &new).is_some_and(|told| told.contains("ran ahead")));
    }
}
