//! A notice as one page of HTML that stands by itself and prints well. Whatever comes from a member is escaped.

use std::fmt::Write as _;

use super::{AMENDMENTS, Authority, Book, DEPARTURES, Minutes, Notice};

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
    let day = |at| book.day(language, at);
    let values = [
        ("organisation", notice.organisation.clone()),
        ("coalition", notice.coalition.clone()),
        ("authority", authority.name(language).to_owned()),
        ("arrangement", notice.arrangement.clone()),
        ("effective", date(notice.effective)),
        ("decided", day(notice.decided)),
        ("since", notice.since_asserted.map(day).unwrap_or_default()),
        ("made", date(notice.made)),
        ("entry", notice.recorded.to_string()),
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
        ("decided", day(notice.decided)),
        ("effective", date(notice.effective)),
        ("recorded", filled("recorded_as")),
    ];
    if let Some(since) = notice.since_asserted {
        facts.push(("since", format!("{} ({})", day(since), text("since_asserted"))));
    }
    if let Some(decision) = decision(notice, book, language) {
        facts.push(("decision", decision));
    }
    let evidence = [
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
        escaped(&filled(&sentence(notice)))
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

/// Which text says what the notice is for. Who took part before the log began did not enter when the log says so.
fn sentence(notice: &Notice) -> String {
    match (notice.act, notice.occasion, notice.since_asserted) {
        ("nis2", "entering", Some(_)) => "nis2_entering_since".to_owned(),
        (act, occasion, _) => format!("{act}_{occasion}"),
    }
}

/// Who decided, when, and where that is written, in the reader's language where belfry put the words: what the coalition wrote is
/// its own.
fn decision(notice: &Notice, book: &Book, language: &str) -> Option<String> {
    let said = notice.decision.as_ref()?;
    let parts = match &notice.minutes {
        Some(Minutes { decided_by, decided_on, evidence, .. }) => {
            [decided_by.clone(), decided_on.map(|on| book.day(language, on)), evidence.clone()]
        }
        // Kept before records were tied to statements: as it was told then, who, on which day, and where.
        None => {
            let mut parts = said.splitn(3, ", ").map(str::to_owned);
            [parts.next(), parts.next(), parts.next()]
        }
    };
    let [who, on, place] = parts;
    if who.as_deref() != Some(Minutes::BY_MEMBER) {
        return match notice.minutes {
            Some(_) => Some([who, on, place].into_iter().flatten().collect::<Vec<_>>().join(", ")),
            None => Some(said.clone()),
        };
    }
    let is_in = |folder: &str| {
        place
            .as_deref()
            .and_then(|place| place.strip_prefix(folder))
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let place = if is_in(DEPARTURES) {
        Some(book.text(language, "departure").to_owned())
    } else if is_in(AMENDMENTS) {
        Some(book.text(language, "amendment").to_owned())
    } else {
        place
    };
    let who = Some(book.text(language, "by_member").to_owned());
    Some([who, on, place].into_iter().flatten().collect::<Vec<_>>().join(", "))
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
    use super::*;
    use crate::notice::{LANGUAGES, example::notice};

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

    /// Minutes as `belfry coalition leave` and `amend` keep them.
    fn by_member(folder: &str) -> Minutes {
        Minutes {
            decided_by: Some(Minutes::BY_MEMBER.to_owned()),
            decided_on: Some("2026-11-19T23:30:00Z".parse().unwrap()),
            evidence: Some(format!("{folder}/0d63.pem, asked for on 2026-11-19T23:30:00Z")),
            member_since: None,
            salt: None,
        }
    }

    #[test]
    fn the_members_own_word_is_told_in_the_readers_language_and_names_no_file_of_the_coalitions() {
        let book = Book::standard().unwrap();
        for (language, who, day) in [
            ("en", "the member itself", "20 November 2026"),
            ("nl", "het lid zelf", "20 november 2026"),
            ("fr", "le membre lui-même", "20 novembre 2026"),
        ] {
            for (folder, key) in [(DEPARTURES, "departure"), (AMENDMENTS, "amendment")] {
                let minutes = by_member(folder);
                let tied = Notice { decision: minutes.told(), minutes: Some(minutes.clone()), ..notice() };
                let untied = Notice { minutes: None, ..tied.clone() };
                for notice in [&tied, &untied] {
                    let authority = book.authority(notice.act, "banking", notice.effective).unwrap();
                    let page = html(notice, authority, &book, language);
                    let is_told =
                        page.contains(&escaped(who)) && page.contains(&escaped(book.text(language, key)));
                    assert!(is_told, "{language} {key}: {page}");
                    for not in ["0d63", "departures", "amendments", "asked for on", "T23:30"] {
                        assert!(!page.contains(not), "{language}: {not} in {page}");
                    }
                    assert!(language == "en" || !page.contains(Minutes::BY_MEMBER), "{language}: {page}");
                }
                // It was decided on that day where the reader is; in UTC it was the day before.
                let told = decision(&tied, &book, language).unwrap();
                assert!(told.contains(day), "{told}");
            }
        }
        // Whatever else was written is the coalition's, as it wrote it.
        let board = Minutes { decided_by: Some("Board".into()), ..by_member("departures") };
        let told = Notice { decision: board.told(), minutes: Some(board), ..notice() };
        assert!(decision(&told, &book, "nl").unwrap().contains("departures/0d63.pem"));
        let untied = Notice { decision: Some("Board, its member, 2026".into()), ..notice() };
        assert_eq!(decision(&untied, &book, "nl").as_deref(), Some("Board, its member, 2026"));
    }

    #[test]
    fn a_page_tells_when_it_was_recorded_and_the_hour_by_the_authoritys_clock() {
        let book = Book::standard().unwrap();
        let notice = Notice {
            act: "nis2",
            occasion: "leaving",
            effective: "2027-01-01T00:00:00+01:00".parse().unwrap(),
            made: "2026-11-30T23:15:00Z".parse().unwrap(),
            ..notice()
        };
        for (language, effective, made) in [
            ("en", "1 January 2027, 00:00 CET (UTC+01:00)", "1 December 2026, 00:15 CET"),
            ("nl", "1 januari 2027, 00:00 CET (UTC+01:00)", "1 december 2026, 00:15 CET"),
            ("fr", "1 janvier 2027 à 00:00 CET (UTC+01:00)", "1 décembre 2026 à 00:15 CET"),
        ] {
            let authority = book.authority(notice.act, "banking", notice.effective).unwrap();
            let page = html(&notice, authority, &book, language);
            assert_eq!(page.matches(effective).count(), 2, "in the sentence and among the facts: {page}");
            assert!(page.contains(made) && !page.contains("31 "), "{page}");
            let recorded = book.text(language, "recorded");
            let row = page.split(&format!("<th>{recorded}</th>")).nth(1).unwrap();
            let row = row.split("</tr>").next().unwrap();
            assert!(row.contains(made) && row.contains(" 7 "), "{language}: {row}");
        }
    }

    #[test]
    fn who_took_part_before_the_log_began_is_not_said_to_have_entered_when_it_did() {
        let book = Book::standard().unwrap();
        let authority = book.authority("nis2", "energy", notice().effective).unwrap();
        let page = |since_asserted, language: &str| {
            let notice = Notice { act: "nis2", since_asserted, ..notice() };
            html(&notice, authority, &book, language)
        };
        for (language, entered, since) in [
            ("en", "which it entered on", "1 March 2019"),
            ("nl", "toegetreden", "1 maart 2019"),
            ("fr", "adhéré", "1 mars 2019"),
        ] {
            let (before, new) = (page(notice().since_asserted, language), page(None, language));
            assert!(!before.contains(entered) && before.matches(since).count() == 2, "{before}");
            assert!(new.contains(entered) && !new.contains(since), "{new}");
        }
    }
}
