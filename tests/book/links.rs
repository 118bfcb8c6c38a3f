//! Which pages there are, and where their links lead.

use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag};

use super::root;

/// Returns where the links of a page lead within the tree.
fn links(page: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(page).unwrap();
    let targets = Parser::new(&text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    });
    targets
        .filter(|target| !target.contains("://"))
        .filter_map(|target| {
            let path = target.split('#').next()?;
            (!path.is_empty()).then(|| page.parent().unwrap().join(path))
        })
        .collect()
}

/// Returns the pages of the book, in its order.
pub(super) fn pages_of_the_summary() -> Vec<PathBuf> {
    links(&root().join("docs/SUMMARY.md"))
}

/// Says that the examples in Rust of a page are run, or what to do about it.
pub(super) fn is_tested_as_documentation(page: &Path) -> Result<(), String> {
    let page = page.strip_prefix(root()).unwrap().display();
    let library = std::fs::read_to_string(root().join("tests/src/lib.rs")).unwrap();
    if library.contains(&format!("include_str!(\"../../{page}\")")) {
        Ok(())
    } else {
        Err("no test runs the example; name the page in tests/src/lib.rs".to_owned())
    }
}

/// Returns a path without `..`, as a browser understands it.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}

/// Returns every page below a directory, without the examples, which have texts and tests of their own.
fn pages_below(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("examples") {
            pages.extend(pages_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

#[test]
fn every_page_is_in_the_summary() {
    let known = pages_of_the_summary();
    let missing: Vec<PathBuf> = pages_below(&root().join("docs"))
        .into_iter()
        .filter(|page| !page.ends_with("SUMMARY.md") && !known.contains(page))
        .collect();
    assert_eq!(missing, Vec::<PathBuf>::new());
}

/// The book's index is its first page as it is, so the links of that page must lead from the book's root.
#[test]
fn the_first_page_is_at_the_root() {
    assert_eq!(
        pages_of_the_summary().first(),
        Some(&root().join("docs/README.md"))
    );
}

#[test]
fn no_link_leads_out_of_the_book() {
    let docs = root().join("docs");
    let outside: Vec<String> = pages_of_the_summary()
        .iter()
        .flat_map(|page| links(page).into_iter().map(move |target| (page, target)))
        .filter(|(_, target)| !resolved(target).starts_with(&docs))
        .map(|(page, target)| format!("{}: {}", page.display(), target.display()))
        .collect();
    assert_eq!(outside, Vec::<String>::new());
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = pages_below(&root().join("docs"));
    pages.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|page| root().join(page)),
    );
    for member in std::fs::read_dir(root().join("crates")).unwrap() {
        pages.push(member.unwrap().path().join("README.md"));
    }
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|page| links(page).into_iter().map(move |target| (page, target)))
        .filter(|(_, target)| !target.exists())
        .map(|(page, target)| format!("{}: {}", page.display(), target.display()))
        .collect();
    assert_eq!(broken, Vec::<String>::new());
}
