//! What must be the same for all processes, and known to nobody else.

use diesel::sql_types::Binary;
use tasker_engine::StoreError;

use super::PostgresStore;
use super::error::classify;
use super::statement::{Bind, Statement, execute};

impl PostgresStore {
    /// Returns the secret by which cursors are signed; keeps `fresh` if there is none.
    pub(super) async fn keep_cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        const KEEP: &str = "INSERT INTO secrets (name, value) VALUES ('cursors', $1) ON CONFLICT DO NOTHING";
        const READ: &str = "SELECT s.value FROM secrets AS s WHERE s.name = 'cursors'";
        let connection = self.shared.desk.target.connect().await?;
        let work = async {
            execute(&connection, KEEP, vec![Bind::Bytes(&fresh)]).await?;
            let (kept,) = Statement::<(Binary,)>::new(READ, Vec::new())
                .get_result::<(Vec<u8>,)>(&connection)
                .await?;
            crate::secret::whole(kept)
        };
        work.await.map_err(|error| classify(self.url(), error))
    }
}
