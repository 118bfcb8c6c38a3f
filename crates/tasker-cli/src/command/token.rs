//! `tasker token`: makes, lists and revokes the tokens by which programs say who they are.

use serde::Serialize;
use tasker::{ApiToken, NewToken, Tasker, Timestamp, TokenId, TokenRecord, TokenStanding, TokenStore};
use tasker_types::nearest;

use crate::args::{Token, TokenCreate};
use crate::exit::{Exit, Problem};
use crate::output::{Output, Table};
use crate::session::Session;
use crate::view::plain::time;
use crate::view::text::{Line, Style, printable};

/// A token as `--json` shows it, with its secret when it was made just now.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    standing: TokenStanding,
    #[serde(flatten)]
    record: TokenRecord,
}

/// All tokens, as `--json` shows them.
#[derive(Debug, Serialize)]
struct Listed {
    tokens: Vec<Shown>,
}

/// Does what a command about tokens says.
pub(super) fn run(session: &Session, arguments: Token) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let tokens = tasker.tokens().ok_or_else(|| {
            Problem::refused("no_tokens", "the store keeps no tokens")
                .with_help("keep tasks in SQLite or PostgreSQL")
        })?;
        let now = tasker.clock().now();
        match arguments {
            Token::Create(arguments) => create(session, &tasker, &**tokens, &arguments, now).await?,
            Token::List(_) => list(session, &**tokens, now).await?,
            Token::Revoke(arguments) => revoke(session, &**tokens, &arguments.token, now).await?,
        }
        Ok(Exit::Done)
    })
}

async fn create(
    session: &Session,
    tasker: &Tasker,
    tokens: &dyn TokenStore,
    arguments: &TokenCreate,
    now: Timestamp,
) -> Result<(), Problem> {
    let token = ApiToken::generate(&**tasker.entropy());
    let mut new = NewToken::new(&token, arguments.name.trim(), now);
    if let Some(subject) = &arguments.subject {
        new.subject = subject.trim().to_owned();
    }
    new.roles.clone_from(&arguments.role);
    let expires = arguments.expires.from(now);
    new.expires_at = Some(expires).filter(|_| !arguments.no_expiry);
    if new.expires_at.is_some_and(|end| end <= now) {
        let message = format!("`--expires` is {expires}, which is over already");
        return Err(Problem::refused("token_expired", message).with_help("name a time to come, such as 90d"));
    }
    let record = tokens.add_token(new).await?;
    warn(session, tasker, &record);
    let shown = shown(record, now);
    let shown = Shown {
        token: Some(token.expose().to_owned()),
        ..shown
    };
    session
        .output()
        .result(&shown, || format!("{}\n", token.expose()))?;
    if session.output() == Output::Text {
        session.complain("This is shown once: keep it where secrets are kept.\n");
    }
    Ok(())
}

/// Says what keeps a token from being of use.
fn warn(session: &Session, tasker: &Tasker, record: &TokenRecord) {
    let auth = tasker.config().auth();
    if !auth.authentication_enabled || auth.authenticator != "api_token" {
        session.warn(
            "this configuration does not ask for tokens; `auth.authentication_enabled` = true and `auth.authenticator` = \
             `api_token` have the service do so",
        );
    }
    if auth.coordinator != "rbac" {
        return;
    }
    for role in record.roles.iter().filter(|role| !auth.roles.contains_key(*role)) {
        let meant = nearest(role, auth.roles.keys().map(String::as_str))
            .map(|meant| format!("; did you mean `{meant}`?"))
            .unwrap_or_default();
        session.warn(&format!("`auth.roles` has no role `{}`{meant}", printable(role)));
    }
}

async fn list(session: &Session, tokens: &dyn TokenStore, now: Timestamp) -> Result<(), Problem> {
    let records = tokens.tokens().await?;
    let listed = Listed {
        tokens: records.into_iter().map(|record| shown(record, now)).collect(),
    };
    session.output().result(&listed, || text(&listed, session))
}

fn text(listed: &Listed, session: &Session) -> String {
    if session.output() == Output::Quiet {
        let ids = listed
            .tokens
            .iter()
            .map(|shown| format!("{}\n", shown.record.token_id));
        return ids.collect();
    }
    if listed.tokens.is_empty() {
        return "no tokens yet; `tasker token create NAME` makes one\n".to_owned();
    }
    let mut table = Table::new(&[
        "TOKEN",
        "NAME",
        "SUBJECT",
        "ROLES",
        "STATE",
        "EXPIRES",
        "LAST USED",
    ]);
    let at = |at: Option<Timestamp>, never: &str| at.map_or_else(|| never.to_owned(), |at| time(at, 0));
    for shown in &listed.tokens {
        let record = &shown.record;
        let style = match shown.standing {
            TokenStanding::Valid => Style::Good,
            TokenStanding::Expired | TokenStanding::Revoked => Style::Dim,
        };
        table.row([
            Line::from(record.token_id.to_string()),
            Line::from(printable(&record.name)),
            Line::from(printable(&record.subject)),
            Line::from(printable(&record.roles.join(", "))),
            Line::styled(style, shown.standing.as_str()),
            Line::from(at(record.expires_at, "never")),
            Line::from(at(record.last_used_at, "")),
        ]);
    }
    table.render(session.layout())
}

async fn revoke(
    session: &Session,
    tokens: &dyn TokenStore,
    wanted: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let all = tokens.tokens().await?;
    let id = wanted.parse::<TokenId>().ok();
    let found = all.iter().find(|record| Some(record.token_id) == id).or_else(|| {
        all.iter()
            .find(|record| record.name == wanted && record.revoked_at.is_none())
    });
    let not_found = || {
        let message = format!("there is no token `{}` that is not revoked", printable(wanted));
        Problem::refused("token_not_found", message).with_help("`tasker token list` lists the tokens")
    };
    let found = found.ok_or_else(not_found)?;
    let record = tokens
        .revoke_token(found.token_id, now)
        .await?
        .ok_or_else(not_found)?;
    let shown = shown(record, now);
    session.output().result(&shown, || match session.output() {
        Output::Quiet => String::new(),
        _ => format!(
            "revoked {} {}\n",
            shown.record.token_id,
            printable(&shown.record.name)
        ),
    })
}

fn shown(record: TokenRecord, now: Timestamp) -> Shown {
    Shown {
        token: None,
        standing: record.standing(now),
        record,
    }
}
