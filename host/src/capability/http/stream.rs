//! The streams beneath HTTP, which count their bytes.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use wasmtime_wasi_http::Error;

use super::failure::of_tls_end;
use crate::capability::network::Network;

/// A connection of the system.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that counts its bytes for the thread that opened it.
pub(super) struct CountedStream {
    socket: Socket,
    network: Arc<Network>,
}

impl CountedStream {
    pub(super) fn new(socket: Socket, network: Arc<Network>) -> Self {
        Self { socket, network }
    }

    fn sent(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.network.count(|counts| counts.bytes_out += bytes as u64);
        }
        polled
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let bytes = (buffer.filled().len() - before) as u64;
        if bytes > 0 {
            self.network.count(|counts| counts.bytes_in += bytes);
        }
        polled
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.sent(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        };
        self.sent(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// What was heard from a server over HTTP/1.1.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    /// Whether it has sent anything since the last request.
    anything: AtomicBool,
    /// Why TLS ended, which hyper tells nobody if no request was on the connection yet.
    end: Mutex<Option<Error>>,
}

impl Heard {
    /// Nothing was, from now on.
    pub(super) fn forget(&self) {
        self.0.anything.store(false, Ordering::Relaxed);
    }

    pub(super) fn anything(&self) -> bool {
        self.0.anything.load(Ordering::Relaxed)
    }

    fn ended(&self, with: Error) {
        *self.0.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(with);
    }

    /// Why the connection ended, once.
    pub(super) fn end(&self) -> Option<Error> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A stream that notes whether anything was read from it. A server may answer, and close the connection, before it has
/// read the whole request. Then writing fails, and what was read tells more: so only reading fails.
pub(super) struct Listening<S> {
    pub(super) stream: S,
    pub(super) heard: Heard,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.0.anything.store(true, Ordering::Relaxed);
        }
        if let Poll::Ready(Err(error)) = &polled
            && let Some(end) = of_tls_end(error)
        {
            self.heard.ended(end);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        unless_closed(polled, || bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        unless_closed(polled, || bytes.iter().map(|bytes| bytes.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        unless_closed(polled, || ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What was written; everything if the other end has closed the connection.
fn unless_closed<T>(polled: Poll<io::Result<T>>, all: impl FnOnce() -> T) -> Poll<io::Result<T>> {
    match polled {
        Poll::Ready(Err(error))
            if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
        {
            Poll::Ready(Ok(all()))
        }
        polled => polled,
    }
}
