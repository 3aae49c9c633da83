//! A command over boxes: what it is known by, what it was made of, and how it goes on in the background or elsewhere.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crossbeam::channel::Receiver;
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::cluster::Server;
use crate::cluster::seal::{Key, read_key};
use crate::controller::remote;
use crate::input;

/// Names the command for the process that goes on with it in the background.
const VARIABLE: &str = "GORGON_COMMAND";

/// Files that a command reads are kept for others up to so many bytes together.
const MOST_OF_FILES: u64 = 256 << 20;

/// How long a process in the background may take to begin.
const BEGINNING: Duration = Duration::from_secs(300);

/// How long a process in the background may take to undo what it has done.
const UNDOING: Duration = Duration::from_secs(15);

/// What a command is made of: whoever has that, and the journal, can go on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Made {
    /// The arguments, without the name of the program.
    args: Vec<Vec<u8>>,
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    /// The files that it had read when it began.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// A command that this process goes on with.
#[derive(Clone, Debug)]
pub(super) struct Resumed {
    pub(super) server: Server,
    pub(super) command: String,
    pub(super) key: Key,
    /// Whether to take over while its controller lives.
    pub(super) takes_over: bool,
}

static RESUMED: OnceLock<Resumed> = OnceLock::new();

/// The command that this process goes on with, if it does.
pub(super) fn resumed() -> Option<Resumed> {
    RESUMED.get().cloned()
}

impl Made {
    /// What the command of this process is made of, as far as it has read something.
    pub(super) fn of_this_process() -> io::Result<Self> {
        let args = env::args_os().skip(1).map(OsString::into_vec).collect();
        let (named, variables) = input::noted();
        let (mut files, mut left) = (Vec::new(), MOST_OF_FILES);
        for path in named.into_iter().filter(|path| path.metadata().is_ok_and(|of| of.is_file())) {
            // What is too large, whoever goes on elsewhere must have there.
            if let Ok(content) = input::read(&path, left) {
                left -= content.len() as u64;
                files.push((path, content));
            }
        }
        Ok(Self { args, directory: env::current_dir()?, variables, files })
    }

    /// As bytes, sealed with `key`.
    pub(super) fn seal(&self, key: &Key) -> io::Result<Vec<u8>> {
        remote::seal(key, remote::FILE, self)
    }

    /// The inverse of [`seal`](Self::seal).
    pub(super) fn open(key: &Key, sealed: &[u8]) -> io::Result<Self> {
        remote::open(key, remote::FILE, sealed)
    }

    /// Makes this process one that goes on with the command. Returns the arguments, and a directory with the files,
    /// which has to be kept for as long.
    pub(super) fn resume(self, resumed: Resumed) -> anyhow::Result<(Vec<OsString>, tempfile::TempDir)> {
        let Self { args, directory, variables, files } = self;
        let kept = tempfile::tempdir().context("cannot keep the files of the command")?;
        let mut instead = BTreeMap::new();
        for (i, (path, content)) in files.into_iter().enumerate() {
            let file = kept.path().join(i.to_string());
            fs::write(&file, content).with_context(|| format!("cannot keep `{}`", path.display()))?;
            instead.insert(path, file);
        }
        // Elsewhere it may not be there; what the command writes is then written here.
        let _ = env::set_current_dir(&directory);
        input::instead(instead, variables);
        let _ = RESUMED.set(resumed);
        let args = args.into_iter().map(OsString::from_vec);
        Ok(([OsString::from("gorgon")].into_iter().chain(args).collect(), kept))
    }
}

/// A name for a new command. A process in the background was given one.
pub(super) fn name() -> String {
    background().unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)))
}

/// The command that this process goes on with in the background, if that is where it is.
pub(super) fn background() -> Option<String> {
    env::var(VARIABLE).ok().filter(|command| crate::cluster::subjects::is_name(command))
}

/// What keeps a key for this user alone, for as long as the command may be gone on with.
#[derive(Debug)]
pub(super) struct KeptKey {
    path: PathBuf,
    /// Whether the key stays, as the journal does.
    stays: bool,
}

impl KeptKey {
    /// Keeps the key of a command.
    pub(super) fn new(command: &str, key: &Key) -> anyhow::Result<Self> {
        let path = key_path(command)?;
        let keep = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            writeln!(file, "{}", key.to_text())
        };
        keep().with_context(|| format!("cannot keep the key of the command in `{}`", path.display()))?;
        Ok(Self { path, stays: false })
    }

    /// The key of a command that this process goes on with. It is there if the command was begun here.
    pub(super) fn of(command: &str) -> anyhow::Result<Self> {
        Ok(Self { path: key_path(command)?, stays: false })
    }

    /// From now on the key stays, as the journal does.
    pub(super) fn keep(&mut self) {
        self.stays = true;
    }
}

impl Drop for KeptKey {
    fn drop(&mut self) {
        if !self.stays {
            // It is small, and of no use to anybody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The key of a command: in `file`, or where this user's commands keep theirs.
pub(super) fn key_of(command: &str, file: Option<&Path>) -> anyhow::Result<Key> {
    let own = key_path(command)?;
    let path = file.unwrap_or(&own);
    read_key(path).map_err(|why| {
        let elsewhere = match file {
            Some(_) => "",
            None => "; the machine that began it has the key there: bring it, and name it (--run-key FILE)",
        };
        anyhow::anyhow!("cannot read the key of the command `{command}` in `{}`: {why}{elsewhere}", path.display())
    })
}

/// Removes the key and the log of a command that is no more.
pub(super) fn forget_key(command: &str) {
    if let Ok(path) = key_path(command) {
        // They may be on another machine.
        let _ = fs::remove_file(path.with_extension("log"));
        let _ = fs::remove_file(path);
    }
}

fn key_path(command: &str) -> anyhow::Result<PathBuf> {
    Ok(state()?.join(format!("{command}.key")))
}

/// Where the keys and logs of commands are.
fn state() -> anyhow::Result<PathBuf> {
    let strategy = etcetera::choose_base_strategy().context("cannot find the home directory")?;
    let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(state.join("gorgon").join("commands"))
}

/// Begins the command of this process again in the background, in a session of its own. Returns its name once
/// `has_begun` says so; until then, `say` gets what it prints.
///
/// `None` if a stop came first: then nothing is left of the command. If it has just begun, `forget` removes it.
pub(super) fn detach(
    has_begun: impl Fn(&str) -> bool,
    stops: &Receiver<()>,
    say: impl Fn(&str),
    forget: impl Fn(&str),
) -> anyhow::Result<Option<Detached>> {
    let command = format!("{:016x}", fastrand::u64(..));
    let directory = state()?;
    fs::create_dir_all(&directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
    let log = directory.join(format!("{command}.log"));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&log);
    let file = file.with_context(|| format!("cannot write `{}`", log.display()))?;
    let program = env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .args(env::args_os().skip(1))
        .env(VARIABLE, &command)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .context("cannot start a process in the background")?;
    let deadline = Instant::now() + BEGINNING;
    let mut told = 0;
    while !has_begun(&command) {
        let said = fs::read_to_string(&log).unwrap_or_default();
        for line in said.lines().skip(told) {
            say(line.trim_start_matches("gorgon: "));
            told += 1;
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            let last = last.trim_start_matches("gorgon: ");
            let _ = fs::remove_file(&log);
            anyhow::bail!("it did not begin in the background ({status}): {last}");
        }
        ensure!(Instant::now() < deadline, "it did not begin in the background; see `{}`", log.display());
        if stops.recv_timeout(Duration::from_millis(100)).is_ok() {
            end_in_order(&mut child);
            if has_begun(&command) {
                // Nobody was told of it.
                forget(&command);
            }
            forget_key(&command);
            return Ok(None);
        }
    }
    Ok(Some(Detached { command, log }))
}

/// Lets a process undo what it has done, and ends it by force if that takes too long.
fn end_in_order(child: &mut Child) {
    let process = nix::unistd::Pid::from_raw(child.id() as i32);
    // It may have ended.
    let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM);
    let until = Instant::now() + UNDOING;
    while Instant::now() < until && child.try_wait().is_ok_and(|status| status.is_none()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A command in the background.
pub(super) struct Detached {
    pub(super) command: String,
    /// What it prints.
    pub(super) log: PathBuf,
}

/// What a command is, for people: its name, and the first thing that it names.
pub(super) fn title(what: &Path) -> String {
    let verb = env::args().nth(1).unwrap_or_default();
    let mut name = what.file_name().unwrap_or(what.as_os_str()).as_bytes().to_vec();
    name.truncate(100);
    format!("{verb} {}", String::from_utf8_lossy(&name))
}
