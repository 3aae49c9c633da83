//! Compiles `.wasm` files to machine code, in a cache that is private to the user.
//!
//! The key of the cache is the component's digest, together with everything in the engine on which machine code
//! depends. Files are written under a temporary name and then renamed, so that a reader sees a whole file or none.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{TaskError, describe};
use crate::fault;
use crate::scratch::Scratch;

/// A compiled task that was not used for this long is removed when another one is stored.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

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
    /// How long it took to compile the task or to find it in the cache.
    pub took: Duration,
    /// Whether the task was found in the cache.
    pub cached: bool,
    /// Why the cache could not be used; `None` if it was.
    pub uncached: Option<String>,
    /// Keeps the machine code if it is not in the cache.
    _scratch: Option<Arc<Scratch>>,
}

/// Compiles tasks for an engine, each once.
#[derive(Clone)]
pub struct Compiler {
    engine: Engine,
    /// The directory of the cache, or why there is none.
    cache: Result<PathBuf, String>,
}

impl Compiler {
    /// A compiler that keeps machine code in the user's cache directory. If that is not private or cannot be used, the
    /// code is kept for this process and its children alone.
    pub fn new(engine: &Engine) -> Self {
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
        Self { engine: engine.clone(), cache }
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
            took: begin.elapsed(),
            cached,
            uncached,
            _scratch: scratch,
        };
        if let Some(known) = self.cache.as_ref().ok().map(|cache| cache.join(&name)).filter(|code| self.is_usable(code))
        {
            return Ok(compiled(known, true, None, None));
        }
        compiling(wasm.len() as u64);
        let unusable = |problem| TaskError::Unusable { path: path.display().to_string(), problem };
        let code = self.engine.precompile_component(wasm).map_err(|error| unusable(why(&error)))?;
        let why_not = match &self.cache {
            Ok(cache) => match self.store(cache, &name, &code) {
                Ok(stored) => return Ok(compiled(stored, false, None, None)),
                Err(problem) => format!("{}: {problem}", cache.display()),
            },
            Err(problem) => problem.clone(),
        };
        let scratch = Scratch::new(|file| file.write_all(&code)).map_err(|error| {
            unusable(format!("there is no place for its machine code: {} (set TMPDIR)", fault::plain(&error)))
        })?;
        Ok(compiled(scratch.path().to_owned(), false, Some(why_not), Some(Arc::new(scratch))))
    }

    /// Whether `machine_code` exists and loads. Marks the file as just used, if it can be written.
    fn is_usable(&self, machine_code: &Path) -> bool {
        // Something else, such as a pipe, could not even be opened without waiting.
        if !fs::metadata(machine_code).is_ok_and(|metadata| metadata.is_file()) {
            return false;
        }
        let _ = File::options().append(true).open(machine_code).and_then(|file| file.set_modified(SystemTime::now()));
        map(&self.engine, machine_code).is_ok()
    }

    /// Stores `code` as `name` in the cache, from where it loads. An error says why it does not.
    fn store(&self, cache: &Path, name: &str, code: &[u8]) -> Result<PathBuf, String> {
        let machine_code = cache.join(name);
        let store = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(cache)?;
            file.write_all(code)?;
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
        _ => return Err(unusable("its directory can be written by others".into())),
    }
    // SAFETY: machine code is run unchecked, so it must come from wasmtime and must not change while it is mapped. The
    // path comes only from `Compiler`, through the controller to a worker, and never from a user. The file is in a
    // directory that, as was just checked, belongs to this user and cannot be written by others: the cache, into which
    // files get only by renaming what `precompile_component` returned, or the open files of the controller in /proc,
    // of which `Scratch` writes each once. They are never changed in place. Anyone who can write there as this user
    // could also replace the gorgon binary. wasmtime checks the file's header against the engine.
    unsafe { Component::deserialize_file(engine, machine_code) }.map_err(|error| unusable(describe(&error)))
}

/// Why a component does not compile; with a remedy if it needs a feature that Gorgon leaves out.
fn why(error: &wasmtime::Error) -> String {
    let text = describe(error);
    if !text.contains("component model async") {
        return text;
    }
    // Built into wasmtime, the feature slows every task, even if it is switched off: docs/src/languages.md has the
    // figures.
    "it needs component-model-async, which gorgon leaves out because it slows every other task: build it for WASI 0.2 \
     without async functions (with jco, without `--backend qjs`)"
        .into()
}

/// Reads a component's file. If the file is not a component, the error says what it is.
fn read(path: &Path) -> Result<Vec<u8>, TaskError> {
    let not_a_component = |what, remedy| TaskError::NotAComponent { path: path.display().to_string(), what, remedy };
    let unreadable =
        |error: io::Error| TaskError::Unreadable { path: path.display().to_string(), problem: error.to_string() };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(not_a_component("a directory", "name the .wasm file that your build has made"));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    match &bytes[..] {
        // The magic number, then a component's version and layer.
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(bytes),
        [] => Err(not_a_component("empty", "build the task again")),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(not_a_component(
            "a core module",
            "build it for wasm32-wasip2, or make it a component with `wasm-tools component new`",
        )),
        [0, b'a', b's', b'm', ..] => {
            Err(not_a_component("WebAssembly of an unknown version", "build it with a current toolchain"))
        }
        _ if Engine::detect_precompiled(&bytes).is_some() => Err(not_a_component(
            "compiled machine code",
            "give the .wasm file that it was compiled from; machine code is never taken from a file",
        )),
        _ if std::str::from_utf8(&bytes).is_ok() => Err(not_a_component("text", "give a compiled .wasm file")),
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
    if is_private(directory)? && !fs::metadata(directory)?.permissions().readonly() {
        return Ok(());
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

fn is_private(directory: &Path) -> io::Result<bool> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let metadata = fs::metadata(directory)?;
    let ours = metadata.uid() == nix::unistd::geteuid().as_raw();
    Ok(ours && metadata.permissions().mode() & WRITABLE_BY_OTHERS == 0)
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let engine = super::super::engine(super::super::Purpose::Multiply).unwrap();
        let compiled = Compiler::new(&engine).compile_bytes(Path::new("task.wasm"), &wasm, |_| {});
        let error = compiled.unwrap_err().to_string();
        assert!(error.contains("component-model-async") && error.contains("without `--backend qjs`"), "{error}");
    }

    #[test]
    fn machine_code_in_a_directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.cwasm");
        fs::write(&file, b"anything").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = map(&super::super::engine(super::super::Purpose::Multiply).unwrap(), &file)
            .err()
            .map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("can be written by others")));
    }
}
