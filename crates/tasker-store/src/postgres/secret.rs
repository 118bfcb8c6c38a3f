//! What must be the same for all processes, and known to nobody else.

use diesel::result::{OptionalExtension as _, QueryResult};
use diesel::sql_types::Binary;
use tasker_engine::StoreError;

use super::PostgresStore;
use super::connection::Connection;
use super::error::classify;
use super::statement::{Bind, Statement, execute};

impl PostgresStore {
    /// Returns the secret by which cursors are signed; keeps `fresh` if there is none.
    pub(super) async fn keep_cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        const KEEP: &str = "INSERT INTO secrets (name, value) VALUES ('cursors', $1) ON CONFLICT DO NOTHING";
        let kept = self
            .shared
            .readers
            .read(|connection| Box::pin(async move { read(connection).await.optional() }));
        if let Some(kept) = kept.await? {
            return Ok(kept);
        }
        // It runs to its end though the caller may go away: no connection is left in the midst of an answer.
        let target = self.shared.desk.target.clone();
        let keeping = tokio::spawn(async move {
            let connection = target.connect().await?;
            let work = async {
                execute(&connection, KEEP, vec![Bind::Bytes(&fresh)]).await?;
                read(&connection).await
            };
            work.await.map_err(|error| classify(target.shown(), error))
        });
        keeping.await.map_err(|_| StoreError::Closed)?
    }
}

async fn read(connection: &Connection<'_>) -> QueryResult<[u8; 32]> {
    const READ: &str = "SELECT s.value FROM secrets AS s WHERE s.name = 'cursors'";
    let (kept,) = Statement::<(Binary,)>::new(READ, Vec::new())
        .get_result::<(Vec<u8>,)>(connection)
        .await?;
    crate::secret::whole(kept)
}
