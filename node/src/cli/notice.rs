//! `belfry notice`: the entity's own participation notice, from the log it has.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::notice::{Owed, owed};
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};

use super::{
    exit::refused,
    global::{DataFolder, Global},
    out, output,
    own_log::{Own, OwnLog},
};
use crate::{
    clock,
    keys::file::{self, Readers},
    notice::{Book, LANGUAGES, Notice, html},
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
        match &self.authorities {
            None => Ok(Book::standard()?),
            Some(path) => Book::parse(&file::read_text(path)?).with_context(|| path.display().to_string()),
        }
    }
}

/// Write the notice by which your organisation tells the competent authority that it takes part, or no longer does.
///
/// NIS2 article 29(4) and DORA article 45(3) oblige the entity itself. What is owed follows from the coalition's signed
/// log: a notice on entering, and one when leaving takes effect. Renewal, new keys, suspension and other groups owe
/// none; nor do entities out of scope. A financial entity owes one notice, under DORA.
///
/// Reads the running node's log; without one the log in the data folder, as given at joining, or the one that is named.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry notice --lang nl --out notice.html
  belfry notice --log log.pem --json")]
pub(super) struct NoticeCommand {
    #[command(flatten)]
    log: OwnLog,
    /// Page to write, in HTML that prints; the last notice owed
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    out: Option<PathBuf>,
    /// Print every notice as JSON, with the authorities' names in every language
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wording: Wording,
    #[command(flatten)]
    data: DataFolder,
}

impl NoticeCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Own { roster, certificate } = self.log.open(global, &self.data)?;
        let mine: Vec<Owed> =
            owed(&roster).into_iter().filter(|owed| owed.member == certificate.member).collect();
        let book = self.wording.book()?;
        let notices: Vec<Notice> = mine.iter().map(|owed| Notice::new(owed, &roster)).collect();
        if self.json {
            let shown =
                notices.iter().map(|notice| shown(notice, &book)).collect::<anyhow::Result<Vec<Value>>>()?;
            return output::print_json(&json!({ "notices": shown }));
        }
        let Some(last) = notices.last() else {
            return Ok(output::print(
                "No notice is owed: of its classes none is an essential, important or financial entity.\n",
            )?);
        };
        let Some(path) = &self.out else {
            return Ok(output::print(&listed(&notices, &book, &self.wording.lang)?)?);
        };
        let page = page(last, &book, &self.wording.lang)?;
        out::create(path, page.as_bytes(), Readers::Owner)?;
        let when = match last.effective > clock::now() {
            true => " It is owed once that has come; send it then.",
            false => "",
        };
        Ok(output::print(&format!(
            "Wrote {}: {} of {}, effective {}.{when}\n",
            output::path(path),
            last.occasion,
            output::visible(&last.organisation),
            last.effective
        ))?)
    }
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
        map.insert(
            "authority".into(),
            json!({ "name": names, "channel": authority.channel, "data_version": book.version }),
        );
    }
    Ok(value)
}

fn listed(notices: &[Notice], book: &Book, language: &str) -> anyhow::Result<String> {
    let rows = notices
        .iter()
        .map(|notice| {
            let authority = book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
            Ok([
                notice.id.clone(),
                notice.act.to_uppercase(),
                notice.occasion.to_owned(),
                notice.effective.to_string(),
                authority.name(language).to_owned(),
            ])
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(output::table(["notice", "act", "of", "effective", "authority"], &rows)
        + "Write the page with --out FILE, in --lang en, nl or fr.\n")
}
