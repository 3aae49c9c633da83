//! What the workers of a box have said and the journal does not have yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::controller::remote::{self, Item};
use crate::journal::{Entry, What, Writer};
use crate::wire::Message;

/// What waits to be sent. The counts of one worker that follow each other are merged.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Vec<(Duration, u32, Waiting)>,
    /// How many frames of each worker have been sent.
    frames: BTreeMap<u32, u64>,
    is_urgent: bool,
}

#[derive(Debug)]
enum Waiting {
    Said(Message),
    Gone(String),
    Leaving,
}

impl Outbox {
    /// A worker said `message` at `at`.
    pub(super) fn say(&mut self, at: Duration, worker: u32, message: Message) {
        self.is_urgent |= !can_wait(&message);
        let last = self.waiting.iter_mut().rfind(|(_, of, _)| *of == worker);
        match (last, message) {
            (Some((since, _, Waiting::Said(Message::Delta(delta)))), Message::Delta(more)) => {
                *since = at;
                **delta += *more;
            }
            (_, message) => self.waiting.push((at, worker, Waiting::Said(message))),
        }
    }

    /// A worker's process has ended.
    pub(super) fn gone(&mut self, at: Duration, worker: u32, how: String) {
        self.is_urgent = true;
        self.waiting.push((at, worker, Waiting::Gone(how)));
    }

    /// The box leaves.
    pub(super) fn leave(&mut self, at: Duration) {
        self.is_urgent = true;
        self.waiting.push((at, 0, Waiting::Leaving));
    }

    /// Whether something should be sent at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Takes everything, as items of a bundle of the run with the index `run`, by the box with the index `index`.
    pub(super) fn take(&mut self, run: u32, index: u32) -> Vec<Vec<u8>> {
        self.is_urgent = false;
        let mut items = Vec::new();
        for (at, worker, waiting) in std::mem::take(&mut self.waiting) {
            let what = match waiting {
                Waiting::Leaving => What::Leaving,
                Waiting::Gone(how) => What::Gone { worker, how },
                Waiting::Said(message) => {
                    let frame = self.frames.entry(worker).or_default();
                    *frame += 1;
                    What::Heard { worker, frame: *frame, message }
                }
            };
            let noted = Item::Noted { run, entry: Entry { at, by: Writer::Box(index), what } };
            // What cannot be written is missing, and so the worker is given up.
            items.extend(remote::bytes(&noted));
        }
        items
    }
}

/// Whether the controller need not hear of a message at once.
fn can_wait(message: &Message) -> bool {
    match message {
        Message::Delta(_) | Message::Health(_) | Message::Fault(_) | Message::Stalled(_) => true,
        Message::Hello { .. }
        | Message::Loaded { .. }
        | Message::Refused(_)
        | Message::HookReturned(_)
        | Message::HookRefused(_)
        | Message::Began { .. }
        | Message::Ready { .. }
        | Message::Need(_)
        | Message::Output(_)
        | Message::Traced(_)
        | Message::Rested
        | Message::Done(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Delta;

    #[test]
    fn counts_of_one_worker_are_merged_and_frames_are_numbered_as_they_leave() {
        let mut outbox = Outbox::default();
        let delta = |numbers| Message::Delta(Box::new(Delta { numbers: vec![numbers], ..Delta::default() }));
        let at = Duration::from_secs(1);
        outbox.say(at, 1, delta(0..3));
        outbox.say(at, 2, delta(3..4));
        outbox.say(at, 1, delta(4..9));
        assert!(!outbox.is_urgent());
        outbox.say(at, 1, Message::Need(5));
        outbox.say(at, 1, delta(9..10));
        outbox.gone(at, 2, "it ended".into());
        assert!(outbox.is_urgent());
        let said: Vec<String> = outbox
            .take(7, 3)
            .iter()
            .map(|item| {
                let Item::Noted { run, entry } = remote::read(item).unwrap() else { panic!("it is another item") };
                assert_eq!((run, entry.by), (7, Writer::Box(3)));
                match entry.what {
                    What::Heard { worker, frame, message: Message::Delta(delta) } => {
                        format!("{worker}.{frame} {:?}", delta.numbers)
                    }
                    What::Heard { worker, frame, message } => format!("{worker}.{frame} {message:?}"),
                    what => format!("{what:?}"),
                }
            })
            .collect();
        let gone = "Gone { worker: 2, how: \"it ended\" }";
        assert_eq!(said, ["1.1 [0..3, 4..9]", "2.1 [3..4]", "1.2 Need(5)", "1.3 [9..10]", gone]);
        assert!(outbox.take(7, 3).is_empty() && !outbox.is_urgent());
    }
}
