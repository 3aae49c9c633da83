//! Follows the runs of a command that another process controls, and reads what its journal has.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded, select, tick};

use super::{Fleet, FleetError, Role};
use crate::cluster::journal::{Extent, Posted};
use crate::cluster::{ClusterError, Listening, Mail, files, subjects};
use crate::controller::books::Books;
use crate::controller::chronicle::Told;
use crate::controller::events::{self, Happened, Observer, RunEvent};
use crate::controller::remote::{self, Item, Printed};
use crate::controller::{RunError, checkpoints};
use crate::record::RunRecord;

/// Without a pulse for so long, the controller is taken to be gone.
const GONE: Duration = Duration::from_secs(5);

/// How often whoever follows a run is shown how it goes.
const TICK: Duration = Duration::from_millis(100);

/// How many messages may wait for a process that follows.
const SEEN: usize = 1_024;

/// How long the server may take to give the next message of a journal.
const READ: Duration = Duration::from_secs(60);

/// A process that follows.
pub(super) struct Watch {
    news: Receiver<Seen>,
    /// When the controller was last heard.
    heard: Instant,
    _listening: Vec<Listening>,
}

/// What a process that follows sees.
enum Seen {
    Posted(Posted),
    Pulse,
    Mail(Mail),
}

/// What came of following a run.
pub(in crate::controller) enum Followed {
    /// It is over; without a record if it never began, and another is in its place.
    Over(Option<Box<RunRecord>>),
    /// This process controls; the run is as its last controller has left it, if it has begun.
    Left(Option<Box<Told>>),
}

impl Fleet {
    /// Follows a run until it is over, or until its controller is gone and this process controls it.
    pub(in crate::controller) fn follow(
        &self,
        run: u32,
        stops: &Receiver<()>,
        observers: &mut [Observer<'_>],
    ) -> Result<Followed, RunError> {
        let cluster = |error: FleetError| RunError::Refused(error.to_string());
        let ticks = tick(TICK);
        loop {
            if let Some(told) = self.chronicle.borrow().run(run)
                && let Some(record) = told.record()
            {
                return Ok(Followed::Over((!told.is_void()).then(|| Box::new(record))));
            }
            let is_gone = match &mut *self.role.borrow_mut() {
                Role::Leads(_) => return Ok(Followed::Left(self.chronicle.borrow_mut().take(run).map(Box::new))),
                Role::Replaced => return Err(RunError::Fenced(self.command.clone())),
                Role::Follows(watch) => {
                    select! {
                        recv(watch.news) -> seen => match seen {
                            Ok(Seen::Posted(posted)) => {
                                let mut tell = |of: u32, event: &RunEvent, books: &Books| {
                                    if of == run {
                                        events::tell(observers, event, books);
                                    }
                                };
                                self.chronicle.borrow_mut().apply(&posted, &mut tell);
                            }
                            Ok(Seen::Pulse) => watch.heard = Instant::now(),
                            Ok(Seen::Mail(mail)) => self.print(run, &mail, observers),
                            Err(_) => return Err(RunError::Died("a thread has panicked".into())),
                        },
                        recv(stops) -> _ => return Err(RunError::LetGo(self.command.clone())),
                        recv(ticks) -> _ => self.tick(run, observers),
                    }
                    if !self.link.is_up() {
                        watch.heard = Instant::now();
                    }
                    watch.heard.elapsed() >= GONE
                }
            };
            if is_gone {
                self.lead().map_err(cluster)?;
            }
        }
    }

    fn tick(&self, run: u32, observers: &mut [Observer<'_>]) {
        if let Some(told) = self.chronicle.borrow().run(run) {
            let at = told.latest();
            events::tell(observers, &RunEvent { at, what: Happened::Tick }, told.machine.books());
        }
    }

    fn print(&self, run: u32, mail: &Mail, observers: &mut [Observer<'_>]) {
        let printed = remote::open::<Printed>(self.journal.key(), &mail.subject, &mail.payload);
        if let Ok(printed) = printed
            && printed.run == run
            && let Some(told) = self.chronicle.borrow().run(run)
        {
            let event = RunEvent { at: told.latest(), what: Happened::Output(printed.bytes) };
            events::tell(observers, &event, told.machine.books());
        }
    }

    /// Listens to the controller and to the journal from now on.
    pub(super) fn watch(&self) -> Result<(), FleetError> {
        let (news_in, news) = bounded(SEEN);
        let all = vec![subjects::decided(&self.command), subjects::from(&self.command, "*")];
        let read = self.chronicle.borrow().read;
        let followed = self.journal.follow(&self.link, all, read, news_in.clone(), Seen::Posted);
        let pulse = self.link.subscribe_to(&subjects::pulse(&self.command), news_in.clone(), |_| Seen::Pulse)?;
        let output = self.link.subscribe_to(&subjects::output(&self.command), news_in, Seen::Mail)?;
        let watch = Watch { news, heard: Instant::now(), _listening: vec![followed, pulse, output] };
        self.role.replace(Role::Follows(watch));
        Ok(())
    }

    /// Reads what the journal has by now.
    pub(super) fn read_all(&self) -> Result<(), FleetError> {
        let mut chronicle = self.chronicle.borrow_mut();
        let Extent { first, last, .. } = self.journal.extent(&self.link)?;
        if first > 1 {
            let digest = self
                .last_checkpoint()?
                .ok_or_else(|| ClusterError::refused("keep the journal of the command", "its beginning is gone"))?;
            let sealed = self.link.get(&digest, files::MOST_BYTES)?;
            let foreign = || ClusterError::refused("keep the checkpoint", "it is another one");
            let bytes = self.journal.key().open(checkpoints::FILE, &sealed).ok_or_else(foreign)?;
            chronicle.restore(&bytes).map_err(|error| ClusterError::refused("keep the checkpoint", error))?;
        }
        let all = vec![
            subjects::decided(&self.command),
            subjects::from(&self.command, "*"),
            subjects::to(&self.command, "*"),
        ];
        let (news_in, news) = bounded(SEEN);
        let _followed = self.journal.follow(&self.link, all, chronicle.read, news_in, |posted| posted);
        while chronicle.read < last {
            let Ok(posted) = news.recv_timeout(READ) else {
                return Err(ClusterError::refused("give the journal of the command", "it took too long").into());
            };
            chronicle.apply(&posted, &mut |_, _, _| ());
        }
        Ok(())
    }

    /// The file of the last checkpoint.
    fn last_checkpoint(&self) -> Result<Option<String>, FleetError> {
        let last = self.journal.last_decision(&self.link)?;
        let (news_in, news) = bounded(SEEN);
        let decided = vec![subjects::decided(&self.command)];
        let _followed = self.journal.follow(&self.link, decided, 0, news_in, |posted| posted);
        let mut found = None;
        while let Ok(posted) = news.recv_timeout(READ) {
            for item in posted.bundle.items.iter().filter_map(|item| remote::read::<Item>(item).ok()) {
                if let Item::Checkpoint { digest } = item {
                    found = Some(digest);
                }
            }
            if posted.sequence >= last {
                break;
            }
        }
        Ok(found)
    }
}
