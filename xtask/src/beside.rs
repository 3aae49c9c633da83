//! Two gorgons beside each other: has a change cost speed or memory?
//!
//! Both run the same tasks in interleaved rounds. Each figure is held against the other's of the same round, and the
//! median of these ratios is printed, so that a machine that is busy for a while slows both sides.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::bench::{Bench, median};
use crate::bench_http::{Awake, Contender, Nginx, gorgon};
use crate::{TARGET, guests, release, target};

/// Interleaved rounds; the median of an odd number is one of them.
const ROUNDS: usize = 9;

/// One figure of both, by round.
struct Row {
    name: &'static str,
    unit: &'static str,
    figures: Vec<[f64; 2]>,
}

/// Measures `old` beside `new`, or beside a release build of this gorgon.
pub(crate) fn run_all(old: PathBuf, new: Option<PathBuf>) -> anyhow::Result<()> {
    guests()?;
    let new = match new {
        Some(new) => new,
        None => release()?,
    };
    let target = target()?;
    let both = [old, new].map(|gorgon| Bench::new(gorgon, &target));
    let http = target.join(TARGET).join("release/http.wasm");
    let nginx = Nginx::start()?;
    let _awake = Awake::start()?;
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..ROUNDS {
        eprint!("\rround {} of {ROUNDS} ", round + 1);
        // Who comes first changes from round to round.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut figures = [Vec::new(), Vec::new()];
        for which in order {
            figures[which] = measure(&both[which], &http, &nginx)?;
        }
        let [old, new] = figures;
        for (at, ((name, unit, old), (_, _, new))) in old.into_iter().zip(new).enumerate() {
            if round == 0 {
                rows.push(Row { name, unit, figures: Vec::new() });
            }
            rows[at].figures.push([old, new]);
        }
    }
    eprintln!();
    println!("medians of {ROUNDS} interleaved rounds; the ratio is the median of the rounds' ratios, new to old\n");
    println!("{:>12} {:>12} {:>8}  (least, most)", "old", "new", "ratio");
    for Row { name, unit, figures } in &rows {
        let of = |which: usize| median(&figures.iter().map(|pair| pair[which]).collect::<Vec<_>>());
        let mut ratios: Vec<f64> = figures.iter().map(|[old, new]| new / old).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "{:>12.1} {:>12.1} {:>8.3}  ({least:.3}, {most:.3})  {name}, {unit}",
            of(0),
            of(1),
            ratios[ratios.len() / 2]
        );
    }
    Ok(())
}

/// All figures of one gorgon in one round; less is better in each.
fn measure(bench: &Bench, http: &Path, nginx: &Nginx) -> anyhow::Result<Vec<(&'static str, &'static str, f64)>> {
    const NANOS: &str = "ns per operation";
    let mut figures = Vec::new();
    for (name, task, operations, shape) in [
        ("no-op 1x1", "noop", 8_000_000, "1x1"),
        ("no-op 1x2", "noop", 16_000_000, "1x2"),
        ("no-op 2x1", "noop", 16_000_000, "2x1"),
        ("a thousand results 2x1", "results", 2_000_000, "2x1"),
        ("hash 1x1", "hash", 5_000, "1x1"),
    ] {
        figures.push((name, NANOS, bench.per_operation(task, operations, shape)?));
    }
    for (name, args) in [
        ("start to end of one operation", ["-n", "1", "--shape", "1x1"]),
        ("start to end of 4,000 operations 4x10", ["-n", "4000", "--shape", "4x10"]),
    ] {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            bench.report("noop", &args)?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        figures.push((name, "ms", median(&times)));
    }
    for (name, task, args) in [
        ("memory of noop -n 10^6", "noop", &["-n", "1000000"][..]),
        ("memory of a thousand results, -p 4 -t 10", "results", &["-n", "400000", "-p", "4", "-t", "10"]),
    ] {
        figures.push((name, "MiB", bench.peak(task, args)?));
    }
    for (name, shape) in [
        ("HTTP -t 1 -c 10", &["-t", "1", "-c", "10"][..]),
        ("HTTP -t 10", &["-t", "10"]),
        ("HTTP -t 1 -c 1000", &["-t", "1", "-c", "1000"]),
    ] {
        let mut contender = Contender::new(name, gorgon(&bench.gorgon, http, shape));
        contender.measure(nginx)?;
        figures.push((name, "us of processor time per request", 1e6 / contender.per_cpu()));
    }
    Ok(figures)
}
