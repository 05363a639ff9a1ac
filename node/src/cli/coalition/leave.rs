//! `belfry coalition leave`: records that a member leaves, as its own signed word says.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::{Height, Serial},
    schema::Signed,
    trust::{departure::Departure, file as armour, roster::Roster, statement::Decision},
};
use clap::Args;

use super::{
    CoalitionFolder, cut,
    decide::{Already, Decided, Deciders, decide, decided_already, propose},
    evidence::Evidence,
    folder::Folder,
    kept,
    mend::mended_at,
    role_keys::RolePassphrases,
    waiting::Waits,
};
use crate::{
    cli::{args::second, exit::refuse, output},
    clock,
    keys::{enrolment::read, file},
    notice::{DEPARTURES, Minutes},
};

/// Record that a member leaves, by the file that its `belfry leave` wrote.
///
/// Revokes every certificate of the member, reason left, with the member's own dates: when it decided, and from when on
/// it is out. Until then it stays in; then every node refuses it and rotates its keys, by itself. When that was recorded
/// is the date of the log's entry. The file is kept in departures, beside any other of this member.
///
/// What the member published until it leaves stays; of a suspended certificate, what its cut keeps. Where it is out
/// already, name what stays by --cut (`belfry heads`); what is signed after the fact would else hide everything.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition leave ../leaving.pem
  belfry coalition leave ../leaving.pem --cut heads.txt")]
pub(in crate::cli) struct Leave {
    /// File that `belfry leave` wrote
    departure: PathBuf,
    /// Cut file: the last message of each log that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE")]
    cut: Option<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

impl Leave {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut folder = self.folder.open()?;
        let signed = read(&self.departure, armour::read_departure)?;
        let now = clock::now();
        let departure = Departure::open(&signed, folder.roster(), now)
            .map_err(|error| mended_at(&folder.again(), error))
            .with_context(|| self.departure.display().to_string())?;
        let serials = departure.certificates(folder.roster());
        if serials.is_empty() && is_recorded(folder.roster(), &departure) {
            return Ok(output::print(&format!(
                "It is recorded already; nothing is signed. Bring the log to a member's node:\n{}",
                self.folder.bring()
            ))?);
        }
        let cut = match &self.cut {
            Some(path) => cut::parse(&file::read_text(path)?).with_context(|| path.display().to_string())?,
            None => Vec::new(),
        };
        if departure.effective <= now && self.cut.is_none() {
            refuse!(
                "it took effect on {}, which is over: name what stays of the member's messages by --cut (`belfry heads \
                 {} --out heads.txt`, at any node)",
                second(departure.effective),
                departure.member
            );
        }
        if serials.is_empty() {
            refuse!(
                "every certificate of member {} has ended by then already: nothing is left to record, `belfry coalition \
                 roster{}` shows them",
                departure.member,
                self.folder.again()
            );
        }
        let goes_in = self.passphrases.has_registrar(&folder.keys());
        let (mut left, mut waiting) = (Vec::with_capacity(serials.len()), None::<Waits>);
        for serial in serials {
            // A certificate that is over already keeps nothing by itself until the member leaves.
            let stays = match self.cut.is_none() && folder.roster().was_over(serial) {
                true => folder.roster().kept(serial),
                false => cut.clone(),
            };
            let decision = departure.decision(serial, stays);
            let certificate = folder.roster().certificate(serial);
            let already =
                certificate.and_then(|certificate| decided_already(&folder, goes_in, certificate, &decision));
            if let Some((_, Already::Waits(waits))) = already {
                waiting = Some(both(waiting, waits));
                continue;
            }
            propose(&folder, goes_in, departure.member, decision.clone())?;
            left.push((serial, decision));
        }
        if let (true, Some(waits)) = (left.is_empty(), &waiting) {
            return Ok(output::print(&format!(
                "It is signed already, and waits; nothing is signed again. {}",
                waits.told(&self.folder.again())
            ))?);
        }
        let serials: Vec<Serial> = left.iter().map(|(serial, _)| *serial).collect();
        output::print(&shown(&folder, &departure, &serials))?;
        if !self.yes {
            output::confirm("Sign this?", "--yes", "nothing was signed")?;
        }
        let keys = Deciders::open(&folder, &self.passphrases)?;
        keep(&folder, &departure, &signed)?;
        let evidence = Evidence {
            decided_by: Some(Minutes::BY_MEMBER.to_owned()),
            decided_on: Some(departure.decided),
            evidence: Some(kept_at(&departure, &signed)),
            ..Evidence::default()
        };
        let mut told = String::new();
        for (serial, decision) in left {
            told += &match decide(&mut folder, departure.member, decision, &keys, &evidence)? {
                Decided::Ordered(entry) => {
                    format!("Entry {entry} of the admin log ends certificate {serial}.\n")
                }
                Decided::Waiting(waits) => {
                    waiting = Some(both(waiting, waits));
                    format!("Certificate {serial}: signed, and not in the log yet.\n")
                }
            };
        }
        if let Some(waits) = waiting {
            told += &waits.told(&self.folder.again());
        }
        Ok(output::print(&format!(
            "{told}Bring the log to a member's node, before {}:\n{}",
            second(departure.effective),
            self.folder.bring()
        ))?)
    }
}

/// What waits, and more that does.
fn both(earlier: Option<Waits>, waits: Waits) -> Waits {
    match earlier {
        Some(earlier) => earlier.and(waits),
        None => waits,
    }
}

/// Whether an entry of the log that has an effect says what the member's word does.
fn is_recorded(roster: &Roster, departure: &Departure) -> bool {
    let is_void = |height: Height| roster.voids().iter().any(|void| void.height == height);
    roster.records().filter(|record| !is_void(record.height)).any(|record| {
        let Decision::Revoke(ended) = &record.statement.decision else { return false };
        ended.member == departure.member.to_vec()
            && ended.decided == departure.decided.as_micros()
            && ended.effective == departure.effective.as_micros()
    })
}

fn shown(folder: &Folder, departure: &Departure, serials: &[Serial]) -> String {
    let name = folder.roster().member(departure.member).map(|member| member.organisation.name.clone());
    output::facts(&[
        ("leaves", name.unwrap_or_default()),
        ("member", departure.member.to_string()),
        ("decided", second(departure.decided)),
        ("from", format!("{} on", second(departure.effective))),
        ("certificates", serials.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ])
}

/// Where the member's word is kept, from the coalition's folder.
fn kept_at(departure: &Departure, signed: &Signed) -> String {
    format!("{DEPARTURES}/{}", kept::name(departure.member, signed))
}

/// Before anything is decided: the word is what the decision rests on.
fn keep(folder: &Folder, departure: &Departure, signed: &Signed) -> anyhow::Result<()> {
    kept::keep(&folder.dir().join(kept_at(departure, signed)), &armour::write_departure(signed))
}
