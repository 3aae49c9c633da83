//! A run over boxes: its workers are started by agents, and an entry has its place once the journal has it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, bounded, never, select, tick};

use super::RunError;
use super::asking::{ANSWER, LOOK, ask, compare};
use super::books::{Books, Effect};
use super::checkpoints::Checkpoints;
use super::chronicle::{Orders, Told};
use super::fleet::{FilesThere, Fleet};
use super::job::Job;
use super::machine::{Input, Machine};
use super::remote::{self, Aside, HookCall, HookReply, Invitation, Item, Order, RunName, Start};
use super::shell::Reach;
use crate::clock::system_monotonic;
use crate::cluster::journal::{Appender, Posted, Trouble};
use crate::cluster::presence::Presence;
use crate::cluster::subjects::{self, Ask};
use crate::cluster::{Listening, Mail};
use crate::journal::{ClockReading, Entry};
use crate::metrics::NetworkCounts;
use crate::wire::{Command, Message};

/// How many news may wait.
const NEWS: usize = 1_024;

/// How long an agent may take to fetch and compile a task: the compiler ends after three minutes.
const OPENING: Duration = Duration::from_secs(240);

/// How long a hook may take beyond its time-out.
const GRACE: Duration = Duration::from_secs(25);

/// Without a time-out of its own a hook may take a day.
const ENDLESS: Duration = Duration::from_secs(24 * 3_600);

/// How often the clocks are compared during a run.
const COMPARED: Duration = Duration::from_secs(10);

/// How long the server may be away before the run ends without it.
const AWAY: Duration = Duration::from_secs(60);

/// Something that came from the server.
#[derive(Debug)]
pub(super) enum News {
    Posted(Posted),
    Mail(Mail),
    Compared { index: u32, reading: ClockReading },
    Trouble(Trouble),
}

/// The boxes of one run.
pub(super) struct Boxes<'f> {
    fleet: &'f Fleet,
    /// The agents, in the order of the boxes.
    agents: Vec<Presence>,
    name: RunName,
    epoch: u32,
    hook_timeout: Option<Duration>,
    /// The system's monotonic clock when the run was opened.
    opened: Duration,
    news_in: Sender<News>,
    news: Receiver<News>,
    decider: Appender,
    /// Why the decider appends nothing any more.
    undecided: Receiver<Trouble>,
    /// The orders that follow from the books.
    orders: Orders,
    /// Carries the orders to each box, with the index of the last one that is in the journal already.
    carriers: Vec<(Appender, u64)>,
    /// When the run was opened, by the server's clock; once that is known.
    opened_there: Option<SystemTime>,
    checkpoints: Checkpoints,
    _listening: Vec<Listening>,
    compared: Instant,
    /// Since when the server has been away.
    away: Option<Instant>,
    trouble: Option<Trouble>,
    /// Whether there was trouble, so that nothing more is appended.
    is_broken: bool,
}

impl<'f> Boxes<'f> {
    /// Invites the agents of `fleet` to the run of `job`, which needs `files`, and waits until all have compiled the
    /// task. If one is gone, the others can be invited again.
    pub(super) fn invite(
        fleet: &'f Fleet,
        run: u32,
        job: &Job,
        files: &FilesThere,
        stops: &Receiver<()>,
    ) -> Result<RunName, RunError> {
        let name = fleet.name_of(run);
        let invitation = Invitation {
            run: name.clone(),
            index: 0,
            phases: job.phases(),
            contact: job.spread.contact,
            orphan_timeout: fleet.orphan_timeout(),
            is_kept: fleet.journal_max().is_none(),
            task: job.task.path.clone(),
            sha256: job.task.sha256.clone(),
            data: files.data.clone(),
            authorities: files.authorities.clone(),
        };
        let agents = fleet.agents();
        let invite = |index| Invitation { index, ..invitation.clone() };
        let gone = fleet.ask_all(&agents, Ask::Open, OPENING, stops, invite)?;
        let Some(agent) = gone.first() else { return Ok(name) };
        // The others wait for nothing.
        let _ = fleet.ask_all(&agents, Ask::Close, ANSWER, &never(), |_| name.clone());
        Err(RunError::BoxGone(format!("the box {agent} was lost before the run began")))
    }

    /// The run of `job`, to which the agents have been invited as `name`, opened at `opened` by the system's monotonic
    /// clock.
    pub(super) fn open(fleet: &'f Fleet, name: RunName, job: &Job, opened: Duration) -> Result<Self, RunError> {
        Self::new(fleet, name, job, opened, Orders::default(), None)
    }

    /// The run of `job` that another controller has left: with the server's time when it was opened, and with the
    /// orders that the journal tells of.
    pub(super) fn go_on(
        fleet: &'f Fleet,
        run: u32,
        job: &Job,
        opened: Duration,
        (there, orders): (SystemTime, Orders),
    ) -> Result<Self, RunError> {
        let mut boxes = Self::new(fleet, fleet.name_of(run), job, opened, orders, Some(there))?;
        let extent = fleet.journal.extent(&fleet.link).map_err(RunError::Cluster)?;
        let (read, is_whole) = fleet.chronicle.borrow().place();
        boxes.checkpoints.take_over(extent.bytes, read, is_whole);
        for (index, (agent, (carrier, known))) in (0..).zip(boxes.agents.iter().zip(&mut boxes.carriers)) {
            let subject = subjects::to(&fleet.command, &agent.name);
            let last = fleet.journal.last_bundle(&fleet.link, &subject).map_err(RunError::Cluster)?;
            let orders =
                last.iter().flat_map(|bundle| &bundle.items).filter_map(|item| remote::read::<Order>(item).ok());
            let last = orders.filter(|order| order.run == run).map(|order| order.index).max().unwrap_or_default();
            *known = last.max(boxes.orders.settled(index));
            // What the controller before has decided, and did not come to order.
            for order in boxes.orders.pending(index).filter(|order| order.index > *known) {
                let order = remote::bytes(order).map_err(|error| RunError::Journal(error.to_string()))?;
                carrier.append(order);
            }
        }
        Ok(boxes)
    }

    fn new(
        fleet: &'f Fleet,
        name: RunName,
        job: &Job,
        opened: Duration,
        orders: Orders,
        opened_there: Option<SystemTime>,
    ) -> Result<Self, RunError> {
        let (news_in, news) = bounded(NEWS);
        let (journal, link, epoch) = (&fleet.journal, &fleet.link, fleet.epoch());
        let (decider, undecided) = fleet.decider().ok_or_else(|| RunError::Fenced(fleet.command.clone()))?;
        let trouble = || {
            let news_in = news_in.clone();
            move |trouble| drop(news_in.try_send(News::Trouble(trouble)))
        };
        let command = &name.command;
        let heard = vec![subjects::decided(command), subjects::from(command, "*")];
        let followed = journal.follow(link, heard, fleet.chronicle.borrow().place().0, news_in.clone(), News::Posted);
        let subscribed = [&subjects::presence("*"), &subjects::output(command), &subjects::trouble(command)]
            .map(|subject| link.subscribe_to(subject, news_in.clone(), News::Mail).map_err(RunError::Cluster));
        let mut listening = vec![followed];
        for subscribed in subscribed {
            listening.push(subscribed?);
        }
        let order = |agent: &Presence| {
            let writer = format!("{epoch}/{}/{}", name.run, agent.name);
            let (subject, patience) = (subjects::to(command, &agent.name), fleet.patience());
            (journal.appender(link, subject, writer, epoch, patience, trouble()), 0)
        };
        let agents = fleet.agents();
        let carriers = agents.iter().map(order).collect();
        Ok(Self {
            fleet,
            agents,
            name,
            epoch,
            hook_timeout: job.plan.limits().hook_timeout,
            opened,
            news_in,
            news,
            decider,
            undecided,
            orders,
            carriers,
            opened_there,
            checkpoints: Checkpoints::new(fleet.journal_max()),
            _listening: listening,
            compared: Instant::now(),
            away: None,
            trouble: None,
            is_broken: false,
        })
    }

    fn index(&self, agent: &str) -> Option<u32> {
        (0..).zip(&self.agents).find(|(_, of)| of.name == agent).map(|(index, _)| index)
    }

    /// What the machine hears because of a bundle of the journal.
    fn read(&mut self, posted: &Posted) -> Vec<Input> {
        self.checkpoints.read(posted);
        if posted.bundle.epoch > self.epoch {
            self.trouble.get_or_insert(Trouble::Fenced);
        }
        let mut inputs = Vec::new();
        let items = self.fleet.chronicle.borrow_mut().items(posted);
        for item in items {
            match item {
                Item::Noted { run, entry } if run == self.name.run => inputs.push(Input::Recorded(entry)),
                Item::Opened { run, .. } if run == self.name.run => self.opened_there = Some(posted.published),
                Item::Noted { .. } | Item::Opened { .. } | Item::Closed { .. } => {}
            }
        }
        inputs
    }

    fn hear(&mut self, mail: &Mail) -> Option<Input> {
        if let Some(presence) = Presence::read(mail) {
            let index = self.index(&presence.name)?;
            // Another process of this name is not the one that was invited.
            if self.agents[index as usize].session != presence.session {
                return None;
            }
            if presence.carried_out.0 == self.name.run {
                self.checkpoints.carried_out(index, presence.carried_out.1);
            }
            return Some(Input::Present { index });
        }
        let Aside { run, message } = remote::open(self.fleet.journal.key(), &mail.subject, &mail.payload).ok()?;
        (run == self.name.run && message.is_aside()).then_some(Input::Heard { worker: 0, frame: 0, message })
    }

    fn append(&mut self, item: &Item) {
        match remote::bytes(item) {
            Ok(item) => self.decider.append(item),
            Err(error) => drop(self.trouble.get_or_insert(Trouble::Full(error.to_string()))),
        }
    }

    /// Waits until everything has been appended, if that is possible.
    fn flush(&self) {
        let until = Instant::now() + ANSWER;
        let appenders = || self.carriers.iter().map(|(carrier, _)| carrier).chain([&self.decider]);
        while !self.is_broken && appenders().any(|appender| appender.waiting_bytes() > 0) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// This controller has been replaced, and must do nothing more.
    fn fenced(&mut self) -> RunError {
        self.is_broken = true;
        self.fleet.lose_command();
        RunError::Fenced(self.name.command.clone())
    }

    /// Compares the clocks of all boxes, beside the run.
    fn compare(&mut self) {
        self.compared = Instant::now();
        let link = Arc::clone(&self.fleet.link);
        let agents: Vec<String> = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let news = self.news_in.clone();
        // If there is no thread for it, the clocks are compared next time.
        let _ = std::thread::Builder::new().name("clocks".into()).spawn(move || {
            for (index, agent) in (0..).zip(agents) {
                if let Some(reading) = compare(&link, &agent)
                    && news.send(News::Compared { index, reading }).is_err()
                {
                    return;
                }
            }
        });
    }
}

impl Reach for Boxes<'_> {
    type News = News;

    fn news(&self) -> &Receiver<News> {
        &self.news
    }

    fn understand(&mut self, news: News) -> Vec<Input> {
        match news {
            News::Posted(posted) => self.read(&posted),
            News::Mail(mail) if mail.subject == subjects::trouble(&self.name.command) => {
                if let Some(why) = self.fleet.journal.key().open(&mail.subject, &mail.payload) {
                    let why = String::from_utf8_lossy(&why).into_owned();
                    self.trouble.get_or_insert(Trouble::Full(why));
                }
                Vec::new()
            }
            News::Mail(mail) => self.hear(&mail).into_iter().collect(),
            News::Compared { index, reading } => vec![Input::Compared { index, reading }],
            News::Trouble(trouble) => {
                self.trouble.get_or_insert(trouble);
                Vec::new()
            }
        }
    }

    fn open(&mut self, books: &Books) {
        self.append(&Item::Opened { run: self.name.run, books: Box::new(books.clone()) });
    }

    fn record(&mut self, entry: Entry) -> Option<Entry> {
        self.append(&Item::Noted { run: self.name.run, entry });
        None
    }

    fn execute(&mut self, effect: Effect) -> Option<Input> {
        let (index, order) = self.orders.next(self.name.run, effect)?;
        let (carrier, known) = self.carriers.get(index as usize)?;
        if order.index <= *known {
            // The controller before has given it.
            return None;
        }
        match remote::bytes(&order) {
            Ok(order) => carrier.append(order),
            Err(error) => drop(self.trouble.get_or_insert(Trouble::Full(error.to_string()))),
        }
        None
    }

    fn call(
        &mut self,
        command: Command,
        refused: &mut NetworkCounts,
        stops: &Receiver<()>,
        print: &mut dyn FnMut(Vec<u8>),
    ) -> Result<String, RunError> {
        let fleet = self.fleet;
        let mut attention = fleet.attention();
        let is_there = |agent: &&Presence| !attention.is_another(agent) && attention.has_heard(&agent.name);
        let there = self.agents.iter().find(is_there).or(self.agents.first());
        let agent = there.ok_or_else(|| RunError::Refused("there is no box".into()))?.clone();
        let most = self.hook_timeout.map_or(ENDLESS, |timeout| timeout.saturating_add(GRACE));
        let failed = |error: io::Error| RunError::Refused(error.to_string());
        let call = HookCall { run: self.name.clone(), command };
        let call = fleet.question(&agent, Ask::Hook, call).map_err(failed)?;
        let close = fleet.question(&agent, Ask::Close, self.name.clone()).map_err(failed)?;
        let place = subjects::ask(&agent.name, Ask::Hook);
        let (answered, answer) = bounded(1);
        let (link, name) = (Arc::clone(&fleet.link), agent.name.clone());
        let ask_for_it = move || drop(answered.send(ask::<Vec<u8>>(&link, &name, Ask::Hook, most, call)));
        std::thread::Builder::new().name("hook".into()).spawn(ask_for_it).map_err(RunError::Launch)?;
        let (news, ticks) = (self.news.clone(), tick(LOOK));
        let failed = |why: String| RunError::Refused(format!("{}: {why}", agent.name));
        loop {
            select! {
                recv(answer) -> reply => {
                    let (_, reply) = reply.map_err(|_| RunError::Died("a thread has panicked".into()))?;
                    let sealed = reply.ok_or_else(|| failed("it does not answer".into()))?;
                    let sealed = sealed.map_err(|why| failed(why.to_string()))?;
                    let reply = remote::open::<HookReply>(fleet.journal.key(), &place, &sealed);
                    let reply = reply.map_err(|error| failed(error.to_string()))?;
                    *refused += &reply.refused;
                    return reply.returned.map_err(RunError::Refused);
                },
                recv(stops) -> _ => {
                    // The agent kills the hook.
                    let _ = ask::<()>(&fleet.link, &agent.name, Ask::Close, ANSWER, close);
                    return Err(RunError::Stopped);
                },
                recv(ticks) -> _ => if attention.is_silent(&agent.name) {
                    return Err(failed("it was lost before the hook ended".into()));
                },
                recv(news) -> news => for input in news.into_iter().flat_map(|news| self.understand(news)) {
                    if let Input::Heard { message: Message::Output(bytes), .. } = input {
                        print(bytes);
                    }
                },
            }
            if let Some(Trouble::Fenced) = self.trouble {
                return Err(self.fenced());
            }
        }
    }

    fn prepare(&mut self, prepared: &str) -> Result<(), RunError> {
        let readings: Vec<Option<ClockReading>> = std::thread::scope(|scope| {
            let link = &self.fleet.link;
            let compared: Vec<_> = self.agents.iter().map(|agent| scope.spawn(|| compare(link, &agent.name))).collect();
            compared.into_iter().map(|compared| compared.join().ok().flatten()).collect()
        });
        // A box that does not answer will be lost, if it does not come back.
        for (index, reading) in (0..).zip(&readings).filter_map(|(index, reading)| Some((index, (*reading)?))) {
            // The channel has room: nothing has been sent to it yet but some seconds of presence.
            let _ = self.news_in.try_send(News::Compared { index, reading });
        }
        let opened = |index: u32| {
            let ahead = readings[index as usize].map_or(0, |reading| reading.monotonic_ns);
            let there = i64::try_from(self.opened.as_nanos()).unwrap_or(i64::MAX).saturating_add(ahead);
            Duration::from_nanos(u64::try_from(there).unwrap_or_default())
        };
        let start = |index| Start { run: self.name.clone(), opened: opened(index), prepared: prepared.to_owned() };
        match self.fleet.ask_all(&self.agents, Ask::Begin, ANSWER, &never(), start) {
            // Another controller may have begun, and boxes may have ended their part since.
            Err(error) if self.epoch == 0 => Err(error),
            _ => Ok(()),
        }
    }

    fn booked(&mut self, books: &Books) {
        for (index, (carrier, known)) in (0..).zip(&self.carriers) {
            self.orders.stored(index, known + carrier.stored());
        }
        if let Some(opened) = self.opened_there
            && self.checkpoints.is_due()
        {
            let times = (opened, system_monotonic().saturating_sub(self.opened));
            let kept = self.fleet.chronicle.borrow().to_bytes(self.name.run, times, books, &self.orders);
            // Orders that wait for room in the journal will come after what is cut.
            let given = self.carriers.iter().map(|(carrier, known)| known + carrier.stored()).collect();
            self.checkpoints.make(self.fleet, kept, given);
        }
    }

    fn tick(&mut self) -> Option<Input> {
        if self.checkpoints.tick(self.fleet).is_err() {
            self.trouble.get_or_insert(Trouble::Fenced);
        }
        if self.compared.elapsed() >= COMPARED {
            self.compare();
        }
        if self.fleet.link.is_up() {
            self.away = None;
            return None;
        }
        if self.away.get_or_insert_with(Instant::now).elapsed() >= AWAY {
            self.trouble.get_or_insert(Trouble::Gone("the server cannot be reached".into()));
        }
        Some(Input::Unlinked)
    }

    fn trouble(&mut self) -> Option<RunError> {
        let trouble = self.trouble.take().or_else(|| self.undecided.try_recv().ok())?;
        self.is_broken = true;
        Some(match trouble {
            Trouble::Fenced => self.fenced(),
            Trouble::Full(why) if why.contains("maximum bytes") => {
                RunError::Journal(format!("the journal has no room: {why}; give it more (--journal-max)"))
            }
            Trouble::Full(why) => RunError::Journal(format!("the journal has no room: {why}")),
            Trouble::Gone(why) => RunError::Journal(format!("the journal is gone: {why}")),
        })
    }

    fn take_launch_error(&mut self) -> Option<io::Error> {
        None
    }

    fn end(&mut self) {
        // Orders that dismiss the last workers are on their way.
        self.flush();
    }

    fn close(&mut self, machine: Machine, at: Duration, broken: Option<String>) {
        // A journal without room for entries may have some for this.
        self.append(&Item::Closed { run: self.name.run, at, broken: broken.clone() });
        self.flush();
        if let Some(opened) = self.opened_there {
            let told = Told::opened(opened, machine, std::mem::take(&mut self.orders));
            self.fleet.chronicle.borrow_mut().close(self.name.run, told, at, broken);
        }
        let name = &self.name;
        // An agent that does not answer is lost, or ends its part by itself.
        let _ = self.fleet.ask_all(&self.agents, Ask::Close, ANSWER, &never(), |_| name.clone());
    }
}
