//! `tasker new`: something to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::{Common, New};
use crate::exit::{Exit, Problem};
use crate::output::Output;

const TEMPLATE: &str = include_str!("new/files/template.yaml");
const HANDLER: &str = include_str!("new/files/handler.rs.txt");
const PROJECT_TEMPLATE: &str = include_str!("new/files/project.yaml");
const MAIN: &str = include_str!("new/files/main.rs.txt");
const MANIFEST: &str = include_str!("new/files/cargo.toml.txt");
const README: &str = include_str!("new/files/readme.md.txt");
const IGNORED: &str = include_str!("new/files/gitignore.txt");

/// Where the crate `tasker` lies when this program was built in its workspace.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tasker");

/// Words of Rust that cannot name a function or a package.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "Self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Writes something new, and says what to do with it.
pub(super) fn run(common: &Common, arguments: &New) -> Result<Exit, Problem> {
    let (files, advice) = match arguments {
        New::Template { name, place } => template(&place.dir, name.as_str()),
        New::Handler { name, place } => handler(&place.dir, name.as_str())?,
        New::Project { name, place, tasker } => {
            project(&place.dir.join(name.as_str()), name.as_str(), tasker.as_deref())?
        }
    };
    for file in &files {
        if fs::symlink_metadata(&file.path).is_ok() {
            return Err(there(&file.path));
        }
    }
    for file in &files {
        file.write()?;
    }
    let written = Written {
        files: files.iter().map(|file| file.path.display().to_string()).collect(),
    };
    Output::of(common).result(&written, || match Output::of(common) {
        Output::Quiet => written.files.join("\n"),
        _ => format!("wrote {}\n{advice}", written.files.join(", ")),
    })?;
    Ok(Exit::Done)
}

/// The files that were written.
#[derive(Debug, Serialize)]
struct Written {
    files: Vec<String>,
}

/// A file to be written.
struct NewFile {
    path: PathBuf,
    text: String,
}

impl NewFile {
    fn write(&self) -> Result<(), Problem> {
        let failed = |error: io::Error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return there(&self.path);
            }
            let message = format!("`{}` cannot be written", self.path.display());
            Problem::refused("not_written", message).caused_by(&error)
        };
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // What came there meanwhile is not overwritten either.
        let file = OpenOptions::new().write(true).create_new(true).open(&self.path);
        file.and_then(|mut file| file.write_all(self.text.as_bytes()))
            .map_err(failed)
    }
}

fn there(path: &Path) -> Problem {
    Problem::refused("already_there", format!("`{}` is there already", path.display()))
        .with_help("nothing is overwritten: take another name, or another directory with --dir")
}

fn template(directory: &Path, name: &str) -> (Vec<NewFile>, String) {
    let path = directory.join(format!("{name}.yaml"));
    let shown = shell(&path.display().to_string());
    let advice = format!("  tasker run {shown}    runs it\n  tasker graph show {shown}    draws it\n");
    let text = TEMPLATE
        .replace("@YAML_NAME@", &yaml(name))
        .replace("@NAME@", name);
    (vec![NewFile { path, text }], advice)
}

fn handler(directory: &Path, name: &str) -> Result<(Vec<NewFile>, String), Problem> {
    let identifier = identifier(name, "handler")?;
    let path = directory.join(format!("{identifier}.rs"));
    let text = HANDLER
        .replace("@IDENTIFIER@", &identifier)
        .replace("@NAME@", name);
    let advice = format!(
        "  mod {identifier};    makes it part of the program\n  \
         .handler(\"{name}\", tasker::handler({identifier}::{identifier}))    registers it with the builder of Tasker\n"
    );
    Ok((vec![NewFile { path, text }], advice))
}

fn project(directory: &Path, name: &str, tasker: Option<&Path>) -> Result<(Vec<NewFile>, String), Problem> {
    identifier(name, "project")?;
    if name == "tasker" {
        return Err(Problem::refused(
            "bad_name",
            "a project cannot have the name of the crate that it depends on",
        )
        .with_help("take another name"));
    }
    if fs::symlink_metadata(directory).is_ok() {
        return Err(there(directory));
    }
    let file = |path: &str, text: &str| NewFile {
        path: directory.join(path),
        text: text.replace("@YAML_NAME@", &yaml(name)).replace("@NAME@", name),
    };
    let manifest = MANIFEST.replace("@TASKER@", &dependency(tasker)?);
    let files = vec![
        file("Cargo.toml", &manifest),
        file("README.md", README),
        file(".gitignore", IGNORED),
        file("src/main.rs", MAIN),
        file(
            "src/price.rs",
            &HANDLER
                .replace("@IDENTIFIER@", "price")
                .replace("@NAME@", "price"),
        ),
        file(&format!("templates/{name}.yaml"), PROJECT_TEMPLATE),
    ];
    let shown = shell(&directory.display().to_string());
    Ok((
        files,
        format!("  cd {shown} && cargo run    builds it and runs its template\n"),
    ))
}

/// Returns how a manifest depends on Tasker: on its sources, or on the version of this program.
fn dependency(named: Option<&Path>) -> Result<String, Problem> {
    let of = |directory: PathBuf| {
        // A string of JSON is one of TOML, too.
        let path = directory.display().to_string();
        format!("{{ path = {} }}", serde_json::Value::from(path))
    };
    match named {
        None => Ok(match sources(Path::new(SOURCES)) {
            Some(directory) => of(directory),
            None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
        }),
        Some(named) => sources(named)
            .or_else(|| sources(&named.join("crates/tasker")))
            .map(of)
            .ok_or_else(|| {
                let message = format!("`{}` is not the directory of the crate `tasker`", named.display());
                Problem::refused("no_tasker", message)
                    .with_help("name the one that has its Cargo.toml, or a checkout of Tasker")
            }),
    }
}

/// Returns the directory as it is really called, if the crate `tasker` lies there.
fn sources(directory: &Path) -> Option<PathBuf> {
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).ok()?;
    let is_tasker = manifest.lines().any(|line| line.trim() == "name = \"tasker\"");
    is_tasker.then(|| directory.canonicalize().ok()).flatten()
}

/// Returns the name as Rust takes it for a function or a package.
fn identifier(name: &str, what: &str) -> Result<String, Problem> {
    let identifier = name.replace('-', "_");
    if RESERVED.contains(&identifier.as_str()) {
        let message = format!("`{name}` cannot name a {what}: it is a word of Rust");
        return Err(Problem::refused("bad_name", message)
            .with_help(format!("take another name, such as `{name}_order`")));
    }
    Ok(identifier)
}

/// Returns the name as YAML takes it for a text.
fn yaml(name: &str) -> String {
    let means_something = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if means_something.contains(&name.to_ascii_lowercase().as_str()) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

/// Returns a path as a shell takes it for one word.
fn shell(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        path.strip_prefix("./").unwrap_or(path).to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_themselves() {
        assert_eq!(
            (yaml("No"), yaml("nightly")),
            ("\"No\"".to_owned(), "nightly".to_owned())
        );
        assert_eq!(shell("./a/b.yaml"), "a/b.yaml");
        assert_eq!(shell("it's here"), "'it'\\''s here'");
        assert_eq!(identifier("send-mail", "handler").unwrap(), "send_mail");
        assert_eq!(
            identifier("match", "handler").unwrap_err().to_string(),
            "error: `match` cannot name a handler: it is a word of Rust\n  help: take another name, such as `match_order`"
        );
    }
}
