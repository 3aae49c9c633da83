//! The part of a plan that concerns the task: limits, grants, what is expected of its results.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::network::Policy;

/// What one operation and one instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time for one operation; `None` means no limit.
    pub timeout: Option<Duration>,
    /// Time for one hook, and for a task's start functions; `None` means no limit.
    pub hook_timeout: Option<Duration>,
    /// Bytes of memory for one instance: its memories, its tables, and what the host holds for it.
    pub max_memory: u64,
    /// Bytes of memory for one worker process; `None` means no limit.
    pub max_worker_memory: Option<u64>,
    /// An instance is replaced after this many operations; `None` keeps it.
    pub recycle: Option<NonZeroU64>,
}

/// A directory that the guest may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dir {
    /// The directory's path on the host.
    pub host: PathBuf,
    /// The path by which the guest sees it.
    pub guest: String,
    /// What the guest may do in it.
    pub access: Access,
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read it and list it.
    ReadOnly,
    /// Change it as well.
    ReadWrite,
}

impl FromStr for Dir {
    type Err = PlanError;

    /// `HOST::GUEST` or `HOST::GUEST:rw`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Dir(text.to_owned());
        let (host, guest) = text.split_once("::").ok_or_else(error)?;
        let (guest, access) = match guest.strip_suffix(":rw") {
            Some(guest) => (guest, Access::ReadWrite),
            None => (guest, Access::ReadOnly),
        };
        // Another suffix, such as Docker's `:ro`, is not a part of the path.
        if host.is_empty() || guest.is_empty() || guest.contains(':') {
            return Err(error());
        }
        Ok(Self { host: host.into(), guest: guest.to_owned(), access })
    }
}

/// What the task may use. It gets nothing that is not listed here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The directories it may see.
    pub dirs: Vec<Dir>,
    /// What it may reach over the network.
    pub network: Policy,
}

/// The calls that a task's data was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Their file, as the user named it.
    pub file: PathBuf,
    /// Which call an operation plays.
    pub order: CallOrder,
}

/// Which call an operation plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallOrder {
    /// The one after the call of the operation before.
    InOrder,
    /// A random one.
    Random,
    /// All, one after the other.
    Flow,
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::ReadOnly => "",
            Access::ReadWrite => ":rw",
        };
        write!(f, "{}::{}{access}", self.host.display(), self.guest)
    }
}

/// A pattern that a result must match to be ok.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expect(Regex);

impl Expect {
    /// Why `result` is not as expected; `None` if it is.
    #[inline]
    pub fn unmet(&self, result: &str) -> Option<String> {
        (!self.0.is_match(result)).then(|| format!("the result does not match --expect {}", self.as_str()))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Expect {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl FromStr for Expect {
    type Err = regex::Error;

    fn from_str(pattern: &str) -> Result<Self, regex::Error> {
        Regex::new(pattern).map(Self)
    }
}

impl TryFrom<String> for Expect {
    type Error = regex::Error;

    fn try_from(pattern: String) -> Result<Self, regex::Error> {
        pattern.parse()
    }
}

impl From<Expect> for String {
    fn from(expect: Expect) -> Self {
        expect.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_grants() {
        let dir = |host: &str, guest: &str, access| Ok(Dir { host: host.into(), guest: guest.into(), access });
        for (text, parsed) in [
            (".::/data", dir(".", "/data", Access::ReadOnly)),
            ("/tmp/x::out:rw", dir("/tmp/x", "out", Access::ReadWrite)),
            ("/tmp", Err(PlanError::Dir("/tmp".into()))),
            ("::x", Err(PlanError::Dir("::x".into()))),
            (".::/data:ro", Err(PlanError::Dir(".::/data:ro".into()))),
            ("x:::rw", Err(PlanError::Dir("x:::rw".into()))),
        ] {
            assert_eq!(text.parse::<Dir>(), parsed, "{text}");
        }
    }
}
