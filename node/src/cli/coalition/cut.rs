//! Cut files: where each log of a member ends for good.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, bail};
use belfry_proto::{
    id::{LogId, MessageId},
    schema::CutPoint,
    trust::statement::MAX_CUT,
};

use crate::{cli::exit::refuse, keys::file};

/// The points of the cut file at `path`; without one, none.
pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Vec<CutPoint>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    parse(&file::read_text(path)?).with_context(|| path.display().to_string())
}

/// The points of a cut file: `log sequence message-id` a line, `#` starts a comment.
pub(in crate::cli) fn parse(text: &str) -> anyhow::Result<Vec<CutPoint>> {
    let mut points = Vec::new();
    let mut logs = BTreeSet::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let point = point(line).with_context(|| format!("line {}", i + 1))?;
        if !logs.insert(point.log.clone()) {
            bail!("line {}: this log has a cut above already: leave one of the two lines", i + 1);
        }
        points.push(point);
    }
    if points.len() > MAX_CUT {
        refuse!(
            "it lists {} logs, and a decision holds {MAX_CUT} of them: leave the rest out, and bring it back by `belfry coalition \
             extend-cut`, in files of as many",
            points.len()
        );
    }
    Ok(points)
}

fn point(line: &str) -> anyhow::Result<CutPoint> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [log, sequence, message] = words.as_slice() else {
        bail!("expected \"LOG SEQUENCE MESSAGE-ID\", as `belfry heads` prints it");
    };
    let sequence: u64 = sequence
        .parse()
        .ok()
        .filter(|n| *n > 0)
        .context("the second word is not a number from 1, as `belfry heads` prints it")?;
    Ok(CutPoint {
        log: log.parse::<LogId>()?.to_vec(),
        sequence,
        message: message.parse::<MessageId>()?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lines_are_named() {
        let (log, message) = ("11".repeat(32), "22".repeat(32));
        assert_eq!(parse(&format!("# x\n\n{log} 3 {message} # last\n")).unwrap().len(), 1);
        let secret = parse("correct horse battery\n").unwrap_err();
        assert!(
            !format!("{secret:#}").contains("horse"),
            "the words of a file given by mistake are not shown"
        );
        for (text, expected) in [
            (format!("{log} 3"), "line 1"),
            (format!("\n{log} 0 {message}"), "line 2"),
            (format!("{log} 3 {message}\n{log} 4 {message}"), "above already: leave one"),
            (format!("{log} 3 abc"), "64 hex digits"),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_of_more_logs_than_a_decision_holds_is_refused_with_how_to_go_on() {
        let line = |n: usize| format!("{n:064x} 1 {}\n", "22".repeat(32));
        let lines = |logs: usize| (0..logs).map(line).collect::<Vec<_>>().concat();
        assert_eq!(parse(&lines(MAX_CUT)).unwrap().len(), MAX_CUT);
        let error = parse(&lines(MAX_CUT + 1)).unwrap_err().to_string();
        assert!(error.contains("1025 logs") && error.contains("extend-cut"), "{error}");
    }
}
