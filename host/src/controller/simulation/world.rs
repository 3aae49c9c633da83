//! The simulated world: time, links, processes and people, all at random from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::account::{Account, Trouble};
use super::job::job;
use super::misfortunes::{Misfortunes, Outage};
use super::worker::{SimulatedState, SimulatedWorker};
use crate::controller::{Books, Effect, Input, Job, Machine, Output};
use crate::fault::Standstill;
use crate::journal::{Entry, What, Writer};
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
    misfortunes: Misfortunes,
    dead_boxes: BTreeSet<u32>,
    /// When each box says next that it is there.
    presence: Vec<Duration>,
    /// What a box has to do when its link is back.
    postponed: VecDeque<(u32, Effect)>,
    /// The box of each worker.
    on: BTreeMap<u32, u32>,
    /// A controller that another has replaced, and that does not know it yet.
    zombie: Option<Machine>,
    /// The last epoch that a controller was given.
    epoch: u32,
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
        let (boxes, misfortunes) = (job.spread.boxes.len() as u32, Misfortunes::new(&job, &mut chance));
        let opened = SystemTime::UNIX_EPOCH;
        let delays: &[u64] = if boxes > 0 { &[1, 3, 40] } else { &[0, 0, 3, 40] };
        let delay_ms = *chance.choice(delays).expect("there are some");
        let presence = (0..boxes).map(|_| Duration::from_millis(chance.u64(0..1_000))).collect();
        Self {
            machine: Machine::new(Books::open(&job, opened), Duration::ZERO),
            account: Account::new(&job),
            trouble: misfortunes.trouble(),
            epoch: job.spread.epoch,
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
            misfortunes,
            dead_boxes: BTreeSet::new(),
            presence,
            postponed: VecDeque::new(),
            on: BTreeMap::new(),
            zombie: None,
            kills: Vec::new(),
            tick: Duration::ZERO,
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
        [&self.misfortunes.stops, &self.misfortunes.crashes, &self.misfortunes.deaths]
            .into_iter()
            .filter_map(|of| of.first())
            .for_each(|&at| consider(at));
        self.misfortunes.hangs.first().into_iter().for_each(|&(at, _)| consider(at));
        self.misfortunes.deafness.into_iter().for_each(&mut consider);
        let is_taken = self.outage().is_none();
        self.waiting.front().filter(|_| is_taken).into_iter().for_each(|(at, _)| consider(*at));
        self.kills.iter().for_each(|(at, _)| consider(*at));
        for (id, worker) in &self.workers {
            consider(worker.next.max(worker.hangs_until));
            let told = self.told.get(id).filter(|_| !self.is_cut_off(*id)).and_then(VecDeque::front);
            if let Some((at, _)) = told {
                consider((*at).max(worker.hangs_until));
            }
        }
        for (_, link) in self.links.iter().filter(|(id, _)| is_taken && !self.is_cut_off(**id)) {
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
        if let Some(died) = due(&mut self.misfortunes.deaths).and_then(|_| self.somebody()) {
            self.tell(|| format!("worker {died} dies"));
            self.die(died);
        }
        if let Some(&(at, until)) = self.misfortunes.hangs.first()
            && at <= now
        {
            self.misfortunes.hangs.remove(0);
            if let Some(hung) = self.somebody() {
                self.tell(|| format!("worker {hung} hangs until {until:?}"));
                self.workers.get_mut(&hung).into_iter().for_each(|of| of.hangs_until = until);
            }
        }
        if self.misfortunes.deafness.is_some_and(|at| at <= now) {
            self.misfortunes.deafness = None;
            if let Some(deaf) = self.somebody() {
                self.tell(|| format!("worker {deaf} goes deaf"));
                self.workers.get_mut(&deaf).into_iter().for_each(|of| of.is_deaf = true);
            }
        }
        self.move_boxes()?;
        for (_, killed) in self.kills.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.die(killed);
        }
        if due(&mut self.misfortunes.crashes).is_some() {
            self.crash();
        }
        if due(&mut self.misfortunes.stops).is_some() {
            self.tell(|| "a stop is requested".into());
            self.feed(Input::Stop)?;
        }
        while self.outage().is_none() && self.waiting.front().is_some_and(|(at, _)| *at <= now) {
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
            if self.outage().is_some_and(|of| !of.is_full) {
                self.feed(Input::Unlinked)?;
            }
            self.feed(Input::Tick)?;
            if let Some(mut zombie) = self.zombie.take() {
                let outputs = zombie.step(Input::Tick, now);
                self.zombie = Some(zombie);
                self.hear_the_zombie(outputs);
            }
        }
        Ok(())
    }

    /// What happens to boxes now.
    fn move_boxes(&mut self) -> Result<(), String> {
        let now = self.now;
        for (_, index) in self.misfortunes.box_deaths.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.tell(|| format!("box {index} dies"));
            self.dead_boxes.insert(index);
            for worker in self.workers_of(index) {
                self.workers.remove(&worker);
                self.told.remove(&worker);
                self.links.remove(&worker);
            }
        }
        for (at, index) in self.misfortunes.box_leaves.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            if self.dead_boxes.contains(&index) || self.cut(index).is_some() || self.outage().is_some() {
                continue;
            }
            self.tell(|| format!("box {index} leaves"));
            self.record(Entry { at, by: Writer::Box(index), what: What::Leaving })?;
            for worker in self.workers_of(index) {
                self.told.entry(worker).or_default().push_back((now, Command::Stop));
            }
        }
        for index in 0..self.presence.len() as u32 {
            if self.dead_boxes.contains(&index) {
                continue;
            }
            if let Some(cut) = self.cut(index) {
                // The agent has heard nothing for too long.
                if now >= cut.0 + Duration::from_secs(10) {
                    for worker in self.workers_of(index) {
                        self.die(worker);
                    }
                }
                continue;
            }
            while let Some(at) = self.postponed.iter().position(|(of, _)| *of == index) {
                if let Some((_, effect)) = self.postponed.remove(at) {
                    self.execute_there(effect);
                }
            }
            if now >= self.presence[index as usize] {
                self.presence[index as usize] = now + Duration::from_secs(1);
                self.feed(Input::Present { index })?;
                if let Some(zombie) = &mut self.zombie {
                    zombie.step(Input::Present { index }, now);
                }
            }
        }
        Ok(())
    }

    /// The cut of a box's link at present: its own, or that of all boxes while the server is gone.
    fn cut(&self, index: u32) -> Option<(Duration, Duration)> {
        let cut =
            self.misfortunes.cuts.iter().find(|(of, from, until)| *of == index && (*from..*until).contains(&self.now));
        let gone = || self.outage().filter(|of| !of.is_full).map(|of| (of.from, of.from + of.length));
        cut.map(|&(_, from, until)| (from, until)).or_else(gone)
    }

    /// What keeps the journal from taking entries at present.
    fn outage(&self) -> Option<&Outage> {
        self.misfortunes.server.as_ref().filter(|of| (of.from..of.from + of.length).contains(&self.now))
    }

    /// The box of a worker, if it cannot be reached at present.
    fn is_cut_off(&self, worker: u32) -> bool {
        self.on.get(&worker).is_some_and(|&on| !self.job.spread.boxes.is_empty() && self.cut(on).is_some())
    }

    fn workers_of(&self, index: u32) -> Vec<u32> {
        self.workers.keys().copied().filter(|worker| self.on.get(worker) == Some(&index)).collect()
    }

    /// What a controller that was replaced wants recorded is on its way too. Its orders are those that its successor
    /// gives.
    fn hear_the_zombie(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            if let Output::Record(entry) = output {
                self.tell(|| format!("the controller that was replaced: {}", short(&entry)));
                self.wait_for_place(entry);
            }
        }
    }

    fn wait_for_place(&mut self, entry: Entry) {
        let at = self.now + Duration::from_millis(self.chance.u64(0..self.delay_ms));
        let at = self.waiting.back().map_or(at, |(before, _)| at.max(*before));
        self.waiting.push_back((at, entry));
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
            let is_cut_off = self.is_cut_off(id);
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.hangs_until <= now) else { continue };
            let told = self.told.entry(id).or_default();
            while let Some((_, command)) = told.pop_front_if(|(at, _)| *at <= now && !is_cut_off) {
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
        if self.outage().is_some() {
            return Ok(());
        }
        let ids: Vec<u32> = self.links.keys().copied().collect();
        if !self.job.spread.boxes.is_empty() {
            return ids
                .into_iter()
                .filter(|id| !self.is_cut_off(*id))
                .collect::<Vec<_>>()
                .into_iter()
                .try_for_each(|id| self.listen_far(id, now));
        }
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

    /// What the agent of a worker has heard becomes entries, some of them twice.
    fn listen_far(&mut self, id: u32, now: Duration) -> Result<(), String> {
        let by = Writer::Box(self.on[&id]);
        while let Some(link) = self.links.get_mut(&id)
            && let Some((at, frame, message)) = link.frames.pop_front_if(|(at, ..)| *at <= now)
        {
            let entry = Entry { at, by, what: What::Heard { worker: id, frame, message } };
            if self.chance.u8(0..40) == 0 {
                self.record(entry.clone())?;
            }
            self.record(entry)?;
        }
        if let Some(link) = self.links.get_mut(&id)
            && link.frames.is_empty()
            && let Some(at) = link.ends.filter(|at| *at <= now)
        {
            link.ends = None;
            if !self.dismissed.contains(&id) {
                self.record(Entry { at, by, what: What::Gone { worker: id, how: "it died".into() } })?;
            }
        }
        Ok(())
    }

    /// A worker process ends now; what it has sent still arrives.
    fn die(&mut self, worker: u32) {
        if self.on.get(&worker).is_some_and(|on| self.dead_boxes.contains(on)) {
            return;
        }
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
        let checkpoint = self.chance.usize(0..=self.journal.len());
        for (i, entry) in self.journal.iter().enumerate() {
            if i == checkpoint {
                let bytes = postcard::to_stdvec(&books).expect("books can be written");
                books = postcard::from_bytes(&bytes).expect("books can be read");
            }
            books.apply(entry);
        }
        if !self.job.spread.boxes.is_empty() {
            // What the first has put out is on its way, and it may not know that it was replaced.
            // Each epoch is given once. Whoever was given one may have said nothing yet, or never will.
            self.epoch += self.chance.u32(1..4);
            let next = Machine::after_another(books, self.now, self.epoch);
            let before = std::mem::replace(&mut self.machine, next);
            self.zombie = self.chance.bool().then_some(before);
            return;
        }
        self.machine = Machine::new(books, self.now);
        for (_, entry) in std::mem::take(&mut self.waiting) {
            match entry.what {
                What::Gone { worker, .. } => self.links.entry(worker).or_default().ends = Some(self.now),
                What::Decided(crate::journal::Decision::Stop | crate::journal::Decision::Cut) => {
                    // The person who wanted it asks again.
                    self.misfortunes.stops.insert(0, self.now + Duration::from_millis(1));
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
                Output::Record(entry) => self.wait_for_place(entry),
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
        let counts = self.account.book(&entry)?;
        self.journal.push(entry.clone());
        if self.journal.len() > 100_000 {
            return Err("it never stops deciding".into());
        }
        if let Some(mut zombie) = self.zombie.take() {
            let outputs = zombie.step(Input::Recorded(entry.clone()), self.now);
            self.zombie = Some(zombie);
            self.hear_the_zombie(outputs);
        }
        let outputs = self.machine.step(Input::Recorded(entry), self.now);
        if !counts && outputs.iter().any(|output| matches!(output, Output::Do(_))) {
            return Err("an entry that does not count has an effect".into());
        }
        self.carry_out(outputs)
    }

    fn execute(&mut self, effect: Effect) -> Result<(), String> {
        self.tell(|| format!("  do: {effect:?}"));
        self.account.see(&effect)?;
        if let Effect::Launch { worker, on } = effect {
            self.on.insert(worker, on);
        }
        let Some(on) = effect.worker().and_then(|worker| self.on.get(&worker)).copied() else { return Ok(()) };
        let is_of_process = matches!(effect, Effect::Launch { .. } | Effect::Kill(_) | Effect::Dismiss(_));
        if !self.job.spread.boxes.is_empty() && is_of_process && self.cut(on).is_some() {
            self.postponed.push_back((on, effect));
        } else if !self.dead_boxes.contains(&on) || self.job.spread.boxes.is_empty() {
            self.execute_there(effect);
        }
        Ok(())
    }

    fn execute_there(&mut self, effect: Effect) {
        let at = self.now + Duration::from_millis(self.chance.u64(0..10));
        let mut say = |worker: u32, command: Command| {
            let told = self.told.entry(worker).or_default();
            let at = told.back().map_or(at, |(before, _)| at.max(*before));
            told.push_back((at, command));
        };
        match effect {
            Effect::Launch { worker, .. } => {
                let place = self.machine.books().workers[&worker].place;
                let new = SimulatedWorker::new(&self.job, place, self.now, &mut self.chance);
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
