//! `belfry audit`: what an auditor asks, answered from files that anybody can verify again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use belfry_proto::{
    id::{MessageId, Serial},
    schema::{AcceptancePolicy, EntityClass},
    time::Timestamp,
    trust::{
        charter::CharterChain,
        file as armour,
        history::Membership,
        log::VerifiedRecord,
        names::Named as _,
        roster::{Accepted, Member, Roster, Standing},
        statement::Decision,
        words,
    },
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    args::{second, until},
    audit_decisions::Decisions,
    audit_equivocations::Equivocations,
    audit_log::{Calls, Verify},
    exit::refuse,
    global::{DataFolder, Global},
    out, output,
    own_log::AnyLog,
    requests,
};
use crate::{clock, keys::file::Readers};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Membership(MembershipAt),
    Decisions(Decisions),
    Rules(Rules),
    Message(Message),
    Equivocations(Equivocations),
    Log(Calls),
    Verify(Verify),
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Membership(membership) => membership.run(global),
            Self::Decisions(decisions) => decisions.run(global),
            Self::Rules(rules) => rules.run(global),
            Self::Message(message) => message.run(global),
            Self::Equivocations(proofs) => proofs.run(global),
            Self::Log(calls) => calls.run(global),
            Self::Verify(verify) => verify.run(global),
        }
    }
}

/// Show who was a member of a group at a moment, and which log entries prove it.
///
/// Works on the exported log alone, without any node or network; at a member's node it needs no file. Counts the decisions
/// that were made by then, by the date that the admins who signed gave them, in the log's order, under the charter issued by then.
/// Whoever runs it on the same log gets the same answer.
///
/// A decision rules at the nodes once the registrar has ordered it and the log has reached them, and no entry says when that was.
/// So an entry that comes later, of a decision made earlier, changes the answer for the time between: name the entry up to which
/// the log was read, as it is printed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit membership --group cidr --at 2026-11-30
  belfry audit membership --log log.pem --group cidr --at 2026-11-30")]
pub(super) struct MembershipAt {
    #[command(flatten)]
    log: AnyLog,
    /// The group, by slug
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// When: a day, meaning its last second (UTC), or an RFC 3339 time
    #[arg(long, value_name = "DATE", value_parser = until)]
    at: Timestamp,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl MembershipAt {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let roster = self.log.open(global)?;
        let then = roster.charters().until(self.at);
        let Some(group) = then.newest().group_by_slug(&self.group) else {
            let slugs: Vec<&str> = then.newest().groups().iter().map(|g| g.slug.as_str()).collect();
            refuse!("there was no group {:?} then: the charter had {}", self.group, slugs.join(", "))
        };
        let members = roster.members_at(group.id, self.at);
        let version = roster.version();
        let is_to_come = self.at > clock::now();
        let note = match is_to_come {
            true => format!(
                "{} is still to come: this is what the decisions made so far come to by then.\n",
                second(self.at)
            ),
            false => String::new(),
        };
        let head = format!(
            "{note}{} ({})\n{} in {} at {}, by the log up to entry {} ({}), charter {}\n{COUNTED}\n",
            output::visible(then.newest().name()),
            words::to_words(roster.coalition()).split(' ').take(4).collect::<Vec<_>>().join(" ") + " …",
            output::counted(members.len() as u64, "certificate", "certificates"),
            self.group,
            second(self.at),
            version.height,
            version.head,
            then.newest().version()
        );
        if self.json {
            return output::print_json(&json!({
                "coalition": roster.coalition(),
                "group": self.group,
                "at": self.at,
                "is_to_come": is_to_come,
                "charter": then.newest().version(),
                "log": version,
                "counted_by": "made",
                "members": members.iter().map(shown).collect::<Vec<Value>>(),
            }));
        }
        let rows: Vec<[String; 8]> = members
            .iter()
            .map(|m| {
                let entries: Vec<String> = m.entries.iter().map(ToString::to_string).collect();
                [
                    m.organisation.name.clone(),
                    m.role.name().to_owned(),
                    m.organisation.classes().map(EntityClass::name).collect::<Vec<_>>().join(", "),
                    second(m.since),
                    second(m.until),
                    m.serial.to_string(),
                    entries.join(", "),
                    m.member.to_string(),
                ]
            })
            .collect();
        let headings =
            ["organisation", "role", "classes", "since", "until", "serial", "log entries", "member"];
        Ok(output::print(&(head + &output::table(headings, &rows)))?)
    }
}

/// What such an answer is, and is not.
const COUNTED: &str = "Counted by the dates that admins gave their decisions. Nodes act on one once it is ordered and has reached \
                       them; entries ordered later may change this.";

fn shown(membership: &Membership) -> Value {
    json!({
        "member": membership.member,
        "organisation": membership.organisation.name,
        "kbo": membership.organisation.kbo,
        "lei": membership.organisation.lei,
        "classes": membership.organisation.classes().map(EntityClass::name).collect::<Vec<_>>(),
        "serial": membership.serial,
        "role": membership.role.name(),
        "since": membership.since,
        "until": membership.until,
        "entries": membership.entries,
    })
}

/// Show who accepted the arrangement and the rules of conduct, which versions, when, and which entries prove it.
///
/// Works on the exported log alone; at a member's node it needs no file. Every later acceptance is proven by an entry that
/// holds what the member signed. Of what came with a request the entry that issued its certificate names the versions; the
/// member's signature stands in the request, which the coalition keeps: --requests says whether it is there, and holds each
/// to the log. --at goes by the dates that admins gave their decisions, as `belfry audit membership` does.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry audit rules --log log.pem
  belfry audit rules --log log.pem --requests coalition/requests
  belfry audit rules --log log.pem --at 2026-12-31 --json")]
pub(super) struct Rules {
    #[command(flatten)]
    log: AnyLog,
    /// As of when: a day, meaning its last second (UTC), or an RFC 3339 time [default: now]
    #[arg(long, value_name = "DATE", value_parser = until)]
    at: Option<Timestamp>,
    /// Folder of requests (`requests` of the coalition's): is each enrolment's signature there?
    #[arg(long, value_name = "DIR")]
    requests: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rules {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let roster = self.log.open(global)?;
        let proofs = Proofs::of(&roster, self.requests.as_deref())?;
        let at = self.at.unwrap_or_else(clock::now);
        let then = roster.as_of(at);
        let charter = then.charter();
        let members: Vec<&Member> = then
            .members()
            .filter(|member| {
                member.serials.iter().any(|serial| then.standing(*serial, at) == Standing::Valid)
            })
            .collect();
        let version = roster.version();
        if self.json {
            let shown = |member: &&Member| {
                let all: Vec<Value> =
                    member.accepted.iter().map(|one| text_of(&roster, one, &proofs)).collect();
                json!({
                    "member": member.id,
                    "organisation": member.organisation.name,
                    "accepted_in_force": then.has_accepted(member.id, charter),
                    "consequence": then.overdue(member.id, charter, at).map(AcceptancePolicy::name),
                    "acceptances": all,
                })
            };
            return output::print_json(&json!({
                "coalition": roster.coalition(),
                "at": at,
                "charter": charter.version(),
                "arrangement": charter.arrangement().version,
                "rules_of_conduct": charter.rules().version,
                "accept_by": charter.accept_by(),
                "log": version,
                "members": members.iter().map(shown).collect::<Vec<Value>>(),
            }));
        }
        let accepted = members.iter().filter(|member| then.has_accepted(member.id, charter)).count();
        let by = charter.accept_by().map_or_else(
            || "no date".to_owned(),
            |by| format!("{}, else: {}", second(by), charter.unaccepted().name()),
        );
        let head = format!(
            "{}\nArrangement {}, rules of conduct {} (charter {}); to be accepted by: {by}\n{accepted} of {} have accepted \
             both at {}, by the log up to entry {} ({})\n",
            output::visible(charter.name()),
            output::visible(&charter.arrangement().version),
            output::visible(&charter.rules().version),
            charter.version(),
            output::counted(members.len() as u64, "member", "members"),
            second(at),
            version.height,
            version.head,
        );
        let mut rows: Vec<[String; 8]> = Vec::new();
        for member in members {
            let state = match (then.has_accepted(member.id, charter), then.overdue(member.id, charter, at)) {
                (true, _) => "yes".to_owned(),
                (false, None) => "not yet".to_owned(),
                (false, Some(policy)) => format!("no: {}", policy.name()),
            };
            for one in &member.accepted {
                let (arrangement, rules) = versions(roster.charters(), one);
                rows.push([
                    member.organisation.name.clone(),
                    state.clone(),
                    arrangement,
                    rules,
                    second(one.at),
                    one.serial.to_string(),
                    one.recorded.to_string(),
                    proofs.of_one(&roster, one).told(),
                ]);
            }
        }
        let headings = [
            "organisation",
            "in force",
            "arrangement",
            "rules of conduct",
            "accepted",
            "serial",
            "log entry",
            "signature",
        ];
        Ok(output::print(&(head + &output::table(headings, &rows)))?)
    }
}

/// When the requests that were found were signed, by the certificate each got; nothing if none were looked for.
struct Proofs(Option<BTreeMap<Serial, Timestamp>>);

/// Where what a member signed to accept texts is found.
enum Proof {
    /// In the log's entry itself.
    Entry,
    /// In a request, signed then.
    Request(Timestamp),
    /// In a request that is not in the folder.
    Missing,
    /// In a request, which was not looked for.
    NotLookedFor,
}

impl Proofs {
    fn of(roster: &Roster, folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else { return Ok(Self(None)) };
        let held = requests::in_folder(roster, folder)?;
        let of = |held: &requests::Held<'_>| Some((held.certificate?.serial, held.request.accepted));
        Ok(Self(Some(held.iter().filter_map(of).collect())))
    }

    fn of_one(&self, roster: &Roster, one: &Accepted) -> Proof {
        let is_entry = |record: &VerifiedRecord| {
            record.height == one.recorded && matches!(record.statement.decision, Decision::Accept(_))
        };
        if roster.records().any(is_entry) {
            return Proof::Entry;
        }
        match &self.0 {
            None => Proof::NotLookedFor,
            Some(found) => found.get(&one.serial).map_or(Proof::Missing, |at| Proof::Request(*at)),
        }
    }
}

impl Proof {
    fn told(&self) -> String {
        match self {
            Self::Entry => "in the entry".to_owned(),
            Self::Request(at) => format!("request of {}", second(*at)),
            Self::Missing => "request missing".to_owned(),
            Self::NotLookedFor => "in the request".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Entry => json!({ "in": "entry", "found": true }),
            Self::Request(at) => json!({ "in": "request", "found": true, "signed": at }),
            Self::Missing => json!({ "in": "request", "found": false }),
            Self::NotLookedFor => json!({ "in": "request", "found": null }),
        }
    }
}

/// What the charters call two accepted texts.
fn versions(charters: &CharterChain, accepted: &Accepted) -> (String, String) {
    let charter = charters.versions().filter(|charter| accepted.is_of(charter)).last();
    charter.map_or_else(
        || (hex::encode(&accepted.arrangement), hex::encode(&accepted.rules)),
        |charter| (charter.arrangement().version.clone(), charter.rules().version.clone()),
    )
}

fn text_of(roster: &Roster, accepted: &Accepted, proofs: &Proofs) -> Value {
    let (arrangement, rules) = versions(roster.charters(), accepted);
    json!({
        "arrangement": arrangement,
        "arrangement_hash": hex::encode(&accepted.arrangement),
        "rules_of_conduct": rules,
        "rules_hash": hex::encode(&accepted.rules),
        "accepted": accepted.at,
        "serial": accepted.serial,
        "entry": accepted.recorded,
        "signature": proofs.of_one(roster, accepted).json(),
    })
}

/// Export a message as it travelled, sealed, to show who wrote it and when.
///
/// The file holds the envelope, byte for byte, and no content: together with the exported log, `belfry verify` shows
/// whose certified key signed it, in which group, and where in its author's log.
#[derive(Debug, Args)]
pub(super) struct Message {
    /// Message id, 64 hex digits
    #[arg(value_name = "MESSAGE-ID")]
    message: MessageId,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

impl Message {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/api/v1/messages/{}/envelope", self.message);
        let answer = global.client(&self.data)?.get(&path)?;
        let text = answer.get("file").and_then(Value::as_str).context("the daemon's answer has no file")?;
        armour::read_message(text).context("the daemon's answer")?;
        out::create(&self.out, text.as_bytes(), Readers::All)?;
        let path = output::path(&self.out);
        Ok(output::print(&format!(
            "Wrote {path}. With the coalition's log, anybody can verify it:\n  belfry verify {path} --log log.pem\n"
        ))?)
    }
}
