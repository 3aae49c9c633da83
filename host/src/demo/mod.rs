//! A server on loopback for trying things out. `gorgon demo` measures it, and the examples in the documentation use it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use crate::serve::{Allowance, listen, serve};

/// The most bytes that `/bytes` sends, and that the body of an object may have.
const MOST_BYTES: usize = 16 << 20;

/// The most objects that are kept. Beyond them the oldest is deleted, so that memory stays bounded.
const MOST_OBJECTS: usize = 100_000;

/// The page at `/`, which lists the routes.
const INDEX: &str = "\
gorgon demo

GET    /                 this text
GET    /slow?ms=100      answers after that many milliseconds
GET    /flaky?p=0.1      fails with 500, with that probability
GET    /bytes?n=1000     answers with that many bytes
POST   /objects          keeps the body, answers 201 with {\"id\": ID}
GET    /objects/ID       answers with what was kept, or 404
DELETE /objects/ID       forgets it
";

/// A server that listens.
pub struct Server {
    listener: std::net::TcpListener,
    objects: Objects,
}

/// How long a connection may be idle. Load is often sent in bursts.
const PATIENCE: Duration = Duration::from_secs(75);

#[derive(Default)]
struct Objects {
    next: AtomicU64,
    kept: Mutex<HashMap<u64, Bytes>>,
}

impl Server {
    /// Listens on loopback. Port 0 means any free port.
    pub fn listen(port: u16) -> io::Result<Self> {
        Ok(Self { listener: listen((Ipv4Addr::LOCALHOST, port))?, objects: Objects::default() })
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves on this thread until the process ends.
    pub fn serve(self) -> io::Result<()> {
        // Connections borrow the objects until the process ends.
        let objects: &'static Objects = Box::leak(Box::new(self.objects));
        serve(self.listener, Allowance::of(usize::MAX, 75, PATIENCE), move |request| answer(request, objects))
    }
}

async fn answer(request: Request<Incoming>, objects: &Objects) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let argument = |name: &str| {
        let query = request.uri().query().unwrap_or_default();
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)?.1.parse().ok())
            .filter(|number: &f64| number.is_finite())
    };
    let id = path.strip_prefix("/objects/").and_then(|id| id.parse().ok());
    match (request.method(), path.as_str(), id) {
        (&Method::GET, "/", _) => text(StatusCode::OK, INDEX),
        (&Method::GET, "/slow", _) => {
            let ms = argument("ms").unwrap_or(100.0).clamp(0.0, 3_600_000.0);
            tokio::time::sleep(Duration::from_secs_f64(ms / 1_000.0)).await;
            text(StatusCode::OK, "at last\n")
        }
        (&Method::GET, "/flaky", _) => {
            if fastrand::f64() < argument("p").unwrap_or(0.1) {
                text(StatusCode::INTERNAL_SERVER_ERROR, "out of luck\n")
            } else {
                text(StatusCode::OK, "lucky\n")
            }
        }
        (&Method::GET, "/bytes", _) => {
            let n = argument("n").unwrap_or(1_000.0).clamp(0.0, MOST_BYTES as f64) as usize;
            text(StatusCode::OK, vec![b'x'; n])
        }
        (&Method::POST, "/objects", _) => match Limited::new(request.into_body(), MOST_BYTES).collect().await {
            Ok(body) => {
                let id = objects.keep(body.to_bytes());
                text(StatusCode::CREATED, format!("{{\"id\": {id}}}\n"))
            }
            Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "too much\n"),
        },
        (&Method::GET, _, Some(id)) => objects.read(id).map_or_else(not_found, |body| text(StatusCode::OK, body)),
        (&Method::DELETE, _, Some(id)) => {
            if objects.forget(id) {
                text(StatusCode::NO_CONTENT, "")
            } else {
                not_found()
            }
        }
        _ => not_found(),
    }
}

impl Objects {
    fn keep(&self, body: Bytes) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(id, body);
        kept.remove(&id.wrapping_sub(MOST_OBJECTS as u64));
        id
    }

    fn read(&self, id: u64) -> Option<Bytes> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn forget(&self, id: u64) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
