//! What `strace` writes down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// How often each call is made by the thread that makes it most often, and how large files become.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    calls: BTreeMap<String, usize>,
    size: u64,
}

impl Counts {
    /// Counts the calls in a trace.
    pub fn of(trace: &str) -> Self {
        let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut counts = Self::default();
        for line in trace.lines() {
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            let Some((name, _)) = call.trim_start().split_once('(') else {
                continue;
            };
            *by_thread.entry((thread, name)).or_default() += 1;
            if name == "pwrite64"
                && let Some((asked, offset)) = asked(line)
            {
                counts.size = counts.size.max(asked + offset);
            }
        }
        for ((_, name), count) in by_thread {
            let most = counts.calls.entry(name.to_owned()).or_default();
            *most = count.max(*most);
        }
        counts
    }

    /// Returns how often a call is made.
    pub fn of_call(&self, name: &str) -> usize {
        self.calls.get(name).copied().unwrap_or_default()
    }

    /// Returns how large the largest file becomes, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Returns how many bytes a write was to write, and where.
fn asked(line: &str) -> Option<(u64, u64)> {
    let (arguments, _) = line.rsplit_once(')')?;
    let mut last = arguments.rsplit(", ");
    let offset = last.next()?.parse().ok()?;
    Some((last.next()?.parse().ok()?, offset))
}

/// Tells whether a line tells of a write that wrote less than it was to write.
pub(super) fn is_short(line: &str) -> bool {
    let Some((call, wrote)) = line.rsplit_once(" = ") else {
        return false;
    };
    let (Some((asked, _)), Ok(wrote)) = (asked(call), wrote.parse::<u64>()) else {
        return false;
    };
    wrote < asked
}

/// Something that was done to a file, which is named by its path in the directory of the life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was opened, and made if it was not there.
    Open(PathBuf),
    /// Bytes were written at an offset.
    Write(PathBuf, u64, Vec<u8>),
    /// Bytes were written at its end, by a life that writes down what was acknowledged.
    Log(PathBuf, Vec<u8>),
    /// Its size was set.
    Truncate(PathBuf, u64),
    /// Everything that was written to it is on the disk.
    Sync(PathBuf),
    /// It was removed.
    Remove(PathBuf),
}

/// Reads a trace whose texts are all in hexadecimal digits, of a life in this directory.
///
/// # Errors
///
/// When the trace has calls that cannot be understood.
pub fn events(trace: &str, directory: &Path) -> anyhow::Result<Vec<Event>> {
    let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
    let mut events = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, begun);
            continue;
        }
        let whole;
        let call = if call.starts_with("<... ") {
            let (Some(begun), Some((_, rest))) = (unfinished.remove(thread), call.split_once(" resumed>"))
            else {
                bail!("`strace` finishes what did not begin: {call}");
            };
            whole = format!("{begun}{rest}");
            &whole
        } else {
            call
        };
        if let Some(event) = event(call, directory)
            .with_context(|| format!("cannot understand: {}", &call[..call.len().min(400)]))?
        {
            events.push(event);
        }
    }
    Ok(events)
}

/// Returns what a call did to a file, unless it failed.
fn event(call: &str, directory: &Path) -> anyhow::Result<Option<Event>> {
    let Some((name, rest)) = call.split_once('(') else {
        return Ok(None);
    };
    let Some((arguments, answer)) = rest.rsplit_once(" = ") else {
        return Ok(None);
    };
    if answer.starts_with('-') || answer.starts_with('?') {
        return Ok(None);
    }
    let arguments = arguments.trim_end().strip_suffix(')').context("no end")?;
    let mut parts = arguments.split(", ");
    let first = parts.next().unwrap_or_default();
    let path = if name == "openat" {
        parts.next().and_then(quoted)
    } else if name == "unlink" {
        quoted(first)
    } else {
        if first.ends_with("(deleted)") {
            return Ok(None);
        }
        first.split_once('<').and_then(|(_, path)| path.strip_suffix('>'))
    };
    let path = String::from_utf8(bytes(path.context("no path")?)?)?;
    let path = Path::new(&path)
        .strip_prefix(directory)
        .context("another directory")?
        .to_owned();
    let mut next = || parts.next().context("too few arguments");
    let event = match name {
        "openat" => {
            let flags = next()?;
            if !flags.contains("O_CREAT") {
                return Ok(None);
            }
            Event::Open(path)
        }
        "write" => Event::Log(path, bytes(quoted(next()?).context("no text")?)?),
        "pwrite64" => {
            let written = bytes(quoted(next()?).context("no text")?)?;
            let (asked, offset): (usize, u64) = (next()?.parse()?, next()?.parse()?);
            ensure!(
                asked == written.len() && answer.parse() == Ok(asked),
                "a write that is not whole"
            );
            Event::Write(path, offset, written)
        }
        "ftruncate" => Event::Truncate(path, next()?.parse()?),
        "fdatasync" | "fsync" => Event::Sync(path),
        "unlink" => Event::Remove(path),
        _ => bail!("a call that SQLite did not use to make"),
    };
    Ok(Some(event))
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// Reads `\x2f\x64`.
fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    text.split("\\x")
        .skip(1)
        .map(|digits| u8::from_str_radix(digits, 16).with_context(|| format!("`{digits}` is no byte")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"17 openat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 9<\x2f\x64\x2f\x61>
17 pwrite64(9<\x2f\x64\x2f\x61>, "\x01\x2c", 2, 40) = 2
18 fdatasync(9<\x2f\x64\x2f\x61> <unfinished ...>
17 ftruncate(9<\x2f\x64\x2f\x61>, 41) = 0
18 <... fdatasync resumed>)                = 0
17 pwrite64(9<\x2f\x64\x2f\x61>, "\x01", 1, 4) = -1 EIO (Input/output error) (INJECTED)
17 unlink("\x2f\x64\x2f\x61")             = 0
17 pwrite64(9<\x2f\x64\x2f\x61>(deleted), "\x01", 1, 4) = 1
18 +++ exited with 0 +++"#;

    #[test]
    fn a_trace_tells_what_was_done_to_files() -> anyhow::Result<()> {
        let a = || PathBuf::from("a");
        let expected = [
            Event::Open(a()),
            Event::Write(a(), 40, vec![1, 44]),
            Event::Truncate(a(), 41),
            Event::Sync(a()),
            Event::Remove(a()),
        ];
        assert_eq!(events(TRACE, Path::new("/d"))?, expected);
        Ok(())
    }

    #[test]
    fn calls_are_counted_by_thread() {
        let counts = Counts::of(TRACE);
        assert_eq!((counts.of_call("pwrite64"), counts.size()), (3, 42));
    }

    #[test]
    fn a_write_that_was_cut_is_short() {
        assert!(is_short(r#"1 pwrite64(9</a>, ""..., 4096, 8) = 12"#));
        assert!(!is_short(r#"1 pwrite64(9</a>, ""..., 4096, 8) = 4096"#));
        assert!(!is_short(
            "1 pwrite64(9</a>, \"\"..., 4096, 8) = -1 EFBIG (File too large)"
        ));
    }
}
