//! Reads the files and variables that people name, each file up to a limit: a name may be that of a device without an
//! end. What was read is noted, so that a command can be repeated elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::env::VarError;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};

/// How long nothing may come through a pipe: a stranger's folder can have one into which nobody writes.
const PATIENCE_MS: u16 = 20_000;

/// What was read of the world around the command, and what is read in its stead.
#[derive(Debug, Default)]
struct World {
    files: BTreeSet<PathBuf>,
    variables: BTreeMap<String, String>,
    /// If the command is repeated: the files that stand for others, and the variables as they were.
    instead: Option<(BTreeMap<PathBuf, PathBuf>, BTreeMap<String, String>)>,
}

static WORLD: Mutex<World> = Mutex::new(World { files: BTreeSet::new(), variables: BTreeMap::new(), instead: None });

fn world() -> MutexGuard<'static, World> {
    // Nothing that holds the lock can panic half-way.
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file that is meant by `path`: another one, if a command is repeated.
pub fn here(path: &Path) -> PathBuf {
    let mut world = world();
    let other = world.instead.as_ref().and_then(|(files, _)| files.get(path)).cloned();
    world.files.insert(path.to_owned());
    other.unwrap_or_else(|| path.to_owned())
}

/// The value of an environment variable, as `std::env::var`.
pub fn variable(name: &str) -> Result<String, VarError> {
    let mut world = world();
    let value = match &world.instead {
        Some((_, variables)) => variables.get(name).cloned().ok_or(VarError::NotPresent),
        None => std::env::var(name),
    };
    if let Ok(value) = &value {
        world.variables.insert(name.to_owned(), value.clone());
    }
    value
}

/// The files that were named so far, and the variables that were read.
pub fn noted() -> (Vec<PathBuf>, BTreeMap<String, String>) {
    let world = world();
    (world.files.iter().cloned().collect(), world.variables.clone())
}

/// From now on `files` stand for others, and variables have these values.
pub fn instead(files: BTreeMap<PathBuf, PathBuf>, variables: BTreeMap<String, String>) {
    world().instead = Some((files, variables));
}

/// The content of `path`, a file, a pipe or a device. It is an error if that has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let path = &here(path);
    if path.metadata()?.file_type().is_fifo() {
        // Opening it for reading alone would wait until somebody writes.
        let pipe = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        return read_from(Pipe(pipe), most);
    }
    let file = File::open(path)?;
    // A file is too large before it was read.
    if file.metadata()?.len() > most {
        return Err(too_large(most));
    }
    read_from(file, most)
}

/// The same for a text in UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8: save it as UTF-8"))
    })
}

/// What `from` has, up to `most` bytes.
pub fn read_from(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large(most)) } else { Ok(bytes) }
}

/// A pipe whose end is not waited for longer than it says nothing.
struct Pipe(File);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut readable = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if poll(&mut readable, PATIENCE_MS)? == 0 {
                let seconds = PATIENCE_MS / 1_000;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it is a pipe, and nothing came through it for {seconds} s"),
                ));
            }
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {}", ByteSize(most).display().iec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_has_no_end_is_an_error() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1.0 MiB");
        assert_eq!(read(Path::new("/dev/null"), 0).unwrap(), b"");
        assert_eq!(read_from(&b"12345"[..], 5).unwrap(), b"12345");
        assert!(read_from(&b"123456"[..], 5).is_err());
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let to = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, vec![b'x'; 1 << 20]).unwrap());
        assert_eq!(read(&path, 1 << 20).unwrap().len(), 1 << 20);
        writer.join().unwrap();
    }

    #[test]
    fn a_large_file_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read(file.path(), 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_by_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\ntwo \xff\n").unwrap();
        assert_eq!(read_text(file.path(), 100).unwrap_err().to_string(), "line 2 is not UTF-8: save it as UTF-8");
    }
}
