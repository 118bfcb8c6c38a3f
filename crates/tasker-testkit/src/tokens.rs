//! What every store of API tokens must do, as small cases that state one fact each.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{
    ApiToken, Clock, Entropy, NewToken, SeededEntropy, StoreError, TokenId, TokenRecord, TokenStore,
};
use tasker_types::Timestamp;

use crate::clock::ManualClock;

type Played<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A store of tokens under test, with the time and what secrets are made of.
#[derive(Debug)]
struct Bench {
    store: Arc<dyn TokenStore>,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl Bench {
    fn new_token(&self, name: &str) -> (ApiToken, NewToken) {
        let token = ApiToken::generate(&self.entropy);
        let new = NewToken::new(&token, name, self.clock.now());
        (token, new)
    }

    async fn add(&self, name: &str) -> (ApiToken, TokenRecord) {
        let (token, new) = self.new_token(name);
        (token, self.store.add_token(new).await.unwrap())
    }

    async fn find(&self, id: TokenId) -> TokenRecord {
        self.store.find_token(id).await.unwrap().unwrap().0
    }

    fn later(&self, seconds: u64) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(seconds))
    }
}

async fn a_token_is_found_with_all_that_was_noted(b: &Bench) {
    let (token, mut new) = b.new_token("nightly builds");
    new.subject = "ci".to_owned();
    new.roles = vec![
        "operator".to_owned(),
        "it's \"quoted\"; DROP TABLE api_tokens".to_owned(),
    ];
    new.expires_at = Some(b.later(60));
    let record = b.store.add_token(new.clone()).await.unwrap();
    assert_eq!(record, new.record());
    let (found, digest) = b.store.find_token(token.id()).await.unwrap().unwrap();
    assert_eq!(found, record);
    assert!(digest.matches(&token.digest()));
}

async fn an_unknown_token_is_nothing(b: &Bench) {
    let (other, _) = b.add("other").await;
    let id = TokenId::new(b.entropy.next_u64());
    assert_ne!(id, other.id());
    assert!(b.store.find_token(id).await.unwrap().is_none());
    assert!(b.store.revoke_token(id, b.clock.now()).await.unwrap().is_none());
    b.store.note_token_use(id, b.clock.now()).await.unwrap();
    assert_eq!(b.store.tokens().await.unwrap().len(), 1);
}

async fn a_token_that_is_noted_again_is_the_same(b: &Bench) {
    let (_, new) = b.new_token("ci");
    let first = b.store.add_token(new.clone()).await.unwrap();
    b.store.note_token_use(new.id, b.later(1)).await.unwrap();
    let again = b.store.add_token(new).await.unwrap();
    assert_eq!(
        (again.token_id, again.last_used_at),
        (first.token_id, Some(b.later(1)))
    );
    assert_eq!(b.store.tokens().await.unwrap().len(), 1);
}

async fn a_name_is_taken_until_its_token_is_revoked(b: &Bench) {
    let (first, _) = b.add("ci").await;
    let (_, second) = b.new_token("ci");
    let refused = b.store.add_token(second.clone()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the name of a token is \"ci\", but it must be one that no token has which is not revoked; revoke that one \
         first, or take another name"
    );
    assert_eq!(b.store.tokens().await.unwrap().len(), 1);
    b.store.revoke_token(first.id(), b.clock.now()).await.unwrap();
    b.store.add_token(second).await.unwrap();
    assert_eq!(b.store.tokens().await.unwrap().len(), 2);
}

async fn an_id_is_not_given_to_another_token(b: &Bench) {
    let (first, _) = b.add("ci").await;
    let (_, mut other) = b.new_token("other");
    other.id = first.id();
    assert!(matches!(
        b.store.add_token(other).await,
        Err(StoreError::Rejected { .. })
    ));
    let (_, digest) = b.store.find_token(first.id()).await.unwrap().unwrap();
    assert!(digest.matches(&first.digest()));
}

async fn texts_that_cannot_be_kept_are_refused(b: &Bench) {
    for text in ["", "  ", "a\nb", "a\0b", &"a".repeat(257)] {
        let mut bad = [b.new_token(text).1, b.new_token("ci").1, b.new_token("ci").1];
        bad[1].subject = text.to_owned();
        bad[2].roles = vec![text.to_owned()];
        for new in bad {
            let refused = b.store.add_token(new).await;
            assert!(matches!(refused, Err(StoreError::Rejected { .. })), "{text:?}");
        }
    }
    assert!(b.store.tokens().await.unwrap().is_empty());
}

async fn tokens_are_listed_the_oldest_first(b: &Bench) {
    for name in ["one", "two", "three"] {
        b.add(name).await;
        b.clock.advance(Duration::from_secs(1));
    }
    let names: Vec<_> = b
        .store
        .tokens()
        .await
        .unwrap()
        .into_iter()
        .map(|record| record.name)
        .collect();
    assert_eq!(names, ["one", "two", "three"]);
}

async fn a_revocation_stays_as_it_was_first(b: &Bench) {
    let (token, _) = b.add("ci").await;
    let first = b
        .store
        .revoke_token(token.id(), b.later(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.revoked_at, Some(b.later(5)));
    let again = b
        .store
        .revoke_token(token.id(), b.later(9))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again, first);
    assert_eq!(b.find(token.id()).await, first);
}

async fn the_last_use_only_goes_forward(b: &Bench) {
    let (token, record) = b.add("ci").await;
    assert_eq!(record.last_used_at, None);
    for (at, expected) in [(5, 5), (3, 5), (9, 9)] {
        b.store.note_token_use(token.id(), b.later(at)).await.unwrap();
        assert_eq!(b.find(token.id()).await.last_used_at, Some(b.later(expected)));
    }
}

/// Plays one case on a store of tokens that `open` makes around a clock, on a runtime of its own. What `open` returns
/// beside the store is kept until the end.
///
/// # Panics
///
/// When the fact does not hold, or there is no case of this name.
pub fn run_tokens<K>(name: &str, open: impl AsyncFnOnce(ManualClock) -> (Arc<dyn TokenStore>, K)) {
    let (_, play) = cases().into_iter().find(|(known, _)| *known == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = ManualClock::new();
        let (store, _kept) = open(clock.clone()).await;
        let entropy = SeededEntropy::new(0x70C3);
        play(&Bench {
            store,
            clock,
            entropy,
        })
        .await;
    });
}

type Play = for<'a> fn(&'a Bench) -> Played<'a>;

macro_rules! cases {
    ($dollar:tt $($case:ident)+) => {
        fn cases() -> Vec<(&'static str, Play)> {
            vec![$((stringify!($case), |bench| Box::pin($case(bench))),)+]
        }

        /// Makes a test of everything that a store of API tokens must do.
        ///
        /// It is given the name of an asynchronous function that takes a [`ManualClock`](crate::ManualClock) and returns an
        /// empty store, and what is to be kept as long as it is used, such as a directory.
        ///
        /// ```
        /// use std::sync::Arc;
        /// use tasker_testkit::engine::{MemoryStore, TokenStore};
        /// use tasker_testkit::{ManualClock, token_conformance};
        ///
        /// async fn open(clock: ManualClock) -> (Arc<dyn TokenStore>, ()) {
        ///     (Arc::new(MemoryStore::new(Arc::new(clock))), ())
        /// }
        ///
        /// token_conformance!(open);
        /// # fn main() {}
        /// ```
        #[macro_export]
        macro_rules! token_conformance {
            ($dollar open:path) => {
                $(
                    #[test]
                    fn $case() {
                        $crate::run_tokens(stringify!($case), $dollar open);
                    }
                )+
            };
        }
    };
}

cases! { $
    a_token_is_found_with_all_that_was_noted
    an_unknown_token_is_nothing
    a_token_that_is_noted_again_is_the_same
    a_name_is_taken_until_its_token_is_revoked
    an_id_is_not_given_to_another_token
    texts_that_cannot_be_kept_are_refused
    tokens_are_listed_the_oldest_first
    a_revocation_stays_as_it_was_first
    the_last_use_only_goes_forward
}
