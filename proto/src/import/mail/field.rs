//! Fields of headers, as they are sent and as mail programs show them, and whose the values in them are.

use super::{Reader, Told, words};
use crate::import::ImportError;

/// Signs of a name: the longest that programs write have some sixty.
const MAX_NAME: usize = 80;

/// Whose the values of a field are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::import) enum Whose {
    /// What its sender writes about itself.
    #[default]
    Sender,
    /// Whom it was written to.
    Recipient,
    /// Servers on its way, and what programs note.
    Way,
}

/// What a field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    From,
    /// Its sender, by another name.
    Sender,
    To,
    Date,
    Subject,
    /// What stands in headers as they are sent only, and in all of them.
    Trace,
    /// What programs show besides.
    Other,
    /// Any other that may stand in a header as it is sent.
    Raw,
}

impl Kind {
    /// By a name in the languages in which programs here show it, in small letters without accents.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "from" | "van" | "de" | "von" => Self::From,
            "sender" | "reply-to" | "return-path" | "reply to" | "antwoorden aan" | "antwoord aan"
            | "repondre a" | "antwort an" | "antworten an" => Self::Sender,
            "to" | "cc" | "bcc" | "delivered-to" | "envelope-to" | "x-original-to" | "x-envelope-to"
            | "x-forwarded-to" | "resent-to" | "resent-cc" | "resent-bcc" | "apparently-to" | "aan" | "a"
            | "an" | "cci" | "kopie" | "kopie (cc)" | "kopie an" | "copie" | "copie a" => Self::To,
            "date" | "sent" | "datum" | "verzonden" | "envoye" | "gesendet" => Self::Date,
            "subject" | "onderwerp" | "objet" | "sujet" | "betreff" => Self::Subject,
            "received" | "message-id" | "mime-version" | "received-spf" | "dkim-signature" => Self::Trace,
            "importance" | "priority" | "attachments" | "belang" | "prioriteit" | "bijlage" | "bijlagen"
            | "pieces jointes" | "wichtigkeit" | "anlage" | "anlagen" => Self::Other,
            _ if name.contains('-') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                Self::Raw
            }
            _ => return None,
        })
    }

    /// The kind of the field that a line begins, if it begins one.
    pub(super) fn begun(line: &str) -> Option<Self> {
        let line = line.trim_start();
        let (end, _) = line.char_indices().take(MAX_NAME).find(|(_, c)| *c == ':')?;
        let (name, behind) = line.split_at(end);
        if behind.starts_with("://") {
            return None;
        }
        // Some programs show names in bold, by asterisks.
        Self::named(&folded(name.trim_matches(|c: char| c == '*' || c.is_whitespace())))
    }

    /// Whether it stands once in a header.
    pub(super) fn is_single(self) -> bool {
        matches!(self, Self::From | Self::Date | Self::Subject)
    }

    /// Whether programs show it, and do not only send it.
    pub(super) fn is_shown(self) -> bool {
        matches!(self, Self::From | Self::To | Self::Date | Self::Subject)
    }

    /// Whether it tells where a mail comes from.
    pub(super) fn is_origin(self) -> bool {
        matches!(self, Self::From | Self::Sender | Self::Trace)
    }

    fn whose(self) -> Whose {
        match self {
            Self::From | Self::Sender | Self::Subject => Whose::Sender,
            Self::To => Whose::Recipient,
            Self::Date | Self::Trace | Self::Other | Self::Raw => Whose::Way,
        }
    }
}

/// In small letters, without accents, blanks being blanks.
pub(super) fn folded(text: &str) -> String {
    let small = text.chars().flat_map(char::to_lowercase);
    small
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        .map(|c| match c {
            'à' | 'â' => 'a',
            'é' | 'è' | 'ê' => 'e',
            'ü' => 'u',
            '\u{a0}' | '\u{202f}' => ' ',
            c => c,
        })
        .collect()
}

/// `line` without the marks of a quotation in front, and one blank behind each.
pub(super) fn unquoted(line: &str) -> &str {
    let mut rest = line;
    while let Some(behind) = rest.trim_start_matches([' ', '\t']).strip_prefix('>') {
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    rest
}

/// Reads the lines of a header, the mail's own or of one within.
#[derive(Default)]
pub(super) struct Fields {
    /// Of the field that goes on.
    whose: Whose,
    /// A line that ends with an encoded word: the next one may go on with it.
    held: Option<(u64, String)>,
}

impl Fields {
    /// A line that begins a field of a kind, or goes on with the one before.
    pub(super) fn line(
        &mut self,
        number: u64,
        line: &str,
        begun: Option<Kind>,
        reader: &mut dyn Reader,
    ) -> Result<(), ImportError> {
        if begun.is_none() {
            let more = unquoted(line).trim();
            if more.starts_with(words::BEGIN)
                && let Some((_, held)) = &mut self.held
            {
                held.push(' ');
                held.push_str(more);
                return if more.ends_with(words::END) { Ok(()) } else { self.flush(reader) };
            }
        }
        self.flush(reader)?;
        if let Some(begun) = begun {
            self.whose = begun.whose();
        }
        if line.trim_end().ends_with(words::END) {
            self.held = Some((number, line.to_owned()));
            return Ok(());
        }
        reader.take(number, Told::Field(self.whose, &words::decoded(line)))
    }

    /// Nothing goes on with what was read.
    pub(super) fn flush(&mut self, reader: &mut dyn Reader) -> Result<(), ImportError> {
        match self.held.take() {
            Some((number, line)) => {
                reader.take(number, Told::Field(self.whose, &words::decoded(line.trim_end())))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_by_name_in_four_languages_and_prose_begins_none() {
        for (line, kind) in [
            ("From: x", Kind::From),
            ("*Van:* x", Kind::From),
            ("De\u{a0}: x", Kind::From),
            ("Von: x", Kind::From),
            ("TO: x", Kind::To),
            ("Aan: x", Kind::To),
            ("À : x", Kind::To),
            ("A\u{300} : x", Kind::To),
            ("An: x", Kind::To),
            ("Delivered-To: x", Kind::To),
            ("Envoyé : x", Kind::Date),
            ("Gesendet: x", Kind::Date),
            ("Verzonden: x", Kind::Date),
            ("Objet : x", Kind::Subject),
            ("Betreff: x", Kind::Subject),
            ("Onderwerp: x", Kind::Subject),
            ("Received: x", Kind::Trace),
            ("Bijlagen: x", Kind::Other),
            ("X-Spam-Level: x", Kind::Raw),
        ] {
            assert_eq!(Kind::begun(line), Some(kind), "{line}");
        }
        for line in
            ["see: x", "from://x", "198.51.100.7:443", "sha256: x", "from x to y", "", ":", "> From: x"]
        {
            assert_eq!(Kind::begun(line), None, "{line}");
        }
        assert_eq!(unquoted("> > >From: x"), "From: x");
    }
}
