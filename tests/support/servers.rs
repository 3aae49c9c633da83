//! Servers of the tests, good and bad.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gorgon::demo::Server;

/// The server of the demo, which runs as long as the tests.
pub(crate) fn demo() -> SocketAddr {
    let server = Server::listen(0).unwrap();
    let address = server.address().unwrap();
    std::thread::spawn(move || server.serve());
    address
}

/// A listener that passes each connection to `serve`, on a separate thread, and counts the connections.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    listen_at("127.0.0.1", serve)
}

/// The same at another address of this machine.
pub(crate) fn listen_at(
    address: &str,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (counted, serve) = (accepted.clone(), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    (address, accepted)
}

/// Reads the head of a request; false if the client has closed the connection.
pub(crate) fn read_head(stream: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => return true,
            Ok(_) => {}
        }
    }
}

/// Answers each request on a connection with `bytes`.
pub(crate) fn answer(bytes: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while read_head(&mut reader) && stream.write_all(bytes).is_ok() {}
    }
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// `{"id": 7}` in gzip.
pub(crate) const GZIPPED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x4c\x51\xb2\x52\x30\xaf\x05\x00\x03\xe7\x8e\
    \x00\x09\x00\x00\x00";

/// An nginx that listens as `listen` says, with `more` directives. If nginx is not installed, prints so and returns
/// `None`.
pub(crate) fn nginx(listen: &str, more: &str) -> Option<Nginx> {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/errors; events {{}}
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f;
           uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; {more}
           server {{ listen 127.0.0.1:{port} {listen}; location / {{ return 200 'hello'; }} }} }}"
    );
    std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
    let mut nginx = std::process::Command::new("nginx");
    nginx.arg("-p").arg(directory.path()).arg("-c").arg(directory.path().join("nginx.conf"));
    let Ok(process) = nginx.stderr(std::process::Stdio::null()).spawn() else {
        println!("SKIPPED: nginx is not installed (Debian's nginx-light)");
        return None;
    };
    let nginx = Nginx { process, url: format!("http://127.0.0.1:{port}/"), _directory: directory };
    crate::support::wait_until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(nginx)
}

pub(crate) struct Nginx {
    process: std::process::Child,
    pub(crate) url: String,
    _directory: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
