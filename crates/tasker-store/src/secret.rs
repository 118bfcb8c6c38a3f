//! Secrets as the databases have them.

use diesel::result::{Error, QueryResult};

/// Returns a secret that was read.
pub(crate) fn whole(bytes: Vec<u8>) -> QueryResult<[u8; 32]> {
    let length = bytes.len();
    let whole = bytes.try_into();
    whole
        .map_err(|_| Error::DeserializationError(format!("a secret has {length} bytes instead of 32").into()))
}
