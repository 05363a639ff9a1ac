//! Others' files as submissions, whichever way they come in.

use belfry_proto::{
    crypto::pae::Pae,
    import::{Format, Import, ImportError, Mapping, Options, Room},
    limits::MAX_BUNDLE_OBJECTS,
    schema::Pap,
    time::Timestamp,
};

use super::submission::Submission;
use crate::clock;

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What it is; unset: told by name and content.
    pub format: Option<Format>,
    /// Its name, to tell by.
    pub name: String,
    /// Columns of a table.
    pub mapping: Mapping,
    /// Until when what states no end is valid.
    pub valid_until: Option<Timestamp>,
    /// Objects of one publication; more rows become several. Unset: as many as one can have.
    pub bundle_objects: Option<usize>,
}

/// A file that was read.
#[derive(Debug)]
pub struct Taken {
    /// What it was read as.
    pub format: Format,
    /// What was understood and skipped; its objects are in the submissions.
    pub import: Import,
    /// What it comes to: one, or several that are one deed.
    pub submissions: Vec<Submission>,
}

/// A file that cannot be read. Nothing of it is taken.
#[derive(Debug, thiserror::Error)]
#[error("the file, read as {}, {source}", format.as_str())]
pub struct Unreadable {
    /// What it was read as.
    pub format: Format,
    /// Why not.
    pub source: ImportError,
}

impl Reading {
    /// The file's objects in `submission`, which says what the file does not: of markings and permissible actions the
    /// strictest holds. Its digest is the file's, so that a file that comes again is the same one whatever time it is.
    /// What is too much for one publication is in several, each by its place in the file, and all under what the whole file
    /// states.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, bytes: &[u8], submission: Submission) -> Result<Taken, Unreadable> {
        self.read_within(bytes, submission, Room::default())
    }

    /// The same, as far as there is room for what it becomes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_within(&self, bytes: &[u8], submission: Submission, room: Room) -> Result<Taken, Unreadable> {
        let format = self.format.unwrap_or_else(|| Format::guess(&self.name, bytes));
        let options = Options {
            now: clock::now(),
            mapping: self.mapping.clone(),
            valid_until: self.valid_until,
            unmarked: submission.unmarked,
            bundle_objects: self.bundle_objects.unwrap_or(MAX_BUNDLE_OBJECTS),
            room,
        };
        let mut import =
            Import::read(format, bytes, &options).map_err(|source| Unreadable { format, source })?;
        let origin = Pae::new("belfry/v1/import")
            .part(format.as_str().as_bytes())
            .part(self.mapping.to_string().as_bytes())
            .number(self.valid_until.map_or(0, Timestamp::as_micros))
            .part(bytes)
            .hash();
        let tlp = submission.tlp.or(import.tlp);
        let pap = strictest(submission.pap, import.pap);
        let submission = Submission { tlp, pap, ..submission };
        let submissions = (0..)
            .zip(import.take_bundles())
            .map(|(place, bundle)| Submission {
                bundle,
                origin: Some(in_place(origin, place)),
                idempotency_key: submission.idempotency_key.as_deref().map(|key| key_in_place(key, place)),
                ..submission.clone()
            })
            .collect();
        Ok(Taken { format, import, submissions })
    }
}

/// The first one is the file itself: most have no other.
fn in_place(origin: [u8; 32], place: u64) -> [u8; 32] {
    match place {
        0 => origin,
        _ => Pae::new("belfry/v1/import-part").part(&origin).number(place).hash(),
    }
}

/// As [`in_place`]. No client's key holds a zero byte.
fn key_in_place(key: &str, place: u64) -> String {
    match place {
        0 => key.to_owned(),
        _ => format!("{key}\u{0}{place}"),
    }
}

fn strictest(one: Option<Pap>, other: Option<Pap>) -> Option<Pap> {
    one.into_iter().chain(other).max_by_key(|pap| *pap as i32)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        id::GroupId,
        stix::{bundle::Bundle, marking::Tlp},
    };

    use super::*;

    fn taken(tag: &str, submission: Submission) -> Submission {
        let event = format!(
            r#"{{"Event":{{"uuid":"298fe907-7931-4fd2-8131-2814dd493100","Tag":[{{"name":"{tag}"}}],"Attribute":[
                {{"uuid":"298fe907-7931-4fd2-8131-2814dd493101","type":"domain","value":"evil.example","to_ids":true}}]}}}}"#
        );
        Reading::default().read(event.as_bytes(), submission).unwrap().submissions.remove(0)
    }

    #[test]
    fn what_is_too_much_for_one_is_several_that_the_whole_file_marks() {
        let table = "value,tlp\nevil.example,green\n198.51.100.7,green\nevil.example,green\nbroken,green\n198.51.100.8,amber\n";
        let read = |bundle_objects| {
            let submission = Submission {
                idempotency_key: Some("mine".to_owned()),
                ..Submission::of(GroupId::new(1), "siem")
            };
            let reading = Reading { format: Some(Format::Csv), bundle_objects, ..Reading::default() };
            reading.read(table.as_bytes(), submission).unwrap()
        };
        let (whole, cut) = (read(None), read(Some(4)));
        assert_eq!((whole.submissions.len(), cut.submissions.len()), (1, 3));
        assert_eq!((&cut.import.counts, &cut.import.skipped), (&whole.import.counts, &whole.import.skipped));
        let places: Vec<String> =
            cut.import.skipped.iter().map(|skipped| skipped.place.to_string()).collect();
        assert_eq!(places, ["line 4", "line 5"], "counted in the file, not in its part");
        assert!(cut.submissions.iter().all(|one| one.tlp == Some(Tlp::Amber)));
        assert_eq!(cut.submissions[0].origin, whole.submissions[0].origin);
        let distinct = |of: fn(&Submission) -> String| {
            cut.submissions.iter().map(of).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(distinct(|one| format!("{:?}", one.origin)), 3);
        assert_eq!(distinct(|one| one.idempotency_key.clone().unwrap()), 3);
        let again = read(Some(4));
        assert!(
            cut.submissions.iter().zip(&again.submissions).all(|(one, other)| one.origin == other.origin)
        );
        let ids = |taken: &Taken| {
            let bundles =
                taken.submissions.iter().map(|one| Bundle::parse(&one.bundle).unwrap().into_objects());
            bundles.flatten().map(|object| object.id().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&cut), ids(&whole), "nothing lost, nothing twice");
    }

    #[test]
    fn what_the_importer_says_widens_nothing_that_the_file_says() {
        let stated = |pap| Submission { pap, ..Submission::of(GroupId::new(1), "siem") };
        for (said, found) in [(Some(Pap::Clear), Pap::Amber), (None, Pap::Amber), (Some(Pap::Red), Pap::Red)]
        {
            assert_eq!(taken("PAP:AMBER", stated(said)).pap, Some(found), "{said:?}");
        }
        assert_eq!(taken("osint", stated(Some(Pap::Clear))).pap, Some(Pap::Clear));
    }

    #[test]
    fn a_default_marks_what_the_file_does_not() {
        let submission = Submission { unmarked: Some(Tlp::Amber), ..Submission::of(GroupId::new(1), "siem") };
        assert_eq!(taken("osint", submission.clone()).tlp, Some(Tlp::Amber));
        assert_eq!(taken("tlp:green", submission).tlp, Some(Tlp::Green));
    }
}
