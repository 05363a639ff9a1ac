//! `belfry coalition amend`: what a member's certificates say of it, with the same keys.

use belfry_proto::{
    id::{MemberId, Serial},
    notice::Act,
    schema::{self, Capacity, EntityClass, Organisation},
    trust::{
        certificate,
        names::Named,
        roster::{Roster, Standing},
        statement::Decision,
    },
};
use clap::Args;

use super::{
    revoke::{Deciding, serial},
    shown::{changes, said_now},
};
use crate::{
    cli::{enroll::kbo, exit::refuse, output},
    clock,
};

/// Takes a number, a sector or all supplied entities out.
const NONE: &str = "none";

/// Change a member's data: name, numbers, classes, capacity, sector, whom it supplies.
///
/// The same keys, groups and validity; what is not named stays as it is. All certificates of the member say so from then
/// on, at every node, without anything to do at the member. It takes as many admins as issuing does.
///
/// A class that a group of the member needs is not taken away under it: disentitle the group first. Changed data owe no
/// participation notice; a class that brings the member under another act owes that one's.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition amend 4 --org 'Example Bank & Sons' --kbo 0987654321 \\
      --decided-by Secretariat --evidence 'letter of 2026-11-20'
  belfry coalition amend 4 --class essential,financial
  belfry coalition amend 4 --supplier-of 'Grid' --supplier-of 'Rail'
  belfry coalition amend 4 --supplier-of none --lei none")]
pub(in crate::cli) struct Amend {
    /// Serial of a certificate of the member; all of its certificates change
    #[arg(value_parser = serial)]
    serial: Serial,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    deciding: Deciding,
}

/// What changes.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
struct Data {
    /// Name of the organisation, as other members see it
    #[arg(long = "org", value_name = "NAME")]
    organisation: Option<String>,
    /// KBO/BCE enterprise number: ten digits, or none
    #[arg(long, value_parser = kbo_or_none)]
    kbo: Option<String>,
    /// Legal Entity Identifier: twenty digits and capital letters, or none
    #[arg(long)]
    lei: Option<String>,
    /// All its entity classes: essential, important, financial, ict-provider, supplier, authority, academic, out-of-scope
    #[arg(long, value_delimiter = ',', value_parser = <EntityClass as Named>::parse)]
    class: Vec<EntityClass>,
    /// Capacity of a public authority: none, csirt, supervisor or other
    #[arg(long, value_parser = <Capacity as Named>::parse)]
    capacity: Option<Capacity>,
    /// Sector, as in banking or health, or none
    #[arg(long)]
    sector: Option<String>,
    /// All entities that it supplies; repeat for several; none for no one
    #[arg(long, value_name = "NAME")]
    supplier_of: Vec<String>,
}

fn kbo_or_none(text: &str) -> Result<String, String> {
    if text == NONE { Ok(NONE.to_owned()) } else { kbo(text) }
}

impl Data {
    /// The organisation with what is named changed.
    fn applied(&self, organisation: &Organisation) -> Organisation {
        let mut changed = organisation.clone();
        let given = |text: &String| if text == NONE { String::new() } else { text.clone() };
        for (field, wanted) in [
            (&mut changed.kbo, &self.kbo),
            (&mut changed.lei, &self.lei),
            (&mut changed.sector, &self.sector),
        ] {
            if let Some(text) = wanted {
                *field = given(text);
            }
        }
        if let Some(name) = &self.organisation {
            changed.name.clone_from(name);
        }
        if !self.class.is_empty() {
            changed.classes = self.class.iter().map(|class| (*class).into()).collect();
        }
        if let Some(capacity) = self.capacity {
            changed.capacity = capacity.into();
        }
        if !self.supplier_of.is_empty() {
            changed.supplier_of = self.supplier_of.iter().filter(|name| *name != NONE).cloned().collect();
        }
        changed
    }
}

impl Amend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = self.data;
        self.deciding.run(self.serial, "Amend", |roster, certificate| {
            let Some(member) = roster.member(certificate.member) else {
                refuse!(
                    "certificate {} is of nobody in the log here: take the newest one (`belfry coalition take`)",
                    certificate.serial
                )
            };
            let to = data.applied(&member.organisation);
            needed(roster, certificate.member, &to)?;
            let consequence = consequence(&said_now(roster, member, clock::now()), &to);
            let amend = schema::Amend { member: certificate.member.to_vec(), organisation: Some(to) };
            Ok((Decision::Amend(amend), consequence))
        })
    }
}

/// No group of the member may need a class that it no longer has.
fn needed(roster: &Roster, member: MemberId, to: &Organisation) -> anyhow::Result<()> {
    for held in roster.certificates().filter(|certificate| certificate.member == member) {
        for group in held.groups.keys().filter_map(|group| roster.charter().group(*group)) {
            let standing = roster.standing(held.serial, clock::now());
            let is_over = matches!(standing, Standing::Revoked | Standing::Superseded);
            if !is_over && certificate::admits(group, &held.organisation) && !certificate::admits(group, to) {
                let classes: Vec<&str> = group.admits.iter().map(|class| class.name()).collect();
                refuse!(
                    "certificate {0} is in {1}, which admits {2} entities only: take it out first, with a cut at its last \
                     messages (`belfry heads MEMBER`), and amend then:\n  belfry coalition disentitle {0} --groups {1} --cut \
                     heads.txt",
                    held.serial,
                    group.slug,
                    classes.join(" or ")
                );
            }
        }
    }
    Ok(())
}

/// What changes of what is said now, newest data first, and what that brings with it.
fn consequence(now: &[(Option<Serial>, &Organisation)], to: &Organisation) -> String {
    let notice = match (now.first().and_then(|(_, newest)| Act::of(newest)), Act::of(to)) {
        (before, Some(act)) if before != Some(act) => format!(
            "It comes under {}: a participation notice is owed (`belfry coalition notices`).",
            act.as_str().to_uppercase()
        ),
        _ => "No participation notice is owed for it.".to_owned(),
    };
    let supervisor = Capacity::Supervisor;
    let was =
        |is_supervisor: bool| now.iter().any(|(_, from)| (from.capacity() == supervisor) == is_supervisor);
    let supervises = if to.capacity() == supervisor && was(false) {
        "\nWhat is published for everybody but supervisors it cannot open from then on."
    } else if to.capacity() != supervisor && was(true) {
        "\nIt is no supervisor any more: in the groups that it read as one alone it counts as a new reader, and waits the \
         grant delay for what was kept from it."
    } else {
        ""
    };
    format!(
        "{}All its certificates say so; keys, groups and validity stay. {notice}{supervises}",
        output::facts(&changes(now, to))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_none_takes_out() {
        let bank = Organisation {
            name: "Bank".into(),
            kbo: "0123456789".into(),
            classes: vec![EntityClass::Essential.into()],
            sector: "banking".into(),
            supplier_of: vec!["Grid".into()],
            ..Organisation::default()
        };
        let nothing = Data {
            organisation: None,
            kbo: None,
            lei: None,
            class: Vec::new(),
            capacity: None,
            sector: None,
            supplier_of: Vec::new(),
        };
        assert_eq!(nothing.applied(&bank), bank);
        let data = Data {
            organisation: Some("Bank & Sons".into()),
            kbo: Some(NONE.into()),
            supplier_of: vec![NONE.into()],
            ..nothing.clone()
        };
        let expected = Organisation {
            name: "Bank & Sons".into(),
            kbo: String::new(),
            supplier_of: Vec::new(),
            ..bank.clone()
        };
        assert_eq!(data.applied(&bank), expected);
        let told = consequence(&[(None, &bank)], &data.applied(&bank));
        assert!(told.contains("Bank → Bank & Sons") && told.contains("0123456789 → -"), "{told}");
        assert!(told.contains("No participation notice") && !told.contains("banking"), "{told}");
        let financial = Data { class: vec![EntityClass::Financial], ..nothing }.applied(&bank);
        assert!(consequence(&[(None, &bank)], &financial).contains("comes under DORA"));
    }

    #[test]
    fn what_changes_is_told_of_every_certificate_that_says_otherwise() {
        let newest = Organisation { name: "Authority".into(), ..Organisation::default() };
        let older = Organisation { capacity: Capacity::Supervisor.into(), ..newest.clone() };
        let to = Organisation { sector: "energy".into(), ..newest.clone() };
        let told = consequence(&[(None, &newest), (Some(Serial::new(2)), &older)], &to);
        for said in [
            "\nsector ",
            "certificate 2: sector ",
            "certificate 2: capacity  supervisor → none",
            "no supervisor any more",
        ] {
            assert!(format!("\n{told}").contains(said), "{said}: {told}");
        }
        assert!(!consequence(&[(None, &newest)], &to).contains("supervisor"));
    }
}
