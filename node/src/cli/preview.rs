//! What would leave, in words: the answer of `POST /api/v1/previews`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{exit::refuse, output};

/// Organisations named one by one; of more the number is told, authorities always.
const MAX_NAMED: usize = 20;

/// Prints a preview; what would be refused ends as a refusal does.
pub(super) fn show(answer: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        output::print_json(answer)?;
    } else {
        output::print(&told(answer))?;
    }
    if let Some(refusal) = answer.get("refusal").and_then(Value::as_str) {
        refuse!("this would not be taken: {refusal}");
    }
    Ok(())
}

/// A preview in words.
pub(super) fn told(answer: &Value) -> String {
    let at = |name: &str| answer.get(name).and_then(output::scalar).unwrap_or_else(|| "-".into());
    let counts = answer.get("objects").and_then(Value::as_object).into_iter().flatten();
    let counts: Vec<String> = counts.map(|(kind, count)| format!("{count} {kind}")).collect();
    let is_default = answer.get("tlp_is_default").and_then(Value::as_bool) == Some(true);
    let tlp = format!("{}{}", at("tlp"), if is_default { " (the default: none was stated)" } else { "" });
    let mut facts = vec![
        ("group", at("group")),
        ("objects", counts.join(", ")),
        ("messages", at("parts")),
        ("tlp", tlp),
        ("purpose", at("purpose")),
        ("classes", list(answer, "classes").iter().filter_map(output::scalar).collect::<Vec<_>>().join(", ")),
    ];
    let readers = list(answer, "readers");
    let (authorities, others): (Vec<&Value>, Vec<&Value>) =
        readers.iter().partition(|reader| reader.get("capacity").is_some_and(|capacity| !capacity.is_null()));
    let name = |reader: &Value| reader.get("organisation").and_then(Value::as_str).unwrap_or("-").to_owned();
    let capacity = |reader: &Value| reader.get("capacity").and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut named: Vec<String> = others.iter().take(MAX_NAMED).map(|reader| name(reader)).collect();
    if others.len() > MAX_NAMED {
        named.push(format!("and {} more", others.len() - MAX_NAMED));
    }
    let whom: Vec<String> =
        authorities.iter().map(|reader| format!("{} ({})", name(reader), capacity(reader))).collect();
    facts.push(("authorities", if whom.is_empty() { "none".to_owned() } else { whom.join(", ") }));
    facts.push(("others", if named.is_empty() { "none".to_owned() } else { named.join(", ") }));
    let mut text = output::facts(&facts);
    for note in list(answer, "notes").iter().filter_map(Value::as_str) {
        let _ = write!(text, "\nNote: {}\n", output::visible(note));
    }
    let lists: Vec<[String; 3]> = list(answer, "exports")
        .iter()
        .map(|of| {
            ["export", "entries", "would_reach"]
                .map(|name| of.get(name).and_then(output::scalar).unwrap_or_default())
        })
        .collect();
    if !lists.is_empty() {
        text.push('\n');
        text.push_str(&output::table(["export", "entries", "would reach"], &lists));
    }
    for of in list(answer, "exports") {
        let said = |name: &str| of.get(name).and_then(Value::as_str);
        if let (Some(export), Some(why)) = (said("export"), said("left_out")) {
            let _ = writeln!(text, "{} is not counted: {}", output::visible(export), output::visible(why));
        }
    }
    text.push_str(&objections(answer));
    text
}

/// What the guards object to, in words.
pub(super) fn objections(answer: &Value) -> String {
    let objections = list(answer, "objections");
    if objections.is_empty() {
        return "\nNo guard objects.\n".to_owned();
    }
    let mut text = "\n".to_owned();
    for objection in objections {
        let said = |name: &str| objection.get(name).and_then(Value::as_str).unwrap_or("-");
        let _ = writeln!(text, "{:<8} {}", said("weight").to_uppercase(), output::visible(said("text")));
    }
    let weighs = |weight: &str| objections.iter().any(|one| one.get("weight").is_some_and(|of| of == weight));
    if weighs("reason") && !weighs("refused") {
        text.push_str("With --reason TEXT, which says why, it goes out all the same.\n");
    }
    if let Some(more) = answer.get("more_objections").and_then(Value::as_u64).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_could_open_it_and_what_is_objected_to_are_told() {
        let answer = json!({"group": "cidr", "objects": {"indicator": 2}, "parts": 1, "tlp": "amber", "tlp_is_default": true,
            "readers": [{"organisation": "CSIRT", "capacity": "csirt"}, {"organisation": "Bank", "capacity": null}],
            "exports": [{"export": "firewall", "entries": 7, "would_reach": 9}, {"export": "siem", "left_out": "too large"}],
            "objections": [{"weight": "reason", "text": "x\u{1b} holds an e-mail address"}], "more_objections": 2});
        let told = told(&answer);
        for said in [
            "objects      2 indicator",
            "authorities  CSIRT (csirt)",
            "others       Bank",
            "amber (the default: none was stated)",
            "REASON   x\\u{1b} holds an e-mail address",
            "With --reason TEXT",
            "and 2 more",
            "firewall  7        9",
            "siem is not counted: too large",
        ] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(super::told(&json!({})).contains("No guard objects."));
        let both =
            json!({"objections": [{"weight": "refused", "text": "a"}, {"weight": "reason", "text": "b"}]});
        assert!(!super::told(&both).contains("--reason"), "no reason would do");
    }

    #[test]
    fn what_would_be_refused_ends_so() {
        let refused = show(&json!({"refusal": "no"}), true).unwrap_err();
        assert_eq!(super::super::exit::Exit::of(&refused), super::super::exit::Exit::Refused);
    }
}
