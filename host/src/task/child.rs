//! Compiles in a child process. How much memory and time a compiler takes cannot be told from a component's size, so
//! the child has limits, and a component that needs more costs only the child.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytesize::ByteSize;
use crossbeam::channel::{RecvTimeoutError, bounded};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Purpose, compile::machine_code, engine};
use crate::binary;
use crate::guest_text::line;
use crate::system;

/// The hidden subcommand that compiles.
const COMPILER_SUBCOMMAND: &str = "compile";

/// How much memory the compiler may take.
const MOST_MEMORY: u64 = 4 << 30;

/// How long it may take.
const MOST_TIME: Duration = Duration::from_secs(180);

/// How much machine code it may make.
pub(super) const MOST_CODE: u64 = 1 << 30;

/// How long the child may take to end by itself after its time is up.
const GRACE: Duration = Duration::from_secs(2);

/// The exit code of a child whose time is up.
const TOO_LONG: i32 = 3;

/// Compiles a component, and writes its machine code to `to`. The outer error is one of the system, the inner one says
/// why the component cannot be compiled.
pub(super) fn compile(purpose: Purpose, wasm: &[u8], to: &mut dyn Write) -> io::Result<Result<(), String>> {
    let mut command = binary::command(COMPILER_SUBCOMMAND)?;
    let child = command.arg(purpose.name()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn()?;
    let written = std::thread::scope(|scope| {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.map(|stderr| stderr.take(64 << 10).read_to_end(&mut said));
            String::from_utf8_lossy(&said).into_owned()
        });
        // It is not an error here if the child has ended: its exit code says more.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(wasm)));
        let (done, ended) = bounded::<()>(0);
        let process = Pid::from_raw(child.id().cast_signed());
        scope.spawn(move || {
            if ended.recv_timeout(MOST_TIME + GRACE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(process, Signal::SIGKILL);
            }
        });
        let written = stdout.map_or(Ok(0), |stdout| io::copy(&mut stdout.take(MOST_CODE), to));
        if written.as_ref().is_ok_and(|&written| written == MOST_CODE) {
            let _ = child.kill();
        }
        // Not `wait`, after which the identifier may be that of another process.
        system::await_end(process);
        drop(done);
        (written, said.join().unwrap_or_default())
    });
    let (written, said) = written;
    let (status, written) = (child.wait()?, written?);
    Ok(match status {
        status if status.success() => Ok(()),
        _ if written == MOST_CODE => Err(format!("its machine code has more than {}", size(MOST_CODE))),
        status => Err(why(status, &said)),
    })
}

/// Why the child has compiled nothing.
fn why(status: ExitStatus, said: &str) -> String {
    let out_of_memory = format!("compiling it takes more than {} of memory", size(MOST_MEMORY));
    let too_long = format!("compiling it takes longer than {} s", MOST_TIME.as_secs());
    match (status.code(), status.signal()) {
        (Some(code), _) if code == TOO_LONG => too_long,
        (Some(_), _) if !said.trim().is_empty() => line(said.trim()),
        _ if said.contains("memory allocation of") || said.contains("Cannot allocate memory") => out_of_memory,
        (_, Some(9)) => "its compiler was killed; if nobody killed it, memory ran out".into(),
        (_, Some(signal)) => format!("its compiler was ended by signal {signal}"),
        _ => "its compiler ended without a word".into(),
    }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// The child: compiles what comes from stdin, and writes the machine code to stdout. An error says why it cannot.
pub fn serve(purpose: Purpose) -> Result<(), String> {
    // A child that outlives its parent would go on for nobody.
    system::end_with_parent();
    // A system that does not know this limit has none.
    let _ = setrlimit(Resource::RLIMIT_DATA, MOST_MEMORY, MOST_MEMORY);
    let limit = std::thread::Builder::new().name("limit".into()).spawn(|| {
        std::thread::sleep(MOST_TIME);
        std::process::exit(TOO_LONG);
    });
    limit.map_err(|error| format!("cannot start a thread: {error}"))?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let engine = engine(purpose).map_err(|error| error.to_string())?;
    let code = machine_code(&engine, &wasm)?;
    io::stdout().lock().write_all(&code).map_err(|error| error.to_string())
}
