//! A notice as one page of HTML that stands by itself and prints well. Whatever comes from a member is escaped.

use std::fmt::Write as _;

use super::{Authority, Book, Notice};

/// No script, no link out, nothing fetched: the page says what it says wherever it is opened.
const STYLE: &str = "body{font:11pt/1.45 Georgia,'Times New Roman',serif;max-width:42em;margin:2.5em auto;padding:0 1em;color:#111}\
h1{font-size:1.35em;line-height:1.25;margin:1.2em 0}table{border-collapse:collapse;width:100%;margin:1.2em 0}\
th{text-align:left;vertical-align:baseline;font-weight:normal;color:#444;width:14em;padding:.25em 1em .25em 0}\
td{padding:.25em 0;vertical-align:baseline;overflow-wrap:anywhere}h2{font-size:1.05em;margin:1.6em 0 .3em}\
.id,code{font:8.5pt/1.4 'DejaVu Sans Mono',monospace}.signature{margin-top:4em;border-top:1px solid #111;width:22em;padding-top:.3em}\
@media print{body{font-size:10pt;line-height:1.35;margin:0;max-width:none;padding:0}@page{size:A4;margin:18mm 20mm}\
h1{margin:.8em 0}table{margin:.8em 0}th{width:13em}th,td{padding-top:.15em;padding-bottom:.15em}\
.id,code{font-size:7.5pt}.signature{margin-top:3.5em}section,tr,.signature{break-inside:avoid}}";

/// The page, in one of [`super::LANGUAGES`].
#[must_use]
pub fn html(notice: &Notice, authority: &Authority, book: &Book, language: &str) -> String {
    let text = |key: &str| book.text(language, key);
    let or_none = |value: &str| if value.is_empty() { text("none").to_owned() } else { value.to_owned() };
    let date = |at| book.date(language, at);
    let values = [
        ("organisation", notice.organisation.clone()),
        ("coalition", notice.coalition.clone()),
        ("authority", authority.name(language).to_owned()),
        ("arrangement", notice.arrangement.clone()),
        ("effective", date(notice.effective)),
        ("decided", date(notice.decided)),
        ("mandate", notice.mandate.clone().unwrap_or_default()),
    ];
    let filled = |key: &str| filled(text(key), &values);
    let title = text(&format!("title_{}", notice.occasion));
    let classes: Vec<&str> = notice.classes.iter().map(|class| text(&format!("class_{class}"))).collect();
    let mut facts = vec![
        ("organisation", notice.organisation.clone()),
        ("kbo", or_none(&notice.kbo)),
        ("lei", or_none(&notice.lei)),
        ("classes", classes.join(", ")),
        ("sector", or_none(&notice.sector)),
        ("coalition", notice.coalition.clone()),
        ("arrangement", format!("{} ({})", notice.arrangement, notice.arrangement_link)),
        ("groups", or_none(&notice.groups.join(", "))),
        ("decided", date(notice.decided)),
        ("effective", date(notice.effective)),
    ];
    if let Some(since) = notice.since_asserted {
        facts.push(("since", format!("{} ({})", date(since), text("since_asserted"))));
    }
    if let Some(decision) = &notice.decision {
        facts.push(("decision", decision.clone()));
    }
    let evidence = [
        ("recorded", notice.recorded.to_string()),
        ("entry", notice.entry.clone()),
        ("statement", notice.statement.clone()),
        ("coalition_id", format!("{} ({})", notice.coalition_id, notice.coalition_words)),
    ];
    let mut out = head(language, title, &notice.organisation, "");
    let _ = write!(
        out,
        "<p>{}: {}</p>\n<h1>{}</h1>\n<p>{}</p>\n",
        escaped(text("to")),
        escaped(authority.name(language)),
        escaped(title),
        escaped(&filled(&format!("{}_{}", notice.act, notice.occasion)))
    );
    if notice.mandate.is_some() {
        let _ = writeln!(out, "<p>{}</p>", escaped(&filled("mandate")));
    }
    table(&mut out, &facts, text, "");
    let _ = write!(
        out,
        "<section>\n<h2>{}</h2>\n<p>{}</p>\n",
        escaped(text("evidence")),
        with_commands(text("evidence_text"))
    );
    table(&mut out, &evidence, text, " class=\"id\"");
    let _ = write!(
        out,
        "</section>\n<p class=\"signature\">{}</p>\n</body>\n</html>\n",
        escaped(text("signature"))
    );
    out
}

/// A page up to its content; `style` goes behind the one that all pages have.
pub(super) fn head(language: &str, title: &str, organisation: &str, style: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<title>{} – {}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n",
        escaped(title),
        escaped(organisation)
    )
}

/// A text with its placeholders filled, in one pass: a name with braces in it is none.
pub(super) fn filled(text: &str, values: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = behind;
    }
    out + rest
}

fn table<'a>(out: &mut String, rows: &[(&str, String)], text: impl Fn(&str) -> &'a str, class: &str) {
    out.push_str("<table>\n");
    for (key, value) in rows {
        let _ = writeln!(out, "<tr><th>{}</th><td{class}>{}</td></tr>", escaped(text(key)), escaped(value));
    }
    out.push_str("</table>\n");
}

/// A text of the data file, with what stands between backticks as commands are printed.
fn with_commands(text: &str) -> String {
    let part = |(n, part): (usize, &str)| match n % 2 {
        1 => format!("<code>{}</code>", escaped(part)),
        _ => escaped(part),
    };
    text.split('`').enumerate().map(part).collect()
}

/// Text as HTML text. Characters that turn reading order around are made visible: a name must not read as another.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use belfry_proto::time::Timestamp;

    use super::*;
    use crate::notice::LANGUAGES;

    fn notice() -> Notice {
        Notice {
            id: "7-dora-entering".into(),
            act: "dora",
            occasion: "entering",
            organisation: "Bank <b>& \"Co\"</b> {authority}\u{202e}x".into(),
            kbo: "0123456789".into(),
            lei: String::new(),
            classes: vec!["financial", "essential"],
            sector: "banking".into(),
            member: "00".into(),
            coalition: "Coalition".into(),
            coalition_id: "ab".into(),
            coalition_words: "bell tower".into(),
            arrangement: "1.0".into(),
            arrangement_link: "https://example.org/".into(),
            groups: vec!["CIDR".into()],
            decided: "2026-11-20T00:00:00Z".parse().unwrap(),
            effective: "2026-11-21T10:00:00Z".parse().unwrap(),
            recorded: 7,
            entry: "cd".into(),
            statement: "ef".into(),
            decision: Some("Board, 2026-11-20".into()),
            since_asserted: Some(Timestamp::from_micros(1_000_000_000_000_000)),
            mandate: Some("M-7".into()),
            minutes: None,
        }
    }

    #[test]
    fn the_page_is_whole_in_every_language_and_lets_no_name_be_markup() {
        let book = Book::standard().unwrap();
        for language in LANGUAGES {
            for (act, occasion) in
                [("nis2", "entering"), ("nis2", "leaving"), ("dora", "entering"), ("dora", "leaving")]
            {
                let notice = Notice { act, occasion, ..notice() };
                let authority = book.authority(act, "banking", notice.effective).unwrap();
                let page = html(&notice, authority, &book, language);
                assert!(
                    page.starts_with("<!doctype html>") && page.contains(&format!("lang=\"{language}\""))
                );
                assert!(
                    page.contains("Bank &lt;b&gt;&amp; &quot;Co&quot;&lt;/b&gt; {authority}\\u{202e}x"),
                    "{page}"
                );
                assert!(!page.contains("<b>") && !page.contains('\u{202e}'));
                assert!(page.contains("0123456789") && page.contains("2026") && page.contains("M-7"));
                assert!(page.contains(&escaped(authority.name(language))));
                assert!(!page.contains("<td></td>") && !page.contains("<th></th>"), "a text is missing");
                assert!(!page.contains("<script") && !page.contains("src="));
                assert!(page.contains("<code>belfry verify</code>") && !page.contains('`'), "{page}");
            }
        }
    }
}
