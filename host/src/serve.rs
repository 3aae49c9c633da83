//! An HTTP/1.1 server: one thread with one loop that accepts connections. Knows no routes.

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// How many connections may wait to be accepted. The standard library asks for 128. If more wait, the kernel drops new
/// ones, and their clients try again a second later; a measurement would blame this server for that.
const BACKLOG: i32 = 4_096;

/// Listens, without accepting yet. Port 0 means any free port.
pub fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What a server allows its clients.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// How many connections it has at most. Further ones wait to be accepted.
    pub connections: usize,
    /// How long a connection may take for the head of a request, be idle, or not read.
    pub head: Duration,
}

impl Allowance {
    /// At most `most` connections, and at most this percentage of the files that the process may open: reports and
    /// workers need some too.
    pub fn of(most: usize, percentage: u64, head: Duration) -> Self {
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        let share = usize::try_from(files.saturating_mul(percentage) / 100).unwrap_or(usize::MAX);
        Self { connections: most.min(share).max(1), head }
    }
}

/// Answers requests on this thread for as long as the process lives.
pub fn serve<A, F, B>(listener: TcpListener, allowance: Allowance, answer: A) -> io::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let free = Arc::new(Semaphore::new(allowance.connections));
        loop {
            // It is never closed.
            let place = free.clone().acquire_owned().await.map_err(io::Error::other)?;
            // The process may be out of file descriptors: connections that end will free some.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            // It is not an error here if a client disconnects.
            tokio::task::spawn_local(async move {
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(allowance.head);
                // A client that does not read gives its place back too.
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(allowance.head));
                let connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
                drop(connection.await);
                drop(place);
            });
        }
    })
}
