//! What is in memory stays there: keys, passphrases and opened intelligence in no core dump.
//!
//! Every command asks for it first, the admin's as well as the daemon's. Besides, no process of the same user may look into
//! this one's memory; root may.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Has the system write no core dump of this process, and show its memory to nobody but root.
///
/// Two ways, because one is not enough: where the system hands dumps to a program, it passes over the limit; and what a
/// process says of itself some other systems do not have.
///
/// # Errors
/// The system refuses.
pub(super) fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_dumped_neither_to_a_file_nor_to_a_program() {
        forbid().unwrap();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
