//! Exit codes: scripts must tell "broken" from "not allowed".

use std::{error::Error, fmt, process::ExitCode};

use belfry_proto::trust::file as armour;

use crate::{
    keys::{EnrolmentError, file::FileError},
    store::OpenError,
};

/// What scripts may rely on, as `belfry --help` says it.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done
  1  not done: a file is missing, unreadable or damaged, a passphrase is wrong,
     no node runs, or disk or network fail
  2  the command line is wrong
  3  refused: a rule of the coalition or of belfry forbids it. So is what would
     overwrite, what other users may read, what is another coalition's or
     another node's, and a name that nobody has"
    };
}
pub(super) use exit_codes;

/// How a command ends: the table of [`exit_codes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Ok = 0,
    /// It could not be done.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// It could be done, and a rule forbids it.
    Refused = 3,
}

impl Exit {
    pub(super) fn of(error: &anyhow::Error) -> Self {
        // First: a file that cannot be read says nothing a rule could be held against.
        if error.chain().any(is_unusable) {
            return Self::Failure;
        }
        for cause in error.chain() {
            if is_refusal(cause) {
                return Self::Refused;
            }
            if cause.is::<Usage>() {
                return Self::Usage;
            }
        }
        Self::Failure
    }
}

/// A file that is not there, not readable, or not of its kind.
fn is_unusable(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<armour::FileError>()
        || matches!(
            cause.downcast_ref(),
            Some(FileError::Io { .. } | FileError::TooLong { .. } | FileError::NotText { .. })
        )
}

/// Nothing is broken: what was found belongs to somebody else, or must not be used as it is.
fn is_refusal(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<Refused>()
        || matches!(cause.downcast_ref(), Some(FileError::Open { .. } | FileError::Exists { .. }))
        || matches!(
            cause.downcast_ref(),
            Some(EnrolmentError::OtherCoalition { .. } | EnrolmentError::OtherKeys { .. })
        )
        || matches!(
            cause.downcast_ref(),
            Some(
                OpenError::OtherOwner { .. }
                    | OpenError::NewerSchema { .. }
                    | OpenError::OlderSchema { .. }
                    | OpenError::WrongMaster { .. }
            )
        )
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A rule of belfry, the charter or the daemon forbids what was asked.
#[derive(Debug)]
pub(super) struct Refused(anyhow::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A refusal in words.
macro_rules! refuse {
    ($($text:tt)*) => {
        return Err($crate::cli::exit::refused(anyhow::anyhow!($($text)*)))
    };
}
pub(super) use refuse;

/// Marks an error as a refusal.
pub(super) fn refused(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(Refused(error.into()))
}

/// Arguments that parse one by one, but not together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_refusal_stays_one_under_context() {
        let failure = anyhow::anyhow!("broken");
        assert_eq!(Exit::of(&failure), Exit::Failure);
        let refusal = Err::<(), _>(refused(failure)).context("while asking").unwrap_err();
        assert_eq!(Exit::of(&refusal), Exit::Refused);
        assert_eq!(format!("{refusal:#}"), "while asking: broken");
        assert_eq!(Exit::of(&Usage("x".into()).into()), Exit::Usage);
    }

    #[test]
    fn a_file_that_is_not_there_fails_whoever_asked_for_it() {
        let path = std::path::Path::new("no-such-file");
        let missing = || crate::keys::enrolment::read_charters(path).unwrap_err();
        assert_eq!(Exit::of(&missing().into()), Exit::Failure);
        assert_eq!(Exit::of(&refused(missing())), Exit::Failure);
        let taken = FileError::Exists { path: path.to_owned() };
        assert_eq!(Exit::of(&taken.into()), Exit::Refused);
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_what_is_busy_fails() {
        let path = || std::path::PathBuf::from("store");
        let refusals = [
            OpenError::OtherOwner { path: path() },
            OpenError::NewerSchema { path: path(), found: 9, known: 1 },
            OpenError::OlderSchema { path: path(), found: 1, oldest: 8, known: 9 },
            OpenError::WrongMaster { path: path() },
        ];
        for refusal in refusals {
            assert_eq!(Exit::of(&refusal.into()), Exit::Refused);
        }
        assert_eq!(Exit::of(&OpenError::InUse { path: path() }.into()), Exit::Failure);
    }
}
