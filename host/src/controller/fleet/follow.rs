//! Follows the runs of a command that another process controls, and reads what its journal has.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded, select, tick};

use super::{Fleet, FleetError, Role, find};
use crate::cluster::journal::{Extent, Posted};
use crate::cluster::{ClusterError, Listening, Mail, files, subjects};
use crate::controller::books::Books;
use crate::controller::chronicle::Told;
use crate::controller::events::{self, Happened, Observer, RunEvent};
use crate::controller::remote::{self, Aside};
use crate::controller::{RunError, checkpoints};
use crate::record::RunRecord;

/// Without a pulse for so long, the controller is taken to be gone.
const GONE: Duration = Duration::from_secs(5);

/// A shorter silence of the controller is not told of. Its pulse comes twice a second.
const NOTICED: Duration = Duration::from_millis(1_500);

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
        say: &dyn Fn(&str),
    ) -> Result<Followed, RunError> {
        let (mut has_said, mut looked) = (false, Instant::now());
        let cluster = |error: FleetError| RunError::Refused(error.to_string());
        let ticks = tick(TICK);
        loop {
            let mut has_missed = false;
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
                                has_missed = !self.chronicle.borrow_mut().follow(&posted, &mut tell);
                            }
                            Ok(Seen::Pulse) => watch.heard = Instant::now(),
                            Ok(Seen::Mail(mail)) => self.print(run, &mail, observers),
                            Err(_) => return Err(RunError::Died("a thread has panicked".into())),
                        },
                        recv(stops) -> _ => return Err(RunError::LetGo(self.command.clone())),
                        recv(ticks) -> _ => self.tick(run, observers),
                    }
                    // Whoever stood still, here or in the wait above, could not hear the controller meanwhile.
                    let stood_still = looked.elapsed() >= NOTICED;
                    looked = Instant::now();
                    if !self.link.is_up() || stood_still {
                        watch.heard = looked;
                    }
                    if watch.heard.elapsed() >= NOTICED && !std::mem::replace(&mut has_said, true) {
                        say(&format!("nothing comes from the controller: listening for {} s", GONE.as_secs()));
                    }
                    // What has come and was not read yet may be its pulse.
                    watch.heard.elapsed() >= GONE && watch.news.is_empty()
                }
            };
            if has_missed {
                self.read_all().and_then(|()| self.watch()).map_err(cluster)?;
            }
            if is_gone && find(&self.link, &self.command).map_err(cluster)?.listing.ended {
                // It has ended in order, and the journal says how.
                self.read_all().map_err(cluster)?;
                self.chronicle.borrow_mut().end();
                if self.chronicle.borrow().run(run).is_some() {
                    continue;
                }
            }
            if is_gone {
                match self.lead() {
                    // Another process that followed was faster, and is followed now.
                    Err(FleetError::Taken(_)) => self.read_all().and_then(|()| self.watch()).map_err(cluster)?,
                    led => led.map_err(cluster)?,
                }
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
        let aside = remote::open::<Aside>(self.journal.key(), &mail.subject, &mail.payload);
        if let Ok(aside) = aside
            && aside.run == run
            && let Some(told) = self.chronicle.borrow().run(run)
            && let Some(what) = Happened::aside(aside.message)
        {
            let event = RunEvent { at: told.latest(), what };
            events::tell(observers, &event, told.machine.books());
        }
    }

    /// Listens to the controller and to the journal from now on.
    pub(super) fn watch(&self) -> Result<(), FleetError> {
        let (news_in, news) = bounded(SEEN);
        // Whoever reads all subjects notices what has been removed meanwhile.
        let (all, read) = (subjects::of_stream(&self.command), self.chronicle.borrow().place().0);
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
        let mut hole = None;
        loop {
            let Extent { first, last, .. } = self.journal.extent(&self.link)?;
            if first > chronicle.place().0 + 1 {
                let bytes = self.checkpoint()?;
                chronicle.restore(&bytes).map_err(|error| ClusterError::refused("keep the checkpoint", error))?;
            }
            let (news_in, news) = bounded(SEEN);
            let (all, read) = (subjects::of_stream(&self.command), chronicle.place().0);
            let _followed = self.journal.follow(&self.link, all, read, news_in, |posted| posted);
            let mut is_whole = true;
            while is_whole && chronicle.place().0 < last {
                let Ok(posted) = news.recv_timeout(READ) else {
                    return Err(ClusterError::refused("give the journal of the command", "it took too long").into());
                };
                is_whole = chronicle.follow(&posted, &mut |_, _, _| ());
            }
            if is_whole {
                return Ok(());
            }
            // While this was read, the journal may have been cut. Nobody removes messages from its middle in order.
            let next = chronicle.place().0 + 1;
            if hole.replace(next) == Some(next) && first <= next {
                let why = format!("message {next} of {last} is not there, and what follows it is: somebody removed it");
                return Err(ClusterError::refused("keep the journal of the command", why).into());
            }
        }
    }

    /// The last checkpoint. While this is read, another may take its place.
    fn checkpoint(&self) -> Result<Vec<u8>, FleetError> {
        let mut before = None;
        loop {
            let digest = find(&self.link, &self.command)?.listing.checkpoint;
            let digest = digest
                .ok_or_else(|| ClusterError::refused("keep the journal of the command", "its beginning is gone"))?;
            match self.link.get(&digest, files::MOST_BYTES) {
                Ok(sealed) => {
                    let foreign = || ClusterError::refused("keep the checkpoint", "it is another one");
                    return Ok(self.journal.key().open(checkpoints::FILE, &sealed).ok_or_else(foreign)?);
                }
                Err(error) if before.as_ref() == Some(&digest) => return Err(error.into()),
                Err(_) => before = Some(digest),
            }
        }
    }
}
