//! What is printed: in one piece, aligned, and without letting foreign text drive the terminal.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use belfry_proto::stix::neutral::steers;
pub(super) use belfry_proto::stix::neutral::visible;
use serde_json::Value;

use super::exit::refuse;

/// Prints `text` to stdout. A reader that went away (`belfry members | head`) is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Text of others' making on several lines, as a terminal may have it: ends of lines and tabs stay, what else would steer it is
/// written out.
pub(super) fn shown(text: &str) -> String {
    let cells = |line: &str| line.split('\t').map(visible).collect::<Vec<_>>().join("\t");
    let lines = text.split('\n').map(|line| cells(line.strip_suffix('\r').unwrap_or(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Shows how far a long command is, on one line of the terminal that the next call replaces; without one, nothing.
pub(super) fn progress(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\u{1b}[K{text}").and_then(|()| err.flush());
    }
}

/// Says on stderr what is allowed and may not be meant.
pub(super) fn warn(text: &str) {
    eprintln!("WARNING: {}", visible(text));
}

/// Prints a JSON value, indented.
pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", unsteered(&serde_json::to_string_pretty(value)?)))?)
}

/// JSON that says the same, with what would steer a terminal or turn reading order around as `\u202e`. Such characters
/// stand in its strings alone, but for the ends of its lines.
fn unsteered(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !steers(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]).iter() {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// Rows under headings, columns aligned, two spaces apart.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    grid(&headings.map(str::to_owned), &rows)
}

/// [`table`] for a number of columns that only the data knows.
pub(super) fn grid(headings: &[String], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(headings)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
    let mut widths = vec![0; headings.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// `name  value` lines, values aligned.
pub(super) fn facts<S: AsRef<str>>(facts: &[(S, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0);
    facts.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{:<width$}  {}", name.as_ref(), visible(value));
        out
    })
}

/// `1 entry`, `3 entries`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A path as one would type it: not `./certificates/1.pem`.
pub(super) fn path(path: &Path) -> String {
    visible(&path.strip_prefix(".").unwrap_or(path).display().to_string())
}

/// Words eight a line, each line after `indent`.
pub(super) fn words(words: &str, indent: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.chunks(8).map(|line| format!("{indent}{}", line.join(" "))).collect::<Vec<_>>().join("\n")
}

/// A JSON value as people read it: nested objects indented, lists of flat objects as tables.
pub(super) fn readable(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0);
    out
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            let width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0);
            for (key, value) in map {
                let name = visible(&key.replace('_', " "));
                match scalar(value) {
                    Some(text) => {
                        let _ = writeln!(out, "{indent}{name:<width$}  {text}");
                    }
                    None => {
                        let _ = writeln!(out, "{indent}{name}:");
                        write_value(out, value, depth + 1);
                    }
                }
            }
        }
        Value::Array(rows) => {
            for row in rows {
                let line = match row {
                    Value::Object(map) => map
                        .iter()
                        .map(|(key, v)| {
                            format!(
                                "{} {}",
                                visible(key),
                                scalar(v).unwrap_or_else(|| visible(&v.to_string()))
                            )
                        })
                        .collect::<Vec<_>>()
                        .join("  "),
                    other => scalar(other).unwrap_or_else(|| visible(&other.to_string())),
                };
                let _ = writeln!(out, "{indent}{line}");
            }
        }
        other => {
            let _ = writeln!(out, "{indent}{}", scalar(other).unwrap_or_default());
        }
    }
}

/// The one-line text of a value that has one.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".into()),
        Value::Bool(true) => Some("yes".into()),
        Value::Bool(false) => Some("no".into()),
        Value::Number(n) => Some(n.to_string()),
        Value::String(s) => Some(visible(s)),
        Value::Array(items) if items.is_empty() => Some("none".into()),
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            Some(items.iter().filter_map(scalar).collect::<Vec<_>>().join(", "))
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Asks a yes-or-no question: "yes" or "y" goes on, anything else is refused with `otherwise`. Where nobody answers, as
/// without a terminal, the refusal names `option`, which goes on without asking.
pub(super) fn confirm(question: &str, option: &str, otherwise: &str) -> anyhow::Result<()> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    decided(&mut io::stdin().lock(), option, otherwise)
}

fn decided(answers: &mut impl io::BufRead, option: &str, otherwise: &str) -> anyhow::Result<()> {
    let mut answer = String::new();
    if answers.read_line(&mut answer)? == 0 {
        eprintln!();
        refuse!("nobody answers, as there is no terminal: {otherwise}; {option} goes on without asking");
    }
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => refuse!("{otherwise}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d");
        assert_eq!(visible("Banque Générale"), "Banque Générale");
    }

    #[test]
    fn lines_stay_lines_on_a_terminal_and_nothing_in_them_steers_it() {
        assert_eq!(shown("a\tb\r\nc\u{9b}2Jd\re\u{202e}\n"), "a\tb\nc\\u{9b}2Jd\\u{d}e\\u{202e}\n");
    }

    #[test]
    fn json_says_the_same_without_steering_the_terminal() {
        let value = json!({"name": "a\u{202e}b\u{9b}31mc\u{7f}\u{e0041}é\n", "list": [1, "\u{1b}[2J"]});
        let text = unsteered(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !steers(c)), "{text}");
        assert!(text.contains("é") && text.contains(r"a\u202eb") && text.contains(r"\udb40\udc41"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("x: no such file; make it").context("starting");
        assert_eq!(chain(&error), "starting: x: no such file; make it");
    }

    #[test]
    fn numbers_and_paths_read_naturally() {
        assert_eq!(
            (counted(1, "entry", "entries"), counted(0, "entry", "entries")),
            ("1 entry".into(), "0 entries".into())
        );
        assert_eq!(path(Path::new("./certificates/1.pem")), "certificates/1.pem");
        assert_eq!(path(Path::new("../log.pem")), "../log.pem");
    }

    #[test]
    fn where_nobody_answers_the_refusal_names_the_option_that_does() {
        let asked = |answer: &str| decided(&mut answer.as_bytes(), "--yes", "nothing was signed");
        assert!(asked("y\n").is_ok() && asked("YES").is_ok());
        let no = asked("\n").unwrap_err();
        assert_eq!((Exit::of(&no), no.to_string().as_str()), (Exit::Refused, "nothing was signed"));
        let nobody = asked("").unwrap_err();
        assert_eq!(Exit::of(&nobody), Exit::Refused);
        assert!(nobody.to_string().contains("--yes goes on without asking"), "{nobody}");
    }

    #[test]
    fn columns_are_aligned_and_lines_not_padded() {
        let text = table(["serial", "name"], &[["1".into(), "long name".into()], ["22".into(), "x".into()]]);
        assert_eq!(text, "serial  name\n1       long name\n22      x\n");
    }

    #[test]
    fn answers_are_readable() {
        let text = readable(&json!({"height": 3, "groups": [{"slug": "cidr"}], "peers": [], "ok": true}));
        assert_eq!(text, "height  3\ngroups:\n  slug cidr\npeers   none\nok      yes\n");
    }
}
