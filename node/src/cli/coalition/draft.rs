//! A charter draft: the charter as people write it, in TOML, without keys and hashes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use belfry_proto::{
    schema::{
        self, Action, ActionThreshold, Document, EntityClass, FocusGroup, HistoryPolicy, Purpose, Role,
        StalenessPolicy, Tlp,
    },
    time::Timestamp,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    cli::args::Named,
    config::{parse_purpose, parse_tlp, value},
    keys::file,
};

const DEFAULT: &str = include_str!("../../../../config/charter.default.toml");
/// The documents that the default draft names, by file name.
const DEFAULT_DOCUMENTS: [(&str, &str); 2] = [
    ("arrangement.default.md", include_str!("../../../../config/arrangement.default.md")),
    ("rules-of-conduct.default.md", include_str!("../../../../config/rules-of-conduct.default.md")),
];

/// A draft, read.
#[derive(Debug)]
pub(super) struct Draft {
    text: DraftText,
    arrangement: NamedDocument,
    rules: NamedDocument,
}

/// A document with its text, where the draft gave a file.
#[derive(Debug)]
pub(super) struct NamedDocument {
    pub(super) document: Document,
    pub(super) file: Option<(String, String)>,
}

/// Public keys of a coalition's roles.
pub(super) struct RolePublicKeys {
    pub(super) root: Vec<u8>,
    pub(super) admin: Vec<u8>,
    pub(super) registrar: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftText {
    #[serde(with = "value::duration")]
    valid_for: Duration,
    #[serde(with = "value::duration")]
    clock_skew: Duration,
    #[serde(with = "value::duration")]
    grant_delay: Duration,
    stale_after: OrNever,
    staleness: Staleness,
    thresholds: BTreeMap<ActionName, u32>,
    arrangement: DocumentText,
    rules_of_conduct: DocumentText,
    group_defaults: GroupDefaults,
    groups: Vec<GroupText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentText {
    version: String,
    file: Option<PathBuf>,
    hash: Option<String>,
    link: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupDefaults {
    admits: Vec<ClassName>,
    may_publish: RoleName,
    history: HistoryName,
    #[serde(with = "value::duration")]
    history_window: Duration,
    retention: OrNever,
    max_tlp: TlpName,
    messages_per_hour: u32,
    bytes_per_hour: Size,
    default_purpose: PurposeName,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    id: u32,
    slug: String,
    name: String,
    description: String,
    parent: Option<String>,
    admits: Option<Vec<ClassName>>,
    may_publish: Option<RoleName>,
    history: Option<HistoryName>,
    history_window: Option<OrNever>,
    retention: Option<OrNever>,
    max_tlp: Option<TlpName>,
    messages_per_hour: Option<u32>,
    bytes_per_hour: Option<Size>,
    default_purpose: Option<PurposeName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Staleness {
    Warn,
    StopPublishing,
}

/// A value that reads from its name.
macro_rules! by_name {
    ($name:ident, $type:ty, $parse:expr) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        struct $name($type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $parse(&String::deserialize(d)?).map(Self).map_err(D::Error::custom)
            }
        }
    };
}

by_name!(ActionName, Action, Action::parse);
by_name!(ClassName, EntityClass, EntityClass::parse);
by_name!(RoleName, Role, Role::parse);
by_name!(HistoryName, HistoryPolicy, HistoryPolicy::parse);
by_name!(TlpName, Tlp, parse_tlp);
by_name!(PurposeName, Purpose, parse_purpose);
by_name!(Size, u64, value::size::parse);
by_name!(OrNever, Option<Duration>, or_never);

fn or_never(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "never" | "forever" => Ok(None),
        _ => value::duration::parse(text).map(Some),
    }
}

impl OrNever {
    /// Seconds; 0 is the wire's "never".
    fn seconds(self) -> u64 {
        self.0.map_or(0, |d| d.as_secs())
    }
}

impl Draft {
    /// The draft at `path`, or the default one.
    pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Self::parse(DEFAULT, Path::new("charter.default.toml"), &default_document);
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&file::read_text(path)?, path, &|name| Ok(file::read_text(&folder.join(name))?))
    }

    fn parse(
        text: &str,
        origin: &Path,
        document: &dyn Fn(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let text: DraftText =
            toml::from_str(text).map_err(|e| anyhow!("{}: {}", origin.display(), e.to_string().trim_end()))?;
        let arrangement = text.arrangement.named(document).context("[arrangement]")?;
        let rules = text.rules_of_conduct.named(document).context("[rules_of_conduct]")?;
        Ok(Self { text, arrangement, rules })
    }

    /// The documents whose text the draft brought along.
    pub(super) fn documents(&self) -> impl Iterator<Item = &(String, String)> {
        [&self.arrangement, &self.rules].into_iter().filter_map(|d| d.file.as_ref())
    }

    /// Version 1 of a charter, still unchecked.
    pub(super) fn charter(
        &self,
        name: &str,
        keys: RolePublicKeys,
        now: Timestamp,
    ) -> anyhow::Result<schema::Charter> {
        let text = &self.text;
        Ok(schema::Charter {
            coalition: Vec::new(),
            name: name.to_owned(),
            version: 1,
            previous: Vec::new(),
            issued: now.as_micros(),
            expires: now.saturating_add(text.valid_for).as_micros(),
            root: Some(schema::KeySet { threshold: 1, keys: vec![keys.root] }),
            admins: Some(schema::AdminKeys { keys: vec![keys.admin], thresholds: text.thresholds()? }),
            registrar: keys.registrar,
            groups: text.groups.iter().map(|group| text.group(group)).collect::<anyhow::Result<_>>()?,
            arrangement: Some(self.arrangement.document.clone()),
            rules_of_conduct: Some(self.rules.document.clone()),
            clock_skew_s: text.clock_skew.as_secs(),
            grant_delay_s: text.grant_delay.as_secs(),
            stale_after_s: text.stale_after.seconds(),
            staleness: match text.staleness {
                Staleness::Warn => StalenessPolicy::Warn,
                Staleness::StopPublishing => StalenessPolicy::StopPublishing,
            }
            .into(),
            pin: None,
        })
    }
}

impl DraftText {
    fn thresholds(&self) -> anyhow::Result<Vec<ActionThreshold>> {
        Action::all()
            .into_iter()
            .map(|action| {
                let threshold = self.thresholds.get(&ActionName(action)).copied();
                let threshold =
                    threshold.with_context(|| format!("[thresholds] has no {}: every action needs one", action.name()))?;
                Ok(ActionThreshold { action: action.into(), threshold })
            })
            .collect()
    }

    fn group(&self, group: &GroupText) -> anyhow::Result<FocusGroup> {
        let defaults = &self.group_defaults;
        let parent = match &group.parent {
            None => 0,
            Some(slug) => match self.groups.iter().find(|g| g.slug == *slug) {
                Some(parent) => parent.id,
                None => bail!("group {:?} lies in {slug:?}, which is no group of this draft", group.slug),
            },
        };
        let history = group.history.unwrap_or(defaults.history).0;
        let window = group.history_window.and_then(|w| w.0).unwrap_or(defaults.history_window);
        Ok(FocusGroup {
            id: group.id,
            slug: group.slug.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
            parent,
            admits: group.admits.as_ref().unwrap_or(&defaults.admits).iter().map(|class| class.0.into()).collect(),
            may_publish: group.may_publish.unwrap_or(defaults.may_publish).0.into(),
            history: history.into(),
            history_window_s: if history == HistoryPolicy::Window { window.as_secs() } else { 0 },
            retention_s: group.retention.unwrap_or(defaults.retention).seconds(),
            max_tlp: group.max_tlp.unwrap_or(defaults.max_tlp).0.into(),
            messages_per_hour: group.messages_per_hour.unwrap_or(defaults.messages_per_hour),
            bytes_per_hour: group.bytes_per_hour.unwrap_or(defaults.bytes_per_hour).0,
            default_purpose: group.default_purpose.unwrap_or(defaults.default_purpose).0.into(),
        })
    }
}

impl DocumentText {
    fn named(&self, read: &dyn Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<NamedDocument> {
        let (hash, file) = match (&self.file, &self.hash) {
            (Some(path), None) => {
                let text = read(path)?;
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                (blake3::hash(text.as_bytes()).as_bytes().to_vec(), Some((name, text)))
            }
            (None, Some(hash)) => {
                let bytes = hex::decode(hash).ok().filter(|bytes| bytes.len() == 32);
                (bytes.with_context(|| format!("{hash:?} is not a BLAKE3 hash of 64 hex digits (b3sum prints one)"))?, None)
            }
            _ => bail!("give either file or hash"),
        };
        let document = Document { version: self.version.clone(), hash, link: self.link.clone() };
        Ok(NamedDocument { document, file })
    }
}

fn default_document(name: &Path) -> anyhow::Result<String> {
    let known = DEFAULT_DOCUMENTS.iter().find(|(known, _)| Path::new(known) == name);
    known.map(|(_, text)| (*text).to_owned()).with_context(|| format!("no default document {}", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&str) -> String) -> String {
        let text = change(DEFAULT);
        assert_ne!(text, DEFAULT);
        let draft = Draft::parse(&text, Path::new("draft.toml"), &default_document);
        let keys = RolePublicKeys { root: vec![], admin: vec![], registrar: vec![] };
        let result = draft.and_then(|draft| draft.charter("c", keys, Timestamp::ZERO));
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn the_default_has_the_twelve_groups_and_the_financial_circle() {
        let draft = Draft::load(None).unwrap();
        let keys = RolePublicKeys { root: vec![], admin: vec![], registrar: vec![] };
        let charter = draft.charter("c", keys, Timestamp::ZERO).unwrap();
        let slugs: Vec<&str> = charter.groups.iter().map(|g| g.slug.as_str()).collect();
        assert_eq!(
            slugs,
            [
                "application-security", "awareness", "cloud-security", "cryptography", "cidr", "hospitals", "esa",
                "grc", "iam", "ot-ics", "privacy-data-protection", "regulations-standardizations", "cidr-financial"
            ]
        );
        let circle = charter.groups.last().unwrap();
        assert_eq!((circle.parent, circle.admits.as_slice()), (5, [EntityClass::Financial as i32].as_slice()));
        assert_eq!(charter.arrangement.unwrap().hash, blake3::hash(DEFAULT_DOCUMENTS[0].1.as_bytes()).as_bytes());
    }

    #[test]
    fn a_wrong_draft_is_refused_with_its_place() {
        for (from, to, expected) in [
            ("slug = \"cidr\"\n", "slgu = \"cidr\"\n", "slgu"),
            ("parent = \"cidr\"", "parent = \"cird\"", "cird"),
            ("admits = [\"financial\"]", "admits = [\"bank\"]", "out-of-scope"),
            ("revoke = 1\n", "", "revoke"),
            ("file = \"arrangement.default.md\"", "hash = \"00\"", "[arrangement]"),
            ("clock_skew = \"30s\"", "clock_skew = 30", "draft.toml"),
        ] {
            let refusal = refusal(|text| text.replace(from, to));
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
