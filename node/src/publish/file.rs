//! Others' files as submissions, whichever way they come in.

use belfry_proto::{
    crypto::pae::Pae,
    import::{Format, Import, ImportError, Mapping, Options},
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
}

/// A file that was read.
#[derive(Debug)]
pub struct Taken {
    /// What it was read as.
    pub format: Format,
    /// What was understood and skipped; its objects are in the submission.
    pub import: Import,
    /// What it comes to.
    pub submission: Submission,
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
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, bytes: &[u8], submission: Submission) -> Result<Taken, Unreadable> {
        let format = self.format.unwrap_or_else(|| Format::guess(&self.name, bytes));
        let options = Options {
            now: clock::now(),
            mapping: self.mapping.clone(),
            valid_until: self.valid_until,
            unmarked: submission.unmarked,
        };
        let mut import =
            Import::read(format, bytes, &options).map_err(|source| Unreadable { format, source })?;
        let origin = Pae::new("belfry/v1/import")
            .part(format.as_str().as_bytes())
            .part(self.mapping.to_string().as_bytes())
            .number(self.valid_until.map_or(0, Timestamp::as_micros))
            .part(bytes)
            .hash();
        let bundle = import.take_bundle();
        let tlp = submission.tlp.or(import.tlp);
        let pap = strictest(submission.pap, import.pap);
        let submission = Submission { bundle, tlp, pap, origin: Some(origin), ..submission };
        Ok(Taken { format, import, submission })
    }
}

fn strictest(one: Option<Pap>, other: Option<Pap>) -> Option<Pap> {
    one.into_iter().chain(other).max_by_key(|pap| *pap as i32)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::GroupId, stix::marking::Tlp};

    use super::*;

    fn taken(tag: &str, submission: Submission) -> Submission {
        let event = format!(
            r#"{{"Event":{{"uuid":"298fe907-7931-4fd2-8131-2814dd493100","Tag":[{{"name":"{tag}"}}],"Attribute":[
                {{"uuid":"298fe907-7931-4fd2-8131-2814dd493101","type":"domain","value":"evil.example","to_ids":true}}]}}}}"#
        );
        Reading::default().read(event.as_bytes(), submission).unwrap().submission
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
