//! `cargo xtask codegen [--check]`: writes the files that are generated, or checks that they are as they would be.

mod events;
mod picture;
mod problems;
mod schema;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tasker_config::{KeyReference, SectionReference};
use tasker_engine::{step_diagram, step_table, task_diagram, task_table};

/// Writes the files that are generated.
#[derive(Debug, Parser)]
#[command(name = "codegen", bin_name = "cargo xtask codegen")]
struct Args {
    /// Write nothing; fail if anything would be written.
    #[arg(long)]
    check: bool,
}

/// A file, and what it has to contain.
struct Generated {
    path: &'static str,
    text: String,
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let root = root();
    let mut stale = 0;
    for Generated { path, text } in generated()? {
        let file = root.join(path);
        let committed = fs::read_to_string(&file).ok();
        if committed.as_ref() == Some(&text) {
            continue;
        }
        stale += 1;
        if args.check {
            println!("{path}{}", first_difference(committed.as_deref(), &text));
        } else {
            write(&file, &text)?;
            println!("{path}: written");
        }
    }
    if args.check && stale > 0 {
        println!("run `cargo xtask codegen`, and commit what it writes");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn generated() -> anyhow::Result<[Generated; 10]> {
    let reference = tasker_config::reference();
    Ok([
        Generated {
            path: "docs/analysis-mixed.svg",
            text: picture::mixed()?,
        },
        Generated {
            path: "docs/configuration.md",
            text: configuration(&reference)?,
        },
        Generated {
            path: "docs/events.md",
            text: events::page()?,
        },
        Generated {
            path: "docs/openapi.json",
            text: pretty(&serde_json::to_value(tasker_server::openapi("/tasker"))?)?,
        },
        Generated {
            path: "docs/problems.md",
            text: problems::page()?,
        },
        Generated {
            path: "docs/schema.md",
            text: schema::page(&schema::tables()?)?,
        },
        Generated {
            path: "docs/schemas/tasker.schema.json",
            text: pretty(&tasker_config::json_schema())?,
        },
        Generated {
            path: "docs/schemas/template.schema.json",
            text: pretty(&tasker::template_schema())?,
        },
        Generated {
            path: "docs/state-machines.md",
            text: state_machines()?,
        },
        Generated {
            path: "docs/tasker.toml",
            text: default_file(&reference)?,
        },
    ])
}

fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn first_difference(committed: Option<&str>, text: &str) -> String {
    let Some(committed) = committed else {
        return ": is missing".to_owned();
    };
    let same = committed
        .lines()
        .zip(text.lines())
        .take_while(|(left, right)| left == right)
        .count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    format!(
        ":{}: has\n    {}\n  instead of\n    {}",
        same + 1,
        line(committed),
        line(text)
    )
}

/// Writes JSON for people and for comparisons: a line for each value.
fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn state_machines() -> anyhow::Result<String> {
    let mut text = String::from(
        "<!-- Written by `cargo xtask codegen` from the tables of tasker-engine. -->\n\n# State machines\n\n\
         What may happen to steps and tasks.\nWhat is not listed is refused, and changes nothing.\n\n## Steps\n\n",
    );
    write!(text, "```mermaid\n{}\n```\n\n", step_diagram().trim_end())?;
    text.push_str("| state | event | next state | if |\n|---|---|---|---|\n");
    for (state, event, next, condition) in step_table() {
        writeln!(text, "| {state} | {event} | {next} | {condition} |")?;
    }
    write!(
        text,
        "\n## Tasks\n\n```mermaid\n{}\n```\n\n",
        task_diagram().trim_end()
    )?;
    text.push_str("| state | event | next state |\n|---|---|---|\n");
    for (state, event, next) in task_table() {
        writeln!(text, "| {state} | {event} | {next} |")?;
    }
    Ok(text)
}

fn configuration(reference: &[SectionReference]) -> anyhow::Result<String> {
    let mut text = String::from(CONFIGURATION);
    for section in reference {
        write!(
            text,
            "\n## {}\n\n{}\n",
            section.name,
            lines(section.doc).join("\n")
        )?;
        for key in &section.keys {
            write!(text, "\n### `{}.{}`\n\n", section.name, key.name)?;
            writeln!(text, "{}\n", lines(&key.doc).join(" "))?;
            writeln!(text, "- Value: {}", value(key))?;
            match &key.default {
                Some(default) => writeln!(text, "- Default: `{default}`")?,
                None => writeln!(text, "- Default: not set")?,
            }
            writeln!(text, "- Environment: `{}`", key.variable)?;
        }
    }
    Ok(text)
}

/// Says what the values of a key are.
fn value(key: &KeyReference) -> String {
    let expected = key.expected.as_str();
    match key.constraint {
        "" => expected.to_owned(),
        constraint => format!("{expected}; {constraint}"),
    }
}

fn default_file(reference: &[SectionReference]) -> anyhow::Result<String> {
    let mut text = String::from(
        "#:schema schemas/tasker.schema.json\n# Written by `cargo xtask codegen`: every key with its default.\n\
         # A file needs only the keys that differ.\n",
    );
    for section in reference {
        text.push('\n');
        for line in lines(section.doc) {
            writeln!(text, "# {line}")?;
        }
        writeln!(text, "[{}]", section.name)?;
        for key in &section.keys {
            text.push('\n');
            for line in lines(&key.doc) {
                writeln!(text, "# {line}")?;
            }
            writeln!(text, "# Value: {}.", value(key).replace('`', "\""))?;
            match &key.default {
                Some(default) => writeln!(text, "{} = {default}", key.name)?,
                None => writeln!(text, "# {} is not set.", key.name)?,
            }
        }
    }
    Ok(text)
}

fn lines(doc: &str) -> Vec<&str> {
    doc.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

const CONFIGURATION: &str = "\
<!-- Written by `cargo xtask codegen` from the types of the settings. -->

# Configuration

Nothing needs to be configured: every key has a default.
Later layers win:

1. the defaults, which are also in [tasker.toml](tasker.toml);
2. the sections of the configuration file: the one that `--config` names, else `TASKER_CONFIG`, else `tasker.toml` of the current directory if there is one;
3. the sections `[profiles.NAME.SECTION]` of that file, where `TASKER_PROFILE` is `NAME`;
4. the environment: `TASKER_SECTION__KEY`, with `__` between the names of tables, too;
5. the command line: `--set section.key=value`;
6. the program, where Tasker is used as a library.

A table that has some of its keys leaves the others as they are; a list replaces the whole list.
In the environment and on the command line `true`, numbers, `[lists]` and `{tables = 1}` are what they look like; the rest is text.

What is unknown, of the wrong type or out of bounds in any layer is refused, all of it in one report.
`tasker config check` shows that report, `tasker config show --origin` every value and where it comes from.

Other variables that mean something: `TASKER_DATA_DIR` is the directory in which tasks are kept, `TASKER_LOG` a filter for log messages, `TASKER_TEST_DATABASE_URL` a database for the tests of Tasker itself.
Any other variable that begins with `TASKER_` is refused, since it is a mistake that would change nothing.
";

#[cfg(test)]
mod tests {
    use tasker_config::{Config, Loader};

    use super::*;

    #[test]
    fn the_default_file_changes_nothing() {
        let loaded = Loader::new()
            .file(root().join("docs/tasker.toml"))
            .load()
            .unwrap();
        let values = |config: &Config| -> Vec<_> {
            let entries = config.entries().into_iter();
            entries
                .map(|entry| (entry.section(), entry.key().to_owned(), entry.literal()))
                .collect()
        };
        assert_eq!(values(&loaded), values(&Config::default()));
        // And it has every key that has a default.
        let unset = loaded
            .entries()
            .into_iter()
            .filter(|entry| entry.origin().is_default());
        assert!(unset.into_iter().all(|entry| entry.literal().is_none()));
    }

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(first_difference(None, "a"), ": is missing");
        assert_eq!(
            first_difference(Some("a\nb\n"), "a\nc\n"),
            ":2: has\n    b\n  instead of\n    c"
        );
    }
}
