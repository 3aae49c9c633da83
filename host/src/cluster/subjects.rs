//! The names of everything on the server.

/// The key-value store with the commands.
pub const REGISTER: &str = "gorgon_runs";

/// Where an agent says that it is there; `*` for all of them.
pub fn presence(agent: &str) -> String {
    format!("gorgon.agent.{agent}.here")
}

/// The object store with the files of runs; the name of a file is its SHA-256.
pub const FILES: &str = "gorgon_files";

/// The stream of a command.
pub fn stream(command: &str) -> String {
    format!("GORGON_{command}")
}

/// All subjects of the stream of a command.
pub fn of_stream(command: &str) -> Vec<String> {
    vec![decided(command), from(command, "*"), to(command, "*")]
}

/// What the controllers of a command decide.
pub fn decided(command: &str) -> String {
    format!("gorgon.{command}.decided")
}

/// What the workers of an agent say.
pub fn from(command: &str, agent: &str) -> String {
    format!("gorgon.{command}.from.{agent}")
}

/// What an agent has to do.
pub fn to(command: &str, agent: &str) -> String {
    format!("gorgon.{command}.to.{agent}")
}

/// What guests print; not kept.
pub fn output(command: &str) -> String {
    format!("gorgon.{command}.output")
}

/// Why an agent cannot append any more; not kept.
pub fn trouble(command: &str) -> String {
    format!("gorgon.{command}.trouble")
}

/// That the controller of a command lives; not kept.
pub fn pulse(command: &str) -> String {
    format!("gorgon.{command}.pulse")
}

/// A request to the controller of a command to stop.
pub fn stop(command: &str) -> String {
    format!("gorgon.{command}.stop")
}

/// A request to an agent.
pub fn ask(agent: &str, what: Ask) -> String {
    format!("gorgon.agent.{agent}.{}", what.name())
}

/// What an agent can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The readings of its clocks.
    Clock,
    /// To take part in a run: to fetch what it needs, and to compile.
    Open,
    /// To begin with a run that is open.
    Begin,
    /// To call a hook of a run.
    Hook,
    /// To end its part of a run.
    Close,
    /// To work for another command, as this one has ended. Is not answered.
    Release,
}

impl Ask {
    /// Everything that an agent can be asked for.
    pub const ALL: [Self; 6] = [Self::Clock, Self::Open, Self::Begin, Self::Hook, Self::Close, Self::Release];

    fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Open => "open",
            Self::Begin => "begin",
            Self::Hook => "hook",
            Self::Close => "close",
            Self::Release => "release",
        }
    }
}

/// Whether `name` can be the name of an agent: a token of a subject, and no pattern.
pub fn is_name(name: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(may)
}
