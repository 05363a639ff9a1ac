//! `belfry coalition import`: a list of members against the roster, and certificates for those who have asked.
//!
//! ```text
//! members.csv ─rows─▶ checked as a whole ─▶ each: member, to issue, no request yet ─▶ dry run, or issued one by one
//! ```
//!
//! The list decides nothing that a single `issue` would not: it is the same request, the same checks, the same
//! statement. One wrong row, and nothing is signed.

mod table;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use belfry_proto::{
    id::{GroupId, MemberId, Serial, StatementId},
    schema::{self, CertificateBody, Signed, Validity},
    trust::{
        certificate, file as armour,
        request::{self, Request},
        roster::{Member, Roster, Standing},
        statement::Decision,
    },
};
use clap::Args;

use self::table::Row;
use super::{
    CoalitionFolder,
    decide::{Decided, Deciders, decide, propose, waits},
    folder::Folder,
    mend::mended,
    requests,
    role_keys::RolePassphrases,
    shown::listed,
};
use crate::{
    cli::{
        args::roles,
        exit::{refuse, refused},
        output,
    },
    clock,
    keys::{enrolment::read, file},
    query::alike,
};

/// Compare a list of members with the roster, and issue certificates to those who have asked.
///
/// Without --issue it is a dry run: it says of each row whether the member is in the roster, can be issued, or has not
/// sent a request yet, and which members of the roster the list lacks.
///
/// Columns, in any order, separated by commas or semicolons: organisation (needed), kbo, lei, classes, groups
/// (cidr:steward awareness:reader), until, request (file), member_since, decided_by, decided_on, evidence.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition import members.csv
  belfry coalition import members.csv --issue --yes")]
pub(in crate::cli) struct Import {
    /// List of members, in CSV with a first line of column names
    list: PathBuf,
    /// Issue to every row that has a request and no certificate
    #[arg(long)]
    issue: bool,
    /// With --issue: sign without asking
    #[arg(long, requires = "issue")]
    yes: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

/// What is to be done about a row.
enum Plan {
    /// It has a certificate, in this standing.
    Member(Serial, Standing, Vec<String>),
    /// It asked, and everything fits.
    Issue(Box<(Request, Signed, CertificateBody)>),
    /// Nothing to issue to yet.
    NoRequest,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = self.list.display().to_string();
        let rows =
            table::parse(&file::read_text(&self.list)?).map_err(refused).with_context(|| name.clone())?;
        let mut folder = self.folder.open()?;
        let base = self.list.parent().unwrap_or(Path::new("")).to_owned();
        let mut plans = Vec::with_capacity(rows.len());
        for row in &rows {
            let plan = plan(&folder, row, &base).with_context(|| {
                format!("{name}, line {} ({})", row.line, output::visible(&row.organisation))
            })?;
            plans.push((row, plan));
        }
        distinct(&plans)?;
        output::print(&told(&folder, &plans))?;
        missing_from_list(&folder, &rows)?;
        let to_issue = plans.iter().filter(|(_, plan)| matches!(plan, Plan::Issue(_))).count();
        let count = output::counted(to_issue as u64, "certificate", "certificates");
        if !self.issue {
            return Ok(output::print(&format!(
                "\nA dry run: nothing was signed. --issue would issue {count}.\n"
            ))?);
        }
        // One that an interrupted run did not get to write.
        for (row, plan) in &plans {
            if let Plan::Member(serial, Standing::Valid, _) = plan
                && row.request.is_some()
                && !folder.certificate_path(*serial).exists()
            {
                let path = folder.write_certificate(*serial, None)?;
                output::print(&format!("Wrote again: {}\n", output::path(&path)))?;
            }
        }
        if to_issue == 0 {
            return Ok(output::print("\nNothing to issue.\n")?);
        }
        if !self.yes {
            output::confirm(&format!("Issue {count}?"), "--yes", "nothing was signed")?;
        }
        let keys = Deciders::open(&folder, &self.passphrases)?;
        for (row, plan) in plans {
            let Plan::Issue(asked) = plan else { continue };
            let (request, signed, body) = *asked;
            requests::keep(&folder, request.signing, &signed)?;
            let member = MemberId::try_from(body.member.as_slice())?;
            let decision = Decision::Issue(schema::Issue { certificate: Some(body) });
            let organisation = output::visible(&request.organisation.name);
            match decide(&mut folder, member, decision, &keys, &row.evidence)? {
                Decided::Ordered(serial) => {
                    let path = folder.write_certificate(serial, None)?;
                    output::print(&format!("{serial}  {organisation}: {}\n", output::path(&path)))?;
                }
                Decided::Waiting { path, missing } => {
                    output::print(&format!("{organisation}: {}", waits(&path, missing)))?;
                }
            }
        }
        Ok(output::print(&format!(
            "Give each member its file, and all of them the log:\n  {}\n",
            self.folder.export()
        ))?)
    }
}

/// Holds one row to the roster and its request; an error is a refusal of the whole list.
fn plan(folder: &Folder, row: &Row, base: &Path) -> anyhow::Result<Plan> {
    let roster = folder.roster();
    row.evidence.check()?;
    let known = known(roster, row);
    if let Some(member) = known {
        let newest = member.serials.last().copied().unwrap_or(Serial::new(0));
        let standing = roster.standing(newest, clock::now());
        let mut differs = row.differs(&member.organisation);
        if !row.is_named(&member.organisation.name) {
            differs.insert(0, format!("name {}", member.organisation.name));
        }
        differs.extend(other_groups(roster, member, row)?);
        return Ok(Plan::Member(newest, standing, differs));
    }
    let Some(path) = &row.request else { return Ok(Plan::NoRequest) };
    let charter = roster.charter();
    let signed = read(&base.join(path), armour::read_request)?;
    let request = request::open(&signed, charter).map_err(mended)?;
    let differs = row.differs(&request.organisation);
    if !differs.is_empty() || !row.is_named(&request.organisation.name) {
        refuse!(
            "the request {} is of {:?} and differs in {}: correct the list, or ask for another request",
            path.display(),
            request.organisation.name,
            if differs.is_empty() { "the name".to_owned() } else { differs.join(", ") }
        );
    }
    if roster.by_node(&request.node).is_some() || request.member.is_some() {
        refuse!(
            "the request {} is for another node of a member, or has its certificate: use `belfry coalition issue`",
            path.display()
        );
    }
    let Some(until) = row.until else {
        refuse!("it has a request and no `until`: say how long the certificate is valid")
    };
    if until <= clock::now() {
        refuse!("`until` is over: give the list a later day");
    }
    let member = MemberId::new(rand::random());
    let validity = Validity { not_before: clock::now().as_micros(), not_after: until.as_micros() };
    let mut body = request.to_certificate(member, validity, charter);
    if !row.groups.is_empty() {
        body.groups = roles(&row.groups, schema::Role::Publisher, charter)?;
        body.carrier = false;
    }
    certificate::check(&body, charter, Serial::new(0), StatementId::ZERO).map_err(mended)?;
    propose(folder, member, Decision::Issue(schema::Issue { certificate: Some(body.clone()) }))?;
    Ok(Plan::Issue(Box::new((request, signed, body))))
}

/// Refuses two rows of one member that do not look alike: by the roster, or by what they ask with. The second would be refused
/// once the first one's certificate is issued.
fn distinct(plans: &[(&Row, Plan)]) -> anyhow::Result<()> {
    for (n, (row, plan)) in plans.iter().enumerate() {
        for (earlier_row, earlier) in plans.iter().take(n) {
            let same = match (earlier, plan) {
                (Plan::Member(one, ..), Plan::Member(other, ..)) => (one == other).then_some("certificate"),
                (Plan::Issue(one), Plan::Issue(other)) => in_common(&one.0, &other.0),
                (Plan::Member(..) | Plan::Issue(_) | Plan::NoRequest, _) => None,
            };
            if let Some(same) = same {
                refuse!(
                    "lines {} and {} are of one member: the same {same}. Leave one out, or ask for a request made in a data folder \
                     of its own",
                    earlier_row.line,
                    row.line
                );
            }
        }
    }
    Ok(())
}

/// What of two requests there can be once only.
fn in_common(one: &Request, other: &Request) -> Option<&'static str> {
    let same = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
    let (ours, theirs) = (&one.organisation, &other.organisation);
    let what = [
        ("keys", one.signing == other.signing || one.node == other.node || one.kem == other.kem),
        ("kbo", same(&ours.kbo, &theirs.kbo)),
        ("lei", same(&ours.lei, &theirs.lei)),
    ];
    what.into_iter().find(|(_, is_same)| *is_same).map(|(what, _)| what)
}

/// The groups of a member's certificates, where a row names others.
fn other_groups(roster: &Roster, member: &Member, row: &Row) -> anyhow::Result<Option<String>> {
    let (charter, now) = (roster.charter(), clock::now());
    let listed_ones = roles(&row.groups, schema::Role::Publisher, charter)?;
    let wanted: BTreeMap<GroupId, schema::Role> =
        listed_ones.iter().map(|entry| (GroupId::new(entry.group), entry.role())).collect();
    let mut has: BTreeMap<GroupId, schema::Role> = BTreeMap::new();
    for serial in member.serials.iter().filter(|serial| roster.standing(**serial, now) == Standing::Valid) {
        for (group, role) in roster.certificate(*serial).into_iter().flat_map(|held| &held.groups) {
            let most = has.entry(*group).or_insert(*role);
            *most = (*most).max(*role);
        }
    }
    let differs = !row.groups.is_empty() && !has.is_empty() && wanted != has;
    Ok(differs.then(|| format!("groups {}", listed(charter, has, false))))
}

/// The member of a row: by enterprise number, else by LEI, else by name.
fn known<'a>(roster: &'a Roster, row: &Row) -> Option<&'a Member> {
    let by =
        |is: &dyn Fn(&schema::Organisation) -> bool| roster.members().find(|member| is(&member.organisation));
    let same = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
    by(&|o| same(&row.kbo, &o.kbo))
        .or_else(|| by(&|o| same(&row.lei, &o.lei)))
        .or_else(|| by(&|o| alike(&row.organisation, &o.name)))
}

fn told(folder: &Folder, plans: &[(&Row, Plan)]) -> String {
    let charter = folder.roster().charter();
    let rows: Vec<[String; 4]> = plans
        .iter()
        .map(|(row, plan)| {
            let (state, detail) = match plan {
                Plan::Member(serial, standing, differs) => (
                    "member",
                    match differs.is_empty() {
                        true => format!("certificate {serial}, {}", standing.as_str()),
                        false => format!("certificate {serial} says otherwise: {}", differs.join(", ")),
                    },
                ),
                Plan::Issue(asked) => {
                    let (.., body) = &**asked;
                    let named = body.groups.iter().map(|g| (GroupId::new(g.group), g.role()));
                    ("to issue", listed(charter, named, body.carrier))
                }
                Plan::NoRequest => ("no request", "waits for its `belfry enroll`".to_owned()),
            };
            [row.line.to_string(), row.organisation.clone(), state.to_owned(), detail]
        })
        .collect();
    let otherwise =
        plans.iter().any(|(_, plan)| matches!(plan, Plan::Member(_, _, differs) if !differs.is_empty()));
    let mend = match otherwise {
        true => {
            "Where a certificate says otherwise, the list is wrong, or: `belfry coalition amend SERIAL` changes data and \
             classes, `entitle` and `disentitle` groups.\n"
        }
        false => "",
    };
    output::table(["line", "organisation", "state", "detail"], &rows) + mend
}

/// Members of the roster that nobody listed: left, renamed, or forgotten.
fn missing_from_list(folder: &Folder, rows: &[Row]) -> anyhow::Result<()> {
    let (roster, now) = (folder.roster(), clock::now());
    for member in roster.members() {
        let listed = rows.iter().any(|row| known(roster, row).is_some_and(|found| found.id == member.id));
        let valid = member.serials.iter().any(|serial| roster.standing(*serial, now) == Standing::Valid);
        if !listed && valid {
            output::print(&format!(
                "Not in the list, and a member: {} ({})\n",
                output::visible(&member.organisation.name),
                member.id
            ))?;
        }
    }
    Ok(())
}
