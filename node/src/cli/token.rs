//! `belfry token`: who on this site may use the local API, and for what.

use std::time::Duration;

use belfry_proto::{schema::Tlp, stix::egress::Audience, time::Timestamp, trust::names::Named as _};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    args::still_to_come,
    client::{Content, segment},
    exit::Usage,
    global::{DataFolder, Global},
    output,
};
use crate::config::{parse_tlp, value::duration};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Create(Create),
    List(List),
    Rotate(Rotate),
    Revoke(Revoke),
}

/// Make a token; it is shown once and kept nowhere.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry token create --name siem --read cidr,ot-ics --max-tlp amber
  belfry token create --name soar --read cidr --publish cidr --until 2027-11-30
  belfry token create --name cloud-siem --read cidr --audience outside")]
pub(super) struct Create {
    /// What it is called in `belfry token list` and in what it publishes: letters, digits, . - _
    #[arg(long)]
    name: String,
    /// Groups it may read, by slug; "all" for every group of this node
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    read: Vec<String>,
    /// Groups it may publish to, by slug; "all" for every group of this node
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    publish: Vec<String>,
    /// Groups it may make drafts for, by slug, which a person releases; "all" for every group of this node
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    draft: Vec<String>,
    /// It may manage tokens and see everything about the node
    #[arg(long)]
    admin: bool,
    /// Most restrictive TLP it may read; red must be said here [default: amber+strict, green for outside]
    #[arg(long, value_name = "TLP", value_parser = parse_tlp)]
    max_tlp: Option<Tlp>,
    /// Whose tool holds it: "outside" (a service provider, a cloud SIEM) reads what may leave the organisation: green and
    /// clear, amber if --max-tlp says so; nothing under embargo or sealed to named members, nothing whose handling terms
    /// forbid it
    #[arg(long, value_name = "WHOSE", value_parser = parse_audience, default_value = "inside")]
    audience: Audience,
    /// Last day, or RFC 3339 time, it works [default: no end]
    #[arg(long, value_name = "DATE", value_parser = still_to_come)]
    until: Option<Timestamp>,
    #[command(flatten)]
    data: DataFolder,
}

/// List tokens: names, scopes and expiry, never the secrets.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Give a token another secret, under its name and scope; it is shown once.
///
/// The old secret stops working at once, or after --keep: long enough to tell its tool the new one.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry token rotate siem --keep 1h")]
pub(super) struct Rotate {
    /// Name or id of the token, as `belfry token list` shows them
    token: String,
    /// How long the old secret goes on, as in 15m or 24h; a week at most [default: not at all]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    keep: Option<Duration>,
    #[command(flatten)]
    data: DataFolder,
}

/// Revoke a token: it stops working at once.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Name or id of the token, as `belfry token list` shows them
    token: String,
    #[command(flatten)]
    data: DataFolder,
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(global),
            Self::List(list) => list.run(global),
            Self::Rotate(rotate) => rotate.run(global),
            Self::Revoke(revoke) => revoke.run(global),
        }
    }
}

impl Create {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        if self.read.is_empty() && self.publish.is_empty() && self.draft.is_empty() && !self.admin {
            return Err(Usage(
                "a token that may do nothing: give --read, --publish, --draft or --admin".into(),
            )
            .into());
        }
        let client = global.client(&self.data)?;
        let content = Content {
            kind: "application/json",
            bytes: self.body().to_string().into_bytes(),
            idempotency_key: None,
        };
        let answer = client.post("/api/v1/tokens", content)?;
        shown_once(&answer, &self.name)
    }

    /// The request of `POST /api/v1/tokens`.
    fn body(&self) -> Value {
        json!({
            "name": self.name,
            "read": groups(&self.read),
            "publish": groups(&self.publish),
            "draft": groups(&self.draft),
            "admin": self.admin,
            // RED is no ceiling but a permission of its own: what is sealed to named members.
            "max_tlp": self.max_tlp.map(|tlp| tlp.min(Tlp::AmberStrict).name()),
            "red": self.max_tlp == Some(Tlp::Red),
            "audience": self.audience.as_str(),
            "expires": self.until,
        })
    }
}

fn shown_once(answer: &Value, name: &str) -> anyhow::Result<()> {
    match answer.get("token").and_then(Value::as_str) {
        Some(token) => {
            eprintln!("shown once; keep it where {} reads it:", output::visible(name));
            output::print(&format!("{}\n", output::visible(token)))?;
        }
        None => output::print(&output::readable(answer))?,
    }
    Ok(())
}

impl Rotate {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let overlap = self.keep.map_or(0, |keep| keep.as_secs());
        let content = Content {
            kind: "application/json",
            bytes: json!({ "overlap_seconds": overlap }).to_string().into_bytes(),
            idempotency_key: None,
        };
        let path = format!("/api/v1/tokens/{}/rotate", segment(&self.token));
        shown_once(&global.client(&self.data)?.post(&path, content)?, &self.token)
    }
}

fn parse_audience(text: &str) -> Result<Audience, String> {
    Audience::named(text).ok_or_else(|| "is inside or outside".to_owned())
}

/// The daemon's word for every group is `*`, which shells would eat.
fn groups(named: &[String]) -> Vec<&str> {
    named.iter().map(|group| if group == "all" { "*" } else { group }).collect()
}

impl List {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut answer = global.client(&self.data)?.list("/api/v1/tokens", &[], "tokens")?;
        if self.json {
            return output::print_json(&answer);
        }
        for token in answer.get_mut("tokens").and_then(Value::as_array_mut).into_iter().flatten() {
            for scope in ["read", "publish", "draft"] {
                // As one says it at `token create`.
                if let Some(groups) = token.get_mut(scope).filter(|groups| **groups == json!(["*"])) {
                    *groups = json!("all");
                }
            }
            let own = token.get("own") == Some(&Value::Bool(true));
            if let Some(members) = token.as_object_mut() {
                let used_by = if own { "this command line" } else { "" };
                members.insert("used_by".to_owned(), json!(used_by));
            }
        }
        Ok(output::print(&super::listing::listed(
            &answer,
            "tokens",
            &[
                "id", "name", "read", "publish", "draft", "admin", "max_tlp", "red", "audience", "expires",
                "used_by",
            ],
        ))?)
    }
}

impl Revoke {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        global.client(&self.data)?.delete(&format!("/api/v1/tokens/{}", segment(&self.token)))?;
        Ok(output::print(&format!("Revoked {}.\n", output::visible(&self.token)))?)
    }
}
