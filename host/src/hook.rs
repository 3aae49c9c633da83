//! The hooks that a task may export: their names and types. Does not know how a hook is found or called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An optional export of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hook {
    /// Once per run, before the first operation.
    Prepare,
    /// Once per instance, before its first operation.
    Setup,
    /// Once per instance, after its last operation.
    Teardown,
    /// Once per run, after the last operation.
    Cleanup,
}

impl Hook {
    /// All hooks, in the order in which a run calls them.
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Setup, Self::Teardown, Self::Cleanup];

    /// The export's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Setup => "setup",
            Self::Teardown => "teardown",
            Self::Cleanup => "cleanup",
        }
    }

    /// The export's type, as WIT writes it.
    pub fn signature(self) -> &'static str {
        match self {
            Self::Prepare => "func() -> result<string, string>",
            Self::Setup | Self::Teardown => "func() -> result<_, string>",
            Self::Cleanup => "func(prepared: string) -> result<_, string>",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
