//! How large an import may grow: a file of few bytes may say many objects, and whoever takes it in has memory for so much.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

use super::ImportError;

/// Asked before more is held; without anybody to ask there is room.
#[derive(Clone, Default)]
pub struct Room(Option<Arc<dyn Fn(usize) -> bool + Send + Sync>>);

impl Room {
    /// Room for as long as `grows` says so; it is told of bytes that are held besides those before.
    #[must_use]
    pub fn of(grows: impl Fn(usize) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(grows)))
    }

    pub(super) fn grow(&self, bytes: usize) -> Result<(), ImportError> {
        match &self.0 {
            Some(grows) if !grows(bytes) => Err(ImportError::NoRoom),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Room(bounded)" } else { "Room" })
    }
}

/// Bytes of an object's JSON, roughly: what is escaped counts as it is.
pub(super) fn weight(object: &Map<String, Value>) -> usize {
    // A name's quotes, colon and comma.
    object.iter().map(|(name, value)| name.len() + of_value(value) + 4).sum::<usize>() + 2
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| of_value(item) + 1).sum::<usize>() + 2,
        Value::Object(members) => weight(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::import::{Format, Import, Options};

    /// What is asked for, and what came of it, with room for so much.
    fn asked(format: Format, text: &str, most: usize) -> (usize, Result<usize, ImportError>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&asked);
        let room = Room::of(move |bytes| seen.fetch_add(bytes, Ordering::SeqCst) + bytes <= most);
        let found = Import::read(format, text.as_bytes(), &Options { room, ..Options::default() });
        let found = found.map(|mut import| import.take_bundles().iter().map(Vec::len).sum());
        (asked.load(Ordering::SeqCst), found)
    }

    #[test]
    fn a_file_is_charged_what_it_becomes_and_ends_where_there_is_no_room_for_it() {
        let lines: String = (0..2_000).map(|n| format!("n{n}.evil.be\n")).collect();
        let event = r#"{"Event":{"uuid":"298fe907-7931-4fd2-8131-2814dd493100","Attribute":[
            {"uuid":"298fe907-7931-4fd2-8131-2814dd493101","type":"domain","value":"evil.be","to_ids":true}]}}"#;
        let table = format!("value\n{lines}");
        for (format, text) in
            [(Format::Text, lines.as_str()), (Format::Csv, table.as_str()), (Format::Misp, event)]
        {
            let (weight, found) = asked(format, text, usize::MAX);
            let made = found.unwrap();
            assert!(weight.abs_diff(made) < made / 5, "{format:?}: {weight} charged for {made}");
            assert!(weight > text.len(), "{format:?}: it grows");
            let (asked, refused) = asked(format, text, weight / 2);
            assert!(matches!(refused, Err(ImportError::NoRoom)), "{format:?}");
            assert!(asked < weight / 2 + 4_096, "{format:?}: {asked} of {weight}, and no object more");
        }
    }
}
