//! What a run waits for besides its operations, and for how long.

use std::time::{Duration, Instant};

use crate::controller::Awaited;
use crate::report::units::counted;

/// A wait that is shorter is not worth a word.
const WORTH: Duration = Duration::from_secs(1);

/// A wait that goes on.
pub(super) struct Waiting {
    awaited: Awaited,
    /// The time limit for a hook.
    most: Option<Duration>,
    since: Instant,
    /// How long it had lasted when it was told of.
    told: Duration,
}

impl Waiting {
    /// The wait for `awaited` instead of `before`, or the same one that goes on.
    pub(super) fn go_on(before: &mut Option<Self>, awaited: Option<Awaited>, most: Option<Duration>) {
        *before = awaited.map(|awaited| match before.take() {
            Some(waiting) if waiting.awaited.is_like(awaited) => Self { awaited, ..waiting },
            _ => Self { awaited, most, since: Instant::now(), told: Duration::ZERO },
        });
    }

    /// The wait in words, and the limit, once it is worth some.
    pub(super) fn parts(&self) -> Option<[String; 2]> {
        let lasted = self.since.elapsed();
        (lasted >= WORTH).then(|| parts(self.awaited, lasted, self.most))
    }

    /// The same as one text.
    pub(super) fn words(&self) -> Option<String> {
        self.parts().map(|parts| parts.join(" "))
    }

    /// The same, if it has not been told of for `interval`.
    pub(super) fn due(&mut self, interval: Duration) -> Option<String> {
        let lasted = self.since.elapsed();
        (lasted >= self.told + interval).then(|| {
            self.told = lasted;
            parts(self.awaited, lasted, self.most).join(" ")
        })
    }
}

/// Together they fit into a line of 80 columns.
fn parts(awaited: Awaited, lasted: Duration, most: Option<Duration>) -> [String; 2] {
    let what = match awaited {
        Awaited::Hook(hook) => format!("`{hook}`"),
        Awaited::Instances { missing, of } => format!("{missing} of {} to set up", counted(of as u64, "worker")),
        Awaited::Teardown { left } => format!("{} to tear down", counted(left as u64, "worker")),
    };
    let most = most.map_or_else(|| "0".to_owned(), |most| humantime::format_duration(most).to_string());
    [format!("waiting for {what}: {} s", lasted.as_secs()), format!("(--hook-timeout {most})")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Hook;

    #[test]
    fn a_wait_is_told_in_words_and_goes_on_while_it_is_for_the_same() {
        for (awaited, most, said) in [
            (Awaited::Hook(Hook::Prepare), 60, "waiting for `prepare`: 12 s (--hook-timeout 1m)"),
            (
                Awaited::Instances { missing: 3, of: 4 },
                30,
                "waiting for 3 of 4 workers to set up: 12 s (--hook-timeout 30s)",
            ),
            (Awaited::Teardown { left: 1 }, 0, "waiting for 1 worker to tear down: 12 s (--hook-timeout 0)"),
        ] {
            let most = Some(Duration::from_secs(most)).filter(|most| !most.is_zero());
            assert_eq!(parts(awaited, Duration::from_secs(12), most).join(" "), said);
            assert!(said.len() < 80, "{said}");
        }
        let mut waiting: Option<Waiting> = None;
        let mut since = |awaited| {
            Waiting::go_on(&mut waiting, awaited, None);
            waiting.as_ref().map(|of| of.since)
        };
        let first = since(Some(Awaited::Instances { missing: 3, of: 4 }));
        assert_eq!(since(Some(Awaited::Instances { missing: 2, of: 4 })), first);
        assert_ne!(since(Some(Awaited::Hook(Hook::Cleanup))), first);
        assert_eq!(since(None), None);
    }
}
