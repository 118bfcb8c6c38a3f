//! Requests that share a transaction, and which connection takes them.
//!
//! A few large transactions cost less than many small ones. So a connection that is idle leaves requests to the one that is at
//! work while they are few, and that one takes them when it is done.

use std::time::Duration;

use tasker_engine::{Create, CreateReply, Turn, TurnReply};
use tokio::sync::{Mutex, mpsc, watch};

use super::writer::{Job, Reply, Waiting};

/// How many requests share a commit at most, and how many tasks each of them may create. Those who bring less than so many
/// outcomes and tasks together wait for a transaction that is under way.
const SHARED: usize = 64;

/// For how long they wait: it may be one that waits for a lock.
const PATIENCE: Duration = Duration::from_millis(2);

/// Who share a transaction, and where their answers go.
#[derive(Default)]
pub(super) struct Crowd {
    pub(super) creates: Vec<Create>,
    pub(super) created: Vec<Reply<CreateReply>>,
    pub(super) turns: Vec<Turn>,
    pub(super) turned: Vec<Reply<TurnReply>>,
}

impl Crowd {
    /// Takes a request in, or returns it if it wants a transaction of its own: one that hands out what it creates, or
    /// creates a lot.
    fn take(&mut self, job: Job) -> Option<Job> {
        match job {
            Job::Turn(turn, reply) => {
                self.turns.push(*turn);
                self.turned.push(reply);
            }
            Job::Create(create, reply) if create.want.is_none() && create.tasks.len() <= SHARED => {
                self.creates.push(*create);
                self.created.push(reply);
            }
            other => return Some(other),
        }
        None
    }

    /// Takes in those who have come and can share; returns who comes after them.
    fn fill(&mut self, inbox: &mut mpsc::UnboundedReceiver<Waiting>) -> Option<Job> {
        while self.len() < SHARED
            && let Ok((job, _)) = inbox.try_recv()
        {
            if let Some(other) = self.take(job) {
                return Some(other);
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.creates.len() + self.turns.len()
    }

    /// Tells whether it is worth a transaction beside another: it is large, or nobody else can share it.
    fn is_large(&self) -> bool {
        let outcomes = self.turns.iter().map(|turn| turn.outcomes.len());
        let tasks = self.creates.iter().map(|create| create.tasks.len());
        self.len() >= SHARED || outcomes.chain(tasks).sum::<usize>() >= SHARED
    }
}

/// What a connection does next: what requests share, and then one that wants a transaction of its own.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) crowd: Crowd,
    pub(super) other: Option<Job>,
}

impl Taken {
    /// Takes a request in.
    fn add(&mut self, job: Job) {
        self.other = self.crowd.take(job);
    }

    /// Takes in those who have come and can share.
    fn fill(&mut self, requests: &mut mpsc::UnboundedReceiver<Waiting>) {
        if self.other.is_none() {
            self.other = self.crowd.fill(requests);
        }
    }

    fn is_empty(&self) -> bool {
        self.crowd.len() == 0 && self.other.is_none()
    }
}

/// What was asked and is not carried out yet, and what somebody has begun to take of it.
pub(super) struct Inbox {
    requests: mpsc::UnboundedReceiver<Waiting>,
    taken: Taken,
}

impl Inbox {
    pub(super) fn new(requests: mpsc::UnboundedReceiver<Waiting>) -> Self {
        Self {
            requests,
            taken: Taken::default(),
        }
    }
}

/// The connections that carry out what several share.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    at_work: watch::Sender<usize>,
    /// Those of them that are done, and want the next.
    back: watch::Sender<usize>,
}

/// One of many, while this is there.
pub(super) struct OneOf<'c>(&'c watch::Sender<usize>);

impl<'c> OneOf<'c> {
    fn begin(many: &'c watch::Sender<usize>) -> Self {
        many.send_modify(|count| *count += 1);
        Self(many)
    }
}

impl Drop for OneOf<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// What comes of waiting for requests.
pub(super) enum Next<'c> {
    /// There is something to do.
    Work(Box<Taken>, OneOf<'c>),
    /// Another has it.
    Left,
    /// Nothing will come any more.
    End,
}

/// Takes what waits longest, and those that follow and can share its transaction, for one that was `at_work` or is idle.
///
/// An idle one does not begin while another is at work and those who were taken are few: who comes meanwhile joins them, and
/// the other takes them all when it is done, with those whom it answers and who come again at once. Nothing is lost when
/// this is dropped.
pub(super) async fn take<'c>(
    inbox: &Mutex<Inbox>,
    crowds: &'c Crowds,
    at_work: Option<OneOf<'c>>,
) -> Next<'c> {
    let back = at_work.is_some().then(|| OneOf::begin(&crowds.back));
    let mut inbox = inbox.lock().await;
    drop((back, at_work));
    let Inbox { requests, taken } = &mut *inbox;
    if taken.is_empty() {
        let Some((first, _)) = requests.recv().await else {
            return Next::End;
        };
        taken.add(first);
    }
    taken.fill(requests);
    let (mut others, mut back) = (crowds.at_work.subscribe(), crowds.back.subscribe());
    let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
    while taken.other.is_none() && !taken.crowd.is_large() {
        tokio::select! {
            biased;
            _ = back.wait_for(|count| *count > 0) => return Next::Left,
            _ = others.wait_for(|count| *count == 0) => break,
            () = &mut patience => break,
            joined = requests.recv() => match joined {
                Some((job, _)) => taken.add(job),
                None => break,
            }
        }
    }
    // Those whom the last commit answered come again.
    tokio::task::yield_now().await;
    taken.fill(requests);
    Next::Work(Box::new(std::mem::take(taken)), OneOf::begin(&crowds.at_work))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tasker_testkit::{Harness, ManualClock, shapes};
    use tokio::sync::oneshot;

    use super::*;
    use crate::pool::Tally;

    /// Who asks, and the connections that would answer.
    struct Room {
        requests: mpsc::UnboundedSender<Waiting>,
        inbox: Mutex<Inbox>,
        crowds: Crowds,
        waiting: Tally,
        harness: Harness,
    }

    impl Room {
        fn new() -> Self {
            let (requests, inbox) = mpsc::unbounded_channel();
            let clock = ManualClock::new();
            let store = tasker_engine::MemoryStore::new(Arc::new(clock.clone()));
            Self {
                requests,
                inbox: Mutex::new(Inbox::new(inbox)),
                crowds: Crowds::default(),
                waiting: Tally::default(),
                harness: Harness::new(Arc::new(store), clock),
            }
        }

        /// Asks for so many tasks.
        fn ask(&self, tasks: usize) {
            let h = &self.harness;
            let tasks = (0..tasks).map(|_| h.new_task(shapes::single())).collect();
            let create = Create::new(h.worker(), tasker_engine::Actor::System, tasks);
            let job = Job::Create(Box::new(create), oneshot::channel().0);
            let sent = self.requests.send((job, self.waiting.begin()));
            assert!(sent.is_ok());
        }

        /// Returns how many an idle connection takes.
        async fn take(&self) -> Option<usize> {
            match take(&self.inbox, &self.crowds, None).await {
                Next::Work(taken, _) => Some(taken.crowd.len()),
                Next::Left | Next::End => None,
            }
        }

        fn at_work(&self) -> OneOf<'_> {
            OneOf::begin(&self.crowds.at_work)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_is_taken_at_once_while_nobody_is_at_work() {
        let room = Room::new();
        let began = tokio::time::Instant::now();
        room.ask(1);
        room.ask(1);
        assert_eq!(room.take().await, Some(2));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_for_the_one_at_work_but_not_long() {
        let room = Room::new();
        let _other = room.at_work();
        let began = tokio::time::Instant::now();
        room.ask(1);
        assert_eq!(room.take().await, Some(1));
        assert!(began.elapsed() >= PATIENCE, "{:?}", began.elapsed());
        assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn many_do_not_wait() {
        let room = Room::new();
        let _other = room.at_work();
        let began = tokio::time::Instant::now();
        room.ask(SHARED / 2);
        room.ask(SHARED / 2);
        assert_eq!(room.take().await, Some(2));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_at_work_takes_those_who_waited_when_it_is_done() {
        let room = Room::new();
        let other = room.at_work();
        room.ask(1);
        let idle = room.take();
        let done = async {
            tokio::time::sleep(PATIENCE / 2).await;
            room.ask(1);
            match take(&room.inbox, &room.crowds, Some(other)).await {
                Next::Work(taken, _) => taken.crowd.len(),
                Next::Left | Next::End => 0,
            }
        };
        assert_eq!(futures_util::future::join(idle, done).await, (None, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_whose_taker_goes_away_are_taken_by_another() {
        let room = Room::new();
        let other = room.at_work();
        room.ask(1);
        assert!(tokio::time::timeout(PATIENCE / 2, room.take()).await.is_err());
        drop(other);
        assert_eq!(room.take().await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_its_own_comes_after_those_before_it() {
        let room = Room::new();
        let _other = room.at_work();
        room.ask(1);
        room.ask(SHARED + 1);
        room.ask(1);
        let Next::Work(taken, _) = take(&room.inbox, &room.crowds, None).await else {
            panic!("nothing is taken");
        };
        assert_eq!((taken.crowd.len(), taken.other.is_some()), (1, true));
        assert_eq!(room.take().await, Some(1));
    }
}
