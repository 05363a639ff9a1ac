//! `[[sources]]`: what is taken in from elsewhere, and how it counts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use belfry_proto::{
    import::{Format, Mapping},
    limits::{MAX_BUNDLE, MAX_CLASS_LABEL},
    schema::{InformationClass, Pap, Purpose},
    stix::marking::Tlp,
};
use serde::{Deserialize, Serialize};

use super::{policy, url::HttpUrl, value};
use crate::words;

/// How often a folder is looked at, unless said.
const FOLDER_INTERVAL: Duration = Duration::from_secs(10);
/// How often others are asked, unless said: as often as feeds change, and no burden to them.
const REMOTE_INTERVAL: Duration = Duration::from_secs(3600);
/// Bytes of one file or answer, unless said: the largest events of public feeds.
const SIZE: u64 = 16 << 20;
/// Files, pages or events of one run, unless said.
const ITEMS: usize = 500;
/// The most that may be said: a run that never ends tells nothing.
const MOST_ITEMS: usize = 100_000;
/// A URL as it should be.
const LIKE: &str = "https://feeds.example/taxii2/root/";

/// One of `[[sources]]`, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What it is, and where.
    pub kind: SourceKind,
    /// Slug of the group it is for.
    pub group: String,
    /// Marking of what carries none; unset takes `publish.tlp`.
    pub tlp: Option<Tlp>,
    /// Permissible actions of what says none.
    pub pap: Option<Pap>,
    /// Its aim; unset takes `publish.purpose`, then the group's.
    pub purpose: Option<Purpose>,
    /// Its information classes; empty takes what the objects' types say.
    pub classes: Vec<InformationClass>,
    /// What `other` among them stands for.
    pub class_label: String,
    /// Goes out at once, instead of waiting for a person.
    pub publish: bool,
    /// From one run to the next.
    pub interval: Duration,
    /// Bytes of one file or answer.
    pub max_size: usize,
    /// Files, pages or events of one run.
    pub max_items: usize,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// A folder that others put files into.
    Folder {
        /// Where.
        path: PathBuf,
        /// What its files are; unset: told by name and content.
        format: Option<Format>,
        /// Columns of its tables.
        map: Mapping,
    },
    /// A collection of a TAXII 2.1 server.
    Taxii {
        /// Its API root, or its discovery.
        remote: Remote,
        /// Id, alias or title.
        collection: String,
    },
    /// A MISP feed.
    Misp {
        /// The folder of its manifest.
        remote: Remote,
    },
}

/// Somebody else's server.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Where.
    pub url: HttpUrl,
    /// Who we are to it.
    pub credential: Option<Credential>,
    /// Its host may have a private address.
    pub private: bool,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How we say who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Where the secret stands.
    pub file: PathBuf,
    /// How it is written into the request.
    pub auth: Auth,
}

/// What stands in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// RFC 7617; the file holds `USER:PASSWORD`.
    Basic,
    /// RFC 6750; the file holds the token.
    Bearer,
    /// The file's content as it is, as MISP has it.
    Key,
}

impl SourceKind {
    /// As the file writes it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "folder",
            Self::Taxii { .. } => "taxii",
            Self::Misp { .. } => "misp",
        }
    }
}

impl Source {
    /// Relative paths are taken from the configuration file's folder.
    pub(super) fn anchor(&mut self, folder: &Path) {
        match &mut self.kind {
            SourceKind::Folder { path, .. } => *path = folder.join(&*path),
            SourceKind::Taxii { remote, .. } | SourceKind::Misp { remote } => {
                remote.ca_file = remote.ca_file.take().map(|path| folder.join(path));
                if let Some(credential) = &mut remote.credential {
                    credential.file = folder.join(&credential.file);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Time(#[serde(with = "value::duration")] Duration);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Size(#[serde(with = "value::size")] u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Folder,
    Taxii,
    Misp,
}

/// As it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    group: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tlp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    class_label: String,
    #[serde(default)]
    publish: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_size: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_items: Option<usize>,
}

impl Written {
    /// What it is, and where; keys of another kind are refused, for they would say nothing.
    fn kind(&self) -> Result<SourceKind, String> {
        let given = [
            ("path", self.path.is_some(), &[Kind::Folder][..]),
            ("format", self.format.is_some(), &[Kind::Folder]),
            ("map", self.map.is_some(), &[Kind::Folder]),
            ("url", self.url.is_some(), &[Kind::Taxii, Kind::Misp]),
            ("collection", self.collection.is_some(), &[Kind::Taxii]),
            ("auth", self.auth.is_some(), &[Kind::Taxii, Kind::Misp]),
            ("credential_file", self.credential_file.is_some(), &[Kind::Taxii, Kind::Misp]),
            ("private", self.private.is_some(), &[Kind::Taxii, Kind::Misp]),
            ("ca_file", self.ca_file.is_some(), &[Kind::Taxii, Kind::Misp]),
        ];
        if let Some((key, ..)) =
            given.iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&self.kind))
        {
            return Err(format!("{key}: says nothing of a source of this kind; take it out"));
        }
        match self.kind {
            Kind::Folder => Ok(SourceKind::Folder {
                path: self.path.clone().ok_or("path: a source of kind folder needs one")?,
                format: self
                    .format
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(|e| format!("format: {e}"))?,
                map: self.map.as_deref().unwrap_or_default().parse().map_err(|e| format!("map: {e}"))?,
            }),
            Kind::Taxii => Ok(SourceKind::Taxii {
                remote: self.remote()?,
                collection: self
                    .collection
                    .clone()
                    .filter(|name| !name.trim().is_empty())
                    .ok_or("collection: a source of kind taxii needs one: its id, alias or title")?,
            }),
            Kind::Misp => Ok(SourceKind::Misp { remote: self.remote()? }),
        }
    }

    fn remote(&self) -> Result<Remote, String> {
        let url = self.url.as_deref().ok_or("url: a source of kind taxii or misp needs one")?;
        let url = HttpUrl::parse(url, LIKE)?;
        if url.path.contains('?') {
            return Err("url: names a place to look below, so it has no query; take out what follows the ?"
                .to_owned());
        }
        let credential = match (&self.credential_file, self.auth) {
            (Some(file), auth) => Some(Credential { file: file.clone(), auth: auth.unwrap_or(Auth::Bearer) }),
            (None, Some(_)) => return Err("auth: needs the secret: set credential_file, too".to_owned()),
            (None, None) => None,
        };
        let path = if url.path.ends_with('/') { url.path } else { format!("{}/", url.path) };
        Ok(Remote {
            url: HttpUrl { path, ..url },
            credential,
            private: self.private.unwrap_or_default(),
            ca_file: self.ca_file.clone(),
        })
    }
}

impl TryFrom<Written> for Source {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        policy::name(&written.name)?;
        let kind = written.kind()?;
        let unknown = |key: &str, given: &str, known: &str| format!("{key}: {given:?} is none of {known}");
        let tlp = written
            .tlp
            .as_deref()
            .map(|text| text.parse::<Tlp>().map_err(|error| format!("tlp: {text:?}: {error}")));
        let tlp = tlp.transpose()?;
        if tlp == Some(Tlp::Red) {
            return Err("tlp: RED goes to the people it names, and a source names nobody".to_owned());
        }
        let pap = written.pap.as_deref().map(|text| {
            words::parse(text).ok_or_else(|| unknown("pap", text, &words::all::<Pap>().join(", ")))
        });
        let purpose = written.purpose.as_deref().map(|text| {
            words::parse(text).ok_or_else(|| unknown("purpose", text, &words::all::<Purpose>().join(", ")))
        });
        let classes: Vec<InformationClass> =
            written.classes.iter().map(|text| policy::class(text)).collect::<Result<_, String>>()?;
        let label = written.class_label;
        if classes.contains(&InformationClass::Other) == label.is_empty() {
            return Err("class_label: says what the class \"other\" stands for, and only that".to_owned());
        }
        if label.chars().count() > MAX_CLASS_LABEL || label.chars().any(char::is_control) {
            return Err(format!("class_label: is at most {MAX_CLASS_LABEL} characters of one line"));
        }
        let unless =
            if matches!(kind, SourceKind::Folder { .. }) { FOLDER_INTERVAL } else { REMOTE_INTERVAL };
        let size = written.max_size.map_or(SIZE, |size| size.0);
        let max_size = usize::try_from(size).unwrap_or(usize::MAX);
        if max_size == 0 || max_size > MAX_BUNDLE {
            return Err(format!("max_size: is more than nothing and at most {}MiB", MAX_BUNDLE >> 20));
        }
        let max_items = written.max_items.unwrap_or(ITEMS);
        if max_items == 0 || max_items > MOST_ITEMS {
            return Err(format!("max_items: is 1 to {MOST_ITEMS}"));
        }
        Ok(Self {
            name: written.name,
            kind,
            group: written.group,
            tlp,
            pap: pap.transpose()?,
            purpose: purpose.transpose()?,
            classes,
            class_label: label,
            publish: written.publish,
            interval: written.interval.map_or(unless, |time| time.0),
            max_size,
            max_items,
        })
    }
}

impl From<Source> for Written {
    fn from(source: Source) -> Self {
        let mut written = Self {
            name: source.name,
            kind: Kind::Folder,
            path: None,
            format: None,
            map: None,
            url: None,
            collection: None,
            auth: None,
            credential_file: None,
            private: None,
            ca_file: None,
            group: source.group,
            tlp: source.tlp.map(|tlp| tlp.as_str().to_owned()),
            pap: source.pap.map(words::word),
            purpose: source.purpose.map(words::word),
            classes: source.classes.iter().map(policy::word).collect(),
            class_label: source.class_label,
            publish: source.publish,
            interval: Some(Time(source.interval)),
            max_size: Some(Size(source.max_size as u64)),
            max_items: Some(source.max_items),
        };
        let remote = match source.kind {
            SourceKind::Folder { path, format, map } => {
                written.path = Some(path);
                written.format = format.map(|format| format.as_str().to_owned());
                written.map = Some(map.to_string()).filter(|map| !map.is_empty());
                None
            }
            SourceKind::Taxii { remote, collection } => {
                written.kind = Kind::Taxii;
                written.collection = Some(collection);
                Some(remote)
            }
            SourceKind::Misp { remote } => {
                written.kind = Kind::Misp;
                Some(remote)
            }
        };
        if let Some(Remote { url, credential, private, ca_file }) = remote {
            written.url = Some(url.text());
            written.auth = credential.as_ref().map(|credential| credential.auth);
            written.credential_file = credential.map(|credential| credential.file);
            written.private = Some(private);
            written.ca_file = ca_file;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Source, String> {
        toml::from_str(&format!("name = \"x\"\ngroup = \"cidr\"\n{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_held_and_bounded() {
        let folder = read("kind = \"folder\"\npath = \"/in\"").unwrap();
        assert!(!folder.publish && folder.interval == FOLDER_INTERVAL && folder.max_items == ITEMS);
        let feed = read("kind = \"misp\"\nurl = \"https://feeds.example/osint\"").unwrap();
        let SourceKind::Misp { remote } = &feed.kind else { panic!() };
        assert_eq!(
            (remote.url.path.as_str(), remote.private, feed.interval),
            ("/osint/", false, REMOTE_INTERVAL)
        );
        for source in [folder, feed] {
            assert_eq!(toml::from_str::<Source>(&toml::to_string(&source).unwrap()).unwrap(), source);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        let taxii = "kind = \"taxii\"\nurl = \"https://t.example/\"\ncollection = \"c\"\n";
        for (text, why) in [
            ("kind = \"folder\"".to_owned(), "path: "),
            (
                "kind = \"folder\"\npath = \"/in\"\nurl = \"https://a.example/\"".to_owned(),
                "url: says nothing",
            ),
            ("kind = \"folder\"\npath = \"/in\"\nformat = \"pdf\"".to_owned(), "format: "),
            ("kind = \"folder\"\npath = \"/in\"\nmap = \"a\"".to_owned(), "map: "),
            ("kind = \"misp\"\nurl = \"http://a.example/\"".to_owned(), "in the clear"),
            ("kind = \"misp\"\nurl = \"https://a.example/?x=1\"".to_owned(), "no query"),
            ("kind = \"taxii\"\nurl = \"https://a.example/\"".to_owned(), "collection: "),
            (format!("{taxii}auth = \"basic\""), "credential_file"),
            (format!("{taxii}tlp = \"red\""), "tlp: RED"),
            (format!("{taxii}tlp = \"pink\""), "tlp: "),
            (format!("{taxii}pap = \"pink\""), "pap: "),
            (format!("{taxii}classes = [\"other\"]"), "class_label"),
            (format!("{taxii}class_label = \"x\""), "class_label"),
            (format!("{taxii}max_size = \"1GiB\""), "max_size"),
            (format!("{taxii}max_items = 0"), "max_items"),
        ] {
            let refusal = read(&text).unwrap_err();
            assert!(refusal.contains(why), "{text}: {refusal}");
        }
    }
}
