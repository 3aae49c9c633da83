//! Ends this process if it takes more memory than it may. The system's own limits cannot do that: they count memory
//! that is reserved and never used, of which each instance has gigabytes.

use std::io;
use std::time::Duration;

use crate::system;

/// How often it looks. A process that does nothing else takes up to 100 MB in that time.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks from now on, and calls `end` with what the process takes if that is more than `most` bytes.
pub fn start(most: u64, end: impl FnOnce(u64) + Send + 'static) -> io::Result<()> {
    let look = move || {
        loop {
            // If the system does not tell, nothing can be watched.
            match taken() {
                Some(bytes) if bytes > most => return end(bytes),
                _ => std::thread::sleep(INTERVAL),
            }
        }
    };
    std::thread::Builder::new().name("memory".into()).stack_size(64 << 10).spawn(look).map(drop)
}

/// The memory that belongs to this process alone, in bytes, without what it maps from files.
fn taken() -> Option<u64> {
    let text = system::proc("self/statm")?;
    let mut pages = text.split(' ').skip(1).map(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??.cast_unsigned() as u64;
    Some(resident.saturating_sub(shared) * page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_seen() {
        let before = taken().unwrap();
        let filled = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(taken().unwrap() >= before + (32 << 20));
        let (ended, end) = std::sync::mpsc::channel();
        start(32 << 20, move |bytes| ended.send(bytes).unwrap()).unwrap();
        assert!(end.recv().unwrap() > 32 << 20);
        drop(filled);
    }
}
