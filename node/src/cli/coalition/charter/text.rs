//! A charter as the annotated draft one edits: everything it says, in the words of `config/charter.default.toml`.

use std::{fmt::Write as _, path::Path};

use belfry_proto::trust::{
    charter::{ACTIONS, Charter, History},
    names::Named as _,
};

use crate::cli::{args::day, documents, output};

const DAY_S: u64 = 24 * 3600;

/// The draft that says what `charter` says.
pub(super) fn draft(charter: &Charter, folder: &Path) -> String {
    let mut out = format!(
        "# {}: the charter as of version {}, in force since {}.\n\
         # Change what version {} shall say otherwise, then:\n\
         #   belfry coalition charter make THIS-FILE --out next.pem    and have next.pem signed.\n\
         # A line left out falls back to the default, not to what is in force: leave all of them in.\n\n",
        charter.name().replace(['\n', '\r'], " "),
        charter.version(),
        day(charter.issued()),
        charter.version() + 1
    );
    let wire = charter.wire();
    let validity = charter.expires().since(charter.issued()).as_secs() / DAY_S;
    line(&mut out, "The coalition's name, as members see it.", "name", &text(charter.name()));
    line(&mut out, "From the making of this version to its end.", "validity_days", &validity);
    line(
        &mut out,
        "How far a sender's clock may differ from the receiver's.",
        "clock_skew_s",
        &wire.clock_skew_s,
    );
    line(
        &mut out,
        "How long a new member waits for keys older than its membership.",
        "grant_delay_h",
        &(wire.grant_delay_s / 3600),
    );
    line(
        &mut out,
        "After how long without a sign of the registrar a node calls its view stale; 0 for never.",
        "stale_after_days",
        &(wire.stale_after_s / DAY_S),
    );
    line(
        &mut out,
        "What a stale node does: warn, or stop-publishing.",
        "staleness",
        &text(charter.staleness().name()),
    );
    match charter.accept_by() {
        Some(by) => {
            line(
                &mut out,
                "By when every member must have accepted both texts.",
                "accept_by",
                &text(&by.to_string()),
            );
        }
        None => out.push_str(
            "# By when every member must have accepted both texts.\n#accept_by = \"2027-12-31T23:59:59Z\"\n",
        ),
    }
    line(
        &mut out,
        "What becomes of a member that has not: warn, stop-publishing, or suspend.",
        "unaccepted",
        &text(charter.unaccepted().name()),
    );
    line(
        &mut out,
        "Whether whoever publishes although a guard objects says why in the message, for its readers.",
        "ask_reasons",
        &charter.asks_reasons(),
    );
    for (name, comment, document) in [
        (
            "arrangement",
            "The information-sharing arrangement. For a new text: its `file`, and no hash.",
            charter.arrangement(),
        ),
        (
            "rules_of_conduct",
            "The rules of conduct. New texts, with accept_by, ask every member to accept again.",
            charter.rules(),
        ),
    ] {
        let _ = write!(
            out,
            "\n# {comment}\n[{name}]\nversion = {}\nlink = {}\n{}hash = \"{}\"\n",
            text(&document.version),
            text(&document.link),
            documents::find(document, folder).map_or_else(String::new, |(path, text)| format!(
                "# {}, sha256 {}\n",
                output::path(&path),
                documents::sha256(&text)
            )),
            hex::encode(&document.hash)
        );
    }
    keys(&mut out, charter);
    out += "\n# Focus Groups and circles. A slug that stays keeps its number and its members; a new slug is a new group,\n\
            # and a group left out is closed. The keys of each are told in config/charter.default.toml.\n";
    groups(&mut out, charter);
    out
}

fn keys(out: &mut String, charter: &Charter) {
    let list =
        |keys: Vec<String>| keys.iter().fold(String::new(), |out, key| out + &format!("    \"{key}\",\n"));
    let (threshold, root) = charter.root();
    let _ = write!(
        out,
        "\n# Who signs what: public keys, as `belfry coalition key` prints them. A key that is taken out never returns, and\n\
         # none serves two roles.\n[keys]\n# Root keys that must sign a charter; of the version before, and of this one.\n\
         root_threshold = {threshold}\nroot = [\n{}]\n# Sign decisions about members.\nadmins = [\n{}]\n\
         # Orders the decisions into the log.\nregistrar = \"{}\"\n",
        list(root.iter().map(ToString::to_string).collect()),
        list(charter.admins().iter().map(ToString::to_string).collect()),
        charter.registrar()
    );
    *out += "\n# When admin keys end, by key, where that is before the charter does: what they sign from then on decides nothing.\n\
             [keys.admins_until]\n";
    for (key, end) in charter.admin_ends() {
        let _ = writeln!(out, "{key} = \"{end}\"");
    }
    if charter.admin_ends().is_empty() {
        *out += "#public-key-of-an-admin = \"2027-12-31T23:59:59+01:00\"\n";
    }
    *out += "\n# How many admins must sign. Leave revoke or suspend at 1: a stolen key must not wait for a second signature.\n\
             # Amend takes as many as issue, accept one.\n\
             [keys.thresholds]\n";
    for action in ACTIONS {
        let _ = writeln!(out, "{} = {}", action.name(), charter.threshold(action));
    }
}

fn groups(out: &mut String, charter: &Charter) {
    for group in charter.groups() {
        let _ = write!(
            out,
            "\n[[groups]]\nslug = {}\nname = {}\ndescription = {}\n",
            text(&group.slug),
            text(&group.name),
            text(&group.description)
        );
        if let Some(parent) = group.parent.and_then(|id| charter.group(id)) {
            let _ = writeln!(out, "parent = {}", text(&parent.slug));
        }
        let admits: Vec<String> = group.admits.iter().map(|class| text(class.name())).collect();
        let _ = writeln!(out, "admits = [{}]", admits.join(", "));
        let _ = writeln!(out, "may_publish = {}", text(group.may_publish.name()));
        match group.history {
            History::None => out.push_str("history = \"none\"\n"),
            History::All => out.push_str("history = \"all\"\n"),
            History::Window(span) => {
                let _ =
                    writeln!(out, "history = \"window\"\nhistory_window_days = {}", span.as_secs() / DAY_S);
            }
        }
        let retention = group.retention.map_or(0, |span| span.as_secs() / DAY_S);
        let _ = write!(
            out,
            "retention_days = {retention}\nmax_tlp = {}\nmessages_per_hour = {}\nbytes_per_hour = {}\ndefault_purpose = {}\n",
            text(group.max_tlp.name()),
            group.messages_per_hour,
            group.bytes_per_hour,
            text(group.default_purpose.name())
        );
    }
}

fn line(out: &mut String, comment: &str, key: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(out, "# {comment}\n{key} = {value}");
}

/// A TOML string, whatever stands in it.
fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::sign::{Purpose, SigningKey},
        id::RosterVersion,
        time::Timestamp,
        trust::{
            charter::CharterChain,
            charter_change::changes,
            charter_draft::{Draft, RootKeys},
            signed::sign,
        },
    };
    use prost::Message as _;

    use super::*;
    use crate::cli::coalition::draft::DraftFile;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    /// What is drafted, changed in nothing and made, is what is in force: no field is forgotten.
    #[test]
    fn a_charter_written_as_a_draft_and_made_again_says_the_same() {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]);
        let keys = RootKeys {
            root_threshold: 2,
            root: vec![key(1).public(), key(2).public(), key(3).public()],
            admins: vec![key(4).public(), key(5).public()],
            admins_until: Default::default(),
            thresholds: [(belfry_proto::schema::Action::Issue, 2)].into(),
            registrar: key(6).public(),
        };
        let mut file = DraftFile::load(None).unwrap();
        file.draft.groups[0].description = "quotes \" and 'both', a\nnew line, \\ and ]".into();
        file.draft.groups[1].retention_days = 30;
        file.draft.accept_by = Some(NOW.saturating_add(std::time::Duration::from_secs(86_400)));
        file.draft.unaccepted = belfry_proto::schema::AcceptancePolicy::StopPublishing;
        let first = file.draft.to_charter(Some("Tést \"x\""), &keys, NOW).unwrap().encode_to_vec();
        let charter = Charter::check(&first).unwrap();
        let signed = sign(first, Purpose::Charter, charter.coalition(), &[&key(1), &key(2)]);
        let chain = CharterChain::start(signed).unwrap();

        let again: Draft = toml::from_str(&draft(&charter, Path::new("none"))).unwrap();
        let keys_again = again.keys.clone().unwrap().to_keys().unwrap();
        let next = again.to_next_charter(&chain, &keys_again, RosterVersion::EMPTY, NOW).unwrap();
        let next = Charter::check(&next.encode_to_vec()).unwrap();
        assert_eq!(changes(&charter, &next), []);
        let ids = |charter: &Charter| charter.groups().iter().map(|group| group.id).collect::<Vec<_>>();
        assert_eq!((next.version(), ids(&next)), (2, ids(&charter)));
    }
}
