//! Who is told of changes. Telling never waits: a notice that does not fit is counted and dropped.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::notice::Notice;

/// How many notices wait for a subscriber before it misses some.
const CAPACITY: usize = 1_024;

/// What a registry has told, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// How many handlers were registered in an empty place.
    pub registered: u64,
    /// How many handlers were replaced.
    pub replaced: u64,
    /// How many handlers were removed.
    pub removed: u64,
    /// How many changes were refused.
    pub refused: u64,
    /// How many listen now.
    pub subscribers: usize,
    /// How many notices did not reach a subscriber that was too slow.
    pub missed: u64,
    /// How often a watching function panicked.
    pub panicked: u64,
}

/// Notices of a registry's changes, in their order; see [`Registry::subscribe`](crate::Registry::subscribe).
///
/// Dropping it ends the subscription.
pub struct Subscription {
    notices: Receiver<Notice>,
    membership: Membership,
}

/// A function that is called for each change; see [`Registry::watch`](crate::Registry::watch).
///
/// Dropping it ends the calls; one that is under way comes to its end.
pub struct Watch {
    over: Arc<AtomicBool>,
    panicked: Arc<AtomicU64>,
    membership: Membership,
}

/// Everyone who is told.
#[derive(Default)]
pub(crate) struct Subscribers {
    members: Mutex<Members>,
    missed: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Default)]
struct Members {
    last: u64,
    list: Vec<Member>,
}

struct Member {
    number: u64,
    notices: SyncSender<Notice>,
    missed: Arc<AtomicU64>,
}

/// A place among those who are told, given up when it is dropped.
struct Membership {
    number: u64,
    missed: Arc<AtomicU64>,
    subscribers: Weak<Subscribers>,
}

impl Subscribers {
    /// Adds one who is told from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let (sender, notices) = sync_channel(CAPACITY);
        let missed = Arc::new(AtomicU64::new(0));
        let mut members = self.members();
        members.last += 1;
        let number = members.last;
        members.list.push(Member {
            number,
            notices: sender,
            missed: Arc::clone(&missed),
        });
        Subscription {
            notices,
            membership: Membership {
                number,
                missed,
                subscribers: Arc::downgrade(self),
            },
        }
    }

    /// Calls a function for each change from now on, in a thread of its own.
    pub(crate) fn watch(
        self: &Arc<Self>,
        mut told: impl FnMut(&Notice) + Send + 'static,
    ) -> io::Result<Watch> {
        let Subscription { notices, membership } = self.subscribe();
        let (over, panicked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, panics, all) = (
            Arc::clone(&over),
            Arc::clone(&panicked),
            Weak::clone(&membership.subscribers),
        );
        let listen = move || {
            for notice in notices {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                // A function that panicked is called again: what it missed is counted, and the rest is told.
                if catch_unwind(AssertUnwindSafe(|| told(&notice))).is_err() {
                    panics.fetch_add(1, Ordering::Relaxed);
                    if let Some(all) = all.upgrade() {
                        all.panicked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        thread::Builder::new()
            .name("tasker-registry-watch".to_owned())
            .spawn(listen)?;
        Ok(Watch {
            over,
            panicked,
            membership,
        })
    }

    /// Tells everyone. It runs no foreign code and waits for nobody.
    pub(crate) fn tell(&self, notices: impl FnOnce() -> Vec<Notice>) {
        let mut members = self.members();
        if members.list.is_empty() {
            return;
        }
        let notices = notices();
        let told = |member: &Member| {
            notices
                .iter()
                .all(|notice| match member.notices.try_send(notice.clone()) {
                    Ok(()) => true,
                    Err(TrySendError::Full(_)) => {
                        member.missed.fetch_add(1, Ordering::Relaxed);
                        self.missed.fetch_add(1, Ordering::Relaxed);
                        true
                    }
                    Err(TrySendError::Disconnected(_)) => false,
                })
        };
        members.list.retain(told);
    }

    /// Fills in who listens, and what they missed.
    pub(crate) fn count(&self, activity: &mut Activity) {
        activity.subscribers = self.members().list.len();
        activity.missed = self.missed.load(Ordering::Relaxed);
        activity.panicked = self.panicked.load(Ordering::Relaxed);
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing under this lock can panic halfway.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits for the next notice; `None` when the registry is gone and all it told is read.
    pub fn recv(&self) -> Option<Notice> {
        self.notices.recv().ok()
    }

    /// Waits for the next notice for so long at most.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Notice> {
        self.notices.recv_timeout(timeout).ok()
    }

    /// Returns the next notice if there is one. A change that was made before this call has its notice.
    pub fn try_recv(&self) -> Option<Notice> {
        self.notices.try_recv().ok()
    }

    /// Returns how many notices did not fit: 1 024 wait at most.
    pub fn missed(&self) -> u64 {
        self.membership.missed.load(Ordering::Relaxed)
    }
}

impl Watch {
    /// Returns how many notices did not fit because the function was too slow: 1 024 wait at most.
    pub fn missed(&self) -> u64 {
        self.membership.missed.load(Ordering::Relaxed)
    }

    /// Returns how often the function panicked.
    pub fn panicked(&self) -> u64 {
        self.panicked.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(subscribers) = self.subscribers.upgrade() {
            subscribers
                .members()
                .list
                .retain(|member| member.number != self.number);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("missed", &self.missed())
            .field("panicked", &self.panicked())
            .finish_non_exhaustive()
    }
}
