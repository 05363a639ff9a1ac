//! Who names which message: a row for each withdrawal and target, whether the target is here or not.
//!
//! Rows lie by member and by what they say, so that a withdrawal looks at those like it and at no others, however many
//! name the message.

use std::sync::atomic::Ordering;

use belfry_proto::{
    envelope::Word,
    id::{MessageId, Serial},
    schema::{WithdrawalGround, WithdrawalMode},
    time::Timestamp,
};
use prost::Message;

use super::{author, put_reweigh};
use crate::store::{
    ReadError, WriteError,
    columns::{Cf, Key},
    messages::stored,
    rows::{EnvelopeRow, Withdraws},
    txn::Txn,
    unsure,
    values::WithdrawalValue,
    vault::damaged,
};

/// Withdrawals of one certificate that say the same of one message and are kept in mind. Honest members need one or two;
/// each costs whoever writes a few reads at every look.
const MOST_ALIKE: usize = 16;

/// Notes what a withdrawal that is being stored says of its targets.
pub(in crate::store) fn note(txn: &mut Txn<'_>, row: &EnvelopeRow) -> Result<(), WriteError> {
    match &row.withdraws {
        Some(withdraws) => note_as(txn, row.serial, withdraws, true),
        None => Ok(()),
    }
}

/// Notes what a withdrawal that is not kept itself erased, perhaps, where it was kept: entries that are bare because of it
/// have to pass. Its author's quota bounds these as all it says.
pub(in crate::store) fn note_erasure(txn: &mut Txn<'_>, row: &EnvelopeRow) -> Result<(), WriteError> {
    match &row.withdraws {
        Some(withdraws) if withdraws.word.mode == WithdrawalMode::Erase => {
            note_as(txn, row.serial, withdraws, false)
        }
        Some(_) | None => Ok(()),
    }
}

fn note_as(
    txn: &mut Txn<'_>,
    serial: Serial,
    withdraws: &Withdraws,
    is_kept: bool,
) -> Result<(), WriteError> {
    for target in &withdraws.targets {
        // What can have no effect takes no room; of a target that is not here yet nobody knows.
        if !may_matter(txn, &withdraws.word, *target)? {
            continue;
        }
        if let Some(key) = place(txn, *target, serial, &withdraws.word, is_kept)? {
            txn.db.has_withdrawals.store(true, Ordering::Relaxed);
            txn.put(Cf::Withdrawals, target.to_vec(), Vec::new());
            // Since when it is here was noted, and put right perhaps: one that is stored once more, as by healing, comes no later
            // and no earlier by that.
            if txn.get(Cf::Withdrawals, &key)?.is_none() {
                unsure::word(txn, &withdraws.word, &key);
                txn.put(Cf::Withdrawals, key, WithdrawalValue::of(&withdraws.word).encode_to_vec());
            }
            put_reweigh(txn, Timestamp::ZERO, *target);
        }
        if is_kept {
            txn.delete(Cf::Withdrawals, row_key(*target, serial, &withdraws.word, false));
        }
    }
    Ok(())
}

/// Where a withdrawal has its row, if it has a place among those of its certificate that say the same of the target: those
/// with the smallest ids have, whichever came first. What says something else is counted by itself: nobody's erasure,
/// which bare entries rest on, gives way to retractions, nor one that can be passed on to one that cannot.
fn place(
    txn: &mut Txn<'_>,
    target: MessageId,
    serial: Serial,
    word: &Word,
    is_kept: bool,
) -> Result<Option<Vec<u8>>, WriteError> {
    let own = row_key(target, serial, word, is_kept);
    let rows = txn.prefixed(Cf::Withdrawals, &alike(target, serial, word, is_kept), usize::MAX)?.into_iter();
    let mut others: Vec<Vec<u8>> = rows.map(|(key, _)| key).filter(|key| *key != own).collect();
    if others.len() < MOST_ALIKE {
        return Ok(Some(own));
    }
    others.sort_unstable();
    match others.pop() {
        Some(largest) if own < largest => {
            txn.delete(Cf::Withdrawals, largest);
            Ok(Some(own))
        }
        _ => Ok(None),
    }
}

/// Where the rows of a certificate stand that say the same of a target: all that their reach depends on. Of a certificate,
/// not of its member: a key that was stolen and cut must not crowd out what its owner says with the next one.
fn alike(target: MessageId, serial: Serial, word: &Word, is_kept: bool) -> Vec<u8> {
    let says = [
        u8::try_from(i32::from(word.mode)).unwrap_or(u8::MAX),
        u8::from(word.by_steward),
        u8::from(word.ground == WithdrawalGround::Author),
        u8::from(is_kept),
    ];
    let of_member = Key::default().bytes(target.as_ref()).bytes(word.member.as_ref());
    of_member.u32(word.group.get()).bytes(&says).u64(serial.get()).done()
}

/// Where the row of a withdrawal stands under its target; its id comes last.
fn row_key(target: MessageId, serial: Serial, word: &Word, is_kept: bool) -> Vec<u8> {
    [alike(target, serial, word, is_kept).as_slice(), word.id.as_ref()].concat()
}

fn may_matter(txn: &Txn<'_>, word: &Word, target: MessageId) -> Result<bool, WriteError> {
    if txn.get(Cf::Messages, target.as_ref())?.is_none() {
        return Ok(true);
    }
    let stored = stored(txn, target)?;
    let member = author(target, &stored.value)?;
    Ok(match stored.value.key_id() {
        Some(_) => word.reaches(stored.group, member).is_ok(),
        None => {
            word.mode == WithdrawalMode::Lift
                && word.group == stored.group
                && (word.by_steward || word.member == member)
        }
    })
}

/// What every withdrawal that names a message says. They are bounded by the roster: [`MOST_ALIKE`] a certificate.
pub(super) fn words(txn: &Txn<'_>, message: MessageId) -> Result<Vec<Word>, ReadError> {
    let mut words = Vec::new();
    for (key, value) in txn.prefixed(Cf::Withdrawals, message.as_ref(), usize::MAX)? {
        if key.as_slice() == message.as_ref() {
            continue;
        }
        let fault = || damaged(Cf::Withdrawals, &key, "does not decode");
        let id = key.last_chunk::<32>().map(|id| MessageId::new(*id)).ok_or_else(fault)?;
        let value = WithdrawalValue::decode(value.as_slice()).map_err(|_| fault())?;
        words.push(value.word(id).map_err(|_| fault())?);
    }
    Ok(words)
}
