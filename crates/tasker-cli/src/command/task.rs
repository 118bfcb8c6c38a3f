//! `tasker task`: looks at tasks and changes what happens to them.

mod change;
mod explain;
mod intervene;
mod list;
mod show;
mod watch;

use crate::args::Task;
use crate::exit::{Exit, Problem};
use crate::session::Session;

/// Does what a command about tasks says.
pub(super) fn run(session: &Session, arguments: Task) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        match arguments {
            Task::List(arguments) => list::run(session, &tasker, &arguments).await,
            Task::Show(arguments) => show::run(session, &tasker, &arguments).await,
            Task::Watch(arguments) => watch::run(session, &tasker, &arguments).await,
            Task::Explain(arguments) => explain::run(session, &tasker, &arguments).await,
            Task::Retry(arguments) => intervene::retry(session, &tasker, &arguments.target).await,
            Task::Resolve(arguments) => {
                intervene::resolve(session, &tasker, &arguments.target, arguments.result.as_deref()).await
            }
            Task::Change(arguments) => change::run(session, &tasker, &arguments).await,
            Task::Cancel(arguments) => intervene::cancel(session, &tasker, &arguments.target).await,
        }
    })
}
