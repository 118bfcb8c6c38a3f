//! Tokens that are believed, and those that are not.

use std::ffi::OsString;

use base64::Engine as _;
use ring::hmac;
use serde_json::json;
use tasker::SystemClock;
use tasker_types::JwtKeyValues;

use super::algorithm::Algorithm;
use super::*;

const SECRET: &str = "a secret that is long enough for all";
/// The time of every test: a million seconds.
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);
/// Tokens that another program made, which expire a minute after [`NOW`], by algorithm.
const TOKENS: &str = include_str!("../fixtures/tokens.txt");
const RSA: &[u8] = include_bytes!("../fixtures/rsa.pem");

fn environment() -> Environment {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let variables = [
        ("SECRET", SECRET.to_owned()),
        ("SHORT", "x".repeat(31)),
        ("RSA", text(RSA)),
        ("RSA_1024", text(include_bytes!("../fixtures/rsa_1024.pem"))),
        ("P256", text(include_bytes!("../fixtures/p256.pem"))),
        ("P384", text(include_bytes!("../fixtures/p384.pem"))),
        ("P521", text(include_bytes!("../fixtures/p521.pem"))),
    ];
    let variables = variables.into_iter();
    variables
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

fn key(kid: Option<&str>, algorithm: Algorithm, env: &str) -> JwtKeyValues {
    JwtKeyValues {
        kid: kid.map(str::to_owned),
        algorithm: algorithm.name().to_owned(),
        env: Some(env.to_owned()),
        file: None,
    }
}

fn values(keys: Vec<JwtKeyValues>) -> JwtValues {
    JwtValues {
        keys,
        ..JwtValues::default()
    }
}

fn jwt(values: &JwtValues) -> Jwt {
    let mut faults = Vec::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let jwt = Jwt::new(values, &environment(), &clock, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    jwt
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn hs256() -> Jwt {
    jwt(&values(vec![key(None, Algorithm::HS256, "SECRET")]))
}

fn good() -> Value {
    json!({ "sub": "ann", "exp": 1_000_060, "roles": ["viewer", "operator"] })
}

#[track_caller]
fn refused(jwt: &Jwt, token: &str, reason: &str) {
    assert_eq!(jwt.verify(token, NOW), Err(reason));
}

#[track_caller]
fn claims_are_refused(claims: &Value, reason: &str) {
    refused(
        &hs256(),
        &signed(&json!({ "alg": "HS256" }), claims, SECRET.as_bytes()),
        reason,
    );
}

#[test]
fn a_token_says_who_and_in_which_roles() {
    let caller = hs256().verify(
        &signed(&json!({ "alg": "HS256" }), &good(), SECRET.as_bytes()),
        NOW,
    );
    assert_eq!(caller, Ok(Caller::new("ann").with_roles(["viewer", "operator"])));
    let text = json!({ "sub": "ann", "exp": 1_000_060, "roles": "viewer  operator" });
    let caller = hs256().verify(&signed(&json!({ "alg": "HS256" }), &text, SECRET.as_bytes()), NOW);
    assert_eq!(caller.unwrap().roles(), ["viewer", "operator"]);
}

#[test]
fn every_algorithm_is_known_and_pinned_to_its_key() {
    use Algorithm::{ES256, ES384, ES512, RS256, RS384, RS512};
    let keys = [
        (RS256, "RSA"),
        (RS384, "RSA"),
        (RS512, "RSA"),
        (ES256, "P256"),
        (ES384, "P384"),
        (ES512, "P521"),
    ];
    for (algorithm, env) in keys {
        let jwt = jwt(&values(vec![key(None, algorithm, env)]));
        for line in TOKENS.lines() {
            let (name, token) = line.split_once(' ').unwrap();
            if name == algorithm.name() {
                assert_eq!(
                    jwt.verify(token, NOW),
                    Ok(Caller::new("ann").with_roles(["viewer"])),
                    "{name}"
                );
                let (message, signature) = token.rsplit_once('.').unwrap();
                let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
                bytes[9] ^= 1;
                let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
                refused(&jwt, &forged, "the signature is not that of the key");
            } else {
                refused(&jwt, token, "the token names another algorithm than its key");
            }
        }
    }
    for (algorithm, hash) in [
        (Algorithm::HS256, hmac::HMAC_SHA256),
        (Algorithm::HS384, hmac::HMAC_SHA384),
        (Algorithm::HS512, hmac::HMAC_SHA512),
    ] {
        let jwt = jwt(&values(vec![key(None, algorithm, "SECRET")]));
        let message = format!(
            "{}.{}",
            encoded(&json!({ "alg": algorithm.name() })),
            encoded(&good())
        );
        let tag = hmac::sign(&hmac::Key::new(hash, SECRET.as_bytes()), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert!(jwt.verify(&token, NOW).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let none = format!("{}.{}.", encoded(&json!({ "alg": "none" })), encoded(&good()));
    refused(&hs256(), &none, "the token names another algorithm than its key");
    let empty = format!("{}.{}.", encoded(&json!({ "alg": "HS256" })), encoded(&good()));
    refused(&hs256(), &empty, "the signature is not that of the key");
    // The public key as a shared secret, which everyone knows.
    let rsa = jwt(&values(vec![key(None, Algorithm::RS256, "RSA")]));
    for secret in [RSA, RSA.trim_ascii_end()] {
        let confused = signed(&json!({ "alg": "HS256" }), &good(), secret);
        refused(&rsa, &confused, "the token names another algorithm than its key");
        let mislabelled = signed(&json!({ "alg": "RS256" }), &good(), secret);
        refused(&rsa, &mislabelled, "the signature is not that of the key");
    }
    let other = signed(
        &json!({ "alg": "HS256" }),
        &good(),
        b"another secret that is long enough!!",
    );
    refused(&hs256(), &other, "the signature is not that of the key");
    let critical = signed(
        &json!({ "alg": "HS256", "crit": ["b64"] }),
        &good(),
        SECRET.as_bytes(),
    );
    refused(&hs256(), &critical, "the token demands an extension");
}

#[test]
fn a_token_chooses_its_key_by_name() {
    let jwt = jwt(&values(vec![
        key(Some("old"), Algorithm::HS256, "SECRET"),
        key(Some("new"), Algorithm::RS256, "RSA"),
    ]));
    let with = |header: Value| signed(&header, &good(), SECRET.as_bytes());
    assert!(
        jwt.verify(&with(json!({ "alg": "HS256", "kid": "old" })), NOW)
            .is_ok()
    );
    refused(&jwt, &with(json!({ "alg": "HS256" })), "the token has no `kid`");
    for kid in ["none", "", "../../etc/passwd", "old' OR '1'='1"] {
        let token = with(json!({ "alg": "HS256", "kid": kid }));
        refused(&jwt, &token, "there is no key of the token's `kid`");
    }
    let token = with(json!({ "alg": "HS256", "kid": "new" }));
    refused(&jwt, &token, "the token names another algorithm than its key");
}

#[test]
fn a_token_is_valid_for_a_time() {
    claims_are_refused(&json!({ "sub": "ann" }), "the token has no `exp`");
    claims_are_refused(&json!({ "sub": "ann", "exp": "1000060" }), "`exp` is no number");
    claims_are_refused(&json!({ "sub": "ann", "exp": null }), "`exp` is no number");
    claims_are_refused(&json!({ "sub": "ann", "exp": 999_970 }), "the token has expired");
    claims_are_refused(&json!({ "sub": "ann", "exp": -1e300 }), "the token has expired");
    let early = json!({ "sub": "ann", "exp": 2_000_000, "nbf": 1_000_031 });
    claims_are_refused(&early, "the token is not valid yet");
    let odd = json!({ "sub": "ann", "exp": 2_000_000, "nbf": true });
    claims_are_refused(&odd, "`nbf` is no number");
    // Within the leeway of 30 seconds.
    let edge = json!({ "sub": "ann", "exp": 999_971, "nbf": 1_000_030 });
    let token = signed(&json!({ "alg": "HS256" }), &edge, SECRET.as_bytes());
    assert!(hs256().verify(&token, NOW).is_ok());
}

#[test]
fn a_token_names_its_caller() {
    const UNNAMED: &str = "the token does not name its caller";
    for name in [
        json!(null),
        json!(5),
        json!(" "),
        json!("a\nb"),
        json!("x".repeat(257)),
    ] {
        claims_are_refused(&json!({ "sub": name, "exp": 1_000_060 }), UNNAMED);
    }
    claims_are_refused(
        &json!({ "sub": "ann", "exp": 1_000_060, "roles": 1 }),
        "the roles are no list",
    );
    claims_are_refused(
        &json!({ "sub": "ann", "exp": 1_000_060, "roles": [1] }),
        "a role is no text",
    );
}

#[test]
fn issuer_and_audience_are_checked_when_they_are_configured() {
    let jwt = jwt(&JwtValues {
        issuer: Some("us".to_owned()),
        audience: Some("tasker".to_owned()),
        ..values(vec![key(None, Algorithm::HS256, "SECRET")])
    });
    let token = |more: Value| {
        let mut claims = good();
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        signed(&json!({ "alg": "HS256" }), &claims, SECRET.as_bytes())
    };
    for audience in [json!("tasker"), json!(["other", "tasker"])] {
        assert!(
            jwt.verify(&token(json!({ "iss": "us", "aud": audience })), NOW)
                .is_ok()
        );
    }
    refused(
        &jwt,
        &token(json!({ "aud": "tasker" })),
        "the token is of another issuer",
    );
    refused(
        &jwt,
        &token(json!({ "iss": "them", "aud": "tasker" })),
        "the token is of another issuer",
    );
    refused(
        &jwt,
        &token(json!({ "iss": "us" })),
        "the token is for another audience",
    );
    refused(
        &jwt,
        &token(json!({ "iss": "us", "aud": ["x"] })),
        "the token is for another audience",
    );
}

#[test]
fn what_is_no_token_is_refused() {
    const FORM: &str = "the token is not three parts of base64url";
    for token in [
        "",
        ".",
        "a",
        "a.b",
        "ä.b.c",
        "a.b.c.d",
        "====.e30.e30",
        "e30=.e30.e30",
    ] {
        refused(&hs256(), token, FORM);
    }
    refused(&hs256(), "..", "the token has no header");
    refused(&hs256(), "e30.e30.e30", "the token has no header");
    refused(&hs256(), &"a".repeat(8193), "the token is too long");
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    refused(
        &hs256(),
        &format!("{}.e30.e30", URL_SAFE_NO_PAD.encode(deep)),
        "the token has no header",
    );
}

#[test]
fn keys_are_checked_at_the_start() {
    #[track_caller]
    fn faulty(keys: Vec<JwtKeyValues>, expected: &[&str]) {
        let mut faults = Vec::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let jwt = Jwt::new(&values(keys), &environment(), &clock, &mut faults);
        assert_eq!(faults, expected);
        assert!(!format!("{jwt:?}").contains(SECRET) && !faults.concat().contains(SECRET));
    }
    use Algorithm::{ES256, ES512, HS256, RS256};
    faulty(
        vec![],
        &["`auth.jwt.keys` is empty, but `auth.authenticator` is `jwt`"],
    );
    let nowhere = JwtKeyValues {
        env: None,
        ..key(None, HS256, "")
    };
    let unsigned = JwtKeyValues {
        algorithm: "none".to_owned(),
        ..key(None, HS256, "SECRET")
    };
    let twice = JwtKeyValues {
        file: Some("x".to_owned()),
        ..key(Some("a"), HS256, "SECRET")
    };
    let missing = JwtKeyValues {
        file: Some("/nowhere/key".to_owned()),
        env: None,
        ..key(None, HS256, "")
    };
    faulty(
        vec![unsigned],
        &[
            "`auth.jwt.keys[0]` has the `algorithm` `none`, but there are only `HS256`, `HS384`, `HS512`, `RS256`, \
           `RS384`, `RS512`, `ES256`, `ES384`, `ES512`",
        ],
    );
    faulty(
        vec![JwtKeyValues::default()],
        &["`auth.jwt.keys[0]` does not say its `algorithm`"],
    );
    faulty(
        vec![nowhere],
        &["`auth.jwt.keys[0]` says with neither `file` nor `env` where the key is"],
    );
    faulty(
        vec![missing],
        &["`auth.jwt.keys[0]` cannot read the file `/nowhere/key`: No such file or directory (os error 2)"],
    );
    faulty(
        vec![
            key(Some("a"), HS256, "SECRET"),
            twice,
            key(None, HS256, "SHORT"),
            key(Some("c"), HS256, "RSA"),
            key(Some("d"), RS256, "SECRET"),
            key(Some("e"), RS256, "P256"),
            key(Some("f"), ES256, "P384"),
            key(Some("g"), ES512, "RSA"),
            key(Some("h"), RS256, "RSA_1024"),
            key(Some("i"), RS256, "ABSENT"),
        ],
        &[
            "`auth.jwt.keys[1]` has the `kid` `a` of another key",
            "`auth.jwt.keys[1]` says with both `file` and `env` where the key is",
            "`auth.jwt.keys[2]` has no `kid`, by which tokens choose among several keys",
            "`auth.jwt.keys[2]` is a secret of 31 bytes, but it must have at least 32",
            "`auth.jwt.keys[3]` is a key in PEM, which is no shared secret",
            "`auth.jwt.keys[4]` is no public key in PEM (`-----BEGIN PUBLIC KEY-----`)",
            "`auth.jwt.keys[5]` is a public key, but none for RS256",
            "`auth.jwt.keys[6]` is a public key, but none for ES256",
            "`auth.jwt.keys[7]` is a public key, but none for ES512",
            "`auth.jwt.keys[8]` is an RSA key of fewer than 2048 bits",
            "`auth.jwt.keys[9]` is in the variable `ABSENT`, which is not set",
        ],
    );
}

#[test]
fn a_secret_is_shown_nowhere() {
    let shown = format!("{:?}", hs256());
    assert!(!shown.contains(SECRET) && shown.contains("HS256"), "{shown}");
}
