//! `belfry leave`: the member's own word that it leaves.

use std::path::PathBuf;

use anyhow::anyhow;
use belfry_proto::{
    notice::Act,
    time::Timestamp,
    trust::{
        departure::{Departure, DepartureError},
        file as armour,
    },
};
use clap::Args;

use super::{
    args::{moment, second},
    days::{Moment, stated},
    exit::{refuse, refused},
    global::{DataFolder, Global, KeyPassphrase},
    output,
    own_log::OwnLog,
};
use crate::{
    clock,
    keys::file::{self, Existing, Readers},
};

/// Leave the coalition: sharing is voluntary.
///
/// Writes a file signed with this node's key that says when the organisation decided to leave and from when on it is out.
/// Send it to the coalition, which records it in the admin log (`belfry coalition leave`). Until the moment it takes
/// effect everything goes on; from then on every node refuses this member by itself, and whoever publishes makes new
/// keys. What the member published until then stays, unless it withdraws it before (`belfry withdraw`).
///
/// All nodes of the member leave. The participation notice of leaving is due when it takes effect: `belfry notice`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry leave --decided-on 2026-11-20 \\
      --effective 2027-01-01T00:00:00+01:00 --out leaving.pem")]
pub(super) struct Leave {
    /// From when on: a time with its zone, as in 2027-01-01T00:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = stated)]
    effective: Moment,
    /// When the organisation decided it: a day, or a time with its zone [default: now]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    decided_on: Option<Timestamp>,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
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

impl Leave {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let now = clock::now();
        let own = self.log.open(global, &self.data)?;
        let departure = Departure {
            coalition: own.roster.coalition(),
            member: own.certificate.member,
            decided: self.decided_on.map_or(now, |on| self.effective.decided(on)),
            effective: self.effective.at,
            made: now,
        };
        departure.check().map_err(|error| self.dates(&error))?;
        let organisation = &own.certificate.organisation;
        if let Some(end) = own.roster.ends(own.certificate.serial).filter(|end| *end <= self.effective.at) {
            refuse!(
                "{} is out on {} already: to leave sooner, name an --effective before that; to stay longer, ask the coalition",
                output::visible(&organisation.name),
                second(end)
            );
        }
        let serials = departure.certificates(&own.roster);
        output::print(&output::facts(&[
            ("leaves", organisation.name.clone()),
            ("member", own.certificate.member.to_string()),
            ("decided", second(departure.decided)),
            ("from", format!("{} on", second(departure.effective))),
            ("certificates", serials.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ]))?;
        if !self.yes {
            output::confirm("Does the organisation leave?", "--yes", "nothing was signed")?;
        }
        let keys = own.keys(&config, &self.passphrase)?;
        let signed = departure.sign(&keys.signing).map_err(|error| self.dates(&error))?;
        file::write(&self.out, armour::write_departure(&signed).as_bytes(), Readers::All, Existing::Keep)?;
        let path = output::path(&self.out);
        let notice = match Act::of(organisation) {
            Some(_) => {
                "When leaving has taken effect, your notice to the authority is due: `belfry notice`.\n"
            }
            None => "",
        };
        Ok(output::print(&format!(
            "Signed. Send {path} to the coalition, which records it:\n  belfry coalition leave {path}\nUntil it is in the \
             log nothing changes; then it takes effect by itself.\n{notice}"
        ))?)
    }

    /// Why its dates are refused, with the options that say others.
    fn dates(&self, error: &DepartureError) -> anyhow::Error {
        let mend = match (error, self.decided_on) {
            (DepartureError::BeforeDecision { .. }, Some(_)) => {
                "name a later --effective, or as --decided-on the earlier day on which it was decided"
            }
            (DepartureError::BeforeDecision { .. }, None) => {
                "say by --decided-on when it was decided, or name a later --effective"
            }
            (DepartureError::NotYetDecided { .. }, _) => {
                "name as --decided-on a day that has begun, in UTC or with its zone"
            }
            (DepartureError::OtherCoalition(_) | DepartureError::UnknownMember(_), _) => {
                "name the newest log of the coalition that this node joined (--log)"
            }
            (DepartureError::Malformed(_) | DepartureError::Signed(_), _) => {
                return refused(anyhow!("{error}"));
            }
        };
        refused(anyhow!("{error}: {mend}"))
    }
}
