//! HTTP/1.1 for who asks this process: one thread, one loop that accepts. Knows no route.

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

/// Connections that may wait to be accepted. The standard library asks for 128; where more wait the kernel ignores who
/// comes, and they try again a second later, which would be measured as this server's doing.
const BACKLOG: i32 = 4_096;

/// Listens, without waiting for anybody yet; port 0 is any that is free.
pub fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers who connects, on this thread, for as long as the process lives.
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
            // Out of file descriptors, for one: connections that end make room.
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
            // A client that goes away in the middle is its own affair.
            tokio::task::spawn_local(async move {
                let connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                drop(connection.await);
            });
        }
    })
}
