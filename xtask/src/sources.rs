//! The source files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A package of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// Its manifest.
    pub(crate) manifest: String,
}

impl Package {
    /// Tells whether others can depend on it: the tests and the tasks are for themselves.
    pub(crate) fn is_library(&self) -> bool {
        self.directory.join("src/lib.rs").is_file() && self.name.starts_with("tasker")
    }
}

/// Returns the packages of the workspace, by name.
pub(crate) fn packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let mut directories = directories_in(&root.join("crates"))?;
    directories.extend([root.join("tests"), root.join("xtask")]);
    let package = |directory: PathBuf| {
        let manifest = read(&directory.join("Cargo.toml"))?;
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let name = name
            .with_context(|| format!("{} names no package", directory.display()))?
            .to_owned();
        Ok(Package {
            name,
            directory,
            manifest,
        })
    };
    let mut packages = directories
        .into_iter()
        .map(package)
        .collect::<anyhow::Result<Vec<_>>>()?;
    packages.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(packages)
}

/// Returns every Rust file below a directory, in order.
pub(crate) fn rust_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !directory.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn directories_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            directories.push(path);
        }
    }
    Ok(directories)
}
