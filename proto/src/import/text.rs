//! Prose, lists of values and pasted mails: the values they speak of, each an indicator to be looked at by a person.
//!
//! Of a mail only what its sender made counts: whom it was written to and the servers on its way are victims and
//! bystanders; so it is of the mails within it. Its text is read as it was written, however it was encoded to be sent
//! ([`mail`]).

use std::collections::BTreeSet;

use super::{
    Import, ImportError, Options, Place, Why,
    mail::{self, Told, Whose},
    make::Item,
    rows,
};
use crate::stix::observable::{
    Kind, Observable, around,
    find::{self, Spoken, Stands},
};

/// Those of them that name texts with numbered lines, as in `main.rs:42`.
const WITH_LINES: [&str; 8] = ["cc", "md", "pl", "pm", "ps", "py", "rs", "sh"];

/// Mailboxes of recipients that are kept in mind: more than one mail has.
const MAX_RECIPIENTS: usize = 10_000;

/// Reads values off lines.
pub(super) fn read(text: &str, options: &Options, import: &mut Import) -> Result<(), ImportError> {
    let mut values =
        Values { seen: BTreeSet::new(), recipients: BTreeSet::new(), out: rows::Rows::new(options), import };
    mail::read(text, &mut values)
}

/// What was found, on its way to become rows.
struct Values<'i> {
    seen: BTreeSet<(Observable, Option<u16>)>,
    /// Mailboxes that a mail was written to: what it says to them names them, too.
    recipients: BTreeSet<Observable>,
    out: rows::Rows,
    import: &'i mut Import,
}

impl mail::Reader for Values<'_> {
    fn take(&mut self, number: u64, told: Told<'_>) -> Result<(), ImportError> {
        let place = || Place::Line(number);
        let (whose, line) = match told {
            Told::Text(line) => (None, line),
            Told::Field(whose, line) => (Some(whose), line),
            Told::Skipped(why) => {
                self.import.skip(place(), why);
                return Ok(());
            }
        };
        for spoken in find::values(line) {
            let is_others = match whose {
                None => self.recipients.contains(&spoken.value),
                Some(Whose::Sender) => false,
                Some(Whose::Recipient) => {
                    if spoken.value.kind() == Kind::Email && self.recipients.len() < MAX_RECIPIENTS {
                        self.recipients.insert(spoken.value.clone());
                    }
                    true
                }
                Some(Whose::Way) => true,
            };
            if is_others {
                self.import.skip(place(), Why::Recipient);
            } else if let Some(why) = doubt(&spoken) {
                self.import.skip(place(), why);
            } else if !self.seen.insert((spoken.value.clone(), spoken.port)) {
                self.import.skip(place(), Why::Twice);
            } else {
                let text = spoken.value.value().to_owned();
                let item = Item::of(spoken.value, &text).at_port(spoken.port);
                self.out.indicator(&item, &rows::Said::default(), self.import)?;
            }
        }
        Ok(())
    }
}

/// Why a value may not be one.
fn doubt(spoken: &Spoken) -> Option<Why> {
    let Spoken { value, stands, port } = spoken;
    if value.value().contains(char::REPLACEMENT_CHARACTER) {
        return Some(Why::Undecoded);
    }
    if *stands == Stands::Host {
        return Some(Why::Part);
    }
    if value.kind() != Kind::Domain || *stands == Stands::Meant {
        return None;
    }
    let top = value.value().rsplit_once('.').map_or("", |(_, top)| top);
    let is_name = around::is_name(value.value());
    let files: &[&str] = if port.is_some() { &WITH_LINES } else { &around::ALSO_FILES };
    (!is_name || files.contains(&top) && value.value().matches('.').count() == 1).then_some(Why::Ambiguous)
}
