//! An HTTP/1.1 server: one thread with one loop that accepts connections. Knows no routes.

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

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

/// Answers requests on this thread for as long as the process lives.
pub fn serve<A, F, B>(listener: TcpListener, answer: A) -> io::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
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
                let connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                drop(connection.await);
            });
        }
    })
}
