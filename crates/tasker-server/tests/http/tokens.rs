//! API tokens over HTTP: which are believed, for how long, and what they permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use tasker_server::tasker::config::{Environment, Loader};
use tasker_server::tasker::{
    ApiToken, Clock, NewToken, SeededEntropy, StoreError, Tasker, Timestamp, TokenDigest, TokenId,
    TokenRecord, TokenStore,
};
use tasker_server::{App, Auth, axum};
use tasker_testkit::ManualClock;

use crate::kit::{Answer, app, ask};

const FILE: &str = r#"
[auth]
authentication_enabled = true
authenticator = "api_token"
authorization_enabled = true
coordinator = "rbac"

[auth.roles]
viewer = { permissions = ["tasker.task:index", "tasker.task:show", "tasker.handler:*"] }
starter = { permissions = ["tasker.task:*"], own_tasks = true }
"#;
const TEMPLATE: &str = "{ name: parcel, steps: [{ name: a, handler: sleep, config: { seconds: 0 } }] }";

/// Counts the uses that are noted.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn TokenStore>,
    uses: AtomicU32,
}

#[async_trait]
impl TokenStore for Counted {
    async fn add_token(&self, token: NewToken) -> Result<TokenRecord, StoreError> {
        self.inner.add_token(token).await
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenDigest)>, StoreError> {
        self.inner.find_token(id).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.inner.tokens().await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        self.inner.revoke_token(id, at).await
    }

    async fn note_token_use(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.uses.fetch_add(1, Ordering::Relaxed);
        self.inner.note_token_use(id, at).await
    }
}

struct Bench {
    router: Router,
    tokens: Arc<Counted>,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tasker.toml");
        std::fs::write(&file, FILE).unwrap();
        let config = Loader::new().file(file).load().unwrap();
        let manual = ManualClock::new();
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let tasker = Tasker::builder()
            .memory()
            .clock(Arc::clone(&clock))
            .build()
            .unwrap();
        let tokens = Arc::new(Counted {
            inner: Arc::clone(tasker.tokens().unwrap()),
            uses: AtomicU32::new(0),
        });
        let noted: Arc<dyn TokenStore> = Arc::<Counted>::clone(&tokens);
        let guard = Auth::builder()
            .tokens(Some(&noted))
            .build(config.auth(), &Environment::default(), &clock)
            .unwrap();
        let templates = app(&tasker, &[TEMPLATE]).templates().clone();
        let router = tasker_server::router(App::builder(tasker).templates(templates).guard(guard).build());
        Self {
            router,
            tokens,
            clock: manual,
            entropy: SeededEntropy::new(11),
        }
    }

    /// Makes a token of `ann` that lasts an hour.
    async fn token(&self, name: &str, roles: &[&str]) -> ApiToken {
        let token = ApiToken::generate(&self.entropy);
        let mut new = NewToken::new(&token, name, self.clock.now());
        new.subject = "ann".to_owned();
        new.roles = roles.iter().map(|&role| role.to_owned()).collect();
        new.expires_at = Some(self.clock.now().plus(Duration::from_secs(3_600)));
        self.tokens.add_token(new).await.unwrap();
        token
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, token, Body::empty()).await
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: Body) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        ask(&self.router, request.body(body).unwrap()).await
    }
}

const HANDLERS: &str = "/tasker/handlers";

#[tokio::test]
async fn a_token_is_believed_until_it_is_revoked() {
    let bench = Bench::new();
    let (token, other) = (
        bench.token("ci", &["viewer"]).await,
        bench.token("other", &["viewer"]).await,
    );
    bench.get(HANDLERS, token.expose()).await.is_ok();
    bench
        .tokens
        .revoke_token(token.id(), bench.clock.now())
        .await
        .unwrap();
    bench.get(HANDLERS, token.expose()).await.refuses_credentials();
    bench.get(HANDLERS, other.expose()).await.is_ok();
}

#[tokio::test]
async fn a_token_is_believed_until_it_expires() {
    let bench = Bench::new();
    let token = bench.token("ci", &["viewer"]).await;
    bench.clock.advance(Duration::from_secs(3_599));
    bench.get(HANDLERS, token.expose()).await.is_ok();
    bench.clock.advance(Duration::from_secs(1));
    bench.get(HANDLERS, token.expose()).await.refuses_credentials();
}

#[tokio::test]
async fn what_nobody_noted_is_not_believed() {
    let bench = Bench::new();
    let token = bench.token("ci", &["viewer"]).await;
    let text = token.expose();
    // A valid form with the id of a token that there is, and another secret.
    let forged = loop {
        let other = ApiToken::generate(&bench.entropy);
        let swapped = other
            .expose()
            .replace(&other.id().to_string(), &token.id().to_string());
        if swapped != other.expose() {
            break swapped;
        }
    };
    let cut = &text[..text.len() - 1];
    let last = if text.ends_with('0') { '1' } else { '0' };
    for bad in [
        ApiToken::generate(&bench.entropy).expose(),
        &forged,
        cut,
        &format!("{cut}{last}"),
        &format!("{text}0"),
        &text.to_uppercase(),
        "tasker_",
        "a.b.c",
        "' OR 1=1 --",
    ] {
        bench.get(HANDLERS, bad).await.refuses_credentials();
    }
    assert_eq!(bench.tokens.uses.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn roles_of_a_token_apply_as_those_of_any_caller() {
    let bench = Bench::new();
    let viewer = bench.token("viewer", &["viewer"]).await;
    let starter = bench.token("starter", &["starter"]).await;
    let nobody = bench.token("nobody", &["unheard_of"]).await;
    let create = || Body::from(json!({ "name": "parcel" }).to_string());
    let made = bench
        .send("POST", "/tasker/tasks", starter.expose(), create())
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    // The subject is who did it, and the owner of what they did.
    assert_eq!(made.body["task"]["initiator"], "ann");
    let path = made.headers[header::LOCATION].to_str().unwrap();
    bench.get(path, starter.expose()).await.is_ok();
    let refused = bench
        .send("POST", "/tasker/tasks", viewer.expose(), create())
        .await;
    assert_eq!(
        refused.is_problem(403, "denied"),
        "`ann` has no permission `tasker.task:create` here"
    );
    bench
        .get(HANDLERS, nobody.expose())
        .await
        .is_problem(403, "denied");
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() {
    let bench = Bench::new();
    let token = bench.token("ci", &["viewer"]).await;
    let noted = async || {
        let (record, _) = bench.tokens.find_token(token.id()).await.unwrap().unwrap();
        (bench.tokens.uses.load(Ordering::Relaxed), record.last_used_at)
    };
    assert_eq!(noted().await, (0, None));
    let first = bench.clock.now();
    for _ in 0..20 {
        bench.get(HANDLERS, token.expose()).await.is_ok();
    }
    assert_eq!(noted().await, (1, Some(first)));
    bench.clock.advance(Duration::from_secs(61));
    for _ in 0..20 {
        bench.get(HANDLERS, token.expose()).await.is_ok();
    }
    assert_eq!(noted().await, (2, Some(bench.clock.now())));
}
