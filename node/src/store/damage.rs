//! What does not read as it was written, noted by whoever meets it.
//!
//! RocksDB checks each block that it reads against a checksum, and a sealed value opens as it was sealed or not at
//! all, so damage never passes for content: it is an error of whoever reads, and a note here, which has the daemon
//! heal the store.

use tokio::sync::watch;

use super::ReadError;

#[derive(Debug, Default)]
pub(super) struct Damage(watch::Sender<Option<ReadError>>);

impl Damage {
    /// Notes an error that is damage; gives it back for whoever asked.
    pub(super) fn met(&self, error: ReadError) -> ReadError {
        self.0.send_if_modified(|first| {
            let is_news = first.is_none() && error.is_damage();
            if is_news {
                *first = Some(error.clone());
            }
            is_news
        });
        error
    }

    pub(super) fn told(&self) -> watch::Receiver<Option<ReadError>> {
        self.0.subscribe()
    }
}
