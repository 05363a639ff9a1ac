//! `belfry coalition issue`: show the request, ask, sign, append, hand out.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{
    id::{MemberId, Serial, StatementId},
    schema::{self, CertificateBody, GroupRole, Role, Validity},
    time::Timestamp,
    trust::{
        certificate::{self, Certificate},
        charter::Charter,
        file as armour,
        names::Named,
        request::{self, Request},
        roster::Standing,
        statement::{Decision, Subject},
    },
};
use clap::Args;

use super::{
    CoalitionFolder, cut,
    decide::{Already, Decided, Deciders, certificate as held, decide, newest, propose},
    evidence::Evidence,
    folder::Folder,
    mend::mended_at,
    requests,
    revoke::serial,
    role_keys::RolePassphrases,
    shown::{listed, shown},
    waiting::{Waiting, certificate_for, is_of},
};
use crate::{
    cli::{
        args::{GroupArg, day, moment, roles, second, still_to_come},
        exit::refuse,
        numbers::{NumberRule, Numbers},
        organisation::changes,
        out, output,
    },
    clock,
    keys::enrolment::read,
    query::{alike as alike_names, candidate},
};

/// Issue a certificate for a member's request.
///
/// Shows who asks for what, asks, then signs the statement, appends it to the log and writes the certificate. The request is
/// kept in requests: in it the member signed that it accepts arrangement and rules.
///
/// Asked again for a request that was issued already (a run was interrupted, the file was lost), it writes the same
/// certificate again and appends nothing; asked for other terms, or with another decision record, it refuses.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition issue bank.request.pem \\
      --groups cidr,cloud-security --role publisher --until 2027-11-30
  belfry coalition issue cert.request.pem \\
      --groups cidr:steward,awareness:reader --until 2027-11-30
  belfry coalition issue carrier.request.pem --carrier --until 2027-11-30")]
pub(in crate::cli) struct Issue {
    /// Request file of the member
    request: PathBuf,
    /// Groups to admit to, by slug, each with a role of its own where needed (cidr:steward) [default: those asked for]
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    groups: Vec<GroupArg>,
    /// Role in the groups that name none: reader, publisher or steward
    #[arg(long, value_parser = <Role as Named>::parse, default_value = "publisher")]
    role: Role,
    /// The node forwards and stores every group's messages, opens none, and never gets a key
    #[arg(long, conflicts_with_all = ["groups", "role"])]
    carrier: bool,
    /// Last day, or RFC 3339 time, of validity
    #[arg(long, value_name = "DATE", value_parser = still_to_come)]
    until: Timestamp,
    /// Put it in the place of this certificate of the same member: new keys, and changed data where there are any
    #[arg(long, value_name = "SERIAL", value_parser = serial)]
    replaces: Option<Serial>,
    /// With --replaces: the last message of each log of the old key that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE", requires = "replaces")]
    cut: Option<PathBuf>,
    /// Member since this day, where it took part before belfry did: the coalition's own word, and marked as such
    #[arg(long, value_name = "DATE", value_parser = moment)]
    member_since: Option<Timestamp>,
    #[command(flatten)]
    rule: NumberRule,
    #[command(flatten)]
    evidence: Evidence,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Write the certificate here [default: certificates/SERIAL.pem in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

impl Issue {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let evidence = Evidence { member_since: self.member_since, ..self.evidence.clone() };
        evidence.check()?;
        let numbers = self.rule.read()?;
        let mut folder = self.folder.open()?;
        if let Some(out) = &self.out {
            out::may_replace(out, Some(armour::FileKind::Certificate))?;
        }
        let charter = folder.roster().charter().clone();
        let name = self.request.display().to_string();
        let signed = read(&self.request, armour::read_request)?;
        let request = request::open(&signed, &charter)
            .map_err(|error| mended_at(&folder.again(), error))
            .with_context(|| name)?;

        if let Some(done) = folder.roster().by_node(&request.node) {
            self.written_again(&folder, done, &request, &evidence)?;
            return requests::keep_late(&folder, request.signing, &signed);
        }
        if let Some((waiting, body)) = certificate_for(&folder, request.node.as_bytes()) {
            return self.waits_already(&folder, (waiting, body), &request, &evidence);
        }

        // What is not decided on the command line is as asked for.
        let carrier = self.carrier || self.groups.is_empty() && request.carrier;
        let groups =
            if carrier && self.groups.is_empty() { Vec::new() } else { self.groups(&charter, &request)? };
        let member = match (self.replaces, request.member) {
            (Some(serial), claimed) => self.replaced(&folder, serial, claimed)?,
            (None, Some(member)) => known_member(&folder, member, &request)?,
            (None, None) => MemberId::new(rand::random()),
        };
        let validity = Validity { not_before: clock::now().as_micros(), not_after: self.until.as_micros() };
        let body = CertificateBody { groups, carrier, ..request.to_certificate(member, validity, &charter) };
        certificate::check(&body, &charter, Serial::new(0), StatementId::ZERO)
            .map_err(|error| mended_at(&folder.again(), error))?;
        let decision = self.decision(body.clone())?;
        propose(&folder, self.passphrases.has_registrar(&folder.keys()), member, decision.clone())?;

        output::print(&shown(folder.roster(), &request, &body))?;
        self.warn(&folder, &request, &numbers);
        if !self.yes {
            output::confirm("Issue this certificate?", "--yes", "nothing was signed")?;
        }
        let keys = Deciders::open(&folder, &self.passphrases)?;
        requests::keep(&folder, request.signing, &signed)?;
        let organisation = output::visible(&request.organisation.name);
        let told = match decide(&mut folder, member, decision, &keys, &evidence)? {
            Decided::Ordered(serial) => {
                let path = folder.write_certificate(serial, self.out.as_deref())?;
                format!(
                    "Issued certificate {serial} to {organisation}, member {member}.\nGive the member {}, and the log:\n  {}\n",
                    output::path(&path),
                    self.folder.export()
                )
            }
            Decided::Waiting(waits) => {
                if let Some(out) = &self.out {
                    output::warn(&format!(
                        "{} is not written yet: there is a certificate once the registrar has ordered the decision, and \
                         `belfry coalition order` writes it, there.",
                        out.display()
                    ));
                }
                format!(
                    "A certificate for {organisation} is signed, and not in the log yet: {}",
                    waits.told(&self.folder.again())
                )
            }
        };
        Ok(output::print(&told)?)
    }

    /// Issue, or supersede with what stays of the old key's messages.
    fn decision(&self, body: CertificateBody) -> anyhow::Result<Decision> {
        let certificate = Some(body);
        let Some(serial) = self.replaces else {
            return Ok(Decision::Issue(schema::Issue { certificate }));
        };
        let cut = cut::read(self.cut.as_deref())?;
        Ok(Decision::Supersede(schema::Supersede { serial: serial.get(), certificate, cut }))
    }

    /// The member whose certificate is replaced; its data may differ, its id not.
    fn replaced(
        &self,
        folder: &Folder,
        serial: Serial,
        claimed: Option<MemberId>,
    ) -> anyhow::Result<MemberId> {
        let old = held(folder, serial, &self.folder.again())?;
        if claimed.is_some_and(|member| member != old.member) {
            refuse!(
                "the request is of another member than certificate {serial}, which is of {:?}: name one of that member's \
                 with --replaces, or leave it out",
                old.organisation.name
            );
        }
        if self.cut.is_none() {
            output::warn(&format!(
                "no --cut: every message that certificate {serial} signed will be hidden at every member. `belfry heads` \
                 prints a cut at its last messages."
            ));
        }
        Ok(old.member)
    }

    fn groups(&self, charter: &Charter, request: &Request) -> anyhow::Result<Vec<GroupRole>> {
        match self.groups.is_empty() {
            true => Ok(request.groups.clone()),
            false => roles(&self.groups, self.role, charter),
        }
    }

    /// A request that has its certificate gets that one again, or, if something else is wanted, a refusal.
    fn written_again(
        &self,
        folder: &Folder,
        done: &Certificate,
        request: &Request,
        evidence: &Evidence,
    ) -> anyhow::Result<()> {
        let serial = done.serial;
        if done.signing != request.signing || done.kem != request.kem {
            refuse!(
                "certificate {serial} has this node key with other keys beside it: the member must enrol anew"
            );
        }
        let standing = folder.roster().standing(serial, clock::now());
        if matches!(standing, Standing::Revoked | Standing::Superseded) {
            refuse!(
                "certificate {serial} of this request is {}: the member must enrol in a new data folder and send \
                 that request",
                standing.as_str()
            );
        }
        let others = self.other_terms(folder.roster().charter(), done)?;
        if !others.is_empty() {
            refuse!(
                "this request has certificate {serial} already, {}; issuing again changes no terms. A later \
                 end is `belfry coalition renew {serial}`, more groups are `entitle {serial}`, other data `amend {serial}`. For \
                 anything else the member \
                 enrols in a new data folder (`belfry enroll --member {} --dir NEW …`), and you issue that request with \
                 --replaces {serial} and a cut",
                others.join(", "),
                done.member
            );
        }
        let mut records = folder.roster().records();
        if let Some(issued) = records.find(|record| record.height.get() == serial.get()) {
            evidence.check_kept(folder, &issued.statement, None)?;
        }
        let valid_until = day(done.not_after);
        let path = folder.write_certificate(serial, self.out.as_deref())?;
        output::print(&format!(
            "This request has certificate {serial} already, valid until {valid_until}; nothing is signed.\n\
             Wrote it again: {}\n",
            output::path(&path)
        ))?;
        Ok(())
    }

    /// A request on which it is decided already, in a file that waits: a second certificate for it would never go in.
    fn waits_already(
        &self,
        folder: &Folder,
        (waiting, body): (&Waiting, &CertificateBody),
        request: &Request,
        evidence: &Evidence,
    ) -> anyhow::Result<()> {
        let charter = folder.roster().charter();
        let waits = certificate::check(body, charter, Serial::new(0), waiting.statement.id)
            .map_err(|error| mended_at(&folder.again(), error))?;
        let mut others = self.other_terms(charter, &waits)?;
        if waits.signing != request.signing || waits.kem != request.kem {
            others.push("for other keys beside this node's".to_owned());
        }
        let named = match self.replaces {
            Some(serial) => folder.roster().certificate(serial).map(|old| old.member),
            None => request.member,
        };
        if !is_of(folder.roster(), body, named) {
            others.push(format!("of another member ({})", waits.member));
        }
        if waits.organisation != request.organisation {
            let asked = changes(&[(None, &waits.organisation)], &request.organisation);
            let asked: Vec<String> = asked.iter().map(|(what, change)| format!("{what} {change}")).collect();
            others.push(format!("of an organisation that differs ({})", asked.join("; ")));
        }
        let replaced = match &waiting.statement.decision {
            Decision::Supersede(supersede) => Some(Serial::new(supersede.serial)),
            _ => None,
        };
        if replaced != self.replaces {
            others.push(match replaced {
                Some(serial) => format!("in the place of certificate {serial}"),
                None => "in the place of none".to_owned(),
            });
        }
        let path = output::path(&waiting.path);
        if !others.is_empty() {
            refuse!(
                "a certificate for this request is signed already, {}, and waits in {path}: have that one signed and ordered, or \
                 delete that file and issue again",
                others.join(", ")
            );
        }
        evidence.check_kept(folder, &waiting.statement, Some(&waiting.path))?;
        let about = match replaced {
            Some(serial) => Subject::Certificate(serial),
            None => Subject::Member(waits.member),
        };
        let left = match newest(folder, false, about) {
            Some((_, Already::Waits(waits))) => waits.told(&self.folder.again()),
            Some((_, Already::Entry(_))) | None => String::new(),
        };
        Ok(output::print(&format!(
            "A certificate for this request is signed already, and waits in {path}; nothing is signed again. {left}"
        ))?)
    }

    /// Where the command line says otherwise than a certificate.
    fn other_terms(&self, charter: &Charter, done: &Certificate) -> anyhow::Result<Vec<String>> {
        let mut others = Vec::new();
        if self.until != done.not_after {
            others.push(format!("valid until {} and not {}", second(done.not_after), second(self.until)));
        }
        let has = || listed(charter, done.groups.iter().map(|(group, role)| (*group, *role)), done.carrier);
        if self.carrier && !done.carrier {
            others.push(format!("for {} and not for a carrier", has()));
        }
        if !self.groups.is_empty() {
            let wanted = certificate::check_groups(
                &roles(&self.groups, self.role, charter)?,
                &done.organisation,
                charter,
            );
            let wanted = wanted.map_err(|error| mended_at(&self.folder.again(), error))?;
            if wanted != done.groups {
                others.push(format!("for {} and not for {}", has(), listed(charter, wanted, false)));
            }
        }
        Ok(others)
    }

    /// What is allowed, and may not be meant.
    fn warn(&self, folder: &Folder, request: &Request, numbers: &Numbers) {
        let (roster, charter) = (folder.roster(), folder.roster().charter());
        if self.until > charter.expires() {
            output::warn(&format!(
                "the charter ends on {}, before this certificate. From then on nobody publishes or enrols, until there is \
                 a new version of it.",
                day(charter.expires())
            ));
        }
        for (what, number) in numbers.slips(&request.organisation) {
            output::warn(&format!(
                "the {what} {number} of the request has wrong check digits, and notices to the authority would bear it. Compare it \
                 with the register (another country's is held to its own rule by --authorities), and have the member enrol with the \
                 right one; once it is issued, `belfry coalition amend` mends it."
            ));
        }
        let name = &request.organisation.name;
        let alike = roster.members().filter(|member| {
            request.member.is_none()
                && self.replaces.is_none()
                && alike_names(&member.organisation.name, name)
        });
        let of_a_number = roster.members().filter(|member| {
            let (ours, theirs) = (&request.organisation, &member.organisation);
            let is_same = |one: &str, other: &str| !one.is_empty() && one == other;
            (is_same(&ours.kbo, &theirs.kbo) || is_same(&ours.lei, &theirs.lei))
                && !alike_names(&theirs.name, name)
                && request.member.is_none()
                && self.replaces.is_none()
        });
        for member in of_a_number {
            output::warn(&format!(
                "there is a member with the same enterprise number or LEI already, called {:?}: {}. Another certificate makes \
                 another member of it, with a participation notice of its own. If this is another node of it, it should enrol \
                 with --member {}.",
                member.organisation.name,
                candidate(roster, member, clock::now()),
                member.id
            ));
        }
        for member in alike {
            output::warn(&format!(
                "there is a member called {:?} already: {}. If this is another node of it, it should enrol with \
                 --member {}; if not, members will have to tell the two by their ids.",
                member.organisation.name,
                candidate(roster, member, clock::now()),
                member.id
            ));
        }
    }
}

/// Another node of a member, or one that comes back, must be of the organisation that the member is.
pub(super) fn known_member(folder: &Folder, member: MemberId, request: &Request) -> anyhow::Result<MemberId> {
    match folder.roster().member(member) {
        None => refuse!(
            "the request is for another node of member {member}, whom the log does not know: take the newest log (`belfry \
             coalition take{}`), or have it enrol without --member",
            folder.again()
        ),
        Some(known) if known.organisation != request.organisation => {
            let differs = changes(&[(None, &known.organisation)], &request.organisation);
            let differs: Vec<String> =
                differs.iter().map(|(what, change)| format!("{what} {change}")).collect();
            refuse!(
                "the request is for another node of {:?}, but its organisation differs from that member's ({}): have it \
                 enrol with what the member's certificates say, or change them first (`belfry coalition amend{}`)",
                known.organisation.name,
                differs.join("; "),
                folder.again()
            )
        }
        Some(_) => Ok(member),
    }
}
