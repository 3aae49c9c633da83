//! A task that opens sockets: its arguments are `tcp ADDRESS`, `udp ADDRESS`, `lookup NAME` or `listen`. Its `prepare`
//! and `cleanup` connect to `PREPARE` and `CLEANUP` in the environment, and ignore errors.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

#[gorgon_guest::operation]
fn sockets(_n: u64) -> Result<&'static str, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done: io::Result<()> = match words[..] {
        ["tcp", address] => TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"hello")),
        ["udp", address] => {
            let unbound = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            UdpSocket::bind(unbound).and_then(|socket| socket.send_to(b"hello", address)).map(drop)
        }
        ["lookup", name] => (name, 80).to_socket_addrs().map(drop),
        ["listen"] => TcpListener::bind("127.0.0.1:0").map(drop),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    done.map(|()| "done").map_err(|error| error.to_string())
}

#[gorgon_guest::prepare]
fn prepare() -> &'static str {
    knock("PREPARE")
}

#[gorgon_guest::cleanup]
fn cleanup(_prepared: String) {
    knock("CLEANUP");
}

fn knock(variable: &str) -> &'static str {
    let address = std::env::var(variable).unwrap_or_default();
    if TcpStream::connect(address).is_ok() { "open" } else { "closed" }
}
