//! `belfry coalition accept`: records that members accepted the newest texts.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::MemberId,
    schema,
    trust::{acceptance, certificate::Certificate, file as armour, roster::Standing, statement::Decision},
};
use clap::Args;

use super::{
    CoalitionFolder,
    decide::{Already, Decided, Deciders, decide, decided_already, propose},
    evidence::Evidence,
    folder::Folder,
    mend::mended_at,
    role_keys::RolePassphrases,
};
use crate::{
    cli::{args::second, exit::refuse, output},
    clock,
    keys::enrolment::read,
};

/// Record that members accepted the charter's texts, by the files that their `belfry accept-rules` wrote.
///
/// The member signed; whoever records it decides nothing, so one admin suffices, whatever the charter asks for other
/// decisions. A file that is of an older text, or of nobody in the log, is refused, and nothing is signed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition accept ../acceptances/*.pem")]
pub(in crate::cli) struct Accept {
    /// Files that `belfry accept-rules` wrote
    #[arg(required = true)]
    acceptances: Vec<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

impl Accept {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        let mut opened: Vec<(MemberId, Decision, String)> = Vec::with_capacity(self.acceptances.len());
        let goes_in = self.passphrases.has_registrar(&folder.keys());
        for path in &self.acceptances {
            let name = || path.display().to_string();
            let signed = read(path, armour::read_acceptance)?;
            let (certificate, at) = signer(&folder, &signed).with_context(name)?;
            let serial = certificate.serial.get();
            let organisation = output::visible(&certificate.organisation.name);
            let decision = Decision::Accept(schema::Accept { serial, acceptance: Some(signed) });
            // A run that was interrupted is repeated as it was.
            if folder.roster().has_accepted(certificate.member, folder.roster().charter()) {
                output::print(&format!("{organisation}: recorded already.\n"))?;
                continue;
            }
            if opened.iter().any(|(member, ..)| *member == certificate.member) {
                refuse!(
                    "{} is of a member that another of these files is of, too: leave one out",
                    path.display()
                );
            }
            if let Some((_, Already::Waits(waits))) =
                decided_already(&folder, goes_in, &certificate, &decision)
            {
                output::print(&format!(
                    "{organisation}: signed already, and not signed again. {}",
                    waits.told(&self.folder.again())
                ))?;
                continue;
            }
            propose(&folder, goes_in, certificate.member, decision.clone()).with_context(name)?;
            opened.push((
                certificate.member,
                decision,
                format!("{organisation}, accepted on {}", second(at)),
            ));
        }
        if opened.is_empty() {
            return Ok(output::print("Nothing is left to record.\n")?);
        }
        for (.., about) in &opened {
            output::print(&format!("{about}\n"))?;
        }
        if !self.yes {
            output::confirm("Record this?", "--yes", "nothing was signed")?;
        }
        let keys = Deciders::open(&folder, &self.passphrases)?;
        for (member, decision, about) in opened {
            let told = match decide(&mut folder, member, decision, &keys, &Evidence::default())? {
                Decided::Ordered(entry) => format!("Entry {entry} of the admin log: {about}.\n"),
                Decided::Waiting(waits) => {
                    let waits = waits.told(&self.folder.again());
                    format!("{about}: signed, and not in the log yet. {waits}")
                }
            };
            output::print(&told)?;
        }
        Ok(output::print(&format!("Bring the log to a member's node:\n{}", self.folder.bring()))?)
    }
}

/// Whose certificate's key signed, and when.
fn signer(
    folder: &Folder,
    signed: &schema::Signed,
) -> anyhow::Result<(Certificate, belfry_proto::time::Timestamp)> {
    let roster = folder.roster();
    let key = signed.signatures.first().map(|signature| signature.key.as_slice()).unwrap_or_default();
    let now = clock::now();
    let certificate = roster
        .certificates()
        .filter(|certificate| roster.standing(certificate.serial, now) != Standing::Superseded)
        .find(|certificate| certificate.signing.as_bytes().as_slice() == key);
    let Some(certificate) = certificate else {
        refuse!(
            "no certificate in the log has the key that signed it: ask the member for a file of a node that is certified, or \
             take the newer log first (`belfry coalition take{}`)",
            folder.again()
        )
    };
    let at = acceptance::open(signed, certificate.signing, roster.charter())
        .map_err(|error| mended_at(&folder.again(), error))?;
    Ok((certificate.clone(), at))
}
