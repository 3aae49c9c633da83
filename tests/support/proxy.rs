//! A proxy between NATS clients and a server that does to messages what a bad network and a bad server do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something was done to a message.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) repeated: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) swallowed: AtomicU64,
}

/// The proxy. It ends with the test.
pub(crate) struct Proxy {
    address: SocketAddr,
    pub(crate) done: Arc<Done>,
}

impl Proxy {
    /// Stands before the server at this port of loopback.
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, done) = (listener.local_addr().unwrap(), Arc::new(Done::default()));
        let of_proxy = Arc::clone(&done);
        std::thread::spawn(move || {
            for (i, client) in listener.incoming().flatten().enumerate() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (direction, (from, to)) in pairs.into_iter().enumerate() {
                    let (from, to, done) = (from.unwrap(), to.unwrap(), Arc::clone(&of_proxy));
                    std::thread::spawn(move || {
                        let _ = to.set_nodelay(true);
                        let mut rng = fastrand::Rng::with_seed((i * 2 + direction) as u64);
                        pass(&from, &to, &mut rng, &done);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, done }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

/// Passes on what one side says to the other, until one of them ends.
fn pass(from: &TcpStream, mut to: &TcpStream, rng: &mut fastrand::Rng, done: &Done) -> Option<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_message = matches!(words.first(), Some(&("PUB" | "HPUB" | "MSG" | "HMSG")));
        let length = if is_message { words.last()?.parse::<usize>().ok()? + 2 } else { 0 };
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).ok()?;
        let subject = words.get(1).copied().unwrap_or_default();
        let of_journal = subject.starts_with("gorgon.") && (subject.contains(".from.") || subject.contains(".to."));
        if of_journal && rng.u8(0..4) == 0 {
            // Messages of other writers overtake this one.
            done.delayed.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(rng.u64(0..300)));
        }
        let is_acknowledgement = payload.windows(17).any(|at| at == b"\"stream\":\"GORGON_") && payload.len() < 300;
        if words.first().is_some_and(|word| word.ends_with("MSG")) && is_acknowledgement && rng.u8(0..12) == 0 {
            done.swallowed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        to.write_all(line.as_bytes()).ok()?;
        to.write_all(&payload).ok()?;
        if of_journal && words[0] == "HPUB" && rng.u8(0..4) == 0 {
            // Under another identifier, so that the server does not know it again.
            let mut again = payload.clone();
            if let Some(at) = again.windows(12).position(|at| at == b"Nats-Msg-Id:") {
                done.repeated.fetch_add(1, Ordering::Relaxed);
                let end = at + again[at..].iter().position(|&byte| byte == b'\r')?;
                again[end - 1] = b'x';
                to.write_all(line.as_bytes()).ok()?;
                to.write_all(&again).ok()?;
            }
        }
    }
}
