//! Detection rules as their authors wrote them, a file each: Sigma, YARA, Snort, Suricata.

use belfry_proto::stix::{indicator::Indicator, neutral};
use serde_json::json;

use super::{Files, JSON, TEXT};
use crate::{api::problem::Problem, query::Snapshot};

pub(super) fn render(snapshot: &Snapshot) -> Result<Files, Problem> {
    let mut files = Files::default();
    let mut index = Vec::new();
    for (released, _) in &snapshot.objects {
        let object = released.object();
        let extension = |kind: &str| {
            Some(match kind {
                "sigma" => "yml",
                "yara" => "yar",
                "snort" | "suricata" => "rules",
                _ => return None,
            })
        };
        let written = Indicator::read(object.raw())
            .and_then(|indicator| extension(&indicator.pattern_type).map(|extension| (indicator, extension)))
            // Rules are read by people before they are run: nothing may hide in them.
            .filter(|(rule, _)| {
                !rule.pattern.chars().any(|c| neutral::steers(c) && !matches!(c, '\n' | '\t' | '\r'))
            });
        let Some((indicator, extension)) = written else {
            files.unwritable += 1;
            continue;
        };
        let file = format!("{}.{extension}", object.id());
        index.push(json!({
            "file": file, "id": object.id(), "pattern_type": indicator.pattern_type,
            "name": neutral::brief(&indicator.name, 200), "score": released.score(), "tlp": object.tlp().as_str(),
        }));
        files.put(file, TEXT, format!("{}\n", indicator.pattern.trim_end()));
    }
    let index = serde_json::to_vec_pretty(&json!({ "rules": index }))
        .map_err(|error| Problem::unavailable(&error))?;
    files.put_main("index.json", JSON, index);
    Ok(files)
}
