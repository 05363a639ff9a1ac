//! Charter drafts as files: the one given, or the one this binary carries, with the documents it names.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use belfry_proto::trust::charter_draft::Draft;

use crate::keys::file;

pub(super) const DEFAULT: &str = include_str!("../../../../config/charter.default.toml");
/// The documents that the default draft names, by file name.
pub(super) const DEFAULT_DOCUMENTS: [(&str, &str); 2] = [
    ("arrangement.default.md", include_str!("../../../../config/arrangement.default.md")),
    ("rules-of-conduct.default.md", include_str!("../../../../config/rules-of-conduct.default.md")),
];

/// Where whoever founds a coalition with several holders says whose keys sign what.
pub(super) const KEYS_TO_FILL_IN: &str = "\
# Who signs what. Each holder runs `belfry coalition key --key MY-KEY.pem` on a machine of their own and reads out the
# line it prints. No key serves two roles; one that is taken out later never returns.
[keys]
# Root keys that must sign a charter. Take fewer than there are: one holder may be missing.
root_threshold = 2
root = [
    \"public key of the first holder\",
    \"public key of the second holder\",
    \"public key of the third holder\",
]
# Sign decisions about members.
admins = [\"public key of an admin\"]
# Orders the decisions into the log.
registrar = \"public key of the registrar\"

# When admin keys end, by key, where that is before the charter does: what they sign from then on decides nothing.
[keys.admins_until]
#public-key-of-an-admin = \"2027-12-31T23:59:59+01:00\"

# How many admins must sign, where that is not one. Leave revoke or suspend at 1: a stolen key must not wait for a
# second signature.
[keys.thresholds]
issue = 1
";

/// A draft with its documents hashed.
#[derive(Debug)]
pub(super) struct DraftFile {
    pub(super) draft: Draft,
    /// File name and text of each document the draft brought along.
    pub(super) documents: Vec<(String, Vec<u8>)>,
}

impl DraftFile {
    /// The draft at `path`, or the default one.
    pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            None => Self::parse(DEFAULT, Path::new("charter.default.toml"), default_document),
            Some(path) => {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                Self::parse(&file::read_text(path)?, path, |name| {
                    Ok(file::read_text(&folder.join(name))?.into_bytes())
                })
            }
        }
    }

    fn parse(
        text: &str,
        origin: &Path,
        read: impl Fn(&str) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let origin = origin.display().to_string();
        let mut draft: Draft =
            toml::from_str(text).map_err(|e| anyhow!("{origin}: {}", e.to_string().trim_end()))?;
        let mut documents = Vec::new();
        draft
            .read_documents(|name| {
                let text = read(name)?;
                let file_name = PathBuf::from(name).file_name().map(|n| n.to_string_lossy().into_owned());
                documents.push((file_name.unwrap_or_default(), text.clone()));
                anyhow::Ok(text)
            })
            .map_err(|e| anyhow!("{e}"))
            .context(origin)?;
        Ok(Self { draft, documents })
    }
}

fn default_document(name: &str) -> anyhow::Result<Vec<u8>> {
    let known = DEFAULT_DOCUMENTS.iter().find(|(known, _)| *known == name);
    known.map(|(_, text)| text.as_bytes().to_vec()).with_context(|| format!("no default document {name:?}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use belfry_proto::{
        crypto::{hash, sign::SigningKey},
        schema::EntityClass,
        time::Timestamp,
        trust::charter_draft::RootKeys,
    };

    use super::*;
    use crate::testing::papers::RETENTION;

    #[test]
    fn the_default_has_the_twelve_groups_and_the_financial_circle() {
        let file = DraftFile::load(None).unwrap();
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public();
        let keys = RootKeys {
            root_threshold: 1,
            root: vec![key(1)],
            admins: vec![key(2)],
            admins_until: Default::default(),
            thresholds: Default::default(),
            registrar: key(3),
        };
        let charter = file.draft.to_charter(Some("c"), &keys, Timestamp::ZERO).unwrap();
        let slugs: Vec<&str> = charter.groups.iter().map(|g| g.slug.as_str()).collect();
        let expected = "application-security awareness cloud-security cryptography cidr hospitals esa grc iam ot-ics \
                        privacy-data-protection regulations-standardizations cidr-financial";
        assert_eq!(slugs, expected.split_whitespace().collect::<Vec<_>>());
        let circle = charter.groups.last().unwrap();
        assert_eq!(
            (circle.parent, circle.admits.as_slice()),
            (5, [EntityClass::Financial as i32].as_slice())
        );
        let arrangement = charter.arrangement.unwrap().hash;
        assert_eq!(arrangement, hash::document(DEFAULT_DOCUMENTS[0].1.as_bytes()));
        assert_eq!(file.documents.len(), 2);
    }

    #[test]
    fn a_wrong_draft_is_refused_with_its_place() {
        for (from, to, expected) in [
            ("slug = \"cidr\"\n", "slgu = \"cidr\"\n", "slgu"),
            ("admits = [\"financial\"]", "admits = [\"bank\"]", "out-of-scope"),
            ("file = \"arrangement.default.md\"", "file = \"no.md\"", "no.md"),
            ("clock_skew_s = 120", "clock_skew_s = \"2m\"", "line 10"),
        ] {
            let text = DEFAULT.replace(from, to);
            assert_ne!(text, DEFAULT);
            let error = DraftFile::parse(&text, Path::new("draft.toml"), default_document).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains("draft.toml") && error.contains(expected), "{error}");
        }
    }

    /// serde's own list of what may stand where a key of `text` is that nothing has.
    fn fields(text: &str) -> BTreeSet<String> {
        let error = toml::from_str::<Draft>(text).unwrap_err();
        let (_, expected) = error.message().split_once("expected").unwrap();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn said(text: &str) -> Draft {
        toml::from_str(text).unwrap()
    }

    /// What a comment says that a missing key is, as TOML has it.
    fn default_in(comment: &str) -> Option<String> {
        let (_, default) = comment.split_once("[default: ")?;
        let (default, _) = default.split_once(']')?;
        Some(match default {
            "every class" => "[]".to_owned(),
            number if number.parse::<u64>().is_ok() => number.to_owned(),
            word => format!("\"{word}\""),
        })
    }

    #[test]
    fn the_default_draft_explains_every_key_of_a_group_and_what_a_missing_one_is() {
        let (head, _) = DEFAULT.split_once("\n[[groups]]").unwrap();
        let (_, comment) = head.split_once("Keys of each:\n").unwrap();
        let mut keys: Vec<(String, String)> = Vec::new();
        for line in comment.lines().filter_map(|line| line.strip_prefix("#   ")) {
            match line.split_once("  ") {
                _ if line.starts_with(' ') => keys.last_mut().unwrap().1.push_str(line),
                Some((key, text)) => keys.push((key.to_owned(), text.to_owned())),
                None => keys.extend(line.split(", ").map(|key| (key.to_owned(), String::new()))),
            }
        }
        let explained: BTreeSet<String> = keys.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(explained, fields("[[groups]]\nno-such-key = 1"));
        let group = |line: &str| said(&format!("{head}\n[[groups]]\nslug = \"a\"\nname = \"A\"\n{line}\n"));
        for (key, text) in &keys {
            if let Some(default) = default_in(text) {
                assert_eq!(group(&format!("{key} = {default}")), group(""), "{key}");
            }
        }
        assert_ne!(group("retention_days = 1"), group(""), "another value is another draft");
        // The retention plan says so, too.
        let retention = keys.iter().find(|(key, _)| key == "retention_days").unwrap();
        assert_eq!(default_in(&retention.1).as_deref(), Some("0"));
        assert!(
            RETENTION.contains("`retention_days` of the group")
                && RETENTION.contains("0 is for ever, and the default")
        );
    }

    #[test]
    fn the_default_draft_shows_every_key_and_one_that_is_left_out_is_what_it_says() {
        let on = |line: &'static str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        };
        let shown: toml::Table = DEFAULT.lines().map(on).collect::<Vec<_>>().join("\n").parse().unwrap();
        let mut expected = fields("no-such-key = 1");
        assert!(expected.remove("keys"), "whose keys sign is filled in by who founds with several holders");
        assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), expected);
        let mut comment = String::new();
        for line in DEFAULT.lines().take_while(|line| !line.starts_with('[')) {
            if let Some(text) = line.strip_prefix("# ") {
                comment.push_str(text);
                continue;
            }
            if let (false, Some((key, _))) = (line.starts_with('#'), line.split_once(" = ")) {
                let without = DEFAULT.replacen(&format!("{line}\n"), "", 1);
                let default = default_in(&comment).map(|value| format!("{key} = {value}"));
                let with = DEFAULT.replacen(line, default.as_deref().unwrap_or(line), 1);
                assert_eq!(said(&without), said(&with), "{key}");
            }
            comment.clear();
        }
    }
}
