//! `belfry contact`: where members' functions are reached, and where this member's are.

use std::path::PathBuf;

use belfry_proto::{
    guard::is_named_as_a_person,
    schema::ContactRole,
    trust::names::{Named as _, UnknownName},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    client::{Client, Content, segment},
    exit::Usage,
    global::{DataFolder, Global},
    output,
};

/// Bytes of a file of mailboxes: some times what a record holds.
const MAX_FILE: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Show(Show),
    Set(Set),
    Remove(Remove),
}

/// Show where members' functions are reached: incidents, abuse, data protection.
///
/// What a member says of itself, signed with its key. Of whoever is a member no more nothing is shown.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Member id or organisation name [default: all]
    member: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Say where this member's functions are reached.
///
/// Role mailboxes only: what is said here goes to every member, and no natural person belongs into it. It is signed with
/// this node's key and told to every node; it takes the place of what was said before. A file says all there is; options
/// say one role's mailbox, in the place of what was said of that role. When the certificate gets new keys, say it again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry contact set --role incident --email csirt@bank.example \\
      --phone '+32 2 123 45 67' --hours 24/7 --language nl,fr
  belfry contact set contact.toml

A file has a table for each mailbox; role is incident, abuse, vulnerability,
privacy, legal or admin, and email or url must be there:
  [[mailbox]]
  role = \"incident\"
  email = \"csirt@bank.example\"
  url = \"https://bank.example/report\"
  phone = \"+32 2 123 45 67\"
  openpgp = \"0123 4567 89AB CDEF 0123 4567 89AB CDEF 0123 4567\"
  key_url = \"https://bank.example/csirt.asc\"
  languages = [\"nl\", \"fr\"]
  hours = \"24/7\"")]
pub(super) struct Set {
    /// TOML file with all mailboxes
    #[arg(value_name = "FILE", conflicts_with = "role", required_unless_present = "role")]
    file: Option<PathBuf>,
    /// What the mailbox is there for: incident, abuse, vulnerability, privacy, legal or admin
    #[arg(long, value_parser = role)]
    role: Option<&'static str>,
    /// E-mail address
    #[arg(long, requires = "role")]
    email: Option<String>,
    /// Form or page, https
    #[arg(long, requires = "role")]
    url: Option<String>,
    /// Telephone of the desk, as in '+32 2 123 45 67'
    #[arg(long, requires = "role")]
    phone: Option<String>,
    /// Fingerprint of the OpenPGP key
    #[arg(long, requires = "role", value_name = "FINGERPRINT")]
    openpgp: Option<String>,
    /// Where that key is, https
    #[arg(long, requires = "role", value_name = "URL")]
    key_url: Option<String>,
    /// Languages spoken there, as in nl,fr
    #[arg(long = "language", requires = "role", value_name = "TAG", value_delimiter = ',')]
    languages: Vec<String>,
    /// When somebody is there, as in 24/7
    #[arg(long, requires = "role", value_name = "TEXT")]
    hours: Option<String>,
    /// Say it although an address looks like a natural person's
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Take back what this member said of its mailboxes.
#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    data: DataFolder,
}

fn role(text: &str) -> Result<&'static str, UnknownName> {
    ContactRole::parse(text).map(|role| role.name())
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Show(show) => show.run(global),
            Self::Set(set) => set.run(global),
            Self::Remove(remove) => remove.run(global),
        }
    }
}

impl Show {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let answer = match &self.member {
            None => client.list("/api/v1/contacts", &[], "contacts")?,
            Some(member) => {
                let mut answer = client.get(&format!("/api/v1/members/{}/contact", segment(member)))?;
                let found = answer.get_mut("contact").map(Value::take).filter(Value::is_object);
                json!({ "contacts": found.into_iter().collect::<Vec<_>>() })
            }
        };
        if self.json {
            return output::print_json(&answer);
        }
        Ok(output::print(&text(&answer))?)
    }
}

impl Set {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client(&self.data)?;
        let mailboxes = match (&self.file, self.role) {
            (Some(file), _) => read(file)?,
            (None, Some(role)) => {
                let mut mailboxes = own(&client)?;
                mailboxes.retain(|mailbox| mailbox.get("role").and_then(Value::as_str) != Some(role));
                mailboxes.push(self.mailbox(role));
                mailboxes
            }
            (None, None) => return Err(Usage("name a file, or a role".to_owned()).into()),
        };
        let mut emails = mailboxes.iter().filter_map(|mailbox| mailbox.get("email")?.as_str());
        if let Some(person) = emails.find(|email| is_named_as_a_person(email)).filter(|_| !self.yes) {
            let person = output::visible(person);
            output::warn(&format!(
                "{person} looks like a natural person's. Only role mailboxes belong into a contact record: every member keeps \
                 it, and people leave."
            ));
            output::confirm(&format!("Is {person} a role mailbox?"), "--yes", "nothing was signed")?;
        }
        let count = u64::try_from(mailboxes.len()).unwrap_or(u64::MAX);
        say(&client, mailboxes)?;
        let count = output::counted(count, "mailbox", "mailboxes");
        Ok(output::print(&format!(
            "Signed {count} and told every connected node; others learn it from them.\n"
        ))?)
    }

    /// The one that the options name.
    fn mailbox(&self, role: &str) -> Value {
        let mut mailbox = Map::from_iter([("role".to_owned(), json!(role))]);
        for (name, value) in [
            ("email", &self.email),
            ("url", &self.url),
            ("phone", &self.phone),
            ("openpgp", &self.openpgp),
            ("key_url", &self.key_url),
            ("hours", &self.hours),
        ] {
            mailbox.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
        if !self.languages.is_empty() {
            mailbox.insert("languages".to_owned(), json!(self.languages));
        }
        Value::Object(mailbox)
    }
}

impl Remove {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        say(&global.client(&self.data)?, Vec::new())?;
        Ok(output::print(
            "Took back what this member said of its mailboxes, and told every connected node.\n",
        )?)
    }
}

/// Whoever runs the command has looked at what is said.
fn say(client: &Client, mailboxes: Vec<Value>) -> anyhow::Result<()> {
    let body = json!({ "mailboxes": mailboxes, "confirmed": true });
    let content =
        Content { kind: "application/json", bytes: body.to_string().into_bytes(), idempotency_key: None };
    client.post("/api/v1/contacts", content).map(drop)
}

/// This member's mailboxes as they are told now.
fn own(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut all = client.list("/api/v1/contacts", &[], "contacts")?;
    let Some(Value::Array(all)) = all.get_mut("contacts").map(Value::take) else { return Ok(Vec::new()) };
    let own = all.into_iter().find(|contact| contact.get("own") == Some(&Value::Bool(true)));
    let mailboxes = own.and_then(|contact| contact.get("mailboxes")?.as_array().cloned());
    Ok(mailboxes.unwrap_or_default())
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    use std::io::Read as _;

    use anyhow::Context as _;
    let path = output::path(file);
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(|| path.clone())?;
    opened.take(MAX_FILE).read_to_string(&mut text).with_context(|| path.clone())?;
    mailboxes(&text).with_context(|| path)
}

/// The tables of a file; what stands in them the node checks.
fn mailboxes(text: &str) -> anyhow::Result<Vec<Value>> {
    let table: toml::Table = toml::from_str(text)?;
    if let Some(other) = table.keys().find(|key| *key != "mailbox") {
        anyhow::bail!("{} is no table of mailboxes: write [[mailbox]]", output::visible(other));
    }
    match table.get("mailbox") {
        Some(toml::Value::Array(mailboxes)) => {
            mailboxes.iter().map(|mailbox| Ok(serde_json::to_value(mailbox)?)).collect()
        }
        _ => anyhow::bail!("there is no [[mailbox]] in it; `belfry contact remove` takes all back"),
    }
}

fn text(answer: &Value) -> String {
    let mut rows: Vec<[String; 7]> = Vec::new();
    for contact in answer.get("contacts").and_then(Value::as_array).into_iter().flatten() {
        let of = |value: &Value, name: &str| value.get(name).and_then(output::scalar).unwrap_or_default();
        for mailbox in contact.get("mailboxes").and_then(Value::as_array).into_iter().flatten() {
            let either = |one: String, other: String| if one.is_empty() { other } else { one };
            rows.push([
                of(contact, "organisation"),
                of(mailbox, "role"),
                either(of(mailbox, "email"), of(mailbox, "url")),
                of(mailbox, "phone"),
                of(mailbox, "hours"),
                of(mailbox, "languages"),
                of(mailbox, "openpgp"),
            ]);
        }
    }
    if rows.is_empty() {
        return "No contact is known here.\n".to_owned();
    }
    let headings = ["organisation", "role", "reached at", "phone", "hours", "languages", "openpgp"];
    output::table(headings, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_anything_but_mailboxes_is_refused_and_tables_are_read_in_their_order() {
        for wrong in ["", "[mailboxes]", "mailbox = 1", "role = \"incident\"", "[[mailbox]]\nrole ="] {
            assert!(mailboxes(wrong).is_err(), "{wrong}");
        }
        let text = "[[mailbox]]\nrole = \"incident\"\nlanguages = [\"nl\"]\n[[mailbox]]\nrole = \"abuse\"";
        let read = mailboxes(text).unwrap();
        assert_eq!(read, [json!({ "role": "incident", "languages": ["nl"] }), json!({ "role": "abuse" })]);
    }

    #[test]
    fn each_mailbox_is_a_line_and_foreign_text_steers_no_terminal() {
        let told = text(&json!({ "contacts": [{ "organisation": "Bank\u{1b}[2J", "mailboxes": [
            { "role": "incident", "email": "csirt@bank.example", "languages": ["nl", "fr"], "hours": "24/7" },
            { "role": "abuse", "url": "https://bank.example/abuse" },
        ] }] }));
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(told.contains("nl, fr") && told.contains("https://bank.example/abuse"), "{told}");
        assert!(!told.contains('\u{1b}'));
        assert!(text(&Value::Null).starts_with("No contact"));
    }
}
