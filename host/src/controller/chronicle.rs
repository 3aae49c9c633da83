//! What the journal of a command says about its runs: the fold of everything that was posted, in its order.
//!
//! A controller that takes over reads the chronicle and goes on; one that follows keeps it up to date.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::books::{Books, Effect, Failure};
use super::broken_off;
use super::events::RunEvent;
use super::machine::{Input, Machine, Output};
use super::remote::{self, Item, Order};
use crate::cluster::journal::Posted;
use crate::cluster::subjects;
use crate::journal::{Entry, Writer};
use crate::record::RunRecord;

/// The runs of a command, as its journal tells of them.
pub(super) struct Chronicle {
    command: String,
    /// The boxes of each run, in their order.
    boxes: BTreeMap<u32, Vec<String>>,
    /// The epoch and the serial of the last bundle of decisions.
    decided: (u32, u64),
    /// The place of the last message that was read.
    read: u64,
    /// Whether no bundle is incomplete there.
    is_whole: bool,
    runs: BTreeMap<u32, Told>,
}

/// A run.
pub(super) struct Told {
    /// When it was opened, by the server's clock.
    pub(super) opened: SystemTime,
    pub(super) machine: Machine,
    pub(super) orders: Orders,
    /// When the last entry was written, since the run was opened.
    latest: Duration,
    closed: Option<Duration>,
    /// Why it could not go on.
    broken: Option<String>,
}

/// Which orders the agents were given in a run. They follow from the books, so that every controller counts alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Orders {
    /// The box of each worker.
    on: BTreeMap<u32, u32>,
    /// How many orders each box was given.
    given: BTreeMap<u32, u64>,
    /// The orders for each box that are not known to be in the journal. A controller may die between a decision and the
    /// orders that follow from it; without them, the box would obey none that come later.
    pending: BTreeMap<u32, VecDeque<Order>>,
}

impl Orders {
    /// The order that an effect makes, and the index of the box that is to carry it out; `None` if nobody is.
    pub(super) fn next(&mut self, run: u32, effect: Effect) -> Option<(u32, Order)> {
        let worker = effect.worker()?;
        if let Effect::Launch { worker, on } = effect {
            self.on.insert(worker, on);
        }
        let index = *self.on.get(&worker)?;
        let given = self.given.entry(index).or_default();
        *given += 1;
        let order = Order { run, index: *given, effect };
        self.pending.entry(index).or_default().push_back(order.clone());
        Some((index, order))
    }

    /// The orders for a box are in the journal, up to the one with the index `last`.
    pub(super) fn stored(&mut self, index: u32, last: u64) {
        if let Some(pending) = self.pending.get_mut(&index) {
            while pending.front().is_some_and(|order| order.index <= last) {
                pending.pop_front();
            }
        }
    }

    /// The index of the last order for a box that is known to be in the journal, with all before it.
    pub(super) fn settled(&self, index: u32) -> u64 {
        let first = self.pending(index).next().map(|order| order.index - 1);
        first.unwrap_or_else(|| self.given.get(&index).copied().unwrap_or_default())
    }

    /// The orders for a box that are not known to be in the journal.
    pub(super) fn pending(&self, index: u32) -> impl Iterator<Item = &Order> {
        self.pending.get(&index).into_iter().flatten()
    }
}

/// A chronicle as it is kept in a file on the server.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    decided: (u32, u64),
    read: u64,
    runs: Vec<(u32, KeptRun<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct KeptRun<'a> {
    opened: SystemTime,
    books: Cow<'a, Books>,
    orders: Cow<'a, Orders>,
    latest: Duration,
    closed: Option<Duration>,
    broken: Option<String>,
}

impl Chronicle {
    /// The chronicle of a command of which nothing has been read.
    pub(super) fn new(command: &str) -> Self {
        let (boxes, runs) = (BTreeMap::new(), BTreeMap::new());
        Self { command: command.to_owned(), boxes, decided: (0, 0), read: 0, is_whole: true, runs }
    }

    /// The chronicle with what a checkpoint says.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Kept { decided, read, runs } = remote::read(bytes)?;
        (self.decided, self.read) = (decided, read);
        let told = |KeptRun { opened, books, orders, latest, closed, broken }| Told {
            opened,
            machine: Machine::watching(books.into_owned()),
            orders: orders.into_owned(),
            latest,
            closed,
            broken,
        };
        for (run, of) in runs {
            self.boxes.insert(run, of.books.box_names().map(str::to_owned).collect());
            self.runs.insert(run, told(of));
        }
        Ok(())
    }

    /// The chronicle as a checkpoint, with the books of the run that is under way: when it was opened, and how long
    /// ago.
    pub(super) fn to_bytes(
        &self,
        run: u32,
        (opened, latest): (SystemTime, Duration),
        books: &Books,
        orders: &Orders,
    ) -> io::Result<Vec<u8>> {
        let kept = |of: &Told| KeptRun {
            opened: of.opened,
            books: Cow::Owned(of.machine.books().clone()),
            orders: Cow::Owned(of.orders.clone()),
            latest: of.latest,
            closed: of.closed,
            broken: of.broken.clone(),
        };
        let mut runs: Vec<_> = self.runs.iter().map(|(&run, of)| (run, kept(of))).collect();
        let (books, orders) = (Cow::Borrowed(books), Cow::Borrowed(orders));
        runs.push((run, KeptRun { opened, books, orders, latest, closed: None, broken: None }));
        remote::bytes(&Kept { decided: self.decided, read: self.read, runs })
    }

    /// What was posted, item by item, with their true writers. Nothing, if it was posted before already.
    pub(super) fn items(&mut self, posted: &Posted) -> Vec<Item> {
        if posted.sequence > self.read {
            (self.read, self.is_whole) = (posted.sequence, posted.whole == posted.sequence);
        }
        let epoch = posted.bundle.epoch;
        let agent = posted.subject.strip_prefix(&subjects::from(&self.command, ""));
        if posted.subject == subjects::decided(&self.command) {
            let decided = (epoch, posted.bundle.serial);
            if decided <= self.decided {
                return Vec::new();
            }
            self.decided = decided;
        } else if let Some(agent) = posted.subject.strip_prefix(&subjects::to(&self.command, "")) {
            self.note_orders(agent, posted);
            return Vec::new();
        } else if agent.is_none() {
            return Vec::new();
        }
        let items = posted.bundle.items.iter().filter_map(|item| remote::read::<Item>(item).ok());
        let mut of_writer = |item| match (item, agent) {
            (Item::Noted { run, entry }, None) => {
                Some(Item::Noted { run, entry: Entry { by: Writer::Controller { epoch }, ..entry } })
            }
            (Item::Noted { run, entry }, Some(agent)) => {
                let index = self.boxes.get(&run)?.iter().position(|of| of == agent)?;
                Some(Item::Noted { run, entry: Entry { by: Writer::Box(index as u32), ..entry } })
            }
            (item, None) => {
                if let Item::Opened { run, books } = &item {
                    self.boxes.insert(*run, books.box_names().map(str::to_owned).collect());
                }
                Some(item)
            }
            (_, Some(_)) => None,
        };
        items.filter_map(&mut of_writer).collect()
    }

    /// Notes which orders for an agent are in the journal.
    fn note_orders(&mut self, agent: &str, posted: &Posted) {
        for order in posted.bundle.items.iter().filter_map(|item| remote::read::<Order>(item).ok()) {
            let boxes = self.boxes.get(&order.run).into_iter().flatten();
            let index = (0..).zip(boxes).find(|(_, name)| *name == agent).map(|(index, _)| index);
            if let Some((index, of)) = index.zip(self.runs.get_mut(&order.run)) {
                of.orders.stored(index, order.index);
            }
        }
    }

    /// Books the next message of all subjects, and tells of the events that follow. Returns false, and does nothing, if
    /// a message before it is missing: the journal was cut before that was read.
    pub(super) fn follow(&mut self, posted: &Posted, tell: &mut dyn FnMut(u32, &RunEvent, &Books)) -> bool {
        let is_next = posted.sequence <= self.read + 1;
        if is_next {
            self.apply(posted, tell);
        }
        is_next
    }

    fn apply(&mut self, posted: &Posted, tell: &mut dyn FnMut(u32, &RunEvent, &Books)) {
        for item in self.items(posted) {
            match item {
                Item::Opened { run, books } => {
                    let machine = Machine::watching(*books);
                    let told = Told::opened(posted.published, machine, Orders::default());
                    self.runs.insert(run, told);
                }
                Item::Noted { run, entry } => {
                    let Some(of) = self.runs.get_mut(&run).filter(|of| of.closed.is_none()) else { continue };
                    let at = entry.at;
                    of.latest = of.latest.max(at);
                    for output in of.machine.step(Input::Recorded(entry), at) {
                        match output {
                            Output::Do(effect) => drop(of.orders.next(run, effect)),
                            Output::Event(event) => tell(run, &event, of.machine.books()),
                            Output::Record(_) => {}
                        }
                    }
                }
                Item::Closed { run, at, broken } => {
                    if let Some(of) = self.runs.get_mut(&run).filter(|of| of.closed.is_none()) {
                        of.closed = Some(at);
                        if let Some(why) = broken {
                            of.break_off(why);
                        }
                    }
                }
            }
        }
    }

    /// The place of the last message that was read, and whether no bundle is incomplete there.
    pub(super) fn place(&self) -> (u64, bool) {
        (self.read, self.is_whole)
    }

    /// A run that was opened.
    pub(super) fn run(&self, run: u32) -> Option<&Told> {
        self.runs.get(&run)
    }

    /// A run that was opened, for a controller that goes on with it.
    pub(super) fn take(&mut self, run: u32) -> Option<Told> {
        self.runs.remove(&run)
    }

    /// All runs, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Told> {
        self.runs.values()
    }

    /// A run is over.
    pub(super) fn close(&mut self, run: u32, told: Told, at: Duration, broken: Option<String>) {
        self.runs.insert(run, Told { closed: Some(at), broken, ..told });
    }

    /// The command is over: a run that has no end in the journal could not go on.
    pub(super) fn end(&mut self) {
        for of in self.runs.values_mut().filter(|of| of.closed.is_none()) {
            of.closed = Some(of.latest);
            of.break_off("the journal ends before the run".into());
        }
    }
}

impl Told {
    /// When the last entry was written, since the run was opened.
    pub(super) fn latest(&self) -> Duration {
        self.latest
    }

    /// A run that is opened now.
    pub(super) fn opened(opened: SystemTime, machine: Machine, orders: Orders) -> Self {
        Self { opened, machine, orders, latest: Duration::ZERO, closed: None, broken: None }
    }

    /// The run could not go on: what its workers held is lost.
    fn break_off(&mut self, why: String) {
        self.machine.abandon();
        self.broken = Some(why);
    }

    /// Whether it never began, because a box was gone. Another run is in its place.
    pub(super) fn is_void(&self) -> bool {
        matches!(self.machine.ended(), Some(Err(Failure::BoxGone(_))))
    }

    /// The record of the run, if it is over.
    pub(super) fn record(&self) -> Option<RunRecord> {
        self.closed.map(|at| self.record_at(at))
    }

    /// The record of the run as far as the journal goes.
    pub(super) fn record_so_far(&self) -> RunRecord {
        self.record_at(self.closed.unwrap_or(self.latest))
    }

    fn record_at(&self, at: Duration) -> RunRecord {
        let record = self.machine.books().record(at);
        match &self.broken {
            Some(why) => broken_off(record, why),
            None => record,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_are_not_in_the_journal_are_known() {
        let mut orders = Orders::default();
        let indices = |orders: &Orders, of: u32| orders.pending(of).map(|order| order.index).collect::<Vec<_>>();
        for (worker, on) in [(0, 0), (1, 1), (2, 0)] {
            orders.next(3, Effect::Launch { worker, on });
        }
        orders.next(3, Effect::SetUp(2));
        assert_eq!((indices(&orders, 0), indices(&orders, 1)), (vec![1, 2, 3], vec![1]));
        assert_eq!((orders.settled(0), orders.settled(1), orders.settled(7)), (0, 0, 0));
        orders.stored(0, 2);
        orders.stored(1, 1);
        assert_eq!((indices(&orders, 0), indices(&orders, 1)), (vec![3], vec![]));
        assert_eq!((orders.settled(0), orders.settled(1)), (2, 1));
        // A worker that nobody has launched.
        assert!(orders.next(3, Effect::SetUp(9)).is_none());
    }
}
