//! A hostile task. Its argument names what it does, with the text in the environment variable `TEXT`.

use std::net::ToSocketAddrs;

/// The length of the longest name that is looked up: as much as a guest with 512 MiB can afford.
const HUGE: usize = 100 << 20;

#[gorgon_guest::operation]
fn hostile(n: u64) -> Result<String, String> {
    let text = std::env::var("TEXT").unwrap_or_default();
    match std::env::args().nth(1).as_deref() {
        // A different name each time.
        Some("lookups") => {
            for i in 0..3_u8 {
                let mut name = "n".repeat(HUGE);
                name.replace_range(0..2, &format!("{}{}", char::from(b'a' + i), n % 10));
                let _ = (name.as_str(), 80).to_socket_addrs();
            }
            Ok("refused".into())
        }
        Some("lookup") => Ok((text.as_str(), 80).to_socket_addrs().map_or("refused", |_| "found").into()),
        Some("panic") => panic!("{text}"),
        Some("fail") => Err(text),
        Some("span") => {
            gorgon_guest::span(&text).end();
            Ok("ok".into())
        }
        // Keeps as many spans open as possible, with very long names.
        Some("open") => {
            let name = "s".repeat(HUGE / 10);
            let open: Vec<_> = (0..100).map(|_| gorgon_guest::span(&name)).collect();
            Ok(format!("{} open", open.len()))
        }
        // Writes the text everywhere.
        _ => {
            println!("{text}");
            eprint!("{text}");
            Ok(text)
        }
    }
}
