//! The item of verdicts: runs with the exit code that they must have.

use super::{Bench, Measured};

/// A run of one request per operation, and its exit code.
struct Case {
    server: Option<&'static [&'static str]>,
    args: &'static [&'static str],
    code: i32,
}

const FAST: Option<&[&str]> = Some(&["0", "constant", "1000"]);

const fn case(server: Option<&'static [&'static str]>, args: &'static [&'static str], code: i32) -> Case {
    Case { server, args, code }
}

const CASES: [Case; 14] = [
    // Nothing is wrong.
    case(FAST, &["-n", "200"], 0),
    // Nobody listens: no operation is ok.
    case(None, &["-n", "200"], 10),
    case(None, &["-d", "1s"], 10),
    // Counts of what never occurred are 0.
    case(FAST, &["-n", "200", "--fail-if", "result(500)>0"], 0),
    case(FAST, &["-n", "200", "--fail-if", "trapped>0"], 0),
    case(FAST, &["-n", "200", "--fail-if", "dropped>0"], 0),
    // Times, rates and shares of what never occurred cannot be judged.
    case(FAST, &["-n", "200", "--fail-if", "result(200).p99>1s"], 10),
    case(FAST, &["-n", "200", "--fail-if", "span(got).failed>1%"], 10),
    case(FAST, &["-n", "200", "--fail-if", "lag.p99>1s"], 10),
    case(FAST, &["-n", "200", "--fail-if", "lag.p99>1s", "--missing", "pass"], 0),
    // A percentile of too few operations is judged by the maximum.
    case(FAST, &["-n", "20", "--fail-if", "p99>5s"], 0),
    case(FAST, &["-n", "20", "--fail-if", "p99>900us"], 10),
    // Requests of 1 ms.
    case(FAST, &["-n", "200", "--fail-if", "http.p50<1ms", "--fail-if", "ok.p50<1ms", "--fail-if", "http.failed>0"], 0),
    case(FAST, &["-n", "200", "--fail-if", "span(get).p50>=1ms"], 10),
];

pub(super) fn codes(bench: &Bench) -> anyhow::Result<Measured> {
    let mut right = 0;
    for Case { server, args, code } in CASES {
        let ran = bench.alone(|| bench.gorgon("run", "getter", server, args))?;
        right += usize::from(ran.code == Some(code));
        if ran.code != Some(code) {
            eprintln!("{args:?} ended with {:?}, and not {code}", ran.code);
        }
    }
    Ok(Measured::counted(right, CASES.len(), CASES.len()))
}
