//! `belfry coalition import`: a list of members against the roster, and certificates for those who have asked.
//!
//! ```text
//! members.csv ─rows─▶ checked as a whole ─▶ each: member, to issue, waits, no request yet ─▶ dry run, or issued one by one
//! ```
//!
//! The list decides nothing that a single `issue` would not: it is the same request, the same checks, the same
//! statement. One wrong row, and nothing is signed.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use belfry_proto::{
    id::{GroupId, MemberId, Serial, StatementId},
    schema::{self, CertificateBody, Organisation, RevocationReason, Signed, Validity},
    time::Timestamp,
    trust::{
        certificate::{self, CertificateError},
        file as armour,
        names::Named as _,
        request::{self, Request},
        roster::{Member, Roster, Standing},
        statement::Decision,
    },
};
use clap::Args;

use self::table::Row;
use super::{
    CoalitionFolder,
    decide::{Decided, Deciders, decide, propose},
    evidence::Evidence,
    folder::Folder,
    issue::known_member,
    mend::mended_at,
    requests,
    role_keys::RolePassphrases,
    shown::listed,
    waiting::{Waits, certificate_for, is_of},
};
use crate::{
    cli::{
        args::{day, roles},
        exit::{refuse, refused},
        numbers::{NumberRule, Numbers},
        output,
        requests::held,
    },
    clock,
    keys::{enrolment::read, file},
    query::alike,
};

/// Compare a list of members with the roster, and issue certificates to those who have asked.
///
/// Without --issue it is a dry run: it says of each row whether the member is in the roster, can be issued, or has not
/// sent a request yet, where a certificate says otherwise than the list, and which members of the roster the list lacks.
///
/// Columns, in any order, separated by commas or semicolons: organisation (needed), kbo, lei, classes, capacity, sector,
/// supplier_of (names, with | between them; none for nobody), groups (cidr:steward awareness:reader), until, request (file),
/// member_since, decided_by, decided_on, evidence. An empty cell says nothing.
///
/// Who was a member, left, and comes back asks with the same member id (`belfry enroll --member ID`). Whom the coalition
/// revoked for any other reason no list brings back: that is for `belfry coalition issue`.
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
    rule: NumberRule,
    #[command(flatten)]
    folder: CoalitionFolder,
    #[command(flatten)]
    passphrases: RolePassphrases,
}

/// What is to be done about a row.
enum Plan {
    /// It has a certificate.
    Member(Box<Listed>),
    /// It asked, and everything fits; with how it was a member before, if it was.
    Issue(Box<(Request, Signed, CertificateBody, Option<String>)>),
    /// It asked, and the decision waits for other admins or for the registrar.
    Waits(Box<(Request, Waits)>),
    /// Nothing to issue to yet.
    NoRequest,
}

/// A row whose organisation the roster knows.
struct Listed {
    /// Its newest certificate.
    serial: Serial,
    standing: Standing,
    organisation: Organisation,
    /// Where it is otherwise than the list says.
    differs: Vec<String>,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = self.list.display().to_string();
        let rows =
            table::parse(&file::read_text(&self.list)?).map_err(refused).with_context(|| name.clone())?;
        let numbers = self.rule.read()?;
        let mut folder = self.folder.open()?;
        slips(&folder, &rows, &numbers).with_context(|| name.clone())?;
        let base = self.list.parent().unwrap_or(Path::new("")).to_owned();
        let mut plans = Vec::with_capacity(rows.len());
        let goes_in = self.passphrases.has_registrar(&folder.keys());
        for row in &rows {
            let plan = plan(&folder, goes_in, row, &base).with_context(|| {
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
            if let Plan::Member(listed) = plan
                && listed.standing == Standing::Valid
                && row.request.is_some()
                && !folder.certificate_path(listed.serial).exists()
            {
                let path = folder.write_certificate(listed.serial, None)?;
                output::print(&format!("Wrote again: {}\n", output::path(&path)))?;
            }
        }
        for (row, plan) in &plans {
            if let Plan::Waits(asked) = plan {
                let organisation = output::visible(&row.organisation);
                let told = asked.1.told(&self.folder.again());
                output::print(&format!("{organisation} is signed already, and not signed again. {told}"))?;
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
            let (request, signed, body, _) = *asked;
            requests::keep(&folder, request.signing, &signed)?;
            let member = MemberId::try_from(body.member.as_slice())?;
            let decision = Decision::Issue(schema::Issue { certificate: Some(body) });
            let organisation = output::visible(&request.organisation.name);
            match decide(&mut folder, member, decision, &keys, &row.evidence)? {
                Decided::Ordered(serial) => {
                    let path = folder.write_certificate(serial, None)?;
                    output::print(&format!("{serial}  {organisation}: {}\n", output::path(&path)))?;
                }
                Decided::Waiting(waits) => {
                    output::print(&format!("{organisation}: {}", waits.told(&self.folder.again())))?;
                }
            }
        }
        Ok(output::print(&format!(
            "Give each member its file, and all of them the log:\n  {}\n",
            self.folder.export()
        ))?)
    }
}

/// Refuses a list for a number that nobody can have, but for what is in a certificate since before: of that it warns.
fn slips(folder: &Folder, rows: &[Row], numbers: &Numbers) -> anyhow::Result<()> {
    let is_known = |column: &str, number: &str| {
        let mut organisations = folder.roster().members().map(|member| &member.organisation);
        organisations.any(|known| number == if column == "kbo" { &known.kbo } else { &known.lei })
    };
    for slip in table::slips(rows, numbers, is_known).map_err(refused)? {
        output::warn(&format!(
            "{slip}. A certificate says the same: once it is corrected with `belfry coalition amend{}`, correct the list, too",
            folder.again()
        ));
    }
    Ok(())
}

/// Holds one row to the roster and its request; an error is a refusal of the whole list.
fn plan(folder: &Folder, goes_in: bool, row: &Row, base: &Path) -> anyhow::Result<Plan> {
    let roster = folder.roster();
    row.evidence.check_columns()?;
    let known = known(roster, row);
    let listed = known.map(|member| listed_as(folder, member, row)).transpose()?;
    let Some(path) = &row.request else {
        return Ok(listed.map_or(Plan::NoRequest, |listed| Plan::Member(Box::new(listed))));
    };
    let Some((member, listed)) = known.zip(listed) else {
        let (request, signed) = asked(folder, row, path, base)?;
        if roster.by_node(&request.node).is_some() || request.member.is_some() {
            refuse!(
                "the request {} is for another node of a member, or has its certificate: use `belfry coalition issue{}`",
                path.display(),
                folder.again()
            );
        }
        if let Some((member, same)) = of_its_number(roster, &request.organisation) {
            refuse!(
                "the request {} has the {same} of {:?}, which is a member already: the list would make two members of one \
                 organisation. Name it in the list as that one, with its {same}; for another node of it have it enrol with \
                 --member {}, and use `belfry coalition issue{}`",
                path.display(),
                member.organisation.name,
                member.id,
                folder.again()
            );
        }
        return to_issue(folder, goes_in, row, request, signed, (MemberId::new(rand::random()), None));
    };
    // A list is kept for years; what a member asked with need not be.
    if listed.is_in() && !base.join(path).exists() {
        return Ok(Plan::Member(Box::new(listed)));
    }
    let signed = read(&base.join(path), armour::read_request)?;
    let name = || format!("the request {}", path.display());
    if held(roster, &signed).with_context(name)?.certificate.is_some_and(|of| of.member == member.id) {
        return Ok(Plan::Member(Box::new(listed)));
    }
    let (request, signed) = asked(folder, row, path, base)?;
    if roster.by_node(&request.node).is_some() || listed.is_in() {
        refuse!(
            "the request {} is not the one that the certificates of {:?} were issued for: for another node of it, or new keys, use \
             `belfry coalition issue{}`",
            path.display(),
            member.organisation.name,
            folder.again()
        );
    }
    if request.member != Some(member.id) {
        refuse!(
            "the request {} is of {:?}, which was a member before and is to be the same one again: have it enrol with --member {}, \
             or make another member of it (`belfry coalition issue{}`)",
            path.display(),
            member.organisation.name,
            member.id,
            folder.again()
        );
    }
    known_member(folder, member.id, &request)?;
    let before = revoked(roster, member);
    if let Some((reason, on)) = before.filter(|(reason, _)| *reason != RevocationReason::Left) {
        refuse!(
            "{:?} was revoked ({}, {}): whether it comes back is a decision about it alone, and no line of a list. Use `belfry \
             coalition issue{}`",
            member.organisation.name,
            reason.name(),
            day(on),
            folder.again()
        );
    }
    let was = before.map(|(reason, on)| format!("was revoked ({}, {})", reason.name(), day(on)));
    to_issue(folder, goes_in, row, request, signed, (member.id, was))
}

/// Why and since when a member is out, if it was revoked since its newest certificate was issued: the others ended by themselves.
/// That it left as well, before or afterwards, takes nothing from another reason.
fn revoked(roster: &Roster, member: &Member) -> Option<(RevocationReason, Timestamp)> {
    let is_void = |height| roster.voids().iter().any(|void| void.height == height);
    let newest = member.serials.last().map_or(0, |serial| serial.get());
    let since = roster.records().filter(|record| record.height.get() > newest && !is_void(record.height));
    let revoked = since.filter_map(|record| {
        let Decision::Revoke(revoke) = &record.statement.decision else { return None };
        let is_its = member.serials.contains(&Serial::new(revoke.serial));
        is_its.then(|| (revoke.reason(), Timestamp::from_micros(revoke.effective)))
    });
    let (left, put_out): (Vec<_>, Vec<_>) =
        revoked.partition(|(reason, _)| *reason == RevocationReason::Left);
    put_out.last().or(left.last()).copied()
}

/// A row's request, which says what the row does.
fn asked(folder: &Folder, row: &Row, path: &Path, base: &Path) -> anyhow::Result<(Request, Signed)> {
    let signed = read(&base.join(path), armour::read_request)?;
    let request = request::open(&signed, folder.roster().charter())
        .map_err(|error| mended_at(&folder.again(), error))?;
    let differs = row.differs(&request.organisation);
    if !differs.is_empty() || !row.is_named(&request.organisation.name) {
        refuse!(
            "the request {} is of {:?} and differs in {}: correct the list, or ask for another request",
            path.display(),
            request.organisation.name,
            if differs.is_empty() { "the name".to_owned() } else { differs.join(", ") }
        );
    }
    Ok((request, signed))
}

/// The certificate that a row asks for, held to every rule; or what waits of it.
fn to_issue(
    folder: &Folder,
    goes_in: bool,
    row: &Row,
    request: Request,
    signed: Signed,
    (member, before): (MemberId, Option<String>),
) -> anyhow::Result<Plan> {
    let charter = folder.roster().charter();
    let Some(until) = row.until else {
        refuse!("it has a request and no `until`: say how long the certificate is valid")
    };
    if until <= clock::now() {
        refuse!("`until` is over: give the list a later day");
    }
    let validity = Validity { not_before: clock::now().as_micros(), not_after: until.as_micros() };
    let mut body = request.to_certificate(member, validity, charter);
    if !row.groups.is_empty() {
        body.groups = roles(&row.groups, schema::Role::Publisher, charter)?;
        body.carrier = false;
    }
    if let Some((waiting, signed)) = certificate_for(folder, request.node.as_bytes()) {
        if !is_alike(signed, &body) || !is_of(folder.roster(), signed, request.member) {
            refuse!(
                "a certificate for the keys of its request is signed already, with other terms or for another member, and waits \
                 in {}: have that one signed and ordered, or delete that file",
                output::path(&waiting.path)
            );
        }
        row.evidence.check_kept_columns(folder, &waiting.statement, Some(&waiting.path))?;
        let waits = Waits::of(&waiting.path, waiting.missing, &waiting.statement.decision);
        return Ok(Plan::Waits(Box::new((request, waits))));
    }
    certificate::check(&body, charter, Serial::new(0), StatementId::ZERO)
        .map_err(|error| in_a_list(folder, error))?;
    propose(folder, goes_in, member, Decision::Issue(schema::Issue { certificate: Some(body.clone()) }))?;
    Ok(Plan::Issue(Box::new((request, signed, body, before))))
}

/// Whether two certificates for one request say the same; when they begin, and of which member they are, aside.
fn is_alike(one: &CertificateBody, other: &CertificateBody) -> bool {
    let terms = |body: &CertificateBody| {
        let mut groups: Vec<(u32, i32)> = body.groups.iter().map(|entry| (entry.group, entry.role)).collect();
        groups.sort_unstable();
        (groups, body.carrier, body.validity.as_ref().map(|validity| validity.not_after))
    };
    one.organisation == other.organisation && one.keys == other.keys && terms(one) == terms(other)
}

/// Why a row's certificate must not be issued, with what to do about the list.
fn in_a_list(folder: &Folder, error: CertificateError) -> anyhow::Error {
    match error {
        CertificateError::NotAdmitted(_) => refused(anyhow!(
            "{error}: leave it out of the column groups, or have the member send a request with the class it is of (`belfry \
             enroll --class`); `belfry coalition charter show{}` says which classes each group admits",
            folder.again()
        )),
        CertificateError::UnknownGroup(_)
        | CertificateError::Field { .. }
        | CertificateError::Key { .. }
        | CertificateError::Kem(_) => mended_at(&folder.again(), error),
    }
}

impl Listed {
    /// Whether it takes part, or will again without another certificate.
    const fn is_in(&self) -> bool {
        matches!(self.standing, Standing::Valid | Standing::NotYet | Standing::Suspended)
    }
}

/// What the roster says of a row's member, and where that is otherwise than the row.
fn listed_as(folder: &Folder, member: &Member, row: &Row) -> anyhow::Result<Listed> {
    let (roster, now) = (folder.roster(), clock::now());
    let standing = |serial: &Serial| roster.standing(*serial, now);
    let newest = member.serials.last().copied().unwrap_or(Serial::new(0));
    // Of several nodes one that is in speaks for the member.
    let serial = member.serials.iter().rev().copied().find(|serial| standing(serial) == Standing::Valid);
    let serial = serial.unwrap_or(newest);
    let mut differs = row.differs(&member.organisation);
    if !row.is_named(&member.organisation.name) {
        differs.insert(0, format!("name {}", member.organisation.name));
    }
    differs.extend(other_groups(roster, member, row)?);
    differs.extend(other_end(roster, member, row));
    if let Some(wanted) = row.evidence.member_since {
        let mut recorded = None;
        for certificate in member.serials.iter().filter_map(|serial| roster.certificate(*serial)) {
            recorded = recorded.or(Evidence::of(folder, certificate.issued_by)?.member_since);
        }
        if recorded != Some(wanted) {
            differs.push(format!("member since {}", recorded.map_or_else(|| "not recorded".to_owned(), day)));
        }
    }
    Ok(Listed { serial, standing: standing(&serial), organisation: member.organisation.clone(), differs })
}

/// When a member's certificates end, where a row says another day.
fn other_end(roster: &Roster, member: &Member, row: &Row) -> Option<String> {
    let wanted = row.until?;
    let now = clock::now();
    let end = |serial: Serial| {
        let end = roster.certificate(serial)?.not_after;
        Some(roster.ends(serial).map_or(end, |announced| announced.min(end)))
    };
    let valid =
        member.serials.iter().copied().filter(|serial| roster.standing(*serial, now) == Standing::Valid);
    let last = valid.filter_map(end).max()?;
    (day(last) != day(wanted)).then(|| format!("until {}", day(last)))
}

/// The member that has a number of an organisation already, and which number.
fn of_its_number<'a>(roster: &'a Roster, organisation: &Organisation) -> Option<(&'a Member, &'static str)> {
    let same = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
    roster.members().find_map(|member| {
        let theirs = &member.organisation;
        if same(&organisation.kbo, &theirs.kbo) {
            return Some((member, "kbo"));
        }
        same(&organisation.lei, &theirs.lei).then_some((member, "lei"))
    })
}

/// Refuses two rows of one member that do not look alike: by the roster, by what they ask with, or by a number that one of
/// them asks with and the other is listed under. The second would be refused once the first one's certificate is issued, or
/// make another member of it.
fn distinct(plans: &[(&Row, Plan)]) -> anyhow::Result<()> {
    for (n, (row, plan)) in plans.iter().enumerate() {
        for (earlier_row, earlier) in plans.iter().take(n) {
            if let Some(same) = in_common((*earlier_row, earlier), (*row, plan)) {
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

/// What of two rows there can be once only.
fn in_common((one_row, one): (&Row, &Plan), (other_row, other): (&Row, &Plan)) -> Option<&'static str> {
    if let (Plan::Member(one), Plan::Member(other)) = (one, other) {
        // Of what the roster has twice already, the list may speak.
        return (one.serial == other.serial).then_some("certificate");
    }
    if let (Some(one), Some(other)) = (one.request(), other.request())
        && (one.signing == other.signing || one.node == other.node || one.kem == other.kem)
    {
        return Some("keys");
    }
    let [kbo, lei] = one.numbers(one_row);
    let [other_kbo, other_lei] = other.numbers(other_row);
    let what = [("kbo", !kbo.is_disjoint(&other_kbo)), ("lei", !lei.is_disjoint(&other_lei))];
    what.into_iter().find(|(_, is_same)| *is_same).map(|(what, _)| what)
}

impl Plan {
    /// What it asks with.
    fn request(&self) -> Option<&Request> {
        match self {
            Self::Issue(asked) => Some(&asked.0),
            Self::Waits(asked) => Some(&asked.0),
            Self::Member(_) | Self::NoRequest => None,
        }
    }

    /// Enterprise numbers and identifiers, by the list, and by the roster or the request.
    fn numbers<'a>(&'a self, row: &'a Row) -> [BTreeSet<&'a str>; 2] {
        let organisation = match self {
            Self::Member(listed) => Some(&listed.organisation),
            Self::Issue(_) | Self::Waits(_) | Self::NoRequest => {
                self.request().map(|request| &request.organisation)
            }
        };
        let both = |cell: &'a str, said: Option<&'a str>| -> BTreeSet<&'a str> {
            [Some(cell), said].into_iter().flatten().filter(|number| !number.is_empty()).collect()
        };
        [
            both(&row.kbo, organisation.map(|organisation| organisation.kbo.as_str())),
            both(&row.lei, organisation.map(|organisation| organisation.lei.as_str())),
        ]
    }
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
                Plan::Member(listed) => {
                    let Listed { serial, standing, differs, .. } = &**listed;
                    let mut detail = format!("certificate {serial}, {}", standing.as_str());
                    if !differs.is_empty() {
                        detail += &format!(", says otherwise: {}", differs.join(", "));
                    }
                    ("member", detail)
                }
                Plan::Issue(asked) => {
                    let (_, _, body, before) = &**asked;
                    let named = body.groups.iter().map(|g| (GroupId::new(g.group), g.role()));
                    let gets = listed(charter, named, body.carrier);
                    ("to issue", before.iter().fold(gets, |detail, was| format!("{detail}; {was}")))
                }
                Plan::Waits(asked) => {
                    let paths: Vec<String> = asked.1.paths.iter().map(|path| output::path(path)).collect();
                    ("waits", paths.join(" "))
                }
                Plan::NoRequest => ("no request", "waits for its `belfry enroll`".to_owned()),
            };
            [row.line.to_string(), row.organisation.clone(), state.to_owned(), detail]
        })
        .collect();
    let otherwise =
        plans.iter().any(|(_, plan)| matches!(plan, Plan::Member(listed) if !listed.differs.is_empty()));
    let mend = match otherwise {
        true => {
            "Where a certificate says otherwise, the list is wrong, or: `belfry coalition amend SERIAL` changes data and \
             classes, `entitle` and `disentitle` groups, `renew` gives a later end, `revoke --effective` an earlier one. Since \
             when it was a member is said when its certificate is issued, and stays.\n"
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
