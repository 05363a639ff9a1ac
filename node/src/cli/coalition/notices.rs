//! `belfry coalition notices`: what members owe their authorities, and what was done about it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use belfry_proto::{
    id::Serial,
    notice::{Occasion, owed},
    schema::RevocationReason,
    time::Timestamp,
    trust::{
        roster::{Member, Roster, Standing},
        statement::Decision,
    },
};
use clap::Args;

use super::{
    CoalitionFolder,
    evidence::{Evidence, check_line},
    folder::Folder,
};
use crate::{
    cli::{
        args::second,
        exit::refused,
        notice::{Marks, Wording, for_tools, named, page, settled},
        output,
    },
    clock,
    keys::file::{self, Readers},
    notice::{Book, DecisionRecord, Notice, Register, State},
};

/// List the participation notices that members owe, write their pages, keep the register.
///
/// The entity owes the notice; the coalition helps, or acts by its mandate. What is owed follows from the log each time
/// anew; what was sent and acknowledged stands in notices.json in the folder, and so does what was taken back of it. Days and hours
/// are told by the authority's clock, which the authorities file names.
///
/// --write makes a page of each notice, and for each member of one a record (MEMBER.record.json): who decided, when, and by which mandate
/// the coalition acts, bound to the log by the statements' ids. Give the member its record: `belfry notice --record` then
/// says the same as the page.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition notices
  belfry coalition notices --mandated 7-dora-entering --mandate M-2026-7
  belfry coalition notices --write pages --lang fr
  belfry coalition notices --write pages --notice 7-dora-entering
  belfry coalition notices --sent 7-dora-entering --on 2026-11-25
  belfry coalition notices --acknowledged 7-dora-entering --reference NBB-1
  belfry coalition notices --take-back 7-dora-entering --because 'by mistake'")]
pub(in crate::cli) struct Notices {
    /// Write pages and records into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mark", "json"])]
    write: Option<PathBuf>,
    /// With --write: of this notice, whatever was done about it [default: of each that is due or to come]
    #[arg(long = "notice", value_name = "NOTICE", requires = "write")]
    notices: Vec<String>,
    #[command(flatten)]
    marks: Marks,
    /// Record that the entity gave the coalition a mandate for this notice; its page says so from then on
    #[arg(long, value_name = "NOTICE", group = "mark", requires = "mandate",
        conflicts_with_all = ["lang", "authorities", "on", "reference"])]
    mandated: Option<String>,
    /// With --mandated or --sent: the mandate by which the coalition acts for the entity
    #[arg(long, value_name = "TEXT", requires = "mark", conflicts_with_all = ["acknowledged", "take_back"])]
    mandate: Option<String>,
    /// Print JSON, with the authorities' names in every language
    #[arg(long, conflicts_with = "mark")]
    json: bool,
    #[command(flatten)]
    wording: Wording,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Notices {
    pub(super) fn run(self) -> anyhow::Result<()> {
        check_line("--mandate", self.mandate.as_deref())?;
        let folder = self.folder.open()?;
        let path = folder.dir().join("notices.json");
        let mut notices = notices(&folder)?;
        let mut register = settled(&path, &notices)?;
        for notice in &mut notices {
            notice.mandate = register.mark(notice).mandate;
        }
        let list = format!("belfry coalition notices{}", self.folder.again());
        if let Some(done) = self.done(&notices, &mut register, &list)? {
            register.save(&path)?;
            return Ok(output::print(&done)?);
        }
        let book = self.wording.book()?;
        if self.json {
            return output::print_json(&for_tools(&notices, &book, &register)?);
        }
        let wrote = match &self.write {
            Some(pages) => self.write(&folder, pages, &notices, &register, &book)?,
            None => String::new(),
        };
        let rows = notices
            .iter()
            .map(|notice| {
                let authority =
                    book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
                Ok([
                    notice.id.clone(),
                    register.state(notice, clock::now()).as_str().to_owned(),
                    notice.organisation.clone(),
                    book.zone.listed(notice.effective),
                    authority.name(&self.wording.lang).to_owned(),
                ])
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let table = output::table(["notice", "state", "organisation", "effective", "authority"], &rows);
        output::print(&(table + &wrote))?;
        keyless(&folder);
        Ok(())
    }

    /// What was done, put into the register.
    fn done(
        &self,
        notices: &[Notice],
        register: &mut Register,
        list: &str,
    ) -> anyhow::Result<Option<String>> {
        if let (Some(id), Some(mandate)) = (&self.mandated, &self.mandate) {
            let notice = named(notices, id, list)?;
            register.mandated(notice, mandate.clone(), clock::now());
            return Ok(Some(format!(
                "The coalition acts for {} in {id} by mandate {}.\n",
                output::visible(&notice.organisation),
                output::visible(mandate)
            )));
        }
        self.marks.record(notices, register, self.mandate.clone(), list)
    }

    /// Writes the pages that are wanted, and the records of the members they are of; what was written, for people.
    fn write(
        &self,
        folder: &Folder,
        pages: &Path,
        notices: &[Notice],
        register: &Register,
        book: &Book,
    ) -> anyhow::Result<String> {
        let list = format!("belfry coalition notices{}", self.folder.again());
        let is_open = |notice: &&Notice| {
            let state = register.state(notice, clock::now());
            matches!(state, State::Due | State::Upcoming)
        };
        let wanted: Vec<&Notice> = match self.notices.is_empty() {
            true => notices.iter().filter(is_open).collect(),
            false => {
                self.notices.iter().map(|id| named(notices, id, &list)).collect::<anyhow::Result<_>>()?
            }
        };
        file::create_folder(pages)?;
        let put =
            |name: String, text: &str| file::write_beside(&pages.join(name), text.as_bytes(), Readers::Owner);
        let mut older = Vec::new();
        for notice in &wanted {
            let text = page(notice, book, &self.wording.lang)?;
            older.extend(put(format!("{}.{}.html", notice.id, self.wording.lang), &text)?);
        }
        let members: BTreeSet<&str> = wanted.iter().map(|notice| notice.member.as_str()).collect();
        for member in &members {
            let all: Vec<&Notice> = notices.iter().filter(|notice| notice.member == **member).collect();
            let record = DecisionRecord::of(folder.roster().coalition(), member.parse()?, &all);
            let text = format!("{}\n", serde_json::to_string_pretty(&record)?);
            older.extend(put(format!("{member}.record.json"), &text)?);
        }
        for older in older {
            output::warn(&format!(
                "what was written before says something else, and is kept: {}",
                older.display()
            ));
        }
        let into = output::path(pages);
        let count = |n: usize, one, many| output::counted(n as u64, one, many);
        Ok(match wanted.len() {
            0 => format!(
                "Nothing is due or to come; wrote nothing into {into}. --notice NOTICE writes one again.\n"
            ),
            n => format!(
                "Wrote {} and {} into {into}. Give each member its record: `belfry notice --record FILE` takes it.\n",
                count(n, "page", "pages"),
                count(members.len(), "record", "records")
            ),
        })
    }
}
/// Every notice the log gives cause for, with what is kept beside it.
fn notices(folder: &Folder) -> anyhow::Result<Vec<Notice>> {
    let roster = folder.roster();
    owed(roster)
        .iter()
        .map(|owed| {
            let evidence =
                Evidence::of(folder, owed.statement).context("the decision kept beside the log")?;
            let mut notice = Notice::new(owed, roster);
            // When leaving was decided is signed.
            if let Some(decided) = evidence.decided_on.filter(|_| owed.occasion == Occasion::Entering) {
                notice.decided = decided;
            }
            notice.since_asserted = evidence.member_since;
            notice.decision = Some(evidence.told()).filter(|text| !text.is_empty());
            notice.minutes = Some(evidence.minutes()).filter(|minutes| minutes.salt.is_some());
            Ok(notice)
        })
        .collect()
}

/// Members without a valid certificate who did not leave either: the log cannot say what became of them.
fn keyless(folder: &Folder) {
    let (roster, now) = (folder.roster(), clock::now());
    for member in roster.members() {
        let standings = || member.serials.iter().map(|serial| roster.standing(*serial, now));
        let is_over = |s: Standing| matches!(s, Standing::Expired | Standing::Revoked | Standing::Superseded);
        if !standings().all(is_over) {
            continue;
        }
        let name = &member.organisation.name;
        if standings().any(|s| s == Standing::Expired) {
            output::warn(&format!(
                "the certificates of {name:?} have expired. If it left, revoke one with --reason left: only then a notice is \
                 owed. If not, renew it."
            ));
        } else if let Some((serial, effective)) = stolen(roster, member) {
            output::warn(&format!(
                "the keys of {name:?} were revoked as stolen (certificate {serial}), and it got no others. That ends no \
                 membership, and no notice is owed. If it goes on, have it enrol anew (`belfry enroll --member {}`) and issue \
                 that request. If it left, do the same and revoke the new certificate with --reason left; where nobody is \
                 there to enrol, revoke {serial} once more with --reason left, the cut it had, and an --effective before {}.",
                member.id,
                second(effective)
            ));
        }
    }
}

/// The certificate by whose revocation a member came to have none, if that was for stolen keys, and when it took effect.
fn stolen(roster: &Roster, member: &Member) -> Option<(Serial, Timestamp)> {
    let is_void = |height| roster.voids().iter().any(|void| void.height == height);
    let revoked = roster.records().filter(|record| !is_void(record.height)).filter_map(|record| {
        let Decision::Revoke(revoke) = &record.statement.decision else { return None };
        member.serials.contains(&Serial::new(revoke.serial)).then_some(revoke)
    });
    let last = revoked.last().filter(|revoke| revoke.reason() == RevocationReason::KeyCompromise)?;
    Some((Serial::new(last.serial), Timestamp::from_micros(last.effective)))
}
