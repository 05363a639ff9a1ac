//! Reading a client's envelope, and what is wrong with it.
//!
//! An envelope is not a bundle (TAXII 2.1 §3.7): the client that posts a bundle or a bare object would
//! believe that its `id` means something here, so it is told, with 422.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::api::{body, problem::Problem};

/// What of TAXII's envelope matters on the way in, and what gives other things away.
#[derive(Deserialize)]
struct TaxiiEnvelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    objects: Option<Vec<&'a RawValue>>,
}

/// The envelope's objects as a bundle, each byte for byte as it came.
pub(super) fn bundle_of(envelope: &[u8]) -> Result<Vec<u8>, Problem> {
    let parsed: TaxiiEnvelope<'_> = serde_json::from_slice(envelope).map_err(|error| {
        let said = body::said(&error);
        if error.is_data() {
            Problem::unprocessable("not-an-envelope", format!("not a TAXII envelope: {said}"))
        } else {
            Problem::bad_request("bad-json", said)
        }
    })?;
    if parsed.kind.is_some() {
        return Err(Problem::unprocessable(
            "not-an-envelope",
            r#"an envelope has no `type`: post {"objects": […]}, not a bundle or a bare object"#,
        ));
    }
    let objects = parsed.objects.filter(|objects| !objects.is_empty()).ok_or_else(|| {
        Problem::unprocessable("not-an-envelope", "an envelope to add has `objects`, at least one")
    })?;
    let mut bundle = Vec::with_capacity(envelope.len().saturating_add(128));
    bundle.extend_from_slice(
        format!(r#"{{"type":"bundle","id":"bundle--{}","objects":["#, Uuid::new_v4()).as_bytes(),
    );
    for (position, object) in objects.iter().enumerate() {
        if position > 0 {
            bundle.push(b',');
        }
        bundle.extend_from_slice(object.get().as_bytes());
    }
    bundle.extend_from_slice(b"]}");
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass_untouched() {
        let bundle = bundle_of(br#"{"more":false,"objects":[{"a": 1.0}, {"b":"\u00e9"}]}"#).unwrap();
        let text = String::from_utf8(bundle).unwrap();
        assert!(text.ends_with(r#""objects":[{"a": 1.0},{"b":"\u00e9"}]}"#), "{text}");
        assert!(text.starts_with(r#"{"type":"bundle","id":"bundle--"#));
    }

    #[test]
    fn a_refusal_does_not_repeat_all_that_was_sent() {
        let refusal =
            bundle_of(format!(r#"{{"objects":"{}"}}"#, "x".repeat(1_000_000)).as_bytes()).unwrap_err();
        assert!(
            refusal.detail().len() < 500 && refusal.detail().contains("line 1"),
            "{}",
            refusal.detail().len()
        );
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for bad in [
            r#"{"type":"bundle","id":"bundle--x","objects":[{}]}"#,
            r#"{"type":"indicator","id":"indicator--x"}"#,
            r#"{"objects":[]}"#,
            "{}",
            "[]",
            r#"{"objects":"x"}"#,
            r#"{"objects":[1"#,
            "",
        ] {
            assert!(bundle_of(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
