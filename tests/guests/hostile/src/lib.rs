//! A task that means harm: its argument names the act. `TEXT` in the environment is what it says, where it can.

use std::net::ToSocketAddrs;

/// As much as a look-up is tried with: what a guest of 512 MiB can afford.
const HUGE: usize = 100 << 20;

#[gorgon_guest::operation]
fn hostile(n: u64) -> Result<String, String> {
    let text = std::env::var("TEXT").unwrap_or_default();
    match std::env::args().nth(1).as_deref() {
        // One that is different each time.
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
        // Keeps open as many as it may of the longest names.
        Some("open") => {
            let name = "s".repeat(HUGE / 10);
            let open: Vec<_> = (0..100).map(|_| gorgon_guest::span(&name)).collect();
            Ok(format!("{} open", open.len()))
        }
        // Says it everywhere.
        _ => {
            println!("{text}");
            eprint!("{text}");
            Ok(text)
        }
    }
}
