//! `belfry coalition amend`: what a member's certificates say of it, with the same keys.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{
    id::{MemberId, Serial},
    notice::Act,
    schema::{self, Capacity, Organisation, Signed},
    trust::{
        amendment_request::{AmendmentError, AmendmentRequest, Overtaken},
        certificate::{self, Certificate},
        file as armour,
        names::Named,
        roster::{Roster, Standing},
        statement::Decision,
    },
};
use clap::Args;

use super::{
    evidence::Evidence,
    folder::Folder,
    kept,
    mend::mended_at,
    revoke::{Deciding, serial},
};
use crate::{
    cli::{
        args::second,
        exit::{Usage, refuse},
        numbers::{NumberRule, Numbers},
        organisation::{changes, said_now},
        output,
        said::Said,
    },
    clock,
    keys::enrolment::read,
    notice::{AMENDMENTS, Minutes},
};

/// Change a member's data: name, numbers, classes, capacity, sector, whom it supplies.
///
/// The same keys, groups and validity; what is not named stays as it is. All certificates of the member say so from then
/// on, at every node, without anything to do at the member. It takes as many admins as issuing does.
///
/// With --request the member asks for it itself, by the file that its `belfry amend` wrote: signed with a key of a
/// certificate that is valid now, no more than ninety days ago, and made of a log since which nobody has amended the data. The
/// file is kept in amendments, and named in the evidence; the decision is of the day on which you take it.
///
/// A class that a group of the member needs is not taken away under it: disentitle the group first. Changed data owe no
/// participation notice; a class that brings the member under another act owes that one's.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition amend 4 --org 'Example Bank & Sons' --kbo 0987654394 \\
      --decided-by Secretariat --evidence 'letter of 2026-11-20'
  belfry coalition amend --request ../changed.pem
  belfry coalition amend 4 --class essential,financial
  belfry coalition amend 4 --supplier-of 'Grid' --supplier-of 'Rail'
  belfry coalition amend 4 --supplier-of none --lei none")]
pub(in crate::cli) struct Amend {
    /// Serial of a certificate of the member; all of its certificates change
    #[arg(value_parser = serial, required_unless_present = "request", requires = "said")]
    serial: Option<Serial>,
    /// File that the member's `belfry amend` wrote, instead of a serial and what changes
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["serial", "said", "decided_by", "decided_on", "evidence"]
    )]
    request: Option<PathBuf>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    rule: NumberRule,
    #[command(flatten)]
    deciding: Deciding,
}

impl Amend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { serial, request, said, rule, deciding } = self;
        let numbers = rule.read()?;
        said.check(&numbers)?;
        match (request, serial) {
            (Some(path), _) => requested(&path, &numbers, deciding),
            // The parser asks for one of them.
            (None, None) => Err(Usage("name a serial, or a file with --request".to_owned()).into()),
            (None, Some(serial)) => deciding.run(serial, "Amend", |folder, certificate| {
                let roster = folder.roster();
                let Some(member) = roster.member(certificate.member) else {
                    refuse!(
                        "certificate {} is of nobody in the log here: take the newest one (`belfry coalition take`)",
                        certificate.serial
                    )
                };
                let to = said.applied(&member.organisation);
                needed(roster, certificate.member, &to)?;
                let consequence = consequence(&said_now(roster, member, clock::now()), &to);
                let amend = schema::Amend { member: certificate.member.to_vec(), organisation: Some(to) };
                Ok((Decision::Amend(amend), consequence))
            }),
        }
    }
}

/// The change as the member asks for it.
fn requested(path: &Path, numbers: &Numbers, deciding: Deciding) -> anyhow::Result<()> {
    let folder = deciding.open()?;
    let roster = folder.roster();
    let signed = read(path, armour::read_amendment_request)?;
    let now = clock::now();
    let request = AmendmentRequest::open(&signed, roster, now)
        .map_err(|error| mended_at(&folder.again(), error))
        .with_context(|| path.display().to_string())?;
    let certificate = signer(roster, &request, &signed)?;
    let Some(member) = roster.member(request.member) else {
        return Err(mended_at(&folder.again(), AmendmentError::UnknownMember(request.member)));
    };
    let said = said_now(roster, member, now);
    let changing = changes(&said, &request.organisation);
    if let Some(since) = request.overtaken(roster).filter(|_| !changing.is_empty()) {
        refuse!("{}", overtaken(&request, &since, &member.organisation, certificate.serial));
    }
    needed(roster, request.member, &request.organisation)?;
    for (what, number) in numbers.slips(&request.organisation) {
        output::warn(&format!(
            "the {what} {number} of the request has wrong check digits, and notices to the authority would bear it. Compare it \
             with the register (another country's is held to its own rule by --authorities), and ask the member for another file \
             (`belfry amend`)"
        ));
    }
    let told = format!(
        "It asked for it on {}, by the log up to entry {}.\n{}",
        second(request.made),
        request.roster.height,
        consequence(&said, &request.organisation)
    );
    let evidence = Evidence {
        decided_by: Some(Minutes::BY_MEMBER.to_owned()),
        // The member's word is no decision yet: that is taken here and now.
        decided_on: Some(now),
        evidence: Some(format!("{}, asked for on {}", kept_at(&request, &signed), second(request.made))),
        ..Evidence::default()
    };
    deciding.with_evidence(evidence).decide(
        folder,
        &certificate,
        "Amend",
        (request.decision(), told),
        |folder| keep(folder, &request, &signed),
    )
}

/// The certificate whose key signed.
fn signer(roster: &Roster, request: &AmendmentRequest, signed: &Signed) -> anyhow::Result<Certificate> {
    let key = signed.signatures.first().map(|signature| signature.key.as_slice()).unwrap_or_default();
    let mut own = roster.certificates().filter(|certificate| certificate.member == request.member);
    let found = own.find(|certificate| certificate.signing.as_bytes().as_slice() == key);
    found.cloned().context("no certificate has the key that signed it")
}

/// Why a request is too old, what it would undo, and what to do about it.
fn overtaken(request: &AmendmentRequest, since: &Overtaken, now: &Organisation, serial: Serial) -> String {
    let was = changes(&[(None, now)], &since.was);
    let undone: Vec<(String, String)> = changes(&[(None, now)], &request.organisation)
        .into_iter()
        .map(|change| match was.contains(&change) {
            true => (change.0, change.1 + ", as it was before"),
            false => change,
        })
        .collect();
    format!(
        "the member asked for it by the log up to entry {}, and entry {} has changed its data since. Granted now it would \
         make:\n{}Ask the member for another file, made of the newest log (`belfry amend`); or decide it by yourselves \
         (`belfry coalition amend {serial}`), with what shall hold",
        request.roster.height,
        since.by,
        output::facts(&undone)
    )
}

/// Where the member's word is kept, from the coalition's folder.
fn kept_at(request: &AmendmentRequest, signed: &Signed) -> String {
    format!("{AMENDMENTS}/{}", kept::name(request.member, signed))
}

/// Before anything is decided: the word is what the decision rests on.
fn keep(folder: &Folder, request: &AmendmentRequest, signed: &Signed) -> anyhow::Result<()> {
    kept::keep(&folder.dir().join(kept_at(request, signed)), &armour::write_amendment_request(signed))
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
    use belfry_proto::schema::EntityClass;

    use super::*;

    #[test]
    fn what_changes_is_told_with_what_it_owes() {
        let bank = Organisation {
            name: "Bank".into(),
            kbo: "0123456789".into(),
            classes: vec![EntityClass::Essential.into()],
            sector: "banking".into(),
            ..Organisation::default()
        };
        let to = Organisation { name: "Bank & Sons".into(), kbo: String::new(), ..bank.clone() };
        let told = consequence(&[(None, &bank)], &to);
        assert!(told.contains("Bank → Bank & Sons") && told.contains("0123456789 → -"), "{told}");
        assert!(told.contains("No participation notice") && !told.contains("banking"), "{told}");
        let financial = Organisation { classes: vec![EntityClass::Financial.into()], ..bank.clone() };
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
