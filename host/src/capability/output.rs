//! What guests print. In a run it never goes directly to the host's terminal or pipes, never blocks, and is bounded.

use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use crossbeam::channel::Sender;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::last_words::LastWords;
use crate::guest_text;

/// How many bytes all guests of a process may print in a run. The rest is counted and dropped.
pub const MAX_BYTES: u64 = 1 << 20;

/// A line that is longer, in bytes, is passed on in pieces.
const MAX_LINE: usize = 4_096;

/// Where the guests of a process print.
#[derive(Clone, Debug)]
pub struct GuestOutput {
    lines: Option<Sender<Vec<u8>>>,
    printed: Arc<AtomicU64>,
}

impl GuestOutput {
    /// Sends whole lines to `lines`.
    pub fn new(lines: Sender<Vec<u8>>) -> Self {
        Self { lines: Some(lines), printed: Arc::default() }
    }

    /// Prints to the host's stderr at once and without limit, for a person who watches.
    pub fn live() -> Self {
        Self { lines: None, printed: Arc::default() }
    }

    /// How many bytes were dropped because the guests printed too much.
    pub fn dropped(&self) -> u64 {
        self.printed.load(Ordering::Relaxed).saturating_sub(MAX_BYTES)
    }

    /// One of the output streams of an instance.
    pub(super) fn stream(&self) -> GuestStream {
        GuestStream(Arc::new(Lines { output: self.clone(), unfinished: Mutex::default(), last_words: None }))
    }

    /// The same, of which the last words are kept.
    pub(super) fn stream_with_last_words(&self) -> GuestStream {
        let last_words = Some(Mutex::default());
        GuestStream(Arc::new(Lines { output: self.clone(), unfinished: Mutex::default(), last_words }))
    }

    fn pass_on(&self, line: &[u8]) {
        let length = line.len() as u64;
        if self.printed.fetch_add(length, Ordering::Relaxed) + length <= MAX_BYTES {
            // This fails only if the worker is ending, and then the line does not matter.
            let _ = self.lines.as_ref().map(|lines| lines.send(line.to_vec()));
        }
    }

    /// Shows bytes to a person who watches.
    fn show(bytes: &[u8]) {
        // If stderr is closed, there is nothing to show.
        let _ = anstream::stderr().lock().write_all(guest_text::output(bytes).as_bytes());
    }
}

/// One of the output streams of an instance. However many handles of it the guest holds, they share one unfinished
/// line.
#[derive(Clone)]
pub(super) struct GuestStream(Arc<Lines>);

impl GuestStream {
    /// Why the guest has trapped, as far as it has said so since `began`.
    pub(super) fn last_words(&self, began: Instant) -> Option<String> {
        let last_words = self.0.last_words.as_ref()?;
        let unfinished = self.0.unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut last_words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        if !unfinished.is_empty() {
            last_words.hear(&unfinished);
        }
        last_words.why(began)
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

/// Collects bytes into lines.
struct Lines {
    output: GuestOutput,
    unfinished: Mutex<Vec<u8>>,
    last_words: Option<Mutex<LastWords>>,
}

impl Lines {
    fn take(&self, bytes: &[u8]) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        if self.output.lines.is_none() {
            unfinished.extend_from_slice(bytes);
            let whole = whole(&unfinished);
            GuestOutput::show(&unfinished[..whole]);
            unfinished.drain(..whole);
            // Who watches sees them.
            return;
        }
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            unfinished.extend_from_slice(piece);
            if piece.ends_with(b"\n") || unfinished.len() >= MAX_LINE {
                self.output.pass_on(&unfinished);
                if let Some(last_words) = &self.last_words {
                    last_words.lock().unwrap_or_else(PoisonError::into_inner).hear(&unfinished);
                }
                unfinished.clear();
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let unfinished = self.unfinished.get_mut().unwrap_or_else(PoisonError::into_inner);
        if unfinished.is_empty() {
            return;
        }
        if self.output.lines.is_none() {
            GuestOutput::show(unfinished);
            return;
        }
        unfinished.push(b'\n');
        self.output.pass_on(unfinished);
    }
}

/// How much of `bytes` can be shown: everything but an incomplete character or escape sequence at the end, which the
/// next bytes may continue.
fn whole(bytes: &[u8]) -> usize {
    /// No sequence that sets colours is longer.
    const LONGEST: usize = 32;
    let tail = bytes.len().saturating_sub(LONGEST);
    if let Some(at) = bytes[tail..].iter().rposition(|&byte| byte == 0x1b) {
        let sequence = &bytes[tail + at + 1..];
        let goes_on = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
        if sequence.is_empty() || (sequence[0] == b'[' && sequence[1..].iter().all(goes_on)) {
            return tail + at;
        }
    }
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    // Always ready: in the compute lane nothing can wait.
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_character_or_sequence_waits_for_its_rest() {
        for (bytes, shown) in [
            (&b"plain"[..], 5),
            ("é".as_bytes(), 2),
            (&"é".as_bytes()[..1], 0),
            (b"a\x1b", 1),
            (b"a\x1b[3", 1),
            (b"a\x1b[31m", 6),
            (b"a\x1b]0;t", 6),
            (b"\xff\xff", 2),
        ] {
            assert_eq!(whole(bytes), shown, "{bytes:?}");
        }
    }

    #[test]
    fn lines_are_whole_and_bounded() {
        let (sender, lines) = crossbeam::channel::unbounded();
        let output = GuestOutput::new(sender);
        let stream = output.stream();
        stream.0.take(b"one\ntw");
        let another_handle = stream.clone();
        drop(stream);
        another_handle.0.take(b"o\nthr");
        drop(another_handle);
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), [&b"one\n"[..], b"two\n", b"thr\n"]);

        let flood = output.stream();
        (0..MAX_BYTES).for_each(|_| flood.0.take(b"x\n"));
        assert_eq!(lines.try_iter().map(|line| line.len() as u64).sum::<u64>(), MAX_BYTES - 12);
        assert!(output.dropped() >= MAX_BYTES);
    }
}
