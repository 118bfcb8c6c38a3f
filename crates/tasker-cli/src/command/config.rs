//! `tasker config`: shows and checks the configuration.

use serde::Serialize;
use serde_json::{Value, json};
use tasker::config::{Config, Entry, Environment};

use crate::args::{Common, Config as Arguments};
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::settings::{self, File};
use crate::view::text::{printable, width};

/// Does what a command about the configuration says.
pub(super) fn run(common: &Common, arguments: Arguments) -> Result<Exit, Problem> {
    let output = Output::of(common);
    let environment = Environment::of_process();
    match arguments {
        Arguments::Check { file } => {
            let file = file.map_or(File::Found, File::Named);
            check(&settings::load(common, &environment, file)?, output)
        }
        Arguments::Show { origin } => {
            let config = settings::load(common, &environment, File::Found)?;
            let origins = if origin { Origins::Shown } else { Origins::Hidden };
            output.result(&tree(&config, origins), || text(&config, origins))?;
            Ok(Exit::Done)
        }
    }
}

/// What a check without faults found.
#[derive(Debug, Serialize)]
struct Checked<'a> {
    file: Option<String>,
    profile: Option<&'a str>,
    faults: [(); 0],
}

fn check(config: &Config, output: Output) -> Result<Exit, Problem> {
    let file = config.file().map(|file| file.display().to_string());
    let checked = Checked {
        file,
        profile: config.profile(),
        faults: [],
    };
    output.result(&checked, || {
        let profile = checked
            .profile
            .map(|profile| format!(" with the profile `{profile}`"))
            .unwrap_or_default();
        match (&checked.file, output) {
            (_, Output::Quiet) => String::new(),
            (Some(file), _) => format!("{file}{profile}: no faults\n"),
            (None, _) => {
                "no configuration file; the defaults and the environment have no faults\n".to_owned()
            }
        }
    })?;
    Ok(Exit::Done)
}

/// Whether it is said where each value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origins {
    Hidden,
    Shown,
}

/// Returns the value as it may be shown: a URL without user and password.
fn shown(entry: &Entry) -> Value {
    match entry.value() {
        Value::String(url) if (entry.section(), entry.key()) == ("database", "url") => {
            tasker::without_secrets(url).into()
        }
        value => value.clone(),
    }
}

/// Puts the keys into tables, and tables into sections.
fn tree(config: &Config, origins: Origins) -> Value {
    // Writing to a name makes the table that is not there yet.
    let mut sections = Value::Null;
    for entry in config.entries() {
        let value = match origins {
            Origins::Hidden => shown(&entry),
            Origins::Shown => json!({ "value": shown(&entry), "origin": entry.origin().to_string() }),
        };
        let mut path: Vec<&str> = std::iter::once(entry.section())
            .chain(entry.key().split('.'))
            .collect();
        let Some(key) = path.pop() else { continue };
        let table = path
            .into_iter()
            .fold(&mut sections, |table, name| &mut table[name]);
        table[key] = value;
    }
    sections
}

/// Writes the configuration as a file that says the same; with the origin of each value behind it if that is asked for.
fn text(config: &Config, origins: Origins) -> String {
    let entries = config.entries();
    let lines: Vec<String> = entries.iter().map(line).collect();
    let columns = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let mut text = String::new();
    let mut section = "";
    for (entry, line) in entries.iter().zip(&lines) {
        if entry.section() != section {
            section = entry.section();
            let line_break = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{line_break}[{section}]\n"));
        }
        text.push_str(line);
        if origins == Origins::Shown {
            let gap = " ".repeat(columns - width(line));
            text.push_str(&format!("{gap}  # {}", printable(&entry.origin().to_string())));
        }
        text.push('\n');
    }
    text
}

fn line(entry: &Entry) -> String {
    let key = entry.key();
    let value = shown(entry);
    match entry.literal() {
        None => format!("# {key} is not set"),
        Some(literal) if value == *entry.value() => format!("{key} = {literal}"),
        Some(_) => format!("{key} = {value}"),
    }
}
