//! `tasker config`: shows and checks the configuration.

use serde::Serialize;
use serde_json::{Value, json};
use tasker::config::{Config, Entry, Environment};

use crate::args::{Common, Config as Arguments};
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::settings::{self, File};
use crate::view::text::{printable, width};

/// How many columns a line may have to count when origins are put under one another.
const ALIGNED: usize = 60;

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

/// Returns the value as it may be shown: without secrets, and a URL without user and password.
fn shown(entry: &Entry, config: &Config) -> Value {
    let name = entry.key().rsplit('.').next().unwrap_or_default();
    match tasker::masked_field(name, entry.value().clone(), config.telemetry()) {
        Value::String(url)
            if entry.section() == "database" && ["url", "secondary_url"].contains(&entry.key()) =>
        {
            tasker::without_secrets(&url).into()
        }
        value => value,
    }
}

/// Puts the keys into tables, and tables into sections.
fn tree(config: &Config, origins: Origins) -> Value {
    // Writing to a name makes the table that is not there yet.
    let mut sections = Value::Null;
    for entry in config.entries() {
        let value = match origins {
            Origins::Hidden => shown(&entry, config),
            Origins::Shown => json!({ "value": shown(&entry, config), "origin": entry.origin().to_string() }),
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
    let lines: Vec<String> = entries.iter().map(|entry| line(entry, config)).collect();
    let mut text = String::new();
    let mut section = "";
    let mut columns = 0;
    for (entry, line) in entries.iter().zip(&lines) {
        if entry.section() != section {
            section = entry.section();
            columns = widest(&entries, &lines, section);
            let line_break = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{line_break}[{section}]\n"));
        }
        text.push_str(line);
        if origins == Origins::Shown {
            let gap = " ".repeat(columns.saturating_sub(width(line)));
            text.push_str(&format!("{gap}  # {}", printable(&entry.origin().to_string())));
        }
        text.push('\n');
    }
    text
}

/// Returns after how many columns the origins of a section stand; a line that is longer has its own behind it.
fn widest(entries: &[Entry], lines: &[String], section: &str) -> usize {
    let lines = entries.iter().zip(lines);
    let widths = lines
        .filter(|(entry, _)| entry.section() == section)
        .map(|(_, line)| width(line));
    widths.filter(|width| *width <= ALIGNED).max().unwrap_or(0)
}

fn line(entry: &Entry, config: &Config) -> String {
    let key = entry.key();
    let value = shown(entry, config);
    match entry.literal() {
        None => format!("# {key} is not set"),
        Some(literal) if value == *entry.value() => format!("{key} = {literal}"),
        Some(_) => format!("{key} = {value}"),
    }
}
