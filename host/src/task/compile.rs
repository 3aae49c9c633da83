//! Compiles `.wasm` files to machine code, in a cache that is private to the user.
//!
//! The key of the cache is the component's digest, together with everything in the engine on which machine code
//! depends. Files are written under a temporary name and then renamed, so that a reader sees a whole file or none. At
//! the end of each file is a digest of its key and its code: a file that a disk has damaged, or that lies under another
//! key, is not used.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_128;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Purpose, TaskError, child, count, describe, engine, project};
use crate::fault;
use crate::guest_text::command;
use crate::input;
use crate::proposals;
use crate::scratch::Scratch;

/// A compiled task that was not used for this long is removed when another one is stored.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// The largest component, in bytes.
pub const MOST_OF_COMPONENT: u64 = 256 << 20;

/// A compiled task.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The component's file, as it was named.
    pub path: PathBuf,
    /// The component's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The component's size.
    pub bytes: u64,
    /// The file with the machine code; only for [`Task::load`](super::Task::load).
    pub machine_code: PathBuf,
    /// Whether its instances may have a heap of objects.
    pub has_objects: bool,
    /// How long it took to compile the task or to find it in the cache.
    pub took: Duration,
    /// Whether the task was found in the cache.
    pub cached: bool,
    /// Why the cache could not be used; `None` if it was.
    pub uncached: Option<String>,
    /// Keeps the machine code if it is not in the cache.
    _scratch: Option<Arc<Scratch>>,
}

/// Where a component is compiled.
#[derive(Clone, Copy)]
enum Place {
    /// In a child process, with limits.
    Child,
    /// In this process: the binary of the unit tests has no subcommand that compiles.
    #[cfg(test)]
    Here,
}

/// Compiles tasks for an engine, each once.
#[derive(Clone)]
pub struct Compiler {
    engine: Engine,
    purpose: Purpose,
    place: Place,
    /// The directory of the cache, or why there is none.
    cache: Result<PathBuf, String>,
}

impl Compiler {
    /// A compiler that keeps machine code in the user's cache directory. If that is not private or cannot be used, the
    /// code is kept for this process and its children alone.
    pub fn new(purpose: Purpose) -> Result<Self, TaskError> {
        let engine = engine(purpose)?;
        let cache = match etcetera::choose_base_strategy() {
            Ok(base) => {
                let directory = base.cache_dir().join("gorgon/compiled");
                match make_private(&directory) {
                    // Workers are told the path as text.
                    Ok(()) if directory.to_str().is_none() => Err(format!("{directory:?} is not UTF-8")),
                    Ok(()) => Ok(directory),
                    Err(error) => Err(format!("{}: {error}", directory.display())),
                }
            }
            Err(_) => Err("there is no home directory".to_owned()),
        };
        Ok(Self { engine, purpose, place: Place::Child, cache })
    }

    /// The engine for which it compiles.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles the component in `path`, or finds it in the cache. `compiling` is called with the component's size
    /// before it is compiled.
    pub fn compile(&self, path: &Path, compiling: impl FnOnce(u64)) -> Result<Compiled, TaskError> {
        let begin = Instant::now();
        let wasm = read(path)?;
        let compiled = self.compile_bytes(path, &wasm, compiling)?;
        Ok(Compiled { took: begin.elapsed(), ..compiled })
    }

    /// The same for a component that is not in a file; `path` is its name in reports.
    pub fn compile_bytes(&self, path: &Path, wasm: &[u8], compiling: impl FnOnce(u64)) -> Result<Compiled, TaskError> {
        let begin = Instant::now();
        let sha256 = sha256(wasm);
        let name = format!("{sha256}-{:016x}.cwasm", compatibility(&self.engine));
        let compiled = |machine_code: PathBuf, cached, uncached, scratch| Compiled {
            path: path.to_owned(),
            sha256: sha256.clone(),
            bytes: wasm.len() as u64,
            machine_code,
            has_objects: count::has_objects(wasm),
            took: begin.elapsed(),
            cached,
            uncached,
            _scratch: scratch,
        };
        let unusable = |problem| TaskError::Unusable { path: path.display().to_string(), problem };
        if let Some(known) = self.cache.as_ref().ok().map(|cache| cache.join(&name)).filter(|code| self.is_usable(code))
        {
            return Ok(compiled(known, true, None, None));
        }
        compiling(wasm.len() as u64);
        if let Some(excess) = count::excess(wasm) {
            return Err(unusable(excess));
        }
        let mut problem = None;
        let scratch = Scratch::new(|file| {
            // If there is no room for the file, another one is tried; what the compiler says stays the same.
            if problem.is_none() {
                problem = self.machine_code(wasm, file)?.err();
            }
            Ok(())
        });
        if let Some(problem) = problem {
            return Err(unusable(problem));
        }
        let scratch = scratch.map_err(|error| {
            unusable(format!("there is no place for its machine code: {} (set TMPDIR)", fault::plain(&error)))
        })?;
        let why_not = match &self.cache {
            Ok(cache) => match self.store(cache, &name, scratch.path()) {
                Ok(stored) => return Ok(compiled(stored, false, None, None)),
                Err(problem) => format!("{}: {problem}", cache.display()),
            },
            Err(problem) => problem.clone(),
        };
        Ok(compiled(scratch.path().to_owned(), false, Some(why_not), Some(Arc::new(scratch))))
    }

    /// Writes the machine code of `wasm` to `to`. The inner error says why it cannot be compiled.
    fn machine_code(&self, wasm: &[u8], to: &mut dyn Write) -> io::Result<Result<(), String>> {
        match self.place {
            Place::Child => child::compile(self.purpose, wasm, to),
            #[cfg(test)]
            Place::Here => match machine_code(&self.engine, wasm) {
                Ok(code) => to.write_all(&code).map(Ok),
                Err(problem) => Ok(Err(problem)),
            },
        }
    }

    /// Whether `machine_code` exists, is whole, and loads. Marks the file as just used, if it can be written.
    fn is_usable(&self, machine_code: &Path) -> bool {
        if !is_own_file(machine_code).unwrap_or(false) || !is_whole(machine_code) {
            return false;
        }
        let _ = File::options().append(true).open(machine_code).and_then(|file| file.set_modified(SystemTime::now()));
        map(&self.engine, machine_code).is_ok()
    }

    /// Stores the code in the file `from` as `name` in the cache, from where it loads. An error says why it does not.
    fn store(&self, cache: &Path, name: &str, from: &Path) -> Result<PathBuf, String> {
        let machine_code = cache.join(name);
        let store = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(cache)?;
            io::copy(&mut File::open(from)?, &mut file)?;
            let digest = digest(name, File::open(from)?)?;
            file.write_all(&digest)?;
            // The name must not reach the disk before the content does.
            file.as_file().sync_data()?;
            file.persist(&machine_code)?;
            Ok(())
        };
        // The error of tempfile names a file that the user does not know.
        store().map_err(|error| fault::plain(&error))?;
        map(&self.engine, &machine_code).map_err(|error| error.to_string())?;
        forget_unused(cache);
        Ok(machine_code)
    }
}

/// The machine code of a component. An error says why it cannot be compiled.
pub(super) fn machine_code(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(wasm).map_err(|error| why(&error))
}

/// What is at the end of a file with machine code.
type CodeDigest = [u8; 16];

/// The digest of code and its key. It finds damage; against a person who can write the file nothing would help.
fn digest(key: &str, mut code: impl Read) -> io::Result<CodeDigest> {
    let mut hasher = XxHash3_128::new();
    hasher.write(key.as_bytes());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match code.read(&mut buffer)? {
            0 => return Ok(hasher.finish_128().to_le_bytes()),
            length => hasher.write(&buffer[..length]),
        }
    }
}

/// Whether a file of the cache is one that only this user can have written: the directory may have been open to others
/// once. Something else, such as a pipe, could not even be opened without waiting.
fn is_own_file(machine_code: &Path) -> io::Result<bool> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let metadata = fs::symlink_metadata(machine_code)?;
    let is_ours = metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & WRITABLE_BY_OTHERS == 0;
    Ok(metadata.is_file() && is_ours && metadata.nlink() == 1 && metadata.len() <= child::MOST_CODE + CODE_DIGEST)
}

/// The length of the digest, in bytes.
const CODE_DIGEST: u64 = size_of::<CodeDigest>() as u64;

/// Whether a file of the cache is as it was written.
fn is_whole(machine_code: &Path) -> bool {
    let check = || -> io::Result<bool> {
        let file = File::open(machine_code)?;
        let code = file.metadata()?.len().checked_sub(CODE_DIGEST).ok_or(io::ErrorKind::UnexpectedEof)?;
        let key = machine_code.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expected = digest(&key, (&file).take(code))?;
        let mut written = CodeDigest::default();
        (&file).read_exact(&mut written)?;
        Ok(written == expected)
    };
    check().unwrap_or(false)
}

/// Removes compiled tasks that were not used for long. Ignores failures: they cost only disk space.
fn forget_unused(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|ago| ago > KEEP)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Maps machine code that [`Compiler`] has written.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code; the comment below says why it is trusted")]
pub(super) fn map(engine: &Engine, machine_code: &Path) -> Result<Component, TaskError> {
    let unusable = |problem| TaskError::Unusable { path: machine_code.display().to_string(), problem };
    match machine_code.parent().map(is_private) {
        Some(Ok(true)) => {}
        Some(Err(error)) => return Err(unusable(error.to_string())),
        _ => return Err(unusable("its directory, or one above it, can be written by others".into())),
    }
    // SAFETY: machine code is run unchecked, so it must come from wasmtime and must not change while it is mapped. The
    // path comes only from `Compiler`, through the controller to a worker, and never from a user. The file is in a
    // directory that, as was just checked, belongs to this user and cannot be written by others: the cache, into which
    // files get only by renaming what `precompile_component` returned, or the open files of the controller in /proc,
    // of which `Scratch` writes each once. They are never changed in place. Anyone who can write there as this user
    // could also replace the gorgon binary. wasmtime checks the file's header against the engine.
    unsafe { Component::deserialize_file(engine, machine_code) }.map_err(|error| unusable(describe(&error)))
}

/// Why a component does not compile, and the remedy.
fn why(error: &wasmtime::Error) -> String {
    let text = describe(error);
    if let Some(remedy) = proposals::remedy(&text) {
        return remedy;
    }
    let place = text.rfind(" (at offset 0x").unwrap_or(text.len());
    let cause = text[..place].trim_start_matches("failed to parse WebAssembly module: ");
    format!("it is no valid component: {cause}; build it again with a toolchain of today")
}

/// Reads a component's file. If the file is not a component, the error says what it is.
fn read(path: &Path) -> Result<Vec<u8>, TaskError> {
    let not_a_component = |what, remedy: &str| TaskError::NotAComponent {
        path: path.display().to_string(),
        what,
        remedy: remedy.to_owned(),
    };
    let unreadable = |error: io::Error| {
        let build = Some(error.kind()).filter(|kind| *kind == io::ErrorKind::NotFound);
        let build = build.and_then(|_| project::build_command(path));
        let remedy = build.map(|command| format!("; build it first: {command}")).unwrap_or_default();
        TaskError::Unreadable { path: path.display().to_string(), problem: format!("{error}{remedy}") }
    };
    let after_build = |remedy: &str| match project::build_command(path) {
        Some(command) => format!("{remedy} ({command})"),
        None => remedy.to_owned(),
    };
    if fs::metadata(input::here(path)).map_err(unreadable)?.is_dir() {
        return Err(not_a_component("a directory", &after_build("name the .wasm file that your build has made")));
    }
    let bytes = input::read(path, MOST_OF_COMPONENT).map_err(unreadable)?;
    match &bytes[..] {
        // The magic number, then a component's version and layer.
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(bytes),
        [] => Err(not_a_component("empty", "build the task again")),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            // A name that no shell takes as one word is not suggested.
            let make = path.to_str().and_then(|path| command(["gorgon", "component", path, "-o", "task.wasm"]));
            let make = make.unwrap_or_else(|| "gorgon component".into());
            Err(not_a_component("a core module", &format!("build it for wasm32-wasip2, or make it one with `{make}`")))
        }
        [0, b'a', b's', b'm', ..] => {
            Err(not_a_component("WebAssembly of an unknown version", "build it with a current toolchain"))
        }
        _ if Engine::detect_precompiled(&bytes).is_some() => Err(not_a_component(
            "compiled machine code",
            "give the .wasm file that it was compiled from; machine code is never taken from a file",
        )),
        _ if std::str::from_utf8(&bytes).is_ok() => {
            Err(not_a_component("text", &after_build("give a compiled .wasm file")))
        }
        _ => Err(not_a_component("some other file", "give a compiled .wasm file")),
    }
}

/// A hash of everything in the engine on which machine code depends: processor, configuration, wasmtime's version.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Makes a directory that only this user can write, or checks that an existing one is.
fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if !is_private(directory)? {
        return Err(io::Error::other("it, or a directory above it, can be written by others"));
    }
    if fs::metadata(directory)?.permissions().readonly() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

/// Whether only this user can write `directory`, and nobody else can put another one in its place.
fn is_private(directory: &Path) -> io::Result<bool> {
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let own = nix::unistd::geteuid().as_raw();
    let metadata = fs::metadata(directory)?;
    if metadata.uid() != own || metadata.mode() & (GROUP | OTHERS) != 0 {
        return Ok(false);
    }
    for above in directory.canonicalize()?.ancestors().skip(1) {
        let metadata = fs::metadata(above)?;
        // Many systems give each user a group of the same name, whose only member is the user.
        let by_group = metadata.mode() & GROUP != 0 && metadata.gid() != nix::unistd::getegid().as_raw();
        let by_others = by_group || metadata.mode() & OTHERS != 0;
        // In a sticky directory, such as /tmp, nobody can rename what belongs to somebody else.
        let is_safe = [own, 0].contains(&metadata.uid()) && (!by_others || metadata.mode() & STICKY != 0);
        if !is_safe {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_is_not_a_component_is_identified() {
        for (bytes, what) in [
            (&b""[..], "is empty"),
            (b"\0asm\x01\0\0\0", "a core module"),
            (b"\0asm\x02\0\0\0", "unknown version"),
            (b"#!/bin/sh\n", "is text"),
            (b"\xff\xfe\0\x01", "some other file"),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            let error = read(file.path()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap_err().to_string().contains("is a directory"));
        assert!(read(&directory.path().join("none.wasm")).unwrap_err().to_string().contains("cannot read the task"));
    }

    #[test]
    fn a_component_that_needs_component_model_async_is_refused_with_a_remedy() {
        let wasm = wat::parse_str("(component (core func (canon task.cancel)))").unwrap();
        let compiler = Compiler { place: Place::Here, ..Compiler::new(Purpose::Multiply).unwrap() };
        let compiled = compiler.compile_bytes(Path::new("task.wasm"), &wasm, |_| {});
        let error = compiled.unwrap_err().to_string();
        assert!(error.contains("component-model-async") && error.contains("without `--backend qjs`"), "{error}");
    }

    #[test]
    fn machine_code_in_a_directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.cwasm");
        fs::write(&file, b"anything").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = map(&engine(Purpose::Multiply).unwrap(), &file).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("can be written by others")));
    }
}
