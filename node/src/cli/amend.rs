//! `belfry amend`: the member's own word that its data changed.

use std::path::PathBuf;

use belfry_proto::trust::{amendment_request::AmendmentRequest, file as armour};
use clap::Args;

use super::{
    exit::{refuse, refused},
    global::{DataFolder, Global, KeyPassphrase},
    numbers::NumberRule,
    organisation::{changes, said_now},
    output,
    own_log::OwnLog,
    said::Said,
};
use crate::{
    clock,
    keys::file::{self, Existing, Readers},
};

/// Ask for changed data of the organisation: name, numbers, classes, capacity, sector, whom it supplies.
///
/// Writes a file signed with this node's key that says all that is to be said of the member from then on; what is not named
/// stays as it is. Send it to the coalition, which decides (`belfry coalition amend --request`). Once that is in the admin
/// log all certificates of the member say so, at every node: the same keys, nothing else to do here.
///
/// A class that a group of the member needs goes after the group: have the coalition take the member out of it first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry amend --org 'Example Bank & Sons' --out changed.pem
  belfry amend --class essential,financial --kbo 0987654394 \\
      --out changed.pem
  belfry amend --supplier-of none --lei none --out changed.pem")]
pub(super) struct Amend {
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    rule: NumberRule,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE", requires = "said")]
    out: PathBuf,
    /// Sign without being asked
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    log: OwnLog,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    #[command(flatten)]
    data: DataFolder,
}

impl Amend {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        self.said.check(&self.rule.read()?)?;
        let config = global.config(&self.data)?;
        let now = clock::now();
        let own = self.log.open(global, &self.data)?;
        let Some(member) = own.roster.member(own.certificate.member) else {
            refuse!("the log does not know this member: name the newest one (--log)")
        };
        let request = AmendmentRequest {
            coalition: own.roster.coalition(),
            member: member.id,
            organisation: self.said.applied(&member.organisation),
            made: now,
            roster: own.roster.version(),
        };
        request.check().map_err(refused)?;
        let changing = changes(&said_now(&own.roster, member, now), &request.organisation);
        if changing.is_empty() {
            refuse!(
                "that is what every certificate of {} says already (log up to entry {}): there is nothing to ask for",
                output::visible(&member.organisation.name),
                request.roster.height
            );
        }
        output::print(&output::facts(&changing))?;
        if !self.yes {
            output::confirm("Does the organisation ask for this?", "--yes", "nothing was signed")?;
        }
        let keys = own.keys(&config, &self.passphrase)?;
        let signed = request.sign(&keys.signing).map_err(refused)?;
        let text = armour::write_amendment_request(&signed);
        file::write(&self.out, text.as_bytes(), Readers::All, Existing::Keep)?;
        let path = output::path(&self.out);
        Ok(output::print(&format!(
            "Signed. Send {path} to the coalition, which decides:\n  belfry coalition amend --request {path}\nUntil it is in \
             the log nothing changes.\n"
        ))?)
    }
}
