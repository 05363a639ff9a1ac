//! `belfry coalition notices`: what members owe their authorities, and what was done about it.

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_proto::{notice::owed, time::Timestamp, trust::roster::Standing};
use clap::Args;
use serde_json::{Value, json};

use super::{CoalitionFolder, evidence::Evidence, folder::Folder};
use crate::{
    cli::{
        args::{day, moment},
        exit::{refuse, refused},
        notice::{Wording, page, shown},
        output,
    },
    clock,
    keys::file::{self, Existing, Readers},
    notice::{Notice, Register, State},
};

/// List the participation notices that members owe, write their pages, keep the register.
///
/// The entity owes the notice; the coalition helps, or acts by its mandate. What is owed follows from the log each time
/// anew; what was sent and acknowledged stands in notices.json in the folder.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition notices
  belfry coalition notices --write pages --lang fr
  belfry coalition notices --sent 7-dora-entering --on 2026-11-25
  belfry coalition notices --acknowledged 7-dora-entering --reference NBB-1")]
pub(in crate::cli) struct Notices {
    /// Write a page of each notice that is due or to come into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mark", "json"])]
    write: Option<PathBuf>,
    /// Record that this notice was sent
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    sent: Option<String>,
    /// Record that the authority has this notice
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    acknowledged: Option<String>,
    /// With --sent or --acknowledged: on which day [default: today]
    #[arg(long, value_name = "DATE", value_parser = moment, requires = "mark")]
    on: Option<Timestamp>,
    /// With --sent or --acknowledged: the sender's or the authority's reference
    #[arg(long, value_name = "TEXT", requires = "mark")]
    reference: Option<String>,
    /// With --sent: the mandate by which the coalition acted for the entity
    #[arg(long, value_name = "TEXT", requires = "sent")]
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
        let folder = self.folder.open()?;
        let path = folder.dir().join("notices.json");
        let mut register = Register::load(&path)?;
        let notices = notices(&folder, &register)?;
        if let Some(id) = self.sent.as_ref().or(self.acknowledged.as_ref()) {
            return self.mark(id, &notices, &mut register, &path);
        }
        let (book, now) = (self.wording.book()?, clock::now());
        let state = |notice: &Notice| register.state(&notice.id, notice.effective, now);
        if self.json {
            let shown = notices
                .iter()
                .map(|notice| {
                    let mut value = shown(notice, &book)?;
                    if let Value::Object(map) = &mut value {
                        map.insert("state".into(), serde_json::to_value(state(notice))?);
                        map.insert("register".into(), serde_json::to_value(register.mark(&notice.id))?);
                    }
                    Ok(value)
                })
                .collect::<anyhow::Result<Vec<Value>>>()?;
            return output::print_json(&json!({ "notices": shown }));
        }
        let mut written = 0;
        if let Some(pages) = &self.write {
            file::create_folder(pages)?;
            for notice in notices.iter().filter(|n| matches!(state(n), State::Due | State::Upcoming)) {
                let text = page(notice, &book, &self.wording.lang)?;
                let path = pages.join(format!("{}.{}.html", notice.id, self.wording.lang));
                file::write(&path, text.as_bytes(), Readers::Owner, Existing::Replace)?;
                written += 1;
            }
        }
        let rows = notices
            .iter()
            .map(|notice| {
                let authority =
                    book.authority(notice.act, &notice.sector, notice.effective).map_err(refused)?;
                Ok([
                    notice.id.clone(),
                    state(notice).as_str().to_owned(),
                    notice.organisation.clone(),
                    notice.effective.to_string().chars().take(16).collect(),
                    authority.name(&self.wording.lang).to_owned(),
                ])
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        output::print(&output::table(
            ["notice", "state", "organisation", "effective (UTC)", "authority"],
            &rows,
        ))?;
        if let Some(pages) = &self.write {
            output::print(&format!(
                "Wrote {} into {}\n",
                output::counted(written, "page", "pages"),
                output::path(pages)
            ))?;
        }
        keyless(&folder);
        Ok(())
    }

    fn mark(
        &self,
        id: &str,
        notices: &[Notice],
        register: &mut Register,
        path: &std::path::Path,
    ) -> anyhow::Result<()> {
        let Some(notice) = notices.iter().find(|notice| notice.id == id) else {
            refuse!(
                "no notice is called {id:?}: `belfry coalition notices{}` lists them",
                self.folder.again()
            )
        };
        let now = clock::now();
        let at = self.on.unwrap_or(now);
        if at > now {
            refuse!("{} is still to come: record what was done", day(at));
        }
        let done = if self.sent.is_some() {
            if notice.effective > now {
                refuse!(
                    "{id} takes effect on {}: it is not owed before that; send it then, and record it then",
                    notice.effective
                );
            }
            register.sent(id, at, self.reference.clone(), self.mandate.clone());
            "sent"
        } else {
            register.acknowledged(id, at, self.reference.clone()).map_err(refused)?;
            "acknowledged"
        };
        register.save(path)?;
        Ok(output::print(&format!("{id} of {} is {done}.\n", output::visible(&notice.organisation)))?)
    }
}

/// Every notice the log gives cause for, with what is kept beside it.
fn notices(folder: &Folder, register: &Register) -> anyhow::Result<Vec<Notice>> {
    let roster = folder.roster();
    owed(roster)
        .iter()
        .map(|owed| {
            let evidence =
                Evidence::of(folder, owed.statement).context("the decision kept beside the log")?;
            let mut notice = Notice::new(owed, roster);
            if let Some(decided) = evidence.decided_on {
                notice.decided = decided;
            }
            notice.since_asserted = evidence.member_since;
            notice.decision = Some(evidence.told()).filter(|text| !text.is_empty());
            notice.mandate = register.mark(&owed.id()).mandate;
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
        if standings().all(is_over) && standings().any(|s| s == Standing::Expired) {
            output::warn(&format!(
                "the certificates of {:?} have expired. If it left, revoke one with --reason left: only then a notice is \
                 owed. If not, renew it.",
                member.organisation.name
            ));
        }
    }
}
