//! A task that takes as much as it gets, and keeps it. Its argument names of what.

use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{Fields, Method, OutgoingRequest};
use wasip2::random::random::get_random_bytes;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// More than any limit allows.
const MANY: u64 = 10_000_000;

#[gorgon_guest::operation]
fn hoard(n: u64) -> Result<String, String> {
    match std::env::args().nth(1).as_deref() {
        // Few header fields of many bytes, and many of few.
        Some("large fields") => fields(100_000),
        Some("small fields") => fields(10),
        Some("bodies") => keep(|_| {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().map_err(|()| "no body".to_owned())?;
            let stream = body.write().map_err(|()| "no stream".to_owned())?;
            while let Ok(room @ 1..) = stream.check_write() {
                stream.write(&vec![b'x'; room.min(65_536) as usize]).map_err(|error| error.to_string())?;
            }
            Ok((stream, body, request))
        }),
        Some("methods") => {
            let name = "M".repeat(20_000_000);
            keep(|_| {
                let request = OutgoingRequest::new(Fields::new());
                request.set_method(&Method::Other(name.clone())).map_err(|()| "refused".to_owned())?;
                Ok(request)
            })
        }
        Some("streams") => keep(|_| {
            let stream = get_stdout();
            stream.write(b"no end of line").map_err(|error| error.to_string())?;
            Ok(stream)
        }),
        Some("timers") => keep(|_| Ok(subscribe_duration(u64::MAX))),
        Some("tcp sockets") => keep(|_| create_tcp_socket(IpAddressFamily::Ipv4).map_err(|error| error.to_string())),
        Some("udp sockets") => keep(|_| create_udp_socket(IpAddressFamily::Ipv4).map_err(|error| error.to_string())),
        Some("random bytes") => Ok(format!("{} bytes", get_random_bytes(MANY * 100).len())),
        Some("memory") => keep(|_| Ok(vec![1_u8; 1 << 20])),
        // A thousand results, each with a hundred spans of its own, all as long as they can be.
        Some("spans") => {
            for i in 0..100 {
                gorgon_guest::span(&format!("{i:05}{n:010}{}", "s".repeat(1_000))).end();
            }
            Ok(format!("{n:010}{}", "x".repeat(1_000)))
        }
        // The same results in each interval of the timeline.
        Some("results") => Ok(format!("{:04}{}", n % 1_000, "x".repeat(1_000))),
        other => Err(format!("no such act: {other:?}")),
    }
}

/// `prepare` may take any time, and what it returns may have any length.
#[gorgon_guest::prepare]
fn prepare() -> String {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or_default();
    std::thread::sleep(std::time::Duration::from_millis(number("PREPARING_MS")));
    "p".repeat(number("PREPARED") as usize)
}

fn fields(bytes: usize) -> Result<String, String> {
    let value = vec![b'x'; bytes];
    keep(|_| {
        let fields = Fields::new();
        fields.append("a", &value).map_err(|error| format!("{error:?}"))?;
        Ok(fields)
    })
}

fn keep<T>(make: impl Fn(u64) -> Result<T, String>) -> Result<String, String> {
    let kept: Result<Vec<T>, String> = (0..MANY).map(make).collect();
    kept.map(|kept| format!("{} kept", kept.len()))
}
