//! A task that does everything wrong, each number in its own way: `n % 12` says which.
//!
//! Whatever it does, the run goes on, every operation is counted, and memory stays bounded.

use std::hint::black_box;
use std::time::Duration;

/// Ways to misbehave, by `n % 12`; the first one does not.
const WAYS: [fn(u64) -> String; 12] = [
    |_| "fine".into(),
    |n| panic!("operation {n} panics"),
    |_| loop_for_ever(),
    |_| sleep_for_ever(),
    |_| allocate_without_end(),
    |n| overflow_the_stack(n).to_string(),
    |_| "x".repeat(10_000_000),
    |n| format!("result {n}"),
    |n| print_without_end(n),
    |_| std::process::exit(3),
    |n| flood_spans(n),
    |_| fail(),
];

#[gorgon_guest::operation]
fn misbehave(n: u64) -> String {
    WAYS[(n % 12) as usize](n)
}

fn loop_for_ever() -> ! {
    loop {
        black_box(());
    }
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

fn allocate_without_end() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
    }
}

#[expect(unconditional_recursion, reason = "that is the misbehaviour")]
fn overflow_the_stack(n: u64) -> u64 {
    black_box(overflow_the_stack(black_box(n) + 1)) + 1
}

fn print_without_end(n: u64) -> ! {
    loop {
        println!("operation {n} prints");
    }
}

fn flood_spans(n: u64) -> String {
    for i in 0..100_000 {
        gorgon_guest::span(&format!("span {n} {i}")).end();
    }
    "flooded".into()
}

fn fail() -> String {
    (0..100_000).for_each(|i| gorgon_guest::fail(format!("reason {i}")));
    "failed".into()
}
