//! `tasker man`: manual pages, written from the same definitions as the help.

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};
use serde::Serialize;
use tasker_types::nearest;

use crate::args::{Cli, Common, Man};
use crate::exit::{Exit, Problem};
use crate::output::Output;

/// Writes one page to standard output, or all of them to a directory.
pub(super) fn run(common: &Common, arguments: &Man) -> Result<Exit, Problem> {
    let mut root = Cli::command();
    // Commands learn their full names and the options of every command.
    root.build();
    match &arguments.dir {
        Some(directory) => all(common, &root, directory),
        None => {
            let command = named(&root, &arguments.command)?;
            let failed = |error| Problem::refused("man", "the page cannot be written").caused_by(&error);
            let page = page(command).map_err(failed)?;
            Output::text(&String::from_utf8_lossy(&page))?;
            Ok(Exit::Done)
        }
    }
}

fn named<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Problem> {
    words.iter().try_fold(root, |command, word| {
        command.find_subcommand(word).ok_or_else(|| {
            let name = command.get_bin_name().unwrap_or("tasker");
            let message = format!("`{name}` has no command `{}`", word.escape_debug());
            let problem = Problem::refused("usage", message);
            let names = command.get_subcommands().map(Command::get_name);
            match nearest(word, names) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem.with_help(format!("`{name} --help` lists the commands")),
            }
        })
    })
}

/// The files that were written.
#[derive(Debug, Serialize)]
struct Written {
    files: Vec<String>,
}

fn all(common: &Common, root: &Command, directory: &Path) -> Result<Exit, Problem> {
    let failed = |path: &Path, error: io::Error| {
        let message = format!("`{}` cannot be written", path.display());
        Problem::refused("man", message).caused_by(&error)
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let mut commands = vec![root];
    let mut written = Written { files: Vec::new() };
    while let Some(command) = commands.pop() {
        let path = directory.join(format!("{}.1", name_of(command)));
        page(command)
            .and_then(|page| std::fs::write(&path, page))
            .map_err(|error| failed(&path, error))?;
        written.files.push(path.display().to_string());
        // The page of `help` would say what the page of each command says.
        commands.extend(
            command
                .get_subcommands()
                .filter(|command| command.get_name() != "help"),
        );
    }
    written.files.sort();
    Output::of(common).result(&written, || match Output::of(common) {
        Output::Quiet => String::new(),
        _ => format!("wrote {} pages to {}\n", written.files.len(), directory.display()),
    })?;
    Ok(Exit::Done)
}

/// Returns the name of a page: `tasker-task-show`.
fn name_of(command: &Command) -> String {
    command.get_bin_name().unwrap_or("tasker").replace(' ', "-")
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = name_of(command);
    let page = Page::new(command.clone())
        .title(name.to_uppercase())
        .manual("Tasker")
        .source(concat!("tasker ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    // A long choice of options is alone on its line, which cannot be filled up to the margin.
    text.extend_from_slice(b".na\n");
    page.render_synopsis_section(&mut text)?;
    text.extend_from_slice(b".ad\n");
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    commands(command).to_writer(&mut text)?;
    if let Some(help) = command.get_after_help() {
        examples(&help.to_string()).to_writer(&mut text)?;
    }
    see_also(command, &name).to_writer(&mut text)?;
    text.flush()?;
    Ok(text)
}

/// Lists the commands below a command with what each does.
fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let below = || {
        command
            .get_subcommands()
            .filter(|command| command.get_name() != "help")
    };
    if below().next().is_none() {
        return roff;
    }
    roff.control("SH", ["COMMANDS"]);
    for command in below() {
        roff.control("TP", []);
        roff.text([bold(command.get_name())]);
        roff.text([roman(
            command.get_about().map(ToString::to_string).unwrap_or_default(),
        )]);
    }
    roff
}

/// Sets the text behind the help as it stands there; each of its headings begins a section.
fn examples(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut set = false;
    for line in help.lines() {
        match line.strip_suffix(':') {
            Some(heading) if !line.starts_with(' ') => {
                if std::mem::take(&mut set) {
                    roff.control("fi", []);
                }
                roff.control("SH", [heading.to_uppercase().as_str()]);
                roff.control("nf", []);
                set = true;
            }
            _ => {
                // Text that is not indented is a paragraph like any other.
                if set && !line.is_empty() && !line.starts_with(' ') {
                    roff.control("fi", []);
                    set = false;
                }
                roff.text([roman(line)]);
            }
        }
    }
    if set {
        roff.control("fi", []);
    }
    roff
}

fn see_also(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    let parent = name.rsplit_once('-').map(|(parent, _)| parent.to_owned());
    let below = command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .map(name_of);
    let pages: Vec<String> = parent
        .into_iter()
        .chain(below)
        .map(|name| format!("{name}(1)"))
        .collect();
    if !pages.is_empty() {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(pages.join(", "))]);
    }
    roff
}
