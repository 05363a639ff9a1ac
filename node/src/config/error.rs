//! Where a configuration is wrong, in the operator's terms.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file, or not ours to read.
    #[error("{}: {source}; `belfry config show` prints a configuration to start from", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value that is not of its type.
    #[error("{}:{line}:{column}: {key}{message}\n  | {excerpt}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// `section.key: `, or empty where there is none.
        key: String,
        /// What was found, and what to write instead.
        message: String,
        /// The line as it stands.
        excerpt: String,
    },
}

impl ConfigError {
    pub(super) fn invalid(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        let excerpt = text.lines().nth(line - 1).unwrap_or_default().trim_end().to_owned();
        Self::Invalid { path: path.to_owned(), line, column, key: key_at(text, line), message, excerpt }
    }
}

impl ConfigError {
    /// A key that is right by itself and not beside the others.
    pub(super) fn of_key(path: &Path, text: &str, (section, key): (&str, &str), message: String) -> Self {
        let mut current = "";
        let found = text.lines().enumerate().find_map(|(i, line)| {
            let trimmed = line.trim();
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                current = name.trim();
            }
            let (name, value) = line.split_once('=')?;
            let is_it = current == section && name.trim() == key;
            let before = line.chars().count() - value.trim_start().chars().count();
            is_it.then(|| (i + 1, before + 1, line.trim_end().to_owned()))
        });
        let (line, column, excerpt) = found.unwrap_or((1, 1, String::new()));
        let key = format!("{section}.{key}: ");
        Self::Invalid { path: path.to_owned(), line, column, key, message, excerpt }
    }
}

/// `section.key: ` of the last key that starts at or above `line`; a value may span lines.
fn key_at(text: &str, line: usize) -> String {
    let above: Vec<&str> = text.lines().take(line).map(str::trim).collect();
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = above
        .iter()
        .rev()
        .take_while(|l| !l.starts_with('['))
        .filter_map(|l| l.split_once('='))
        .map(|(key, _)| key.trim())
        .find(|key| !key.is_empty() && key.chars().all(bare));
    let section = above
        .iter()
        .rev()
        .find_map(|l| l.strip_prefix('[')?.strip_suffix(']'))
        .filter(|s| !s.is_empty() && s.chars().all(bare));
    match (section, key) {
        (Some(section), Some(key)) => format!("{section}.{key}: "),
        (None, Some(one)) | (Some(one), None) => format!("{one}: "),
        (None, None) => String::new(),
    }
}
