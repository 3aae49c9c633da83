//! Files that live as long as a run, for its worker processes: in memory if the system can do that, so that nothing is
//! left on a disk, and no disk is needed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::system;

/// A file with a path that this process and its children can open, until it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _kept: Kept,
}

/// What keeps the file.
#[derive(Debug)]
#[expect(dead_code, reason = "they are only kept")]
enum Kept {
    InMemory(File),
    OnDisk(NamedTempFile),
}

impl Scratch {
    /// Makes a file with the content that `write` gives it.
    pub fn new(mut write: impl FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        if let Ok(scratch) = Self::in_memory(&mut write) {
            return Ok(scratch);
        }
        let mut file = NamedTempFile::with_prefix("gorgon-")?;
        write(&mut file)?;
        file.flush()?;
        Ok(Self { path: file.path().to_owned(), _kept: Kept::OnDisk(file) })
    }

    fn in_memory(mut write: impl FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let mut file = system::memory_file()?;
        write(&mut file)?;
        file.flush()?;
        // Without a path, nobody else can open it.
        let path = system::path_of(&file).ok_or(io::ErrorKind::Unsupported)?;
        File::open(&path)?;
        Ok(Self { path, _kept: Kept::InMemory(file) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn children_can_read_it_and_nothing_is_left() {
        let scratch = Scratch::new(|file| file.write_all(b"content")).unwrap();
        let path = scratch.path().to_owned();
        let read = std::process::Command::new("cat").arg(&path).output().unwrap();
        assert_eq!(read.stdout, b"content");
        // Another test may get the number of the file.
        let inode = |path: &Path| path.metadata().map(|metadata| metadata.ino()).ok();
        let before = inode(&path);
        drop(scratch);
        assert_ne!(before, inode(&path));
    }
}
