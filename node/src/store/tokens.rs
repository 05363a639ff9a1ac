//! Access tokens, sealed: everything but their secrets.

use super::{
    ReadError, Store, WriteError,
    columns::Cf,
    rows::TokenRow,
    txn::Txn,
    vault::{SYSTEM, damaged},
};

/// Keeps a token.
pub(super) fn put(txn: &mut Txn<'_>, row: &TokenRow) {
    txn.put_sealed(SYSTEM, Cf::Tokens, row.id.to_vec(), &row.body);
}

/// Takes a token away.
pub(super) fn revoke(txn: &mut Txn<'_>, id: [u8; 8]) -> Result<(), WriteError> {
    let id = id.to_vec();
    txn.get(Cf::Tokens, &id)?.ok_or(WriteError::Missing("token"))?;
    txn.delete(Cf::Tokens, id);
    Ok(())
}

impl Store {
    /// Every access token.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tokens(&self) -> Result<Vec<TokenRow>, ReadError> {
        let mut rows = Vec::new();
        for row in self.db.scan(Cf::Tokens, &[], &[]) {
            let (key, sealed) = row?;
            let id = key.as_ref().try_into().map_err(|_| damaged(Cf::Tokens, &key, "has no id"))?;
            rows.push(TokenRow { id, body: self.db.vault.open(Cf::Tokens, &key, &sealed)? });
        }
        Ok(rows)
    }
}
