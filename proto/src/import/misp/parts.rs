//! What the parts of an event come to one by one: files, distributions, times.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    super::{
        Import, ImportError, Place, Why,
        make::{Item, file, id_of, time},
    },
    types,
};
use crate::{limits::MAX_OBJECT, stix::marking::Tlp, time::Timestamp};

/// A file told by several values.
pub(super) struct Whole {
    pub(super) id: String,
    pub(super) object: Map<String, Value>,
    /// What it says: the first of each kind. A second name or hash has no place in it.
    pub(super) told: BTreeSet<Item>,
}

impl Whole {
    pub(super) fn of(items: &[&Item]) -> Option<Self> {
        let mut kinds = BTreeSet::new();
        let first: Vec<&Item> =
            items.iter().copied().filter(|item| kinds.insert(item.observable.kind())).collect();
        let object = file(&first)?;
        Some(Self { id: id_of(&object), object, told: first.into_iter().cloned().collect() })
    }
}

/// The marking that a distribution comes to: who may have what is shared is the coalition's matter here, and "nobody
/// else" and "these alone" are as near as TLP comes to it.
pub(super) fn shared(path: &str, distribution: Option<&str>, import: &mut Import) -> Option<Tlp> {
    match distribution.map_or("", str::trim) {
        // A community, those connected to it, all; as what is around it.
        "" | "1" | "2" | "3" | "5" => None,
        "0" => Some(Tlp::AmberStrict),
        "4" => {
            import.skip(Place::Path(path.to_owned()), Why::SharingGroup);
            Some(Tlp::AmberStrict)
        }
        other => {
            let said = types::brief(&format!("distribution {other}"));
            import.skip(Place::Path(path.to_owned()), Why::Marking(said));
            Some(Tlp::AmberStrict)
        }
    }
}

/// Whether an object has room for what is said at `path`; if not, that is told.
pub(super) fn is_short(path: &str, object: &Map<String, Value>, import: &mut Import) -> bool {
    let bytes = serde_json::to_vec(object).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_OBJECT {
        import.skip(Place::Path(path.to_owned()), Why::TooLong(bytes));
    }
    bytes <= MAX_OBJECT
}

pub(super) fn uuid(path: &str, text: &str) -> Result<String, ImportError> {
    let broken = |rule| ImportError::Event { path: path.to_owned(), rule };
    let uuid = uuid::Uuid::try_parse(text.trim()).map_err(|_| broken("must be a UUID"))?;
    Ok(uuid.hyphenated().to_string())
}

/// Seconds since the epoch, as MISP writes times.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    let seconds: u64 = text.trim().parse().ok().filter(|seconds| *seconds > 0)?;
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?)).filter(|at| *at < Timestamp::MAX)
}

pub(super) fn day(text: &str) -> Option<Timestamp> {
    format!("{}T00:00:00Z", text.trim()).parse().ok()
}

/// RFC 3339, any offset, in STIX's form.
pub(super) fn moment(text: Option<&str>) -> Option<String> {
    text?.trim().parse::<Timestamp>().ok().map(time)
}
