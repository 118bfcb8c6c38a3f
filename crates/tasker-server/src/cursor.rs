//! Cursors: where a page of a list ended, signed.
//!
//! A cursor is opaque and belongs to one list: its signature is over the version of the form, what the list is filtered and
//! sorted by, and the place. How far its caller's permission reaches is no part of it: that is found out with each request.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use tasker::{StoreError, TaskFilter, TaskMark, TaskQuery, Tasker};
use tokio::sync::OnceCell;

/// The version of the form; another one is refused.
const VERSION: u8 = 1;

/// How long a cursor is, in bytes: version, value, place and signature.
const LENGTH: usize = 1 + 8 + 8 + 32;

/// A text that is no cursor of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cursor was made for another list or changed: give the `next_cursor` of a page together with the same filters, \
     `sort` and `order`, or leave it out to begin anew"
)]
pub struct InvalidCursor;

/// Why a cursor was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// It is none of this list.
    #[error(transparent)]
    Invalid(#[from] InvalidCursor),
    /// The store did not say how cursors are signed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs cursors, and reads those that it has signed.
#[derive(Clone)]
pub struct Cursors {
    configured: Option<hmac::Key>,
    kept: Arc<OnceCell<hmac::Key>>,
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursors").finish_non_exhaustive()
    }
}

impl Cursors {
    /// Returns what signs with a secret, or without one with what the store keeps for that.
    pub fn new(secret: Option<&str>) -> Self {
        Self {
            configured: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
            kept: Arc::default(),
        }
    }

    /// Returns the cursor that stands for a place in the list of a query.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn write(
        &self,
        tasker: &Tasker,
        query: &TaskQuery,
        place: TaskMark,
    ) -> Result<String, StoreError> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend(place.value.to_be_bytes());
        bytes.extend(place.place.to_be_bytes());
        let signature = hmac::sign(&self.key(tasker).await?, &signed(&bytes, query));
        bytes.extend(signature.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Returns the place in the list of a query that a cursor stands for.
    ///
    /// # Errors
    ///
    /// When it is no cursor of that list, or what the store says.
    pub async fn read(
        &self,
        tasker: &Tasker,
        query: &TaskQuery,
        cursor: &str,
    ) -> Result<TaskMark, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
        let (said, signature) = bytes.split_last_chunk::<32>().ok_or(InvalidCursor)?;
        let (version, value, place) = match said.split_first() {
            Some((version, rest)) => match rest.split_first_chunk::<8>() {
                Some((value, place)) => (*version, value, place),
                None => return Err(InvalidCursor.into()),
            },
            None => return Err(InvalidCursor.into()),
        };
        let place: [u8; 8] = place.try_into().map_err(|_| InvalidCursor)?;
        hmac::verify(&self.key(tasker).await?, &signed(said, query), signature).map_err(|_| InvalidCursor)?;
        if version != VERSION {
            return Err(InvalidCursor.into());
        }
        Ok(TaskMark {
            value: i64::from_be_bytes(*value),
            place: i64::from_be_bytes(place),
        })
    }

    async fn key(&self, tasker: &Tasker) -> Result<hmac::Key, StoreError> {
        if let Some(key) = &self.configured {
            return Ok(key.clone());
        }
        let kept = self.kept.get_or_try_init(|| async {
            let secret = tasker.cursor_secret().await?;
            Ok::<_, StoreError>(hmac::Key::new(hmac::HMAC_SHA256, &secret))
        });
        kept.await.cloned()
    }
}

/// Returns what a signature is over.
fn signed(place: &[u8], query: &TaskQuery) -> Vec<u8> {
    let filter = TaskFilter {
        within: None,
        ..query.filter.clone()
    };
    let list = (filter, query.sort, query.order);
    let mut bytes = place.to_vec();
    bytes.extend(serde_json::to_vec(&list).unwrap_or_default());
    bytes
}

#[cfg(test)]
mod tests {
    use tasker::{SortOrder, TaskScope, TaskSort};

    use super::*;

    fn tasker() -> Tasker {
        Tasker::builder().memory().build().unwrap()
    }

    fn query(tag: &str) -> TaskQuery {
        let filter = TaskFilter {
            tags: vec![tag.to_owned()],
            ..TaskFilter::default()
        };
        TaskQuery::new(filter, 20)
    }

    const PLACE: TaskMark = TaskMark {
        value: -5,
        place: i64::MAX,
    };

    async fn is_read(cursors: &Cursors, tasker: &Tasker, query: &TaskQuery, cursor: &str) -> bool {
        match cursors.read(tasker, query, cursor).await {
            Ok(place) => place == PLACE,
            Err(CursorError::Invalid(_)) => false,
            Err(CursorError::Store(error)) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_cursor_is_read_with_the_list_that_it_was_made_for() {
        let (tasker, cursors) = (tasker(), Cursors::new(None));
        let cursor = cursors.write(&tasker, &query("a"), PLACE).await.unwrap();
        assert_eq!(cursor.len(), 66);
        let mut same = query("a");
        (same.limit, same.count) = (7, true);
        // How far a permission reaches may change between two pages.
        same.filter.within = Some(vec![TaskScope::default()]);
        assert!(is_read(&cursors, &tasker, &same, &cursor).await);
        assert!(!is_read(&cursors, &tasker, &query("b"), &cursor).await);
        let sorted = TaskQuery {
            sort: TaskSort::Priority,
            ..query("a")
        };
        assert!(!is_read(&cursors, &tasker, &sorted, &cursor).await);
        let turned = TaskQuery {
            order: SortOrder::Ascending,
            ..query("a")
        };
        assert!(!is_read(&cursors, &tasker, &turned, &cursor).await);
    }

    #[tokio::test]
    async fn a_cursor_that_was_changed_is_refused() {
        let (tasker, cursors) = (tasker(), Cursors::new(None));
        let cursor = cursors.write(&tasker, &query("a"), PLACE).await.unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            assert!(
                !is_read(&cursors, &tasker, &query("a"), &changed).await,
                "byte {place}"
            );
        }
        for text in [
            "",
            "x",
            &cursor[..65],
            &format!("{cursor}AA"),
            &"A".repeat(66),
            "ü",
        ] {
            assert!(!is_read(&cursors, &tasker, &query("a"), text).await, "{text:?}");
        }
    }

    /// Signed as it should be, but of another form.
    #[tokio::test]
    async fn a_cursor_of_another_version_is_refused() {
        let (tasker, cursors) = (
            tasker(),
            Cursors::new(Some("a secret that is long enough for this")),
        );
        let mut bytes = vec![VERSION + 1];
        bytes.extend([0; 16]);
        let key = cursors.key(&tasker).await.unwrap();
        let signature = hmac::sign(&key, &signed(&bytes, &query("a")));
        bytes.extend(signature.as_ref());
        assert!(!is_read(&cursors, &tasker, &query("a"), &URL_SAFE_NO_PAD.encode(bytes)).await);
    }

    #[tokio::test]
    async fn a_cursor_is_read_by_all_who_have_the_secret() {
        let (one, other) = (tasker(), tasker());
        let kept = Cursors::new(None);
        let cursor = kept.write(&one, &query("a"), PLACE).await.unwrap();
        assert!(is_read(&Cursors::new(None), &one, &query("a"), &cursor).await);
        assert!(!is_read(&Cursors::new(None), &other, &query("a"), &cursor).await);
        let configured = |text: &str| Cursors::new(Some(text));
        let cursor = configured("one").write(&one, &query("a"), PLACE).await.unwrap();
        assert!(is_read(&configured("one"), &other, &query("a"), &cursor).await);
        assert!(!is_read(&configured("two"), &one, &query("a"), &cursor).await);
        assert!(!is_read(&kept, &one, &query("a"), &cursor).await);
    }
}
