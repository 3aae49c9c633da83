//! A task that only computes: SHA-512 over 4,000 updates, and a result that every fifth operation gives as `FAIL`. Its
//! interface is `wit/load.wit`; nothing here is Gorgon's.

use std::hint::black_box;

use exports::my::load::task::Guest;
use sha2::{Digest, Sha512};

wit_bindgen::generate!({ path: "wit", world: "load" });

struct Task;

export!(Task);

impl Guest for Task {
    fn operation(n: u64) -> String {
        // Nobody reads the digest, so without the black box the compiler could leave out the work.
        black_box(digest(n));
        if n % 5 == 4 { "FAIL".into() } else { "SUCCESS".into() }
    }
}

fn digest(n: u64) -> [u8; 64] {
    let text = format!("TEXT {n}");
    let mut hasher = Sha512::new();
    for _ in 0..4_000 {
        hasher.update(&text);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_operation_fails() {
        let results: Vec<_> = (0..10).map(Task::operation).collect();
        assert_eq!(results.concat(), format!("{}FAIL", "SUCCESS".repeat(4)).repeat(2));
    }

    #[test]
    fn updates_hash_what_they_spell_together() {
        assert_eq!(digest(7), <[u8; 64]>::from(Sha512::digest("TEXT 7".repeat(4_000))));
    }
}
