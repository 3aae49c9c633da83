//! Which boxes a command gets, of those that are there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::FleetError;
use crate::cluster::presence::{Presence, Roll};

/// Agents say twice a second that they are there. Who is there has said so by then.
const CENSUS: Duration = Duration::from_millis(1_500);

/// How long a command waits for the boxes that it wants.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command waits between two runs for a box that is gone, or for another.
const RETURN: Duration = Duration::from_secs(5);

/// A shorter wait is not told of.
const NOTICED: Duration = Duration::from_millis(800);

/// The boxes that a command wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The command.
    pub command: String,
    /// How many; `None` for all that are there.
    pub boxes: Option<u32>,
    /// How many worker processes each has to have room for.
    pub processes: u32,
    /// The labels that each has to have, such as `zone=a`.
    pub labels: Vec<String>,
    /// The public key of whoever signs the runs, if somebody does.
    pub signer: Option<String>,
}

/// Waits for agents, and chooses among them. Returns the chosen ones, and what people should know about the choice.
pub(super) fn among_those_there(
    roll: &Roll,
    url: &str,
    wanted: &Wanted,
    is_cancelled: &AtomicBool,
    say: impl Fn(&str),
) -> Result<(Vec<Presence>, Vec<String>), FleetError> {
    let usable = |there: &[Presence]| there.iter().filter(|agent| why_not(agent, wanted).is_none()).count();
    let there = match wanted.boxes {
        None => roll.wait(CENSUS, |_| is_cancelled.load(Ordering::Relaxed)),
        Some(boxes) => {
            let began = Instant::now();
            let has_said = Cell::new(false);
            roll.wait(PATIENCE, |there| {
                let are = usable(there);
                let is_enough = are >= boxes as usize;
                if !is_enough && began.elapsed() >= CENSUS && !has_said.replace(true) {
                    let seconds = PATIENCE.as_secs();
                    let others = left_out(there, wanted);
                    say(&format!("waiting for {boxes} boxes, and {are} can be used now{others}; at most {seconds} s"));
                }
                is_enough || is_cancelled.load(Ordering::Relaxed)
            })
        }
    };
    let least = wanted.boxes.unwrap_or(1) as usize;
    if usable(&there) < least {
        return Err(too_few(&there, wanted, url));
    }
    let mut notes: Vec<String> = there
        .iter()
        .filter_map(|agent| Some(format!("{} is left out: {}", agent.name, why_not(agent, wanted)?)))
        .collect();
    let agents = choose(there, wanted);
    let machines: BTreeSet<&str> = agents.iter().map(|agent| agent.boot.as_str()).collect();
    if machines.len() < agents.len() {
        let of = if machines.len() == 1 { "one machine".to_owned() } else { format!("{} machines", machines.len()) };
        notes.push(format!("{} boxes are on {of}, and share its processors", agents.len()));
    }
    Ok((agents, notes))
}

/// The boxes of the next run.
pub(super) struct Next {
    /// Their agents, in the order of the boxes.
    pub(super) agents: Vec<Presence>,
    /// For people: who is missing and why, and who is new; empty if nothing has changed.
    pub(super) changes: String,
    /// Whether somebody is missing.
    pub(super) is_short: bool,
}

/// The boxes of the next run, `size` at the most: those of the run before, as far as they are there, and others in the
/// places of those that are not. `before` are the agents of the run before, and `former` those of earlier runs. Waits
/// up to [`RETURN`] for as many as there were before, and says so. `None` if `is_stopped` says so first.
pub(super) fn for_the_next_run(
    roll: &Roll,
    (before, former): (&[Presence], &[Presence]),
    wanted: &Wanted,
    size: usize,
    is_stopped: &dyn Fn() -> bool,
    say: &dyn Fn(&str),
) -> Option<Next> {
    let usable = |there: &[Presence]| there.iter().filter(|agent| why_not(agent, wanted).is_none()).count();
    let (was_stopped, has_said, began) = (Cell::new(false), Cell::new(false), Instant::now());
    let there = roll.wait(RETURN, |there| {
        was_stopped.set(is_stopped());
        let is_enough = usable(there) >= before.len();
        if !is_enough && began.elapsed() >= NOTICED && !has_said.replace(true) {
            let is_there = |of: &&Presence| there.iter().any(|agent| agent.name == of.name);
            let missing: Vec<&str> = before.iter().filter(|of| !is_there(of)).map(|of| &*of.name).collect();
            let whom = if missing.is_empty() { "another box".to_owned() } else { missing.join(", ") };
            say(&format!("waiting for {whom}, {} s at most", RETURN.as_secs()));
        }
        was_stopped.get() || is_enough
    });
    (!was_stopped.get()).then(|| replaced(&there, (before, former), wanted, size))
}

/// The boxes of the next run, if `there` says who is there.
fn replaced(there: &[Presence], (before, former): (&[Presence], &[Presence]), wanted: &Wanted, size: usize) -> Next {
    let now = |of: &Presence| there.iter().find(|agent| agent.name == of.name);
    let is_usable = |agent: &&Presence| why_not(agent, wanted).is_none();
    let is_old = |agent: &Presence| before.iter().any(|of| of.name == agent.name);
    let old = before.iter().filter_map(now).filter(is_usable);
    let others = there.iter().filter(is_usable).filter(|agent| !is_old(agent));
    let agents: Vec<Presence> = old.chain(others).take(size).cloned().collect();
    let missing = before.iter().chain(former.iter().filter(|of| !is_old(of)));
    let missing = missing.filter_map(|of| match now(of) {
        Some(agent) => Some(format!("{}: {}", of.name, why_not(agent, wanted)?)),
        None => Some(format!("{}: it is not there", of.name)),
    });
    let missing: Vec<String> = missing.collect();
    let is_short = !missing.is_empty();
    let new = agents.iter().filter_map(|agent| match before.iter().find(|of| of.name == agent.name) {
        None => Some(format!("{} takes part from now on", agent.name)),
        Some(of) => (of.session != agent.session).then(|| format!("{} was started again", agent.name)),
    });
    let changes = missing.into_iter().chain(new).collect::<Vec<_>>().join("; ");
    Next { agents, changes, is_short }
}

/// Why an agent cannot be used; `None` if it can.
fn why_not(agent: &Presence, wanted: &Wanted) -> Option<String> {
    if !agent.fits() {
        return Some(format!("it runs gorgon {}, whose protocol is another one", agent.version));
    }
    if agent.has_twin {
        return Some("two agents have this name: end one of them".into());
    }
    if agent.leaving {
        return Some("it is leaving".into());
    }
    if let Some(command) = agent.command.as_ref().filter(|command| **command != wanted.command) {
        return Some(format!("it works for the command {command}"));
    }
    if !agent.trust.is_empty() && !wanted.signer.as_ref().is_some_and(|signer| agent.trust.contains(signer)) {
        return Some("it trusts only runs that others sign (its --trust, and --creds of the run)".into());
    }
    if let Some(label) = wanted.labels.iter().find(|label| !agent.labels.contains(label)) {
        return Some(format!("it has no label {label}"));
    }
    let (room, processes) = (agent.max_processes, wanted.processes);
    (room < processes).then(|| format!("it has room for {room} worker processes, not {processes}"))
}

/// The agents that a command gets: those of machines of their own first.
fn choose(there: Vec<Presence>, wanted: &Wanted) -> Vec<Presence> {
    let usable = there.into_iter().filter(|agent| why_not(agent, wanted).is_none());
    let mut machines = BTreeSet::new();
    let (alone, again): (Vec<_>, Vec<_>) = usable.partition(|agent| machines.insert(agent.boot.clone()));
    let most = wanted.boxes.map_or(usize::MAX, |boxes| boxes as usize);
    alone.into_iter().chain(again).take(most).collect()
}

/// The agents that cannot be used, each with the reason, in parentheses; empty if there are none.
fn left_out(there: &[Presence], wanted: &Wanted) -> String {
    let reasons = there.iter().filter_map(|agent| Some(format!("{}: {}", agent.name, why_not(agent, wanted)?)));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    if reasons.is_empty() { String::new() } else { format!(" ({reasons})") }
}

fn too_few(there: &[Presence], wanted: &Wanted, url: &str) -> FleetError {
    let usable = there.iter().filter(|agent| why_not(agent, wanted).is_none()).count();
    let others = left_out(there, wanted);
    let labels = wanted.labels.iter().map(|label| format!(" --label {label}"));
    let is_small = there.iter().any(|agent| agent.max_processes < wanted.processes);
    let room = is_small.then(|| format!(" --max-processes {}", wanted.processes));
    let flags: String = labels.chain(room).collect();
    let are = |count: usize| match count {
        0 if !others.is_empty() => "no agent can be used".to_owned(),
        0 => "no agent is there".to_owned(),
        1 => "one agent is there".to_owned(),
        _ => format!("{count} agents are there"),
    };
    let wanted = match wanted.boxes {
        None | Some(1) => "one is".to_owned(),
        Some(boxes) => format!("{boxes} are"),
    };
    FleetError::TooFew { there: are(usable), wanted, others, url: url.to_owned(), flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, boot: &str) -> Presence {
        Presence {
            name: name.into(),
            version: "0.1.0".into(),
            protocol: crate::wire::PROTOCOL,
            session: 1,
            boot: boot.into(),
            cpus: 2,
            memory_bytes: 1 << 30,
            free_bytes: 1 << 29,
            load_permille: 100,
            max_processes: 4,
            workers: 0,
            policy: Vec::new(),
            command: None,
            has_twin: false,
            leaving: false,
            public_key: String::new(),
            carried_out: (0, 0),
            trust: Vec::new(),
            labels: vec!["zone=a".into()],
        }
    }

    fn wanted(boxes: Option<u32>, processes: u32) -> Wanted {
        Wanted { boxes, processes, ..Wanted::default() }
    }

    #[test]
    fn the_next_run_has_the_boxes_that_are_there() {
        let wanted = Wanted { command: "7".into(), ..wanted(Some(3), 2) };
        let of = |names: [&str; 3]| names.map(|name| Presence { command: Some("7".into()), ..agent(name, name) });
        let before = of(["a", "b", "c"]);
        let next = |there: &[Presence], before: &[Presence], former: &[Presence]| {
            let Next { agents, changes, .. } = replaced(there, (before, former), &wanted, 3);
            (agents.into_iter().map(|agent| agent.name).collect::<Vec<_>>().join(" "), changes)
        };
        let said = |boxes: &str, changes: &str| (boxes.to_owned(), changes.to_owned());
        assert_eq!(next(&before, &before, &[]), said("a b c", ""));
        let there = [before[0].clone(), before[2].clone()];
        assert_eq!(next(&there, &before, &[]), said("a c", "b: it is not there"));
        // Who was missing before is still missing.
        assert_eq!(next(&there[..1], &there, &before[1..2]), said("a", "c: it is not there; b: it is not there"));
        // Whoever comes back has its place again, and a stranger may take it.
        assert_eq!(next(&before, &there, &before[1..2]), said("a c b", "b takes part from now on"));
        let there = [before[0].clone(), before[2].clone(), agent("d", "d"), agent("e", "e")];
        assert_eq!(next(&there, &before, &[]), said("a c d", "b: it is not there; d takes part from now on"));
        let there = [before[0].clone(), Presence { session: 2, ..before[1].clone() }, before[2].clone()];
        assert_eq!(next(&there, &before, &[]), said("a b c", "b was started again"));
        let there = [before[0].clone(), Presence { leaving: true, ..before[1].clone() }];
        assert_eq!(next(&there, &before, &[]), said("a", "b: it is leaving; c: it is not there"));
    }

    #[test]
    fn machines_of_their_own_come_first_and_others_are_named() {
        let there =
            vec![agent("a", "m"), agent("b", "m"), agent("c", "n"), Presence { leaving: true, ..agent("d", "o") }];
        let names = |boxes| {
            let chosen = choose(there.clone(), &wanted(boxes, 2));
            chosen.into_iter().map(|agent| agent.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Some(2)), ["a", "c"]);
        assert_eq!(names(None), ["a", "c", "b"]);
        let error = too_few(&there, &wanted(Some(4), 2), "nats://n:1").to_string();
        let expected = "3 agents are there at nats://n:1, and 4 are wanted (d: it is leaving); start one with \
                        `gorgon agent --nats nats://n:1`";
        assert_eq!(error, expected);
        let labelled = |label: &str| Wanted { labels: vec![label.into()], ..wanted(None, 1) };
        assert_eq!(why_not(&agent("a", "m"), &labelled("zone=a")), None);
        let twin = Presence { has_twin: true, ..agent("a", "m") };
        assert_eq!(why_not(&twin, &wanted(None, 1)).as_deref(), Some("two agents have this name: end one of them"));
        assert_eq!(why_not(&agent("a", "m"), &labelled("zone=b")).as_deref(), Some("it has no label zone=b"));
        let busy = Presence { command: Some("7".into()), ..agent("a", "m") };
        assert_eq!(why_not(&busy, &wanted(None, 1)).as_deref(), Some("it works for the command 7"));
        assert_eq!(
            why_not(&agent("a", "m"), &wanted(None, 5)).as_deref(),
            Some("it has room for 4 worker processes, not 5")
        );
        let other = Presence { protocol: 1, version: "0.0.1".into(), ..agent("a", "m") };
        assert_eq!(
            why_not(&other, &wanted(None, 1)).as_deref(),
            Some("it runs gorgon 0.0.1, whose protocol is another one")
        );
    }
}
