//! Which package must not know which: the arrows of ARCHITECTURE.md.

use anyhow::{Context, ensure};

use super::{Violation, Workspace};
use crate::run::cargo;

/// What a package must not have anywhere in its tree.
struct Rule {
    package: &'static str,
    /// Names; one that ends in `*` stands for all that begin so.
    never: &'static [&'static str],
    advice: &'static str,
}

/// Programs that run on an executor, and drivers of databases.
const HEAVY: &str = "it is for those who want neither an executor nor a database: leave that to tasker-engine and \
                     tasker-store";

const RULES: &[Rule] = &[
    Rule {
        package: "tasker-types",
        never: &["tasker", "tasker-*", "tokio", "diesel*", "figment", "axum"],
        advice: "the vocabulary knows nobody: put what needs another crate into that crate",
    },
    Rule {
        package: "tasker-config",
        never: &[
            "tasker",
            "tasker-registry",
            "tasker-graph",
            "tasker-engine",
            "tasker-store",
        ],
        advice: "configuration is made of the settings of tasker-types: what uses them gets them from the facade",
    },
    Rule {
        package: "tasker-config",
        never: &["tokio", "diesel*", "axum"],
        advice: HEAVY,
    },
    Rule {
        package: "tasker-registry",
        never: &[
            "tasker",
            "tasker-config",
            "tasker-graph",
            "tasker-engine",
            "tasker-store",
            "figment",
        ],
        advice: "the registry is generic over what it keeps: let the facade put the parts together",
    },
    Rule {
        package: "tasker-registry",
        never: &["tokio", "diesel*", "axum"],
        advice: HEAVY,
    },
    Rule {
        package: "tasker-graph",
        never: &[
            "tasker",
            "tasker-config",
            "tasker-registry",
            "tasker-engine",
            "tasker-store",
            "figment",
        ],
        advice: "a graph is a pure value: let the engine ask it",
    },
    Rule {
        package: "tasker-graph",
        never: &["tokio", "diesel*", "axum"],
        advice: HEAVY,
    },
    Rule {
        package: "tasker-engine",
        never: &[
            "tasker",
            "tasker-config",
            "tasker-registry",
            "tasker-store",
            "diesel*",
            "libsqlite3-sys",
            "figment",
            "axum",
        ],
        advice: "the engine owns its ports and takes small values: implement the port outside, convert in the facade",
    },
    Rule {
        package: "tasker-store",
        never: &["tasker", "tasker-config", "tasker-registry", "figment", "axum"],
        advice: "a store is given what it needs: convert in the facade",
    },
    Rule {
        package: "xtask",
        never: &["tasker", "tasker-*", "tests", "tokio", "diesel*", "figment"],
        advice: "tasks start programs and do not link them: write a program in tests/src/bin",
    },
];

/// Libraries that only these packages of ours may name.
const DIRECT: &[(&str, &[&str])] = &[
    ("figment", &["tasker-config"]),
    ("diesel", &["tasker-store", "tests"]),
    ("petgraph", &["tasker-graph"]),
    ("axum", &["tasker-server"]),
];

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for rule in RULES {
        let Some(package) = workspace
            .packages
            .iter()
            .find(|package| package.name == rule.package)
        else {
            continue;
        };
        let tree = tree(rule.package)?;
        for found in broken(rule, &tree) {
            violations.push(Violation::new(
                package.directory.join("Cargo.toml"),
                format!("{} has {found} in its tree", rule.package),
                format!(
                    "{}; see `cargo tree -p {} -e normal -i {found}`",
                    rule.advice, rule.package
                ),
            ));
        }
    }
    for package in &workspace.packages {
        for (library, allowed) in DIRECT {
            if !allowed.contains(&package.name.as_str()) && names(&package.manifest, library) {
                violations.push(Violation::new(
                    package.directory.join("Cargo.toml"),
                    format!("{} depends on {library}", package.name),
                    format!("only {} may: use what it offers", allowed.join(", ")),
                ));
            }
        }
    }
    Ok(violations)
}

/// Returns the packages that a package is linked with, itself not among them.
fn tree(package: &str) -> anyhow::Result<Vec<String>> {
    let arguments = [
        "tree",
        "--locked",
        "--all-features",
        "-p",
        package,
        "-e",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let output = cargo(arguments).output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).context("cargo tree says what is no text")?;
    let mut names: Vec<String> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names.retain(|name| name != package);
    Ok(names)
}

fn broken<'t>(rule: &Rule, tree: &'t [String]) -> Vec<&'t str> {
    let is_meant = |name: &str| {
        rule.never.iter().any(|never| match never.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == *never,
        })
    };
    tree.iter()
        .map(String::as_str)
        .filter(|name| is_meant(name))
        .collect()
}

/// Tells whether a manifest has a library among its dependencies of any kind.
pub(super) fn names(manifest: &str, library: &str) -> bool {
    let begins = |line: &str| {
        let rest = line.strip_prefix(library)?;
        rest.starts_with(['.', ' ', '=']).then_some(())
    };
    manifest.lines().any(|line| begins(line.trim()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_rest_of_a_name() {
        let rule = Rule {
            package: "a",
            never: &["diesel*", "tokio"],
            advice: "",
        };
        let tree = ["diesel", "diesel_derives", "serde", "tokio", "tokio-util"].map(str::to_owned);
        assert_eq!(broken(&rule, &tree), ["diesel", "diesel_derives", "tokio"]);
    }

    #[test]
    fn a_dependency_is_named_by_a_whole_word() {
        assert!(names("[dependencies]\nfigment.workspace = true\n", "figment"));
        assert!(names("figment = \"0.10\"", "figment"));
        assert!(!names(
            "figment_extra = \"1\"\ndescription = \"no figment\"",
            "figment"
        ));
    }
}
