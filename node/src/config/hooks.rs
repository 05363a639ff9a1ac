//! `[[webhooks]]` and `[[syslog]]`: what is pushed out as it comes, and where to.

use std::path::PathBuf;

use belfry_proto::stix::egress::{Policy, Use};
use serde::{Deserialize, Serialize};

use super::{
    policy::{self, Way},
    url::{HttpUrl, at},
};
use crate::stated::Stated;

/// A URL as it should be.
const LIKE: &str = "https://soar.example/hooks/belfry";

/// What may leave by a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// What may leave by it.
    pub policy: Policy,
    /// Slugs of groups; empty for all of this node.
    pub groups: Vec<String>,
    /// STIX types; empty for all.
    pub types: Vec<String>,
    /// What publications state.
    pub stated: Stated,
    /// Sends nothing and counts what it would.
    pub shadow: bool,
}

/// One of `[[webhooks]]`, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenWebhook", into = "WrittenWebhook")]
pub struct Webhook {
    /// What may leave by it.
    pub hook: Hook,
    /// Where to.
    pub url: HttpUrl,
    /// File with the secret of its signatures.
    pub secret_file: PathBuf,
    /// Its host may have a private address.
    pub private: bool,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// One of `[[syslog]]`, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenSyslog", into = "WrittenSyslog")]
pub struct Syslog {
    /// What may leave by it.
    pub hook: Hook,
    /// Where to.
    pub target: Target,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A log server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// RFC 6587, octet counting.
    Tcp(String, u16),
    /// RFC 5425.
    Tls(String, u16),
    /// RFC 5426.
    Udp(String, u16),
    /// A datagram socket of this machine, as in /dev/log.
    Unix(PathBuf),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWebhook {
    name: String,
    url: String,
    secret_file: PathBuf,
    #[serde(default)]
    private: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tlp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstated_pap: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    shadow: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSyslog {
    name: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tlp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstated_pap: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    shadow: bool,
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "target: {text:?} is not a log server: write tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or \
                 unix:///PATH"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        if scheme == "unix" {
            let path = PathBuf::from(rest);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong()) };
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || !host.chars().all(plain) || port == 0 {
            return Err(wrong());
        }
        match scheme {
            "tcp" => Ok(Self::Tcp(host, port)),
            "tls" => Ok(Self::Tls(host, port)),
            "udp" => Ok(Self::Udp(host, port)),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "tcp://{}", at(host, *port)),
            Self::Tls(host, port) => write!(f, "tls://{}", at(host, *port)),
            Self::Udp(host, port) => write!(f, "udp://{}", at(host, *port)),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn types(types: &[String]) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match types.iter().find(|kind| kind.is_empty() || !kind.chars().all(plain)) {
        Some(wrong) => Err(format!("types: {wrong:?} is no STIX type, such as indicator or report")),
        None => Ok(()),
    }
}

impl TryFrom<WrittenWebhook> for Webhook {
    type Error = String;

    fn try_from(written: WrittenWebhook) -> Result<Self, String> {
        let WrittenWebhook { action, audience, max_tlp, unstated_pap, .. } = written;
        policy::name(&written.name)?;
        types(&written.types)?;
        Ok(Self {
            hook: Hook {
                policy: Way { action, audience, max_tlp, unstated_pap }.policy(Use::Detect)?,
                name: written.name,
                groups: written.groups,
                types: written.types,
                stated: policy::stated(&written.classes, &written.purposes)?,
                shadow: written.shadow,
            },
            url: HttpUrl::parse(&written.url, LIKE)?,
            secret_file: written.secret_file,
            private: written.private,
            ca_file: written.ca_file,
        })
    }
}

impl From<Webhook> for WrittenWebhook {
    fn from(webhook: Webhook) -> Self {
        let Way { action, audience, max_tlp, unstated_pap } = Way::of(&webhook.hook.policy);
        Self {
            name: webhook.hook.name,
            url: webhook.url.text(),
            secret_file: webhook.secret_file,
            private: webhook.private,
            ca_file: webhook.ca_file,
            action,
            audience,
            max_tlp,
            unstated_pap,
            groups: webhook.hook.groups,
            types: webhook.hook.types,
            classes: policy::words(webhook.hook.stated.classes),
            purposes: policy::words(webhook.hook.stated.purposes),
            shadow: webhook.hook.shadow,
        }
    }
}

impl TryFrom<WrittenSyslog> for Syslog {
    type Error = String;

    fn try_from(written: WrittenSyslog) -> Result<Self, String> {
        let WrittenSyslog { action, audience, max_tlp, unstated_pap, .. } = written;
        policy::name(&written.name)?;
        types(&written.types)?;
        Ok(Self {
            hook: Hook {
                policy: Way { action, audience, max_tlp, unstated_pap }.policy(Use::Detect)?,
                name: written.name,
                groups: written.groups,
                types: written.types,
                stated: policy::stated(&written.classes, &written.purposes)?,
                shadow: written.shadow,
            },
            target: Target::parse(&written.target)?,
            ca_file: written.ca_file,
        })
    }
}

impl From<Syslog> for WrittenSyslog {
    fn from(syslog: Syslog) -> Self {
        let Way { action, audience, max_tlp, unstated_pap } = Way::of(&syslog.hook.policy);
        Self {
            name: syslog.hook.name,
            target: syslog.target.to_string(),
            ca_file: syslog.ca_file,
            action,
            audience,
            max_tlp,
            unstated_pap,
            groups: syslog.hook.groups,
            types: syslog.hook.types,
            classes: policy::words(syslog.hook.stated.classes),
            purposes: policy::words(syslog.hook.stated.purposes),
            shadow: syslog.hook.shadow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, more: &str) -> Result<Webhook, String> {
        let text = format!("name = \"x\"\nurl = \"{url}\"\nsecret_file = \"/s\"\n{more}");
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_webhook_goes_over_tls_or_stays_on_this_machine() {
        let parsed = webhook("https://Soar.Example/a?b=c", "").unwrap().url;
        assert_eq!(
            (parsed.host.as_str(), parsed.port, parsed.path.as_str()),
            ("soar.example", 443, "/a?b=c")
        );
        for good in
            ["http://127.0.0.1:8080/", "http://[::1]:8080/x", "http://localhost/x", "https://[2001:db8::1]/"]
        {
            let parsed = webhook(good, "").unwrap();
            assert_eq!(
                toml::from_str::<Webhook>(&toml::to_string(&parsed).unwrap()).unwrap(),
                parsed,
                "{good}"
            );
        }
        for (bad, why) in [
            ("http://soar.example/", "in the clear"),
            ("http://127.0.0.1.evil.example/", "in the clear"),
            ("ftp://soar.example/", "neither"),
            ("https://user:secret@soar.example/", "user name"),
            ("/hooks", "host"),
            ("https://", "URL"),
        ] {
            let refusal = webhook(bad, "").unwrap_err();
            assert!(refusal.contains(why), "{bad}: {refusal}");
        }
        assert!(webhook("https://a.example/", "max_tlp = \"red\"").is_err());
        assert!(webhook("https://a.example/", "types = [\"Indicator\"]").is_err());
    }

    #[test]
    fn a_log_server_has_a_way_a_host_and_a_port() {
        let target = |text: &str| Target::parse(text);
        for good in
            ["tcp://siem.example:6514", "tls://[2001:db8::1]:6514", "udp://127.0.0.1:514", "unix:///dev/log"]
        {
            assert_eq!(target(good).unwrap().to_string(), good);
        }
        for bad in [
            "siem.example:514",
            "tcp://siem.example",
            "http://a:1",
            "tcp://:514",
            "unix://dev/log",
            "tcp://a b:1",
            "tcp://a:0",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
