//! `belfry verify`: any of belfry's files, verified from the charter on, without a node.

mod coalition_word;
mod own_word;
mod recorded;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use belfry_proto::{
    crypto::hash,
    envelope::{self, Admission, AdmitError, Content, Origin},
    id::{CoalitionId, RosterVersion},
    schema,
    time::Timestamp,
    trust::{
        amendment_request::AmendmentRequest,
        charter::CharterChain,
        charter_proposal::Proposal,
        cut::CutStatus,
        departure::Departure,
        equivocation::Equivocation,
        file::{self as armour, FileKind},
        roster::{Roster, Standing},
        words,
    },
};
use clap::Args;

use super::{
    args::{self, day, second},
    decision::described,
    documents,
    exit::{refuse, refused},
    output, requests,
};
use crate::{
    clock,
    keys::{
        enrolment::{fold, read},
        file,
    },
};

/// Which coalition the log must be of. A log vouches for itself; that it is *the* coalition's, only its words tell.
#[derive(Debug, Args)]
pub(super) struct Pin {
    /// Refuse any other coalition: its id in hex, or its words in quotes
    #[arg(long, value_name = "ID|WORDS", value_parser = args::coalition)]
    coalition: Option<CoalitionId>,
}

impl Pin {
    /// Refuses any other than the one named.
    pub(super) fn check(&self, found: CoalitionId) -> anyhow::Result<()> {
        if self.coalition.is_some_and(|expected| expected != found) {
            refuse!(
                "it is of coalition {found} ({}), not of the one you named: ask whoever gave it for the file of yours, or compare the \
                 words you have with those the coalition told you another way",
                words::to_words(found)
            );
        }
        Ok(())
    }
}

/// A log file, verified and folded: every charter, every entry, every signature.
pub(super) fn roster(path: &Path) -> anyhow::Result<Roster> {
    fold(&read(path, armour::read_log)?).map_err(refused).with_context(|| path.display().to_string())
}

/// Verify a file: charter, log, certificate, request, statement, beacon, acceptance, departure, amendment request,
/// proof of equivocation, exported message, decision record, or a text the charter names.
///
/// Says what the file is and who vouches for it; exit code 0 only if everything holds. A request is held to the certificate that
/// its keys have, too. Whatever is held to the log
/// (certificates, requests, statements, beacons, messages, decision records, arrangement and rules) needs it by --log. Compare the coalition's words, or give them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry verify log.pem
  belfry verify message.pem --log log.pem --coalition 'WORDS'
  belfry verify documents/arrangement.md --log log.pem
  belfry verify MEMBER.record.json --log log.pem")]
pub(super) struct Verify {
    /// File to verify
    file: PathBuf,
    /// Log, as `belfry coalition export` writes it
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    pin: Pin,
}

type Facts = Vec<(&'static str, String)>;

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = file::read_text(&self.file)?;
        let name = || self.file.display().to_string();
        let Some(kind) = armour::kind_of(&text) else {
            if self.log.is_some() {
                return self.unarmoured(&text).with_context(name);
            }
            return Err(anyhow::Error::from(armour::FileError::NotArmoured { expected: "BELFRY …" }))
                .with_context(name);
        };
        let (coalition, facts) = self.verified(kind, &text).with_context(name)?;
        self.pin.check(coalition)?;
        let words = words::to_words(coalition);
        let mut all = vec![
            ("holds", kind.label().to_owned()),
            ("coalition", coalition.to_string()),
            ("as words", words),
        ];
        all.extend(facts);
        Ok(output::print(&output::facts(&all))?)
    }

    fn verified(&self, kind: FileKind, text: &str) -> anyhow::Result<(CoalitionId, Facts)> {
        let now = clock::now();
        Ok(match kind {
            FileKind::Charter => {
                let chain = CharterChain::walk(armour::read_charter(text)?.charters).map_err(refused)?;
                (chain.coalition(), charters(&chain, now))
            }
            FileKind::CharterProposal => {
                let proposal = Proposal::open(armour::read_proposal(text)?).map_err(refused)?;
                (proposal.charter().coalition(), coalition_word::proposed(&proposal)?)
            }
            FileKind::Log => {
                let roster = fold(&armour::read_log(text)?).map_err(refused)?;
                (roster.coalition(), log(&roster, now))
            }
            FileKind::Certificate => {
                let roster = self.held()?;
                (
                    roster.coalition(),
                    coalition_word::certified(&roster, &armour::read_certificate(text)?, now)?,
                )
            }
            FileKind::CertificateRequest => {
                let roster = self.held()?;
                (roster.coalition(), asked(&roster, &armour::read_request(text)?)?)
            }
            FileKind::Statement => {
                let roster = self.held()?;
                (roster.coalition(), coalition_word::decided(&roster, &armour::read_statement(text)?)?)
            }
            FileKind::Beacon => {
                let roster = self.held()?;
                (roster.coalition(), coalition_word::vouched(&roster, &armour::read_beacon(text)?, now)?)
            }
            FileKind::Acceptance => {
                let roster = self.held()?;
                (roster.coalition(), own_word::accepted(&roster, &armour::read_acceptance(text)?)?)
            }
            FileKind::Departure => {
                let roster = self.held()?;
                let departure =
                    Departure::open_past(&armour::read_departure(text)?, &roster).map_err(refused)?;
                (roster.coalition(), own_word::departed(&roster, &departure))
            }
            FileKind::AmendmentRequest => {
                let roster = self.held()?;
                let signed = armour::read_amendment_request(text)?;
                let request = AmendmentRequest::open_past(&signed, &roster).map_err(refused)?;
                (roster.coalition(), own_word::asked(&roster, &request))
            }
            FileKind::Equivocation => {
                let proof = Equivocation::open(armour::read_equivocation(text)?).map_err(refused)?;
                let here = self.log.as_deref().map(roster).transpose()?;
                (proof.charters.coalition(), signed_twice(&proof, here.as_ref())?)
            }
            FileKind::Message => {
                let roster = self.held()?;
                (roster.coalition(), message(&roster, &armour::read_message(text)?)?)
            }
        })
    }

    /// A text without armour may be what is kept of decisions, or one that a charter names.
    fn unarmoured(&self, text: &str) -> anyhow::Result<()> {
        let roster = self.held()?;
        self.pin.check(roster.coalition())?;
        let Some(mut facts) = recorded::recorded(&roster, text)? else {
            return document(&roster, text.as_bytes());
        };
        facts.insert(1, ("coalition", roster.coalition().to_string()));
        Ok(output::print(&output::facts(&facts))?)
    }

    fn held(&self) -> anyhow::Result<Roster> {
        let Some(path) = &self.log else {
            refuse!(
                "this kind of file is held to the coalition's log: give it by --log FILE (`belfry coalition export`)"
            )
        };
        roster(path)
    }
}

/// A text that a charter of the log names.
fn document(roster: &Roster, text: &[u8]) -> anyhow::Result<()> {
    let hash = hash::document(text);
    let named = roster.charters().versions().flat_map(|charter| {
        let both = [("arrangement", charter.arrangement()), ("rules of conduct", charter.rules())];
        both.map(|(what, document)| (charter.version(), what, document))
    });
    let Some((version, what, document)) =
        named.filter(|(.., document)| document.hash == hash.as_slice()).last()
    else {
        refuse!(
            "it is no file of belfry's, no decision record, and not the text of an arrangement or of rules of conduct that a \
             charter in the log names: get it again, byte for byte, from whoever keeps it, or take a newer log (`belfry export-log`)"
        )
    };
    let facts = [
        ("holds", format!("the text of the {what}, version {}", document.version)),
        ("coalition", roster.coalition().to_string()),
        ("named by", format!("charter version {version}")),
        ("hash", hex::encode(hash)),
        ("sha256", documents::sha256(text)),
    ];
    Ok(output::print(&output::facts(&facts))?)
}

fn charters(chain: &CharterChain, now: Timestamp) -> Facts {
    let newest = chain.newest();
    let until = match newest.is_expired_at(now) {
        true => format!("{}: it is over", day(newest.expires())),
        false => day(newest.expires()),
    };
    vec![
        ("name", newest.name().to_owned()),
        (
            "versions",
            match newest.version() {
                1 => "1, signed by its root keys".to_owned(),
                more => format!("1 to {more}, each signed by its root keys and those before"),
            },
        ),
        ("in force until", until),
    ]
}

fn log(roster: &Roster, now: Timestamp) -> Facts {
    let mut facts = charters(roster.charters(), now);
    let version = roster.version();
    facts.push(("head", format!("entry {} ({})", version.height, version.head)));
    let is_valid = |serial| roster.standing(serial, now) == Standing::Valid;
    let members = roster.members().filter(|member| member.serials.iter().any(|serial| is_valid(*serial)));
    facts.push((
        "members",
        format!("{} with a valid certificate, {} ever", members.count(), roster.members().count()),
    ));
    let announced = roster.certificates().filter_map(|c| Some((c, roster.announced_end(c.serial, now)?)));
    facts.extend(announced.map(|(certificate, end)| {
        let name = &certificate.organisation.name;
        (
            "to end",
            format!("certificate {} of {name}, on {}, as was decided", certificate.serial, second(end)),
        )
    }));
    facts.extend(
        roster.voids().iter().map(|void| ("void", format!("entry {}: {}", void.height, void.reason))),
    );
    facts
}

/// Who asked for a certificate and accepted which texts for it, and which one was issued.
fn asked(roster: &Roster, signed: &schema::Signed) -> anyhow::Result<Facts> {
    let requests::Held { request, certificate, charter } = requests::held(roster, signed)?;
    let issued = certificate.map_or_else(
        || "none in this log".to_owned(),
        |c| format!("{}, issued by entry {0} of the log to these keys", c.serial),
    );
    let whose = if certificate.is_some() { "as it asked for" } else { "its own word" };
    Ok(vec![
        ("organisation", format!("{} ({whose})", request.organisation.name)),
        ("accepted", second(request.accepted)),
        ("arrangement", charter.arrangement().version.clone()),
        ("rules of conduct", charter.rules().version.clone()),
        ("certificate", issued),
    ])
}

/// What the registrar signed for one height, and which of it stands in the log that was given.
fn signed_twice(proof: &Equivocation, here: Option<&Roster>) -> anyhow::Result<Facts> {
    if here.is_some_and(|roster| roster.coalition() != proof.charters.coalition()) {
        refuse!(
            "it is of coalition {}, and the log of another: give that coalition's log, or none (--log)",
            proof.charters.coalition()
        );
    }
    let named: Vec<String> = proof
        .charters
        .versions()
        .filter(|charter| charter.registrar() == proof.registrar)
        .map(|charter| charter.version().to_string())
        .collect();
    let mut facts = vec![
        ("proves", format!("the registrar signed two entries for height {}", proof.height())),
        ("signed both", format!("{}, of charter version {}", proof.registrar, named.join(", "))),
    ];
    for (what, record) in ["one entry", "another entry"].into_iter().zip(&proof.records) {
        let (action, about) = described(&proof.charters, here, &record.statement);
        let stands = here.map_or("", |roster| {
            let position = RosterVersion { height: record.height, head: record.entry_id };
            if roster.is_prefix(position) { "; it stands in the log" } else { "; it is not in the log" }
        });
        let made = second(record.statement.made);
        facts.push((what, format!("{}: {action}, {about}, made {made}{stands}", record.entry_id)));
    }
    if let Some(version) = proof.settled_by() {
        facts.push(("settled", format!("charter version {version} pins the log that stands")));
    }
    Ok(facts)
}

/// Whose key signed a message, and whether the admin log lets it stand.
fn message(roster: &Roster, bytes: &[u8]) -> anyhow::Result<Facts> {
    let decoded = envelope::decode(bytes).map_err(refused)?;
    let verified = decoded.attribute(roster).map_err(refused)?.verify().map_err(refused)?;
    let header = verified.header();
    let Some(certificate) = roster.certificate(header.serial) else {
        refuse!("the log has no certificate {}: take a newer one (`belfry export-log`)", header.serial)
    };
    let closure = roster.closure(header.serial, header.group, header.log);
    let id = verified.message_id();
    // What passes with time was waited for long ago.
    let admission = Admission { origin: Origin::Sync, now: header.created, skew: Duration::ZERO };
    let stands = match verified.clone().admit(roster, admission) {
        Err(AdmitError::Never(why)) => format!("no: {why}, so it belongs into no log"),
        _ => match closure.status(header.roster.height, header.created, header.sequence, id) {
            CutStatus::Open => "yes: its author's log is open",
            CutStatus::At => "yes: it is the last message of a cut",
            CutStatus::BelowHeight => "below a cut: yes, if the cut's message links back to it",
            CutStatus::Beyond => "no: it lies beyond a cut, and every node hides it",
        }
        .to_owned(),
    };
    let slug = roster.charters().versions().filter_map(|c| c.group(header.group)).last();
    let slug = slug.map_or_else(|| header.group.to_string(), |group| group.slug.clone());
    let content = match &header.content {
        Content::Data(_) => "data, sealed",
        Content::Withdrawal(_) => "a withdrawal",
    };
    Ok(vec![
        ("message", id.to_string()),
        ("content", content.to_owned()),
        ("signed by", certificate.organisation.name.clone()),
        ("member", certificate.member.to_string()),
        ("certificate", format!("{}, issued by entry {0} of the log", header.serial)),
        ("group", slug),
        ("written", format!("{} (its author's clock)", second(header.created))),
        ("place", format!("log {}, message {}", header.log, header.sequence)),
        ("admin log then", header.roster.to_string()),
        ("stands", stands),
    ])
}
