//! Finds the file of a template that is named on the command line.

use std::path::{Path, PathBuf};

use tasker::{Loaded, Tasker, Template, TemplateFiles, UnknownHandlers, is_template_file};
use tasker_types::{Version, VersionReq, nearest};

use crate::exit::{Fault, Problem};

/// Returns the file that is meant: a path, or `[namespace.]name[@requirement]` of a template in
/// `engine.task_config_directory`, whose latest version counts. The requirement may also stand apart.
pub(crate) fn template(tasker: &Tasker, argument: &str, version: Option<&str>) -> Result<PathBuf, Problem> {
    let path = Path::new(argument);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if looks_like_a_path(argument) {
        return if path.exists() {
            // Loading it says what it is.
            Ok(path.to_owned())
        } else {
            Err(no_file(argument))
        };
    }
    let named;
    let argument = match version {
        Some(_) if argument.contains('@') => {
            let message = format!(
                "`{}` names a version, and so does `--version`",
                argument.escape_debug()
            );
            return Err(Problem::refused("version_given_twice", message).with_help("leave one of them out"));
        }
        Some(version) => {
            requirement(version)?;
            named = format!("{argument}@{version}");
            &*named
        }
        None => argument,
    };
    let shown = argument.escape_debug();
    let Some(directory) = directory(tasker) else {
        if path.is_dir() {
            // Loading it says what it is.
            return Ok(path.to_owned());
        }
        return Err(
            Problem::refused("template_not_found", format!("there is no file `{shown}`")).with_help(
                "name a template's file; to find templates by name, set `engine.task_config_directory`",
            ),
        );
    };
    let Some(wanted) = Wanted::parse(argument) else {
        let message = format!("`{shown}` is neither a file nor a name ([namespace.]name[@requirement])");
        return Err(Problem::refused("template_not_found", message));
    };
    let found = all(tasker, &directory)?;
    let candidates = found
        .iter()
        .filter_map(|(path, loaded)| Some((path, loaded.as_ref().ok()?)));
    let latest = candidates
        .filter(|(_, loaded)| wanted.is(loaded))
        .max_by_key(|(path, loaded)| {
            let template = &loaded.template;
            // Of two files with the same version the first counts.
            (template.version().clone(), std::cmp::Reverse((*path).clone()))
        });
    latest
        .map(|(path, _)| path.clone())
        .ok_or_else(|| not_found(&shown.to_string(), &directory, &found))
}

/// Says that there is no such file, and which one beside it was probably meant.
fn no_file(argument: &str) -> Problem {
    let message = format!("there is no file `{}`", argument.escape_debug());
    let problem = Problem::refused("template_not_found", message);
    let path = Path::new(argument);
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(directory.unwrap_or(Path::new("."))) else {
        return problem.with_help("there is no such directory either");
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_template_file(Path::new(name)))
        .collect();
    names.sort();
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned());
    match nearest(&wanted.unwrap_or_default(), names.iter().map(String::as_str)) {
        Some(near) => problem.with_help(format!("did you mean `{}`?", path.with_file_name(near).display())),
        None => problem.with_help("name a template's file; `tasker new template NAME` writes one"),
    }
}

/// Checks that a template has the version that was asked for.
pub(crate) fn check_version(template: &Template, version: &str) -> Result<(), Problem> {
    if requirement(version)?.matches(template.version()) {
        return Ok(());
    }
    let message = format!("`{}` is not the version `{version}`", template.full_name());
    Err(Problem::refused("template_not_found", message))
}

/// Reads a version, which means that one and no later one, or a requirement such as `^2`.
fn requirement(text: &str) -> Result<VersionReq, Problem> {
    let exact = text.parse::<Version>().ok().map(|version| format!("={version}"));
    let read = exact.as_deref().unwrap_or(text).parse();
    read.map_err(|_| {
        let message = format!(
            "`{}` is no version and no requirement of one",
            text.escape_debug()
        );
        Problem::refused("bad_version", message).with_help("write one such as 2.1.0, ^2 or >=1.4")
    })
}

/// Returns the directory in which templates are looked up by name.
pub(crate) fn directory(tasker: &Tasker) -> Option<PathBuf> {
    tasker
        .config()
        .engine()
        .task_config_directory
        .as_ref()
        .map(PathBuf::from)
}

/// Loads every template of a directory and the directories in it.
pub(crate) fn all(tasker: &Tasker, directory: &Path) -> Result<TemplateFiles, Problem> {
    let found = tasker.load_directory(directory, UnknownHandlers::Warn);
    found.map_err(|error| {
        Problem::refused(
            "task_config_directory",
            format!(
                "the directory `{}` cannot be read (`engine.task_config_directory`)",
                directory.display()
            ),
        )
        .caused_by(&error)
    })
}

fn looks_like_a_path(argument: &str) -> bool {
    argument.contains('/') || is_template_file(Path::new(argument))
}

/// What a name says about a template.
struct Wanted<'a> {
    namespace: Option<&'a str>,
    name: &'a str,
    requirement: Option<VersionReq>,
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, requirement) = match text.split_once('@') {
            Some((path, version)) => (path, Some(requirement(version).ok()?)),
            None => (text, None),
        };
        let (namespace, name) = match path.split_once('.') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        Some(Self {
            namespace,
            name,
            requirement,
        })
    }

    fn is(&self, loaded: &Loaded) -> bool {
        let template = &loaded.template;
        template.name().as_str() == self.name
            && self
                .namespace
                .is_none_or(|namespace| template.namespace().as_str() == namespace)
            && self
                .requirement
                .as_ref()
                .is_none_or(|requirement| requirement.matches(template.version()))
    }
}

fn not_found(wanted: &str, directory: &Path, found: &TemplateFiles) -> Problem {
    let faulty: Vec<Fault> = found
        .values()
        .filter_map(|loaded| loaded.as_ref().err()?.as_slice().first().map(Fault::from))
        .collect();
    let names: Vec<String> = found
        .values()
        .filter_map(|loaded| Some(loaded.as_ref().ok()?.template.full_name()))
        .collect();
    let message = format!(
        "there is no file and no template `{wanted}` in `{}`",
        directory.display()
    );
    let problem = Problem::refused("template_not_found", message).with_faults(faulty);
    let near = nearest(wanted, names.iter().flat_map(|full| [full.as_str(), short(full)]));
    match near {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help("`tasker handlers` lists the templates"),
    }
}

/// Returns the name within a full name.
fn short(full: &str) -> &str {
    let name = full.split('@').next().unwrap_or(full);
    name.split_once('.').map_or(name, |(_, name)| name)
}
