//! `belfry coalition revoke | suspend | resume`: ends of membership, final or not.

use std::path::PathBuf;

use anyhow::anyhow;
use belfry_proto::{
    id::{LogId, MessageId, Sequence, Serial},
    schema::{CutPoint, RevocationReason},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        names::Named,
        roster::{CutStatus, Roster, Standing},
        statement::{Decision, Statement, Subject},
    },
};
use clap::Args;

use super::{
    CoalitionFolder, cut,
    decide::{Already, Decided, Deciders, certificate, dated, decide, decided_already, newest, propose},
    evidence::Evidence,
    folder::{Folder, keys_path},
    role_keys::RolePassphrases,
    waiting::Waits,
};
use crate::{
    cli::{
        args::{day, second},
        days::{Moment, stated},
        exit::{refuse, refused},
        output,
    },
    clock,
    query::member_named,
};

/// Revoke a certificate, or all that a member has.
///
/// Revokes for good: nodes hang up on it, and rotate their keys before they publish again.
///
/// The cut says what stays of the member's messages: those up to the listed ones. Everything else signed with that
/// key is hidden at every member, and without --cut that is everything. `belfry heads MEMBER`, on any member's node,
/// prints a cut at its last messages.
///
/// With --effective the member goes on until that moment; from then on every node refuses it, by itself. A departure
/// that is announced so keeps what the member published until then.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition revoke 7 --reason left --cut heads.txt
  belfry coalition revoke 7 --reason key-compromise
  belfry coalition revoke --member 'Example Bank' --reason key-compromise \\
      --cut heads.txt
  belfry coalition revoke 7 --reason left --decided-on 2026-11-20 \\
      --effective 2027-01-01T00:00:00+01:00")]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Why: left, key-compromise, ceased-operation, breach-of-rules, issued-in-error or other
    #[arg(long, value_name = "CODE", value_parser = <RevocationReason as Named>::parse)]
    reason: RevocationReason,
    /// When it takes effect: a time with its zone, as in 2026-12-31T23:59:59+01:00 [default: at once]
    #[arg(long, value_name = "TIME", value_parser = stated)]
    effective: Option<Moment>,
    #[command(flatten)]
    ending: Ending,
}

/// Suspend a certificate, or all that a member has: it admits to nothing until it is resumed.
///
/// The node is out until `belfry coalition resume`; its history starts anew then.
#[derive(Debug, Args)]
pub(in crate::cli) struct Suspend {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    ending: Ending,
}

/// Resume a suspended certificate, or all that are suspended of a member.
///
/// Its messages go into new logs from then on.
#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    deciding: Deciding,
}

/// One certificate, or a member's.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Option<Serial>,
    /// All certificates of this member that the decision concerns, in one go: by its name or id
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
}

/// What every decision that ends something takes.
#[derive(Debug, Args)]
struct Ending {
    /// Cut file: the last message of each log that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE")]
    cut: Option<PathBuf>,
    #[command(flatten)]
    deciding: Deciding,
}

/// What every decision takes.
#[derive(Debug, Args)]
pub(super) struct Deciding {
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    evidence: Evidence,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

pub(super) fn serial(text: &str) -> Result<Serial, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(Serial::new(number)),
        _ => Err(format!("{text:?} is not a serial: `belfry coalition roster` lists them")),
    }
}

impl Revoke {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = self.ending.cut()?;
        let what = format!("Revoke ({})", self.reason.name());
        let evidence = &self.ending.deciding.evidence;
        let (stated, named) = (self.effective.as_ref(), self.effective.as_ref().map(|stated| stated.at));
        let of_day = |on| stated.map_or(on, |stated| stated.decided(on));
        let (decided, decided_on) = (of_day(evidence.decided()), evidence.decided_on.map(of_day));
        let effective = named.unwrap_or_else(clock::now);
        let announced = effective > clock::now();
        if named.is_some_and(|effective| effective < decided) {
            refuse!(
                "it cannot take effect on {} when it was decided on {}: {}",
                second(effective),
                second(decided),
                match decided_on {
                    Some(_) =>
                        "name a later --effective, or as --decided-on the earlier day on which it was decided",
                    None => "set --decided-on to the day of the decision, or name a later --effective",
                }
            );
        }
        if announced && self.reason == RevocationReason::KeyCompromise {
            refuse!("a stolen key is revoked at once: leave out --effective");
        }
        let goes_in = self.ending.deciding.goes_in();
        self.ending.deciding.run_for(&self.which, &what, |folder, certificate| {
            // What is over already is no longer in, and what its cut keeps is not kept by a later end.
            let consequence = match announced && !folder.roster().was_over(certificate.serial) {
                true => format!(
                    "It stays in until {}; from then on every node refuses it. What it published until then stays{}.",
                    second(effective),
                    if cut.is_empty() { "" } else { " up to the cut" }
                ),
                false => consequence(folder.roster(), certificate.serial, &cut),
            };
            let mut revoke = belfry_proto::schema::Revoke {
                serial: certificate.serial.get(),
                member: certificate.member.to_vec(),
                reason: self.reason.into(),
                decided: decided.as_micros(),
                effective: effective.as_micros(),
                cut: cut.clone(),
            };
            if let Some(done) = done(folder, goes_in, &revoke, named, decided_on) {
                (revoke.decided, revoke.effective) = done;
            }
            Ok((Decision::Revoke(revoke), consequence))
        })
    }
}

impl Suspend {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = self.ending.cut()?;
        self.ending.deciding.run_for(&self.which, "Suspend", |folder, certificate| {
            let serial = certificate.serial;
            let suspend = belfry_proto::schema::Suspend { serial: serial.get(), cut: cut.clone() };
            Ok((Decision::Suspend(suspend), consequence(folder.roster(), serial, &cut)))
        })
    }
}

impl Resume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.deciding.run_for(&self.which, "Resume", |_, certificate| {
            let resume = belfry_proto::schema::Resume { serial: certificate.serial.get() };
            let consequence =
                "It is admitted again; what its groups shared before counts as older than its membership.";
            Ok((Decision::Resume(resume), consequence.to_owned()))
        })
    }
}

/// When a revocation that stands, or waits, was decided and takes effect, if it is the one that is `wanted`: for the same reason, with the
/// same cut, and with the dates that the command line names. Run again, it means that one; any other is decided anew.
fn done(
    folder: &Folder,
    goes_in: bool,
    wanted: &belfry_proto::schema::Revoke,
    effective: Option<Timestamp>,
    decided_on: Option<Timestamp>,
) -> Option<(u64, u64)> {
    let (newest, _) = newest(folder, goes_in, Subject::Certificate(Serial::new(wanted.serial)))?;
    let Decision::Revoke(done) = &newest.decision else { return None };
    let takes_effect = Timestamp::from_micros(done.effective);
    let is_same = done.reason == wanted.reason
        && done.cut == wanted.cut
        && decided_on.is_none_or(|decided| decided.as_micros() == done.decided)
        && effective.map_or(takes_effect <= clock::now(), |named| named == takes_effect);
    is_same.then_some((done.decided, done.effective))
}

/// What a cut does to the messages of a certificate, on top of the cuts it has: every one of them must let a
/// message stand.
fn consequence(roster: &Roster, serial: Serial, cut: &[CutPoint]) -> String {
    if cut.is_empty() {
        return "No cut: EVERY message this certificate ever signed will be hidden at every member.".into();
    }
    let standing = cut.iter().filter(|point| stands(roster, serial, point)).count();
    let logs = |n: usize| output::counted(u64::try_from(n).unwrap_or(u64::MAX), "log", "logs");
    let mut text = match standing {
        0 => "None of the listed messages will be shown".to_owned(),
        n => format!("Messages up to the cut of {} stay; everything else it signed is hidden", logs(n)),
    };
    let hidden = cut.len() - standing;
    if hidden == 0 {
        text.push('.');
    } else {
        text += &format!(
            ".\nAn earlier decision hides {} that this cut lists, and goes on to. To show them again, with the same file:\n  \
             belfry coalition extend-cut {serial} --cut FILE",
            logs(hidden)
        );
    }
    text
}

/// Whether the cuts a certificate has let a cut point stand, as far as an admin's machine can know: of a log that
/// was opened after a resumption they say nothing, and which those are stands in the messages.
fn stands(roster: &Roster, serial: Serial, point: &CutPoint) -> bool {
    let (Ok(log), Ok(message)) = (LogId::try_from(&*point.log), MessageId::try_from(&*point.message)) else {
        return false;
    };
    let newest = roster.version().height;
    roster.charter().groups().iter().all(|group| {
        let closure = roster.closure(serial, group.id, log);
        closure.status(newest, Timestamp::ZERO, Sequence::new(point.sequence), message) != CutStatus::Beyond
    })
}

impl Ending {
    fn cut(&self) -> anyhow::Result<Vec<CutPoint>> {
        cut::read(self.cut.as_deref())
    }
}

impl Deciding {
    /// Shows what would be signed, asks, signs; `state` gives the decision and what comes of it, or a refusal.
    pub(super) fn run(
        self,
        serial: Serial,
        what: &str,
        state: impl Fn(&Folder, &Certificate) -> anyhow::Result<(Decision, String)>,
    ) -> anyhow::Result<()> {
        self.run_for(&Which { serial: Some(serial), member: None }, what, state)
    }

    /// The same of one certificate or of all of a member's, asked about once.
    fn run_for(
        self,
        which: &Which,
        what: &str,
        state: impl Fn(&Folder, &Certificate) -> anyhow::Result<(Decision, String)>,
    ) -> anyhow::Result<()> {
        self.evidence.check()?;
        let folder = self.open()?;
        let again = self.folder.again();
        let goes_in = self.goes_in();
        let stated = |certificate: Certificate| {
            let (decision, consequence) = state(&folder, &certificate)?;
            Stated::of(&folder, goes_in, certificate, decision, consequence)
        };
        let all = match (which.serial, &which.member) {
            (Some(serial), _) => vec![stated(certificate(&folder, serial, &again)?)?],
            (None, Some(name)) => concerned(&folder, name, &again, stated)?,
            (None, None) => Vec::new(),
        };
        // Where others are left to decide, what is signed already holds none of them back.
        let is_all = all.iter().all(|stated| stated.already.is_some());
        for (statement, already) in all.iter().filter_map(|stated| stated.already.as_ref()) {
            match self.evidence.check_kept(&folder, statement, already.file()) {
                Err(error) if is_all => return Err(error),
                Err(error) => output::warn(&format!("{error:#}")),
                Ok(()) => {}
            }
        }
        self.decide_all(folder, what, all, |_| Ok(()))
    }

    /// Whether the registrar's key is here: what one admin may decide is in the log at once.
    pub(super) fn goes_in(&self) -> bool {
        self.passphrases.has_registrar(&keys_path(&self.folder.dir))
    }

    /// The folder, for a decision that rests on a file.
    pub(super) fn open(&self) -> anyhow::Result<Folder> {
        self.folder.open()
    }

    /// The same with what the coalition can show for it.
    pub(super) fn with_evidence(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }

    /// Shows a decision about a certificate's member and what comes of it, asks, keeps what it rests on, signs.
    pub(super) fn decide(
        self,
        folder: Folder,
        certificate: &Certificate,
        what: &str,
        (decision, consequence): (Decision, String),
        keep: impl FnOnce(&Folder) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.evidence.check()?;
        let goes_in = self.goes_in();
        let stated = Stated::of(&folder, goes_in, certificate.clone(), decision, consequence)?;
        self.decide_all(folder, what, vec![stated], keep)
    }

    fn decide_all(
        self,
        mut folder: Folder,
        what: &str,
        all: Vec<Stated>,
        keep: impl FnOnce(&Folder) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (said, all): (Vec<_>, Vec<_>) = all.into_iter().partition(|stated| stated.already.is_some());
        let again = self.folder.again();
        if all.is_empty() {
            return said_already(
                said.into_iter().filter_map(|one| one.already),
                &again,
                &self.folder.bring(),
            );
        }
        for one in said {
            let serial = one.certificate.serial;
            match one.already {
                Some((statement, Already::Entry(entry))) => output::print(&format!(
                    "Of certificate {serial} entry {entry} of the admin log says so already ({}).\n",
                    dated(&statement)
                ))?,
                Some((statement, Already::Waits(waits))) => output::print(&format!(
                    "Of certificate {serial} it is signed already ({}), and waits. {}",
                    dated(&statement),
                    waits.told(&again)
                ))?,
                None => {}
            }
        }
        for Stated { certificate, consequence, .. } in &all {
            output::print(&format!(
                "{what} certificate {} of {} (member {}, valid until {}).\n{consequence}\n",
                certificate.serial,
                output::visible(&certificate.organisation.name),
                certificate.member,
                day(certificate.not_after)
            ))?;
        }
        if !self.yes {
            output::confirm("Sign this?", "--yes", "nothing was signed")?;
        }
        let keys = Deciders::open(&folder, &self.passphrases)?;
        keep(&folder)?;
        let (mut is_ordered, mut waiting) = (false, None::<Waits>);
        for Stated { certificate, decision, .. } in all {
            match decide(&mut folder, certificate.member, decision, &keys, &self.evidence)? {
                Decided::Ordered(entry) => {
                    is_ordered = true;
                    output::print(&format!("Entry {entry} of the admin log says so.\n"))?;
                }
                Decided::Waiting(waits) => {
                    let path = waits.paths.last().map(|path| output::path(path)).unwrap_or_default();
                    output::print(&format!("Signed, and not in the log yet: {path}\n"))?;
                    waiting = Some(match waiting {
                        Some(earlier) => earlier.and(waits),
                        None => waits,
                    });
                }
            }
        }
        // All of them in one go: each may build on the one before.
        if let Some(waits) = waiting {
            output::print(&waits.told(&again))?;
        }
        if is_ordered {
            output::print(&format!("Bring the log to the members:\n{}", self.folder.bring()))?;
        }
        Ok(())
    }
}

/// A decision about a certificate, and what comes of it.
struct Stated {
    certificate: Certificate,
    decision: Decision,
    consequence: String,
    /// The statement that says it already, and where that is.
    already: Option<(Statement, Already)>,
}

/// Says of decisions that all of them are signed already, and what is left to do about them.
fn said_already(
    all: impl Iterator<Item = (Statement, Already)>,
    again: &str,
    bring: &str,
) -> anyhow::Result<()> {
    let (mut entries, mut waiting) = (Vec::new(), None::<Waits>);
    let (mut of_entries, mut of_waiting) = (Vec::new(), Vec::new());
    for (statement, one) in all {
        match (one, waiting.take()) {
            (Already::Entry(entry), earlier) => {
                entries.push(entry.to_string());
                of_entries.push(dated(&statement));
                waiting = earlier;
            }
            (Already::Waits(waits), earlier) => {
                of_waiting.push(dated(&statement));
                waiting = Some(match earlier {
                    Some(earlier) => earlier.and(waits),
                    None => waits,
                });
            }
        }
    }
    if !entries.is_empty() {
        output::print(&format!(
            "Entry {} of the admin log says so already; nothing is signed. It was {}. Bring the log to the members:\n{bring}",
            entries.join(", "),
            of_entries.join("; ")
        ))?;
    }
    if let Some(waits) = waiting {
        output::print(&format!(
            "It is signed already, and waits; nothing is signed again. It was {}. {}",
            of_waiting.join("; "),
            waits.told(again)
        ))?;
    }
    Ok(())
}

impl Stated {
    /// What the log would not take is refused before anybody is asked anything.
    fn of(
        folder: &Folder,
        goes_in: bool,
        certificate: Certificate,
        decision: Decision,
        consequence: String,
    ) -> anyhow::Result<Self> {
        let already = decided_already(folder, goes_in, &certificate, &decision)
            .map(|(statement, place)| (statement.clone(), place));
        if already.is_none() {
            propose(folder, goes_in, certificate.member, decision.clone())?;
        }
        Ok(Self { certificate, decision, consequence, already })
    }
}

/// What is to be decided of each certificate of a member that is not over. One that the log would not take it of (a departure
/// that is announced cannot be suspended) is named and stays as it is; if that is all of them, it is refused.
fn concerned(
    folder: &Folder,
    name: &str,
    again: &str,
    stated: impl Fn(Certificate) -> anyhow::Result<Stated>,
) -> anyhow::Result<Vec<Stated>> {
    let roster = folder.roster();
    let member = member_named(roster, name).map_err(|error| {
        refused(anyhow!("{error}: `belfry coalition roster{again}` lists the members there are"))
    })?;
    let is_over = |certificate: &&Certificate| {
        let standing = roster.standing(certificate.serial, clock::now());
        matches!(standing, Standing::Revoked | Standing::Superseded)
    };
    let (mut all, mut left) = (Vec::new(), Vec::new());
    for certificate in roster.certificates().filter(|c| c.member == member && !is_over(c)) {
        match stated(certificate.clone()) {
            Ok(stated) => all.push(stated),
            Err(error) => left.push((certificate.serial, error)),
        }
    }
    match (all.is_empty(), left.pop()) {
        (true, Some((serial, error))) => return Err(error.context(format!("certificate {serial}"))),
        (true, None) => refuse!(
            "every certificate of member {member} has ended already: nothing is left to decide, `belfry coalition \
             roster{again}` shows them"
        ),
        (false, last) => left.extend(last),
    }
    for (serial, error) in left {
        output::warn(&format!("certificate {serial} stays as it is: {error:#}"));
    }
    Ok(all)
}
