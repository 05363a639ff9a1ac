//! `belfry coalition charter show | diff`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use belfry_proto::{
    crypto::sign::PublicKey,
    schema::Document,
    trust::{
        charter::{ACTIONS, Charter},
        charter_change::group_facts,
        names::Named as _,
        words,
    },
};
use clap::Args;

use super::{CoalitionFolder, differences, is_proposal, open, progress, text, versions};
use crate::cli::{args::day, documents, exit::refuse, output};

/// Show a charter: keys, thresholds, documents, and every rule of it and of its groups.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// Charter, proposal or log file [default: the charter in force in the folder]
    file: Option<PathBuf>,
    /// Print it as a draft
    #[arg(long)]
    toml: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

/// Show what a charter changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// Charter, proposal or log file [default: the charters of the folder]
    file: Option<PathBuf>,
    /// Version to compare with [default: the one before the last]
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (charter, signed) = match &self.file {
            None => (self.folder.open()?.roster().charter().clone(), None),
            Some(path) if is_proposal(path)? => {
                let proposal = open(path)?;
                (proposal.charter().clone(), Some(progress(&proposal, path)))
            }
            Some(path) => (last(&versions(path)?)?.clone(), None),
        };
        let beside = match &self.file {
            None => documents::beside(&self.folder.dir.join("charter.pem")),
            Some(path) => documents::beside(path),
        };
        if self.toml {
            return Ok(output::print(&text::draft(&charter, &beside))?);
        }
        output::print(&facts(&charter, &beside))?;
        // Of a charter in force there is nothing left to sign.
        Ok(output::print(&signed.map(|text| format!("\n{text}")).unwrap_or_default())?)
    }
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let charters = match &self.file {
            None => self.folder.open()?.roster().charters().versions().cloned().collect(),
            Some(path) if is_proposal(path)? => {
                let proposal = open(path)?;
                let before = proposal.before().cloned();
                before.into_iter().chain([proposal.charter().clone()]).collect()
            }
            Some(path) => versions(path)?,
        };
        let new = last(&charters)?;
        let from = self.from.unwrap_or_else(|| new.version().saturating_sub(1));
        let Some(old) = charters.iter().find(|charter| charter.version() == from) else {
            let there: Vec<String> = charters.iter().map(|charter| charter.version().to_string()).collect();
            refuse!(
                "there is no version {from} to compare version {} with: there is {}; --from names another, and FILE a proposal",
                new.version(),
                there.join(", ")
            );
        };
        Ok(output::print(&format!(
            "Version {} against version {}:\n{}",
            new.version(),
            old.version(),
            differences(old, new)
        ))?)
    }
}

fn last(charters: &[Charter]) -> anyhow::Result<&Charter> {
    charters.last().context("the file holds no charter")
}

/// A document in one line; with the SHA-256 of its file, where that is at hand.
fn document(document: &Document, folder: &Path) -> String {
    let named = format!("{} {}, hash {}", document.version, document.link, hex::encode(&document.hash));
    match documents::find(document, folder) {
        Some((path, text)) => {
            format!("{named}, which is {} (sha256 {})", output::path(&path), documents::sha256(&text))
        }
        None => named,
    }
}

/// Admin keys a line, with their ends.
fn admins(charter: &Charter) -> String {
    let line = |key: &PublicKey| match charter.admin_ends().get(key) {
        Some(end) => format!("{key} until {end}"),
        None => key.to_string(),
    };
    charter.admins().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Everything a charter says, for people; `documents` is the folder where the texts it names may lie.
pub(super) fn facts(charter: &Charter, documents: &Path) -> String {
    let keys = |keys: &std::collections::BTreeSet<PublicKey>| {
        keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let (threshold, root) = charter.root();
    let thresholds: Vec<String> =
        ACTIONS.iter().map(|action| format!("{} {}", action.name(), charter.threshold(*action))).collect();
    let mut out = output::facts(&[
        ("coalition", charter.name().to_owned()),
        ("id", charter.coalition().to_string()),
        ("as words", words::to_words(charter.coalition())),
        ("version", charter.version().to_string()),
        ("in force", format!("{} to {}", day(charter.issued()), day(charter.expires()))),
        ("arrangement", document(charter.arrangement(), documents)),
        ("rules of conduct", document(charter.rules(), documents)),
        (
            "to be accepted by",
            charter.accept_by().map_or_else(
                || "no date".to_owned(),
                |by| format!("{by}, else: {}", charter.unaccepted().name()),
            ),
        ),
        ("clocks may differ by", span(charter.clock_skew())),
        ("older keys wait", format!("{}, for a new member", span(charter.grant_delay()))),
        (
            "silent registrar",
            charter.stale_after().map_or_else(
                || "never makes a view stale".to_owned(),
                |after| format!("view stale after {}: {}", span(after), charter.staleness().name()),
            ),
        ),
        (
            "reasons given to guards",
            if charter.asks_reasons() { "go along in the message" } else { "stay with who gave them" }
                .to_owned(),
        ),
        ("admins needed", thresholds.join(", ")),
        (
            "log pinned at",
            charter.pin().map_or_else(|| "nowhere (first version)".to_owned(), |pin| pin.to_string()),
        ),
    ]);
    for (name, keys) in [
        (format!("root keys, {threshold} must sign"), keys(root)),
        ("admin keys".to_owned(), admins(charter)),
        ("registrar key".to_owned(), charter.registrar().to_string()),
    ] {
        out += &format!("{name}:\n");
        keys.lines().for_each(|key| out += &format!("  {key}\n"));
    }
    out + &groups(charter)
}

/// A span in the largest unit that divides it: none is rounded.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (unit, one, many) = [(24 * 3600, "day", "days"), (3600, "hour", "hours"), (60, "minute", "minutes")]
        .into_iter()
        .find(|(unit, ..)| seconds > 0 && seconds.is_multiple_of(*unit))
        .unwrap_or((1, "second", "seconds"));
    output::counted(seconds / unit, one, many)
}

/// What is asked most of a group, and what is written for people: a table each. All else that it says makes a third.
const OFTEN: [&str; 3] = ["admits", "may_publish", "max_tlp"];
const WRITTEN: [&str; 2] = ["name", "description"];

/// Every rule of every group, whatever a later version adds.
fn groups(charter: &Charter) -> String {
    let tables = [
        table_of(charter, |name| OFTEN.contains(&name)),
        table_of(charter, |name| name != "slug" && !OFTEN.contains(&name) && !WRITTEN.contains(&name)),
        table_of(charter, |name| WRITTEN.contains(&name)),
    ];
    tables.join("\n")
}

/// A line a group, with those of its facts that are wanted.
fn table_of(charter: &Charter, is_wanted: impl Fn(&str) -> bool) -> String {
    let (mut headings, mut rows) = (Vec::new(), Vec::new());
    for group in charter.groups() {
        let facts = group_facts(charter, group).into_iter().filter(|(name, _)| is_wanted(name));
        let (names, values): (Vec<&str>, Vec<String>) = facts.unzip();
        headings = ["group", "slug"].into_iter().chain(names).map(|name| name.replace('_', " ")).collect();
        rows.push([vec![group.id.to_string(), group.slug.clone()], values].concat());
    }
    output::grid(&headings, &rows)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::sign::SigningKey,
        schema::{AcceptancePolicy, EntityClass, HistoryPolicy, Purpose, Role, StalenessPolicy, Tlp},
        time::Timestamp,
        trust::charter_draft::RootKeys,
    };
    use prost::Message as _;

    use super::*;
    use crate::cli::coalition::draft::DraftFile;

    /// Who signs a first charter, and who lives under one, has no other view of it.
    #[test]
    fn every_rule_of_a_charter_is_shown_to_whoever_signs_it() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public();
        let keys = RootKeys {
            root_threshold: 1,
            root: vec![key(1)],
            admins: vec![key(2)],
            admins_until: Default::default(),
            thresholds: Default::default(),
            registrar: key(3),
        };
        let mut draft = DraftFile::load(None).unwrap().draft;
        (draft.clock_skew_s, draft.grant_delay_h, draft.stale_after_days) = (61, 49, 17);
        draft.staleness = StalenessPolicy::StopPublishing;
        (draft.accept_by, draft.unaccepted) = (Some(now), AcceptancePolicy::Suspend);
        let parent = draft.groups[0].slug.clone();
        let mut circle = draft.groups[0].clone();
        (circle.slug, circle.name, circle.description) =
            ("zebra".to_owned(), "Zebra Circle".to_owned(), "Stripes, and \u{1b}[31mmore.".to_owned());
        (circle.parent, circle.admits, circle.may_publish) =
            (Some(parent.clone()), vec![EntityClass::Academic], Role::Steward);
        (circle.history, circle.history_window_days, circle.retention_days) = (HistoryPolicy::Window, 71, 73);
        (circle.messages_per_hour, circle.bytes_per_hour) = (79, 8_388_617);
        (circle.max_tlp, circle.default_purpose) = (Tlp::Green, Purpose::Research);
        draft.groups.push(circle);
        let charter = draft.to_charter(Some("Shown"), &keys, now).unwrap().encode_to_vec();
        let charter = Charter::check(&charter).unwrap();

        let told = facts(&charter, Path::new("none"));
        for said in [
            "61 seconds",
            "49 hours, for a new member",
            "view stale after 17 days: stop-publishing",
            "else: suspend",
            "Stripes, and \\u{1b}[31mmore.",
        ] {
            assert!(told.contains(said), "{said}\n{told}");
        }
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("zebra")).collect();
        assert_eq!(lines.len(), 3, "{told}");
        let all = lines.join("\n");
        for (name, is) in group_facts(&charter, charter.group_by_slug("zebra").unwrap()) {
            assert!(all.contains(&output::visible(&is)), "{name}: {is}\n{told}");
        }
        for said in [
            parent.as_str(),
            "academic",
            "steward",
            "window of 71 days",
            "73 days",
            "79",
            "8388617",
            "research",
        ] {
            assert!(all.contains(said), "{said}\n{told}");
        }
    }

    #[test]
    fn a_span_is_told_as_long_as_it_is() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [told(0), told(1), told(61), told(120)],
            ["0 seconds", "1 second", "61 seconds", "2 minutes"]
        );
        assert_eq!([told(3600), told(86_400), told(90_000)], ["1 hour", "1 day", "25 hours"]);
    }
}
