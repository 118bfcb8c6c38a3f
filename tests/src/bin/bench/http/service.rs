//! `tasker serve` as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use super::client::Client;

/// A service that ends with its value.
pub(crate) struct Service {
    child: Child,
    /// `host:port`.
    address: String,
    /// What stands before the paths of its routes.
    base: String,
}

/// Where a service keeps what it has, and whether it works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'s> {
    pub(crate) program: &'s Path,
    /// Its directory, with its templates.
    pub(crate) directory: &'s Path,
    /// Its database, if that is none in its directory.
    pub(crate) database: Option<&'s str>,
    pub(crate) work: Work,
}

/// Whether a service runs steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// As it does by default.
    Steps,
    /// Others do it.
    Nothing,
}

impl Service {
    /// Starts a service with the defaults, but on a free port and with no limit to how often it is asked.
    pub(crate) fn start(setup: Setup<'_>) -> anyhow::Result<Self> {
        let mut command = Command::new(setup.program);
        for variable in ["CONFIG", "DATA_DIR", "PROFILE", "DATABASE__URL"] {
            command.env_remove(format!("TASKER_{variable}"));
        }
        command
            .args(["serve", "--json", "--set", "server.bind=127.0.0.1:0"])
            .args(["--set", "server.address_rate.requests_per_second=0"])
            .args(["--set", "engine.task_config_directory=templates"])
            .current_dir(setup.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        match setup.database {
            Some(url) => command.arg("--set").arg(format!("database.url={url}")),
            None => command.arg("--data-dir").arg(setup.directory),
        };
        if setup.work == Work::Nothing {
            command.arg("--api-only");
        }
        let mut child = command.spawn().context("`tasker serve` cannot be started")?;
        let mut line = String::new();
        let out = child.stdout.take().context("its output is a pipe")?;
        BufReader::new(out).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("`tasker serve` does not say where it is")?;
        let url = said["url"]
            .as_str()
            .with_context(|| format!("`tasker serve` does not say where it is, but {said}"))?;
        let place = url.trim_start_matches("http://");
        let (address, base) = place.split_at(place.find('/').unwrap_or(place.len()));
        Ok(Self {
            child,
            address: address.to_owned(),
            base: base.to_owned(),
        })
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.address).await
    }

    /// Returns the path of a route.
    pub(crate) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.base)
    }

    /// Returns how much memory it has resident, in megabytes.
    pub(crate) fn memory_mb(&self) -> anyhow::Result<f64> {
        crate::engine::memory_mb(&self.child.id().to_string(), "VmRSS:")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What was asked of it has been answered.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
