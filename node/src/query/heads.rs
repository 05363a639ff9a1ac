//! How far this node holds a member's logs: what an air-gapped admin needs to cut a key off at the right message.

use belfry_proto::id::{GroupId, LogId, MessageId, Sequence, Serial};
use serde::Serialize;

use super::{Query, QueryError, members::NameError};

/// The last message held without a gap of one log.
#[derive(Clone, Debug, Serialize)]
pub struct HeadView {
    /// Certificate that writes it.
    pub serial: Serial,
    /// Group.
    pub group: GroupId,
    /// The group's slug.
    pub slug: String,
    /// Log.
    pub log: LogId,
    /// Place of the message.
    pub sequence: Sequence,
    /// The message.
    pub message: MessageId,
}

/// Why there are no heads to tell.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// Nobody of that name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Query {
    /// Heads of every log of a member, named by id, organisation or a certificate's serial.
    ///
    /// # Errors
    /// Nobody of that name, or the store.
    pub async fn heads(&self, name: &str) -> Result<Vec<HeadView>, HeadsError> {
        let roster = self.roster();
        let by_serial = name.trim().parse().ok().and_then(|n| roster.certificate(Serial::new(n)));
        let (member, serial) = match by_serial {
            Some(certificate) => (certificate.member, Some(certificate.serial)),
            None => (self.member_named(name)?, None),
        };
        let groups: Vec<(GroupId, String)> =
            roster.charter().groups().iter().map(|group| (group.id, group.slug.clone())).collect();
        let heads = self.read(move |inner| {
            let mut heads = Vec::new();
            for (group, slug) in groups {
                let rows = inner.store.logs(group).into_iter();
                let rows = rows.filter(|row| row.member == member && serial.is_none_or(|s| s == row.serial));
                heads.extend(rows.filter(|row| row.height.get() > 0).map(|row| HeadView {
                    serial: row.serial,
                    group,
                    slug: slug.clone(),
                    log: row.log,
                    sequence: row.height,
                    message: row.head,
                }));
            }
            Ok(heads)
        });
        Ok(heads.await?)
    }
}
