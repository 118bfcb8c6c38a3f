//! A disk with a cache, and what is on it when the power fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::trace::Event;

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// What the power's failure does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is lost.
    All,
    /// It had been written all the same.
    Nothing,
    /// Some sectors of it are lost, whichever were written before the others.
    Some,
}

/// Files, as they are on a disk, and what is still to be written.
///
/// Files come and go in their order, as a journal has them: with the next sync of whatever file.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    cached: Vec<Event>,
    log: BTreeMap<PathBuf, Vec<u8>>,
}

impl Disk {
    /// Does what was done.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Sync(file) => {
                for event in std::mem::take(&mut self.cached) {
                    let goes = matches!(event, Event::Open(_) | Event::Remove(_)) || event.path() == file;
                    if let Event::Remove(removed) = &event {
                        self.cached.retain(|kept| kept.path() != removed);
                    }
                    if goes {
                        write(&mut self.files, &event);
                    } else {
                        self.cached.push(event);
                    }
                }
            }
            // What was acknowledged was seen by others, so it does not depend on this disk.
            Event::Log(file, bytes) => self.log.entry(file.clone()).or_default().extend(bytes),
            _ if event.is_shared_memory() => {}
            _ => self.cached.push(event.clone()),
        }
    }

    /// Tells whether something is still to be written.
    pub fn is_dirty(&self) -> bool {
        !self.cached.is_empty()
    }

    /// Returns what there is after a failure of the power. If some is lost, `is_kept` tells what is not.
    pub fn after(&self, loss: Loss, mut is_kept: impl FnMut() -> bool) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.files.clone();
        match loss {
            Loss::All => {}
            Loss::Nothing => {
                for event in &self.cached {
                    write(&mut files, event);
                }
            }
            Loss::Some => {
                let mut lost: BTreeSet<&Path> = BTreeSet::new();
                for event in &self.cached {
                    match event {
                        Event::Open(file) if files.contains_key(file) => {}
                        // What comes or goes after something that is lost is lost, too.
                        Event::Open(file) | Event::Remove(file) => {
                            if lost.is_empty() && is_kept() {
                                write(&mut files, event);
                            } else {
                                lost.insert(file);
                            }
                        }
                        _ if lost.contains(event.path()) => {}
                        Event::Write(file, offset, bytes) => {
                            for (offset, sector) in sectors(*offset, bytes) {
                                if is_kept() {
                                    write(&mut files, &Event::Write(file.clone(), offset, sector.to_vec()));
                                }
                            }
                        }
                        _ => {
                            if is_kept() {
                                write(&mut files, event);
                            }
                        }
                    }
                }
            }
        }
        files.extend(self.log.clone());
        files
    }
}

impl Event {
    fn path(&self) -> &Path {
        match self {
            Self::Open(file)
            | Self::Write(file, ..)
            | Self::Log(file, _)
            | Self::Truncate(file, _)
            | Self::Sync(file)
            | Self::Remove(file) => file,
        }
    }

    /// Tells whether it is about what processes share in memory, which is made anew after a failure of the power.
    fn is_shared_memory(&self) -> bool {
        self.path().to_string_lossy().ends_with("-shm")
    }
}

/// Cuts bytes where sectors end.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let (mut offset, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let in_sector = usize::try_from(offset % SECTOR as u64).unwrap_or_default();
        let (sector, after) = rest.split_at((SECTOR - in_sector).min(rest.len()));
        let at = offset;
        (offset, rest) = (offset + sector.len() as u64, after);
        Some((at, sector))
    })
}

fn write(files: &mut BTreeMap<PathBuf, Vec<u8>>, event: &Event) {
    match event {
        Event::Open(file) => {
            files.entry(file.clone()).or_default();
        }
        Event::Remove(file) => {
            files.remove(file);
        }
        Event::Write(file, offset, bytes) => {
            let Ok(offset) = usize::try_from(*offset) else {
                return;
            };
            let content = files.entry(file.clone()).or_default();
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[offset..end].copy_from_slice(bytes);
        }
        Event::Truncate(file, size) => {
            let Ok(size) = usize::try_from(*size) else { return };
            files.entry(file.clone()).or_default().resize(size, 0);
        }
        Event::Log(..) | Event::Sync(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn disk(events: &[Event]) -> Disk {
        let mut disk = Disk::default();
        for event in events {
            disk.apply(event);
        }
        disk
    }

    fn written(name: &str, offset: u64, bytes: &[u8]) -> Event {
        Event::Write(path(name), offset, bytes.to_vec())
    }

    #[test]
    fn only_what_was_synced_is_sure_to_survive() {
        let disk = disk(&[
            Event::Open(path("a")),
            Event::Open(path("b")),
            written("a", 0, b"one"),
            written("b", 0, b"other"),
            Event::Sync(path("a")),
            written("a", 1, b"xx"),
        ]);
        let kept = disk.after(Loss::All, || true);
        assert_eq!(kept[&path("a")], b"one");
        assert_eq!(kept[&path("b")], b"");
        let all = disk.after(Loss::Nothing, || true);
        assert_eq!(all[&path("a")], b"oxx");
        assert_eq!(all[&path("b")], b"other");
    }

    #[test]
    fn a_file_that_was_removed_is_there_until_the_next_sync() {
        let mut events = vec![
            Event::Open(path("a")),
            Event::Open(path("b")),
            written("a", 0, b"one"),
            Event::Sync(path("a")),
            Event::Remove(path("a")),
        ];
        assert_eq!(disk(&events).after(Loss::All, || true)[&path("a")], b"one");
        assert!(
            !disk(&events)
                .after(Loss::Nothing, || true)
                .contains_key(&path("a"))
        );
        events.push(Event::Sync(path("b")));
        assert!(!disk(&events).after(Loss::All, || true).contains_key(&path("a")));
    }

    #[test]
    fn sectors_are_lost_one_by_one() {
        let disk = disk(&[
            Event::Open(path("a")),
            Event::Sync(path("a")),
            written("a", 510, &[7; 516]),
        ]);
        let mut number = 0;
        let kept = disk.after(Loss::Some, || {
            number += 1;
            number == 3
        });
        assert_eq!(number, 3, "the write touches three sectors");
        assert_eq!(kept[&path("a")].len(), 1_026);
        assert_eq!(kept[&path("a")].iter().filter(|byte| **byte == 7).count(), 2);
    }
}
