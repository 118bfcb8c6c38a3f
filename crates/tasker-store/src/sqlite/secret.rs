//! What must be the same for all processes, and known to nobody else.

use diesel::sql_types::Binary;

use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};

impl Unit<'_> {
    /// Returns the secret by which cursors are signed; keeps `fresh` if there is none.
    pub(super) fn cursor_secret(&mut self, fresh: [u8; 32]) -> Result<[u8; 32], Trouble> {
        const KEEP: &str = "INSERT OR IGNORE INTO secrets (name, value) VALUES ('cursors', ?1)";
        const READ: &str = "SELECT value FROM secrets WHERE name = 'cursors'";
        Statement::<()>::new(KEEP, &[Bind::Blob(&fresh)]).execute(self.connection)?;
        let (kept,) = Statement::<(Binary,)>::new(READ, &[]).get_result::<(Vec<u8>,)>(self.connection)?;
        Ok(crate::secret::whole(kept)?)
    }
}
