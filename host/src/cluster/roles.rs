//! Who may do what on a server: the permissions of controllers, agents and viewers. What is not listed is denied.

use super::subjects;

/// What a user of the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs tasks over boxes.
    Controller,
    /// The box with this name.
    Agent(String),
    /// Sees which boxes and commands there are, and follows those whose keys it has.
    Viewer,
}

/// The subjects at which a role may publish, and those to which it may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Where it may publish.
    pub publish: Vec<String>,
    /// Where it may listen.
    pub subscribe: Vec<String>,
}

/// Whether a subject matches one of these patterns of NATS.
pub fn matches(patterns: &[String], subject: &str) -> bool {
    let is_one = |pattern: &String| {
        let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
        loop {
            match (pattern.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(token), Some(of)) if token == "*" || token == of => {}
                _ => return false,
            }
        }
    };
    patterns.iter().any(is_one)
}

/// The inboxes of a user: answers come there. Nobody else may listen to them.
pub fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// The inbox of the box with this name.
pub fn inbox_of_agent(name: &str) -> String {
    inbox(&format!("agent-{name}"))
}

/// What each role of a person is called when it connects.
const CONTROLLERS: [&str; 7] = ["controller", "attach", "boxes", "detach", "report", "runs", "stop"];

/// See [`CONTROLLERS`]: a viewer that attaches follows, and cannot take over.
const VIEWERS: [&str; 5] = ["controller", "attach", "boxes", "report", "runs"];

impl Role {
    /// What it may do.
    pub fn permissions(&self) -> Permissions {
        let files = format!("OBJ_{}", subjects::FILES);
        let register = format!("KV_{}", subjects::REGISTER);
        let strings = |of: &[&str]| of.iter().map(|&subject| subject.to_owned()).collect::<Vec<_>>();
        let inboxes = |users: &[&str]| users.iter().map(|user| format!("{}.>", inbox(user))).collect::<Vec<_>>();
        let read = |stream: &str| {
            vec![
                format!("$JS.API.STREAM.INFO.{stream}"),
                format!("$JS.API.STREAM.MSG.GET.{stream}"),
                format!("$JS.API.DIRECT.GET.{stream}.>"),
                format!("$JS.API.CONSUMER.CREATE.{stream}"),
                format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
                format!("$JS.API.CONSUMER.DELETE.{stream}.>"),
                format!("$JS.API.CONSUMER.INFO.{stream}.>"),
            ]
        };
        let always = || strings(&["$JS.API.INFO", "$JS.FC.>"]);
        match self {
            Self::Controller => {
                let asks = subjects::Ask::ALL.map(|ask| subjects::ask("*", ask));
                let said = [subjects::decided("*"), subjects::to("*", "*"), subjects::pulse("*"), subjects::stop("*")];
                let kept = [format!("$O.{}.>", subjects::FILES), format!("$KV.{}.>", subjects::REGISTER)];
                // Journals are made and removed under names that are not known beforehand.
                let streams = strings(&["$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.GET.>"]);
                let publish = [always(), streams, asks.to_vec(), said.to_vec(), kept.to_vec(), inboxes(&CONTROLLERS)];
                let subscribe = [
                    inboxes(&CONTROLLERS),
                    vec![
                        subjects::presence("*"),
                        subjects::pulse("*"),
                        subjects::stop("*"),
                        subjects::output("*"),
                        subjects::trouble("*"),
                    ],
                ];
                Permissions { publish: publish.concat(), subscribe: subscribe.concat() }
            }
            Self::Agent(name) => {
                let own = format!("{}.>", inbox_of_agent(name));
                let said = [
                    subjects::presence(name),
                    subjects::from("*", name),
                    subjects::output("*"),
                    subjects::trouble("*"),
                    // Whether another agent has its name.
                    subjects::ask(name, subjects::Ask::Clock),
                    own.clone(),
                ];
                // The subject of a request for messages ends with what is to be read: its own orders, of any command.
                let orders = [
                    format!("$JS.API.CONSUMER.CREATE.*.*.{}", subjects::to("*", name)),
                    "$JS.API.CONSUMER.MSG.NEXT.*.*".into(),
                    "$JS.API.CONSUMER.DELETE.*.*".into(),
                ];
                let publish = [always(), read(&files), said.to_vec(), orders.to_vec()].concat();
                let asks = subjects::Ask::ALL.map(|ask| subjects::ask(name, ask));
                let subscribe = [asks.to_vec(), vec![subjects::pulse("*"), own]].concat();
                Permissions { publish, subscribe }
            }
            Self::Viewer => {
                let clocks = subjects::ask("*", subjects::Ask::Clock);
                let journals = strings(&[
                    "$JS.API.STREAM.INFO.*",
                    "$JS.API.STREAM.MSG.GET.*",
                    "$JS.API.CONSUMER.CREATE.>",
                    "$JS.API.CONSUMER.MSG.NEXT.*.*",
                    "$JS.API.CONSUMER.DELETE.*.*",
                ]);
                let publish = [always(), read(&files), read(&register), journals, vec![clocks], inboxes(&VIEWERS)];
                let heard = vec![subjects::presence("*"), subjects::pulse("*"), subjects::output("*")];
                Permissions { publish: publish.concat(), subscribe: [inboxes(&VIEWERS), heard].concat() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_speaks_for_itself_alone() {
        let of = Role::Agent("b1".into()).permissions();
        let may = |subject: &str| matches(&of.publish, subject);
        for subject in ["gorgon.agent.b1.here", "gorgon.7.from.b1", "gorgon.7.output", "gorgon.7.trouble"] {
            assert!(may(subject), "{subject}");
        }
        for subject in [
            "gorgon.agent.b2.here",
            "gorgon.7.from.b2",
            "gorgon.7.decided",
            "gorgon.7.to.b1",
            "gorgon.7.to.b2",
            "gorgon.7.pulse",
            "gorgon.7.stop",
            "gorgon.agent.b2.open",
            "$KV.gorgon_runs.7",
            "$O.gorgon_files.C.1",
            "$JS.API.STREAM.CREATE.GORGON_7",
            "$JS.API.STREAM.DELETE.GORGON_7",
            "$JS.API.STREAM.PURGE.GORGON_7",
            "$JS.API.CONSUMER.CREATE.GORGON_7.x.gorgon.7.to.b2",
            "$JS.API.CONSUMER.CREATE.GORGON_7.x.gorgon.7.decided",
            "$JS.API.CONSUMER.CREATE.GORGON_7.x",
        ] {
            assert!(!may(subject), "{subject}");
        }
        assert!(may("$JS.API.CONSUMER.CREATE.GORGON_7.x.gorgon.7.to.b1"));
        let hears = |subject: &str| matches(&of.subscribe, subject);
        assert!(hears("gorgon.agent.b1.open") && hears("_INBOX_agent-b1.x") && hears("gorgon.7.pulse"));
        for subject in ["gorgon.agent.b2.open", "_INBOX_agent-b2.x", "_INBOX_controller.x", "gorgon.7.output"] {
            assert!(!hears(subject), "{subject}");
        }
    }

    #[test]
    fn a_viewer_changes_nothing() {
        let of = Role::Viewer.permissions();
        let may = |subject: &str| matches(&of.publish, subject);
        for subject in [
            "gorgon.7.decided",
            "gorgon.7.to.b1",
            "gorgon.7.from.b1",
            "gorgon.7.stop",
            "gorgon.agent.b1.open",
            "gorgon.agent.b1.here",
            "$KV.gorgon_runs.7",
            "$O.gorgon_files.M.1",
            "$JS.API.STREAM.CREATE.GORGON_7",
            "$JS.API.STREAM.PURGE.GORGON_7",
            "$JS.API.STREAM.MSG.DELETE.GORGON_7",
        ] {
            assert!(!may(subject), "{subject}");
        }
        assert!(may("gorgon.agent.b1.clock") && may("$JS.API.STREAM.INFO.GORGON_7"));
    }
}
