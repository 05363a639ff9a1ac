//! What documents, templates and the service unit name, taken out of them, so that tests can hold it against what there is.

/// Every document that names commands, paths or keys. The changelog is not among them: it tells of what was.
pub(crate) const PAPERS: [(&str, &str); 14] = [
    ("README.md", include_str!("../../../README.md")),
    ("SECURITY.md", include_str!("../../../SECURITY.md")),
    ("ARCHITECTURE.md", include_str!("../../../ARCHITECTURE.md")),
    ("CONTRIBUTING.md", include_str!("../../../CONTRIBUTING.md")),
    ("WIRE.md", include_str!("../../../proto/WIRE.md")),
    ("belfry.example.toml", include_str!("../../../config/belfry.example.toml")),
    ("charter.default.toml", include_str!("../../../config/charter.default.toml")),
    ("notices.default.toml", include_str!("../../../config/notices.default.toml")),
    ("belfry.service", UNIT),
    ("controllership.md", include_str!("../../../config/templates/controllership.md")),
    ("dpia.md", include_str!("../../../config/templates/dpia.md")),
    ("record-of-processing.md", RECORD),
    ("retention.md", RETENTION),
    ("rules-of-conduct.default.md", include_str!("../../../config/rules-of-conduct.default.md")),
];

pub(crate) const UNIT: &str = include_str!("../../../config/belfry.service");
pub(crate) const RECORD: &str = include_str!("../../../config/templates/record-of-processing.md");
pub(crate) const RETENTION: &str = include_str!("../../../config/templates/retention.md");

/// Lines that are code: between backticks, and in fences. A line that goes on behind a backslash is one.
pub(crate) fn code(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    // In TOML and in the unit such text stands in comments.
    let plain: Vec<&str> = joined.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let plain = plain.join("\n");
    let spans = plain.split('`').skip(1).step_by(2);
    spans.flat_map(str::lines).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Commands of belfry's that a text names.
pub(crate) fn commands(text: &str) -> Vec<String> {
    code(text).into_iter().filter(|line| line.starts_with("belfry ")).collect()
}

/// The words of a command line as a shell takes them apart, without the comment behind it.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// First cells of the rows of a table, each up to its colon: of the first table behind a heading.
pub(crate) fn rows(text: &str, heading: &str) -> Vec<String> {
    let behind = text.split_once(heading).map_or("", |(_, behind)| behind);
    let table =
        behind.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table
        .skip(2)
        .filter_map(|row| row.split('|').nth(1))
        .map(|cell| cell.split(':').next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// Paths of the local API that a text names, each with the method before it, where one is.
pub(crate) fn paths(text: &str) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    for start in ["/api/v1/", "/taxii2/"] {
        for (at, _) in text.match_indices(start) {
            let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_{}.…".contains(c);
            let path: String = text[at..].chars().take_while(|c| is_path(*c)).collect();
            let before = text[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
            let before = text[..at].strip_suffix(before).and_then(|text| text.split_whitespace().next_back());
            let method = before.map(|word| word.trim_matches('`').to_owned());
            let method = method.filter(|word| ["GET", "POST", "PUT", "DELETE"].contains(&word.as_str()));
            found.push((method, path.trim_end_matches('.').to_owned()));
        }
    }
    found
}
