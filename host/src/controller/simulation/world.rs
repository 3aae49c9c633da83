//! The simulated world: time, links, processes and people, all at random from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::account::{Account, Trouble};
use super::job::job;
use super::worker::{SimulatedState, SimulatedWorker};
use crate::controller::{Books, Effect, Input, Job, Machine, Output};
use crate::fault::Standstill;
use crate::journal::{Entry, What};
use crate::pace::SlotIndex;
use crate::wire::{Command, Message};

/// A run that has not ended by then never will: this is more than three replacements of silent workers, one after the
/// other, and every other bounded wait.
const LAST: Duration = Duration::from_secs(600);

/// What is wanted of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// The verdict alone.
    Verdict,
    /// The story too, step by step.
    Story,
}

/// The outcome of a run.
pub(crate) struct Told {
    /// What did not hold; `None` if everything did.
    pub(crate) violation: Option<String>,
    /// The story, step by step; empty if it was not wanted.
    pub(crate) story: Vec<String>,
    /// How many entries the run had.
    pub(crate) entries: usize,
}

/// Runs the world of `seed` to its end, or to the first violation. Records the story, if it is wanted.
pub(crate) fn run(seed: u64, wanted: Telling) -> Told {
    let mut world = World::new(seed, wanted);
    let violation = world.work_through().err();
    Told { violation, story: world.story, entries: world.journal.len() }
}

/// A link from a worker: frames in order, each with its time of arrival.
#[derive(Default)]
struct Link {
    frames: VecDeque<(Duration, u64, Message)>,
    /// How many of `frames` were handed to the controller and are not entries with a place yet.
    handed: usize,
    sent: u64,
    /// When the controller hears of the end of the process.
    ends: Option<Duration>,
}

struct World {
    chance: Rng,
    now: Duration,
    job: Job,
    opened: SystemTime,
    machine: Machine,
    journal: Vec<Entry>,
    /// Entries that wait for their place; empty if entries get it at once.
    waiting: VecDeque<(Duration, Entry)>,
    delay_ms: u64,
    workers: BTreeMap<u32, SimulatedWorker>,
    links: BTreeMap<u32, Link>,
    told: BTreeMap<u32, VecDeque<(Duration, Command)>>,
    loads: BTreeMap<u32, (u32, SlotIndex)>,
    dismissed: BTreeSet<u32>,
    stops: Vec<Duration>,
    crashes: Vec<Duration>,
    deaths: Vec<Duration>,
    hangs: Vec<(Duration, Duration)>,
    deafness: Option<Duration>,
    /// When a kill reaches which worker.
    kills: Vec<(Duration, u32)>,
    tick: Duration,
    account: Account,
    trouble: Trouble,
    wanted: Telling,
    story: Vec<String>,
}

impl World {
    fn new(seed: u64, wanted: Telling) -> Self {
        let mut chance = Rng::with_seed(seed);
        let job = job(&mut chance);
        let moment = |chance: &mut Rng| Duration::from_millis(chance.u64(0..3_000));
        let some = |chance: &mut Rng, most: usize, one_in: u8| -> Vec<Duration> {
            let is_so = chance.u8(0..one_in) == 0;
            let how_many = if is_so { chance.usize(1..=most) } else { 0 };
            let mut moments: Vec<Duration> = (0..how_many).map(|_| moment(chance)).collect();
            moments.sort_unstable();
            moments
        };
        let stops = some(&mut chance, 3, 4);
        let crashes = some(&mut chance, 3, 3);
        let deaths = some(&mut chance, 5, 2);
        let hangs = some(&mut chance, 2, 3);
        let hangs = hangs.into_iter().map(|from| {
            // Some workers come back at about the time when they are given up.
            let late = chance.u64(20_500..22_500);
            let long = *chance.choice(&[50, 2_000, 15_000, late, late, 60_000, u64::MAX]).expect("there are some");
            (from, if long == u64::MAX { Duration::MAX } else { from + Duration::from_millis(long) })
        });
        let hangs: Vec<_> = hangs.collect();
        // Operations of a deaf worker end only with the phase or by a stop, so the run needs one of the two.
        let has_end = job.phases().iter().all(|(_, plan)| plan.extent().duration().is_some()) || !stops.is_empty();
        let deafness = (has_end && chance.u8(0..6) == 0).then(|| moment(&mut chance));
        let trouble = Trouble {
            stopped: !stops.is_empty(),
            died: !deaths.is_empty(),
            stuck: !hangs.is_empty() || deafness.is_some(),
        };
        let opened = SystemTime::UNIX_EPOCH;
        let delay_ms = *chance.choice(&[0, 0, 3, 40]).expect("there are some");
        Self {
            machine: Machine::new(Books::open(&job, opened), Duration::ZERO),
            account: Account::new(job.phases()),
            chance,
            now: Duration::ZERO,
            job,
            opened,
            journal: Vec::new(),
            waiting: VecDeque::new(),
            delay_ms,
            workers: BTreeMap::new(),
            links: BTreeMap::new(),
            told: BTreeMap::new(),
            loads: BTreeMap::new(),
            dismissed: BTreeSet::new(),
            stops,
            crashes,
            deaths,
            hangs,
            deafness,
            kills: Vec::new(),
            tick: Duration::ZERO,
            trouble,
            wanted,
            story: Vec::new(),
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.wanted == Telling::Story {
            let now = self.now;
            self.story.push(format!("{now:>12.3?}  {}", line()));
        }
    }

    fn work_through(&mut self) -> Result<(), String> {
        let plan = self.job.plan.clone();
        self.tell(|| format!("plan: {plan:?}"));
        while self.machine.ended().is_none() {
            self.now = self.next_moment();
            if self.now > LAST {
                return Err(format!("it has not ended after {LAST:?}"));
            }
            self.happen()?;
            self.account.agrees(self.machine.books())?;
            if self.chance.u8(0..30) == 0 {
                self.is_the_fold()?;
            }
        }
        self.is_the_fold()?;
        self.account.closes(self.machine.books(), self.trouble)
    }

    /// When the next thing happens.
    fn next_moment(&self) -> Duration {
        let mut next = self.tick;
        let mut consider = |moment: Duration| next = next.min(moment);
        [&self.stops, &self.crashes, &self.deaths].into_iter().filter_map(|of| of.first()).for_each(|&at| consider(at));
        self.hangs.first().into_iter().for_each(|&(at, _)| consider(at));
        self.deafness.into_iter().for_each(&mut consider);
        self.waiting.front().into_iter().for_each(|(at, _)| consider(*at));
        self.kills.iter().for_each(|(at, _)| consider(*at));
        for (id, worker) in &self.workers {
            consider(worker.next.max(worker.hangs_until));
            let told = self.told.get(id).and_then(VecDeque::front);
            if let Some((at, _)) = told {
                consider((*at).max(worker.hangs_until));
            }
        }
        for link in self.links.values() {
            let frame = link.frames.get(link.handed).map(|(at, ..)| *at);
            let end = link.ends.filter(|_| link.frames.is_empty());
            frame.into_iter().chain(end).for_each(&mut consider);
        }
        next.max(self.now)
    }

    /// Does what is due now.
    fn happen(&mut self) -> Result<(), String> {
        let now = self.now;
        let due = |moments: &mut Vec<Duration>| moments.first().is_some_and(|&at| at <= now).then(|| moments.remove(0));
        if let Some(died) = due(&mut self.deaths).and_then(|_| self.somebody()) {
            self.tell(|| format!("worker {died} dies"));
            self.die(died);
        }
        if let Some(&(at, until)) = self.hangs.first()
            && at <= now
        {
            self.hangs.remove(0);
            if let Some(hung) = self.somebody() {
                self.tell(|| format!("worker {hung} hangs until {until:?}"));
                self.workers.get_mut(&hung).into_iter().for_each(|of| of.hangs_until = until);
            }
        }
        if self.deafness.is_some_and(|at| at <= now) {
            self.deafness = None;
            if let Some(deaf) = self.somebody() {
                self.tell(|| format!("worker {deaf} goes deaf"));
                self.workers.get_mut(&deaf).into_iter().for_each(|of| of.is_deaf = true);
            }
        }
        for (_, killed) in self.kills.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.die(killed);
        }
        if due(&mut self.crashes).is_some() {
            self.crash();
        }
        if due(&mut self.stops).is_some() {
            self.tell(|| "a stop is requested".into());
            self.feed(Input::Stop)?;
        }
        while self.waiting.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, entry)) = self.waiting.pop_front() {
                self.record(entry)?;
            }
        }
        self.work(now)?;
        self.listen(now)?;
        if now >= self.tick {
            self.tick = now + Duration::from_millis(100);
            if self.chance.u32(0..2_000) == 0 {
                let (what, length) = (Standstill::Controller, Duration::from_secs(self.chance.u64(1..30)));
                self.feed(Input::Stalled { what, length })?;
            }
            self.feed(Input::Tick)?;
        }
        Ok(())
    }

    /// A worker that is alive, picked at random.
    fn somebody(&mut self) -> Option<u32> {
        let there: Vec<u32> = self.workers.keys().copied().collect();
        self.chance.choice(there).into_iter().next()
    }

    /// The workers that are not hung hear their commands and act.
    fn work(&mut self, now: Duration) -> Result<(), String> {
        let ids: Vec<u32> = self.workers.keys().copied().collect();
        for id in ids {
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.hangs_until <= now) else { continue };
            let told = self.told.entry(id).or_default();
            while let Some((_, command)) = told.pop_front_if(|(at, _)| *at <= now) {
                if let Command::NoMore | Command::Lease(_) | Command::Stop | Command::Cut = command {
                    worker.hear(&command, now)?;
                } else {
                    worker.hear(&command, now)?;
                    worker.next = now + Duration::from_millis(self.chance.u64(0..20));
                }
            }
            if let Some(&(_, first_slot)) = self.loads.get(&id)
                && worker.state == SimulatedState::Booting
                && worker.next == Duration::MAX
            {
                worker.load(first_slot);
                worker.next = now + Duration::from_millis(self.chance.u64(0..20));
            }
            if worker.next > now {
                continue;
            }
            let said = worker.act(now, &mut self.chance);
            for (phase, number) in std::mem::take(&mut worker.started) {
                self.account.start(id, phase, number)?;
            }
            let link = self.links.entry(id).or_default();
            for message in said {
                link.sent += 1;
                let late = if self.chance.u8(0..20) == 0 { 400 } else { 5 };
                let at = now + Duration::from_millis(self.chance.u64(0..late));
                let at = link.frames.back().map_or(at, |(before, ..)| at.max(*before));
                link.frames.push_back((at, link.sent, message));
            }
        }
        Ok(())
    }

    /// Hands what has arrived to the controller, some frames twice.
    fn listen(&mut self, now: Duration) -> Result<(), String> {
        let ids: Vec<u32> = self.links.keys().copied().collect();
        for id in ids {
            while let Some(link) = self.links.get_mut(&id)
                && let Some((_, frame, message)) = link.frames.get(link.handed).filter(|(at, ..)| *at <= now)
            {
                let (worker, frame, message) = (id, *frame, message.clone());
                link.handed += 1;
                if self.chance.u8(0..40) == 0 {
                    self.feed(Input::Heard { worker, frame, message: message.clone() })?;
                }
                self.feed(Input::Heard { worker, frame, message })?;
            }
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.frames.is_empty() && link.ends.is_some_and(|at| at <= now) {
                link.ends = None;
                if !self.dismissed.contains(&id) {
                    self.feed(Input::Gone { worker: id, how: "it died".into() })?;
                }
            }
        }
        Ok(())
    }

    /// A worker process ends now; what it has sent still arrives.
    fn die(&mut self, worker: u32) {
        self.workers.remove(&worker);
        self.told.remove(&worker);
        let link = self.links.entry(worker).or_default();
        let last = link.frames.back().map_or(self.now, |(at, ..)| *at);
        link.ends = Some(last.max(self.now) + Duration::from_millis(1));
    }

    /// The controller dies, and another one is rebuilt from the entries. What was handed to the first and has no place
    /// yet is handed to the second.
    fn crash(&mut self) {
        self.tell(|| "the controller dies, another is rebuilt".into());
        let mut books = Books::open(&self.job, self.opened);
        for entry in &self.journal {
            books.apply(entry);
        }
        self.machine = Machine::new(books, self.now);
        for (_, entry) in std::mem::take(&mut self.waiting) {
            match entry.what {
                What::Gone { worker, .. } => self.links.entry(worker).or_default().ends = Some(self.now),
                What::Decided(crate::journal::Decision::Stop | crate::journal::Decision::Cut) => {
                    // The person who wanted it asks again.
                    self.stops.insert(0, self.now + Duration::from_millis(1));
                }
                _ => {}
            }
        }
        self.links.values_mut().for_each(|link| link.handed = 0);
    }

    fn feed(&mut self, input: Input) -> Result<(), String> {
        let outputs = self.machine.step(input, self.now);
        self.carry_out(outputs)
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), String> {
        for output in outputs {
            match output {
                Output::Record(entry) if self.delay_ms == 0 => self.record(entry)?,
                Output::Record(entry) => {
                    let at = self.now + Duration::from_millis(self.chance.u64(0..self.delay_ms));
                    let at = self.waiting.back().map_or(at, |(before, _)| at.max(*before));
                    self.waiting.push_back((at, entry));
                }
                Output::Do(effect) => self.execute(effect)?,
                Output::Event(_) => {}
            }
        }
        Ok(())
    }

    /// Gives an entry its place.
    fn record(&mut self, entry: Entry) -> Result<(), String> {
        self.tell(|| format!("entry: {}", short(&entry)));
        if let What::Heard { worker, frame, .. } = &entry.what
            && let Some(link) = self.links.get_mut(worker)
            && link.frames.front().is_some_and(|(_, first, _)| first == frame)
        {
            link.frames.pop_front();
            link.handed = link.handed.saturating_sub(1);
        }
        self.account.book(&entry)?;
        self.journal.push(entry.clone());
        if self.journal.len() > 100_000 {
            return Err("it never stops deciding".into());
        }
        let outputs = self.machine.step(Input::Recorded(entry), self.now);
        self.carry_out(outputs)
    }

    fn execute(&mut self, effect: Effect) -> Result<(), String> {
        self.tell(|| format!("  do: {effect:?}"));
        self.account.see(&effect)?;
        let at = self.now + Duration::from_millis(self.chance.u64(0..10));
        let mut say = |worker: u32, command: Command| {
            let told = self.told.entry(worker).or_default();
            let at = told.back().map_or(at, |(before, _)| at.max(*before));
            told.push_back((at, command));
        };
        match effect {
            Effect::Launch(worker) => {
                let place = self.machine.books().workers[&worker].place;
                let new = SimulatedWorker::new(self.job.phases(), place, self.now, &mut self.chance);
                self.workers.insert(worker, new);
            }
            Effect::Load { worker, place, first_slot } => {
                self.loads.insert(worker, (place, first_slot));
                self.workers.get_mut(&worker).into_iter().for_each(|of| of.hangs_until = of.hangs_until.max(at));
            }
            Effect::SetUp(worker) => say(worker, Command::SetUp { prepared: String::new() }),
            Effect::Go { worker, phase, beginning } => say(worker, Command::Go { phase, beginning }),
            Effect::Lease(worker, numbers) => say(worker, numbers.map_or(Command::NoMore, Command::Lease)),
            Effect::Stop(worker) => say(worker, Command::Stop),
            Effect::Cut(worker) => say(worker, Command::Cut),
            Effect::Dismiss(worker) => {
                self.dismissed.insert(worker);
                self.die(worker);
            }
            Effect::Kill(worker) => {
                let late = if self.chance.bool() { 0 } else { self.chance.u64(0..3_000) };
                self.kills.push((self.now + Duration::from_millis(late), worker));
            }
            Effect::Noted(_) => {}
        }
        Ok(())
    }

    /// Checks that the fold of the entries equals the live books, byte by byte.
    fn is_the_fold(&self) -> Result<(), String> {
        let mut books = Books::open(&self.job, self.opened);
        for entry in &self.journal {
            books.apply(entry);
        }
        let bytes = |books: &Books| postcard::to_stdvec(books).map_err(|error| error.to_string());
        if bytes(&books)? == bytes(self.machine.books())? {
            Ok(())
        } else {
            Err("the fold of the entries is not the live books".into())
        }
    }
}

fn short(entry: &Entry) -> String {
    match &entry.what {
        What::Heard { worker, frame, message: Message::Delta(delta) } => format!(
            "worker {worker}, frame {frame}: counted {:?}, dropped {:?}, cut {:?}",
            delta.numbers, delta.dropped, delta.in_flight
        ),
        What::Heard { worker, frame, message } => format!("worker {worker}, frame {frame}: {message:?}"),
        what => format!("{what:?}"),
    }
}
