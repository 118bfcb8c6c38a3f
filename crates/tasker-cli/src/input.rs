//! JSON that comes from the command line, from a file or from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::exit::{Fault, Problem};

/// How many levels of lists and objects a context or a result may have.
///
/// The engine holds to it; the parser gives up a little deeper, and must not say another number.
const DEEPEST: usize = 100;

/// What a text is for, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// What it is, as in "the context".
    pub(crate) what: &'static str,
    /// How many bytes it may have.
    pub(crate) limit: u64,
    /// The key of the configuration that says so.
    pub(crate) key: &'static str,
}

/// Reads the JSON that an argument holds (`{"a": 1}`), or the file that it names (`@FILE`, `@-` for standard input).
///
/// No more is read than the limit allows.
pub(crate) fn json(argument: &str, expected: Expected) -> Result<Value, Problem> {
    let Some(source) = argument.strip_prefix('@') else {
        if argument.len() as u64 > expected.limit {
            return Err(too_large(expected, argument.len() as u64, None));
        }
        return parse(argument.as_bytes(), expected, None);
    };
    let (bytes, name) = match source {
        "-" => (
            read(io::stdin().lock(), expected, "standard input")?,
            "standard input",
        ),
        path => (read_file(Path::new(path), expected)?, path),
    };
    parse(&bytes, expected, Some(name))
}

fn read_file(path: &Path, expected: Expected) -> Result<Vec<u8>, Problem> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| {
        Problem::refused(
            "input_unreadable",
            format!("{} cannot be read from `{name}`", expected.what),
        )
        .caused_by(&error)
    };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_file() && about.len() > expected.limit {
        return Err(too_large(expected, about.len(), Some(&name)));
    }
    read(file, expected, &name)
}

fn read(source: impl Read, expected: Expected, name: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    source
        .take(expected.limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Problem::refused(
                "input_unreadable",
                format!("{} cannot be read from `{name}`", expected.what),
            )
            .caused_by(&error)
        })?;
    if bytes.len() as u64 > expected.limit {
        return Err(too_large(expected, bytes.len() as u64, Some(name)));
    }
    Ok(bytes)
}

fn too_large(expected: Expected, size: u64, name: Option<&str>) -> Problem {
    let Expected { what, limit, key } = expected;
    let place = name.map(|name| format!(" in `{name}`")).unwrap_or_default();
    // Of a stream only so much is known as was read.
    let size = if name == Some("standard input") {
        format!("more than {limit}")
    } else {
        size.to_string()
    };
    Problem::refused("input_too_large", format!("{what}{place} has {size} bytes, but the limit is {limit}")).with_help(
        format!("pass a reference to the data instead, or raise the limit with `--set {key}=BYTES` or in the configuration"),
    )
}

fn parse(bytes: &[u8], expected: Expected, name: Option<&str>) -> Result<Value, Problem> {
    let what = expected.what;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64
            + 1;
        Problem::refused("input_not_utf8", format!("{what} is not UTF-8")).with_faults(vec![Fault {
            file: name.map(str::to_owned),
            line: Some(line),
            message: "a byte here is not UTF-8; save the file as UTF-8".to_owned(),
        }])
    })?;
    serde_json::from_str(text).map_err(|error| {
        if error.to_string().starts_with("recursion limit exceeded") {
            let message = format!("{what} is nested more than {DEEPEST} levels deep");
            return Problem::refused("input_too_deep", message)
                .with_help("make it flatter, or pass it as a text");
        }
        let problem = Problem::refused("input_not_json", format!("{what} is not JSON"));
        let message = error.to_string();
        match name {
            Some(name) => problem.with_faults(vec![Fault {
                file: Some(name.to_owned()),
                line: Some(error.line() as u64),
                message: message.split(" at line ").next().unwrap_or_default().to_owned(),
            }]),
            None => Problem {
                causes: vec![message],
                ..problem
            }
            .with_help(format!("write a JSON value, or @FILE for {what} in a file")),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const EXPECTED: Expected = Expected {
        what: "the context",
        limit: 20,
        key: "limits.context",
    };

    #[track_caller]
    fn refused(argument: &str, text: &str) {
        assert_eq!(json(argument, EXPECTED).unwrap_err().to_string(), text);
    }

    #[track_caller]
    fn refused_file(content: &[u8], text: &str) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let name = file.path().display().to_string();
        refused(&format!("@{name}"), &text.replace("FILE", &name));
    }

    #[test]
    fn json_is_taken_as_it_is_written() {
        assert_eq!(
            json(r#"{"a": [1, null]}"#, EXPECTED).unwrap(),
            serde_json::json!({"a": [1, null]})
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        refused(
            "{\"a\": }",
            "error: the context is not JSON\n  because: expected value at line 1 column 7\n  help: write a JSON value, \
             or @FILE for the context in a file",
        );
        refused_file(
            b"{\n\"a\": }",
            "error: the context is not JSON\n  FILE:2: expected value",
        );
        refused_file(
            b"{\n\"\xff",
            "error: the context is not UTF-8\n  FILE:2: a byte here is not UTF-8; save the file as UTF-8",
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_with_the_limit() {
        let deep = Expected {
            limit: 1_000,
            ..EXPECTED
        };
        let argument = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(
            json(&argument, deep).unwrap_err().to_string(),
            "error: the context is nested more than 100 levels deep\n  help: make it flatter, or pass it as a text",
        );
    }

    #[test]
    fn what_is_too_large_is_not_even_read() {
        let help = "\n  help: pass a reference to the data instead, or raise the limit with `--set limits.context=BYTES` \
                    or in the configuration";
        let text = format!("error: the context has 22 bytes, but the limit is 20{help}");
        refused(&format!("\"{}\"", "a".repeat(20)), &text);
        let text = format!("error: the context in `FILE` has 21 bytes, but the limit is 20{help}");
        refused_file(&[b' '; 21], &text);
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let sparse = read(file, EXPECTED, "standard input").unwrap_err().to_string();
        assert!(
            sparse.starts_with("error: the context in `standard input` has more than 20 bytes"),
            "{sparse}"
        );
    }

    #[test]
    fn a_file_that_does_not_exist_is_named() {
        refused(
            "@/nowhere/c.json",
            "error: the context cannot be read from `/nowhere/c.json`\n  because: No such file or directory (os error 2)",
        );
    }
}
