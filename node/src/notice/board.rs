//! What a member gave and took in a month, as a page for its board.
//!
//! A page goes from hand to hand, unlike what an operator sees of its own node. So where a sum is not told, what was received
//! is not either: with what was published it *is* the sum, and of one other member it is that member's share.

use std::fmt::Write as _;

use belfry_proto::time::Timestamp;

use super::{
    Book,
    page::{escaped, filled, head},
};

/// Numbers under their headings, and wider than a notice's lines.
const STYLE: &str = "body{max-width:52em}th{width:auto;vertical-align:bottom;border-bottom:1px solid #111}\
th,td{padding-right:.9em}td{overflow-wrap:normal}td:first-child{width:34%}td{border-bottom:1px solid #ccc}td+td,th+th{text-align:right}.few{color:#666;font-style:italic}";

/// A month, group by group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose report it is.
    pub organisation: String,
    /// The coalition's name.
    pub coalition: String,
    /// A moment of the month.
    pub month: Timestamp,
    /// The charter in force.
    pub charter: u64,
    /// How far the admin log went.
    pub entry: u64,
    /// What was shared in each group.
    pub shares: Vec<Share>,
}

/// What was shared in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The group, by name.
    pub group: String,
    /// What the member published, withdrew and received, and could open of that.
    pub own: [u64; 4],
    /// Members that shared something, and their messages; unset where too few did. Then the page does not say either what was
    /// received.
    pub all: Option<[u64; 2]>,
}

impl Report {
    /// The page, in one of [`super::LANGUAGES`].
    #[must_use]
    pub fn html(&self, book: &Book, language: &str) -> String {
        let text = |key: &str| book.text(language, &format!("activity_{key}"));
        let values = [
            ("organisation", self.organisation.clone()),
            ("coalition", self.coalition.clone()),
            ("month", book.month(language, self.month)),
            ("too_few", text("too_few").to_owned()),
            ("charter", self.charter.to_string()),
            ("entry", self.entry.to_string()),
        ];
        let filled = |key: &str| filled(text(key), &values);
        let mut out = head(language, &filled("title"), &self.organisation, STYLE);
        let _ = write!(
            out,
            "<h1>{}</h1>\n<p>{}</p>\n<table>\n<tr>",
            escaped(&filled("title")),
            escaped(&filled("intro"))
        );
        for key in ["group", "published", "withdrew", "received", "opened", "members", "messages"] {
            let _ = write!(out, "<th>{}</th>", escaped(text(key)));
        }
        out.push_str("</tr>\n");
        for share in &self.shares {
            let _ = write!(out, "<tr><td>{}</td>", escaped(&share.group));
            let [published, withdrew, received, opened] = share.own;
            let [received, opened] = [received, opened].map(|number| share.all.is_some().then_some(number));
            let sums = [0, 1].map(|n| share.all.and_then(|all| all.get(n).copied()));
            for number in [Some(published), Some(withdrew), received, opened].into_iter().chain(sums) {
                let _ = match number {
                    Some(number) => write!(out, "<td>{number}</td>"),
                    None => write!(out, "<td class=\"few\">{}</td>", escaped(text("too_few"))),
                };
            }
            out.push_str("</tr>\n");
        }
        let _ = write!(
            out,
            "</table>\n<p>{}</p>\n<p>{}</p>\n</body>\n</html>\n",
            escaped(&filled("counted")),
            escaped(&filled("under"))
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::LANGUAGES;

    #[test]
    fn a_board_reads_who_where_and_when_in_every_language_and_no_name_is_markup() {
        let report = Report {
            organisation: "Bank <b>& Co {month}".into(),
            coalition: "Coalition".into(),
            month: "2026-11-01T00:00:00Z".parse().unwrap(),
            charter: 2,
            entry: 4711,
            shares: vec![
                Share { group: "CIDR".into(), own: [3, 0, 7, 6], all: None },
                Share {
                    group: "Governance, Risk & Compliance".into(),
                    own: [1, 1, 9, 9],
                    all: Some([6, 12]),
                },
            ],
        };
        let book = Book::standard().unwrap();
        for (language, month, few) in [
            ("en", "November 2026", "too few"),
            ("nl", "november 2026", "te weinig"),
            ("fr", "novembre 2026", "trop peu"),
        ] {
            assert!(LANGUAGES.contains(&language));
            let page = report.html(&book, language);
            for part in [
                format!("lang=\"{language}\""),
                month.to_owned(),
                "Bank &lt;b&gt;&amp; Co {month}".to_owned(),
                "Coalition".to_owned(),
                "<td>CIDR</td><td>3</td><td>0</td><td class=\"few\">".to_owned(),
                "<td>Governance, Risk &amp; Compliance</td><td>1</td><td>1</td><td>9</td><td>9</td><td>6</td><td>12</td>".to_owned(),
                "4711".to_owned(),
            ] {
                assert!(page.contains(&part), "{part}: {page}");
            }
            // Received of few is the sum less one's own.
            assert_eq!(page.matches(&format!(">{few}<")).count(), 4, "{page}");
            assert!(!page.contains("<td>7</td>") && !page.contains("<td>6</td><td class"), "{page}");
            assert!(
                !page.contains("<b>") && !page.contains("<th></th>") && !page.contains("<p></p>"),
                "{page}"
            );
            assert!(!page.contains("<script") && !page.contains("src="), "{page}");
        }
    }
}
