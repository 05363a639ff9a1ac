//! `belfry notice`: the entity's own participation notice, from the log it has.

mod marks;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use belfry_proto::{id::MemberId, notice::owed, trust::roster::Roster};
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};

pub(super) use self::marks::{Marks, named, settled};
use super::{
    args::second,
    exit::refused,
    global::{DataFolder, Global},
    out, output,
    own_log::{Own, OwnLog},
};
use crate::{
    clock,
    keys::{
        self,
        file::{self, Existing, Readers},
    },
    notice::{Book, DecisionRecord, LANGUAGES, Notice, Recorded, Register, State, html},
};

/// In which words, to whom.
#[derive(Debug, Args)]
pub(super) struct Wording {
    /// Language of the page, and of the authorities' names in the list
    #[arg(long, value_name = "LANGUAGE", default_value = "en", conflicts_with = "json",
        value_parser = PossibleValuesParser::new(LANGUAGES))]
    pub(super) lang: String,
    /// Authorities and texts of another country or year, in TOML [default: config/notices.default.toml, Belgium's]
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

impl Wording {
    pub(super) fn book(&self) -> anyhow::Result<Book> {
        book(self.authorities.as_deref())
    }
}

/// An authorities file, or belfry's own.
pub(super) fn book(path: Option<&Path>) -> anyhow::Result<Book> {
    match path {
        None => Ok(Book::standard()?),
        Some(path) => Book::parse(&file::read_text(path)?).with_context(|| path.display().to_string()),
    }
}

/// Write the notice by which your organisation tells the competent authority that it takes part, or no longer does.
///
/// NIS2 article 29(4) and DORA article 45(3) oblige the entity itself. What is owed follows from the coalition's signed
/// log: a notice on entering, and one when leaving takes effect. Renewal, new keys, suspension and other groups owe
/// none; nor do entities out of scope. A financial entity owes one notice, under DORA.
///
/// Reads the running node's log; without one the log in the data folder, as given at joining, or the one that is named.
/// Who decided, and on which day, stands in no log: the coalition gives it as a file (`belfry coalition notices --write`),
/// which --record takes and keeps, so that your notice and the coalition's page say the same. What of it the admins signed for
/// is checked; what it changes is shown, and asked about. What you sent, and what the
/// authority acknowledged, is kept in the data folder; --take-back undoes a mark that was wrong, and keeps that it was there. Days and
/// hours are told by the authority's clock, which the authorities file names.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry notice
  belfry notice --record MEMBER.record.json --lang nl --out notice.html
  belfry notice --sent 7-dora-entering --on 2026-11-25
  belfry notice --acknowledged 7-dora-entering --reference NBB-1
  belfry notice --take-back 7-dora-entering --because 'acknowledged another one'
  belfry notice --log log.pem --json")]
pub(super) struct NoticeCommand {
    #[command(flatten)]
    log: OwnLog,
    /// Keep this file of the coalition's, which says who decided on your membership and when
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// With --record: take it without asking, whatever it changes
    #[arg(long, requires = "record")]
    yes: bool,
    /// Page to write, in HTML that prints
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "mark"])]
    out: Option<PathBuf>,
    /// With --out: which notice [default: the last one owed]
    #[arg(long, value_name = "NOTICE", requires = "out")]
    notice: Option<String>,
    /// Print every notice as JSON, with the authorities' names in every language
    #[arg(long, conflicts_with = "mark")]
    json: bool,
    #[command(flatten)]
    marks: Marks,
    #[command(flatten)]
    wording: Wording,
    #[command(flatten)]
    data: DataFolder,
}

impl NoticeCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Own { roster, certificate } = self.log.open(global, &self.data)?;
        let folder = keys::DataFolder::new(&global.config(&self.data)?.node.data_dir);
        if let Some(path) = &self.record {
            take(path, &folder.decisions(), &roster, certificate.member, self.yes)?;
        }
        let notices = own(&roster, certificate.member, &folder.decisions())?;
        let mut register = settled(&folder.notices(), &notices)?;
        let list = format!("belfry notice{}", global.again(&self.data));
        if let Some(done) = self.marks.record(&notices, &mut register, None, &list)? {
            register.save(&folder.notices())?;
            return Ok(output::print(&done)?);
        }
        let book = self.wording.book()?;
        if self.json {
            return output::print_json(&for_tools(&notices, &book, &register)?);
        }
        let Some(last) = notices.last() else {
            return Ok(output::print(
                "No notice is owed: of its classes none is an essential, important or financial entity.\n",
            )?);
        };
        let Some(path) = &self.out else {
            return Ok(output::print(&listed(&notices, &book, &register, &self.wording.lang)?)?);
        };
        let wanted = self.notice.as_ref().map_or(Ok(last), |id| named(&notices, id, &list))?;
        let page = page(wanted, &book, &self.wording.lang)?;
        out::create(path, page.as_bytes(), Readers::Owner)?;
        let when = match wanted.effective > clock::now() {
            true => " It is owed once that has come; send it then.",
            false => "",
        };
        Ok(output::print(&format!(
            "Wrote {}: {} of {}, effective {}.{when}{}\n",
            output::path(path),
            wanted.occasion,
            output::visible(&wanted.organisation),
            book.zone.listed(wanted.effective),
            whither(wanted, &book, &self.wording.lang)?
        ))?)
    }
}

/// Takes the coalition's record of its decisions, if it is of this member and of this log, and what it changes is meant.
fn take(from: &Path, kept: &Path, roster: &Roster, member: MemberId, yes: bool) -> anyhow::Result<()> {
    let text = file::read_text(from)?;
    let record = DecisionRecord::open(&text, roster, member)
        .map_err(refused)
        .with_context(|| from.display().to_string())?;
    let is_untied = |of: &&Recorded| of.decision.is_some() && of.minutes.is_none();
    for untied in record.notices.iter().filter(is_untied) {
        output::warn(&format!(
            "who decided on {}, and when, is the coalition's word alone: nothing that the admins signed says so. Ask the coalition \
             for its evidence",
            untied.notice
        ));
    }
    // What was kept and cannot be read any more says nothing.
    let before = own(roster, member, kept).unwrap_or_else(|_| of_log(roster, member));
    let mut after = of_log(roster, member);
    after.iter_mut().for_each(|notice| record.tell(notice));
    let changing: Vec<(String, String)> =
        before.iter().zip(&after).flat_map(|(before, after)| changes(before, after)).collect();
    if !changing.is_empty() && !yes {
        output::print(&output::facts(&changing))?;
        output::confirm("Shall your notices say this?", "--yes", "the record was not taken")?;
    }
    Ok(file::write(kept, text.as_bytes(), Readers::Owner, Existing::Replace)?)
}

/// What a record changes of a notice.
fn changes(before: &Notice, after: &Notice) -> Vec<(String, String)> {
    let facts = |notice: &Notice| {
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        [
            ("decided", second(notice.decided)),
            ("decision", text(notice.decision.as_deref())),
            ("member since", notice.since_asserted.map_or_else(|| "-".to_owned(), second)),
            ("mandate", text(notice.mandate.as_deref())),
        ]
    };
    facts(before)
        .into_iter()
        .zip(facts(after))
        .filter(|(was, is)| was != is)
        .map(|((what, was), (_, is))| (format!("{} {what}", after.id), format!("{was} → {is}")))
        .collect()
}

/// The member's notices as the log alone has them.
fn of_log(roster: &Roster, member: MemberId) -> Vec<Notice> {
    let mine = owed(roster).into_iter().filter(|owed| owed.member == member);
    mine.map(|owed| Notice::new(&owed, roster)).collect()
}

/// The member's notices, with what was taken of the coalition's record.
fn own(roster: &Roster, member: MemberId, kept: &Path) -> anyhow::Result<Vec<Notice>> {
    let mut notices = of_log(roster, member);
    let record = match file::read_text(kept) {
        Ok(text) => {
            Some(DecisionRecord::open(&text, roster, member).map_err(refused).with_context(|| {
                format!("{}: it was taken by `belfry notice --record FILE`", kept.display())
            })?)
        }
        Err(error) if error.is_absent() => None,
        Err(error) => return Err(error.into()),
    };
    for notice in &mut notices {
        record.iter().for_each(|record| record.tell(notice));
    }
    Ok(notices)
}

/// To whom a notice goes, and by which way if the authorities file names one.
fn whither(notice: &Notice, book: &Book, language: &str) -> anyhow::Result<String> {
    let authority = book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
    let by = match authority.channel.is_empty() {
        true => String::new(),
        false => format!(", by {}", output::visible(&authority.channel)),
    };
    Ok(format!(" It goes to {}{by}.", output::visible(authority.name(language))))
}

/// A notice's page.
pub(super) fn page(notice: &Notice, book: &Book, language: &str) -> anyhow::Result<String> {
    let authority = book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
    Ok(html(notice, authority, book, language))
}

/// A notice as JSON, with whom to tell.
pub(super) fn shown(notice: &Notice, book: &Book) -> anyhow::Result<Value> {
    let authority = book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
    let mut value = serde_json::to_value(notice)?;
    if let Value::Object(map) = &mut value {
        let names: serde_json::Map<String, Value> =
            LANGUAGES.iter().map(|l| ((*l).to_owned(), authority.name(l).into())).collect();
        let zone = &book.zone;
        map.insert(
            "local".into(),
            json!({
                "zone": zone.name(),
                "decided": zone.day(notice.decided),
                "effective": zone.rfc3339(notice.effective),
                "made": zone.rfc3339(notice.made),
            }),
        );
        map.insert(
            "authority".into(),
            json!({ "name": names, "channel": authority.channel, "data_version": book.version }),
        );
    }
    Ok(value)
}

/// Notices as tools read them, each with where it stands by a register.
pub(super) fn for_tools(notices: &[Notice], book: &Book, register: &Register) -> anyhow::Result<Value> {
    let shown = notices
        .iter()
        .map(|notice| registered(notice, book, register))
        .collect::<anyhow::Result<Vec<Value>>>()?;
    Ok(json!({ "notices": shown }))
}

/// A notice with where it stands, by a register.
fn registered(notice: &Notice, book: &Book, register: &Register) -> anyhow::Result<Value> {
    let mut value = shown(notice, book)?;
    if let Value::Object(map) = &mut value {
        let state: State = register.state(notice, clock::now());
        map.insert("state".into(), serde_json::to_value(state)?);
        map.insert("register".into(), serde_json::to_value(register.mark(notice))?);
    }
    Ok(value)
}

fn listed(notices: &[Notice], book: &Book, register: &Register, language: &str) -> anyhow::Result<String> {
    let rows = notices
        .iter()
        .map(|notice| {
            let authority = book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
            Ok([
                notice.id.clone(),
                register.state(notice, clock::now()).as_str().to_owned(),
                notice.act.to_uppercase(),
                notice.occasion.to_owned(),
                book.zone.day(notice.decided),
                book.zone.listed(notice.effective),
                authority.name(language).to_owned(),
            ])
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(output::table(["notice", "state", "act", "of", "decided", "effective", "authority"], &rows)
        + "Write the page with --out FILE, in --lang en, nl or fr.\n")
}
