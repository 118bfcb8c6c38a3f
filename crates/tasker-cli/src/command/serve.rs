//! `tasker serve`: the HTTP service, with a worker beside it.

use std::time::Duration;

use serde::Serialize;
use tasker::{Scope, Tasker, UnknownHandlers};
use tasker_server::{
    App, Auth, AuthFaults, Insecure, ServeError, TemplateFaultCause, Templates, TemplatesError,
};
use tokio_util::sync::CancellationToken;

use crate::args::Serve;
use crate::exit::{Exit, Fault, Problem};
use crate::locate;
use crate::session::Session;
use crate::signals::Signals;

/// Where the service is reached, written once it listens.
#[derive(Debug, Serialize)]
struct Listening {
    url: String,
    handlers: usize,
}

/// Serves until a signal comes.
pub(super) fn run(session: &Session, arguments: &Serve) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let guard = Auth::builder().tokens(tasker.tokens()).build(
            tasker.config().auth(),
            session.environment(),
            tasker.clock(),
        )?;
        let app = App::builder(tasker.clone())
            .templates(templates(&tasker, arguments)?)
            .guard(guard)
            .build();
        let insecure = match arguments.insecure {
            true => Insecure::Permitted,
            false => Insecure::Refused,
        };
        let listener = tasker_server::bind(&app, insecure).await?;
        let signals = Signals::listen(&session.no_view(), session.grace())?;
        tell(session, &app, listener.local_addr())?;
        let grace = Duration::from_secs_f64(session.grace());
        let stop = signals.stop.child_token();
        let router = tasker_server::router(app.clone());
        let serving = tasker_server::serve(listener, router, app.settings(), stop.clone(), grace);
        let retaining = tasker.clone();
        let retaining = tokio::spawn(async move { retaining.retain().await });
        if arguments.api_only {
            serving.await;
        } else {
            let (worked, ()) = tokio::join!(work(&tasker, &signals, &stop), serving);
            worked?;
        }
        retaining.abort();
        Ok(Exit::Done)
    })
}

/// Runs steps until told to stop; the service ends with the worker.
async fn work(tasker: &Tasker, signals: &Signals, stop: &CancellationToken) -> Result<(), Problem> {
    let worked = tasker
        .worker(Scope::All)
        .run(stop.clone(), signals.abort.clone())
        .await;
    stop.cancel();
    Ok(worked?)
}

fn templates(tasker: &Tasker, arguments: &Serve) -> Result<Templates, Problem> {
    let Some(directory) = locate::directory(tasker) else {
        return Ok(Templates::default());
    };
    // Where no steps run it is no fault that they cannot.
    let unknown = match arguments.api_only {
        true => UnknownHandlers::Warn,
        false => UnknownHandlers::Refuse,
    };
    let (templates, faults) = Templates::load(tasker, directory, unknown)?;
    if faults.is_empty() {
        return Ok(templates);
    }
    let message = match faults.len() {
        1 => "a template cannot be served".to_owned(),
        count => format!("{count} templates cannot be served"),
    };
    let told = faults.iter().flat_map(|fault| match &fault.cause {
        TemplateFaultCause::Faulty(found) => found.as_slice().iter().map(Fault::from).collect(),
        cause => vec![Fault {
            file: Some(fault.file.display().to_string()),
            line: None,
            message: cause.to_string(),
        }],
    });
    Err(Problem::refused("template_faults", message).with_faults(told.collect()))
}

fn tell(session: &Session, app: &App, address: std::io::Result<std::net::SocketAddr>) -> Result<(), Problem> {
    let address = address.unwrap_or(app.settings().bind);
    let listening = Listening {
        url: format!("http://{address}{}", app.settings().base_path),
        handlers: app
            .templates()
            .namespaces()
            .iter()
            .map(|(_, stats)| stats.handlers)
            .sum(),
    };
    session
        .output()
        .result(&listening, || format!("{}\n", listening.url))
}

impl From<AuthFaults> for Problem {
    fn from(faults: AuthFaults) -> Self {
        let told = faults.as_slice().iter().map(|fault| Fault {
            file: None,
            line: None,
            message: fault.clone(),
        });
        Self::refused("auth", "the configuration of `auth` cannot be used").with_faults(told.collect())
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        let code = match &error {
            ServeError::Exposed { .. } => "exposed",
            _ => "bind",
        };
        Self::refused(code, error.to_string())
    }
}

impl From<TemplatesError> for Problem {
    fn from(error: TemplatesError) -> Self {
        Self::refused("task_config_directory", error.to_string()).caused_by(&error)
    }
}
