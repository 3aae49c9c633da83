//! Which boxes a command gets, of those that are there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::FleetError;
use crate::cluster::Link;
use crate::cluster::presence::{Presence, Roll};

/// Agents say twice a second that they are there. Who is there has said so by then.
const CENSUS: Duration = Duration::from_millis(1_500);

/// How long a command waits for the boxes that it wants.
const PATIENCE: Duration = Duration::from_secs(60);

/// The boxes that a command wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
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
    link: &Link,
    wanted: &Wanted,
    say: impl Fn(&str),
) -> Result<(Vec<Presence>, Vec<String>), FleetError> {
    let roll = Roll::call(link)?;
    let usable = |there: &[Presence]| there.iter().filter(|agent| why_not(agent, wanted).is_none()).count();
    let there = match wanted.boxes {
        None => roll.wait(CENSUS, |_| false),
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
                is_enough
            })
        }
    };
    let least = wanted.boxes.unwrap_or(1) as usize;
    if usable(&there) < least {
        return Err(too_few(&there, wanted, link.url()));
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

/// Why an agent cannot be used; `None` if it can.
fn why_not(agent: &Presence, wanted: &Wanted) -> Option<String> {
    if !agent.fits() {
        return Some(format!("it runs gorgon {}, whose protocol is another one", agent.version));
    }
    if agent.leaving {
        return Some("it is leaving".into());
    }
    if let Some(command) = &agent.command {
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
    FleetError::TooFew { there: are(usable), wanted, others, url: url.to_owned() }
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
