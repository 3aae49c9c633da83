//! The sentences of verdicts: the figure, what it is, and its limit.

use super::{Tone, Word, run_name, short};
use crate::report::units::{count, counted, figure};
use crate::report::{Moment, Report, Unit, Verdict, VerdictOrigin};

/// What is said about a report as a whole: [`alarms`], then [`verdicts`].
pub(crate) fn of_report(report: &Report, moment: Moment) -> Vec<Word> {
    alarms(report).into_iter().chain(verdicts(report, moment)).collect()
}

/// What is said before anything else: no operation was ok.
pub(crate) fn alarms(report: &Report) -> Vec<Word> {
    let built_in = report.verdicts.iter().filter(|of| of.origin == VerdictOrigin::BuiltIn);
    built_in.map(|of| verdict(of, report)).collect()
}

/// Whether the report is partial, and what `--fail-if` and `--abort-if` found. What several runs of one name have
/// passed is said once, with the range of its figures. What failed is first.
pub(crate) fn verdicts(report: &Report, moment: Moment) -> Vec<Word> {
    let is_cut_short = report.partial && moment == Moment::Ended;
    let partial = is_cut_short.then(|| Word::new(Tone::Warning, format!("partial: {}", cut_short(report))));
    let mut words: Vec<Word> = partial.into_iter().collect();
    let mut asked: Vec<&Verdict> = report.verdicts.iter().filter(|of| of.origin != VerdictOrigin::BuiltIn).collect();
    asked.sort_by_key(|of| !of.failed);
    for of in &asked {
        let is_alike = |other: &&&Verdict| name(of, report) == name(other, report) && have_passed_alike(of, other);
        let alike: Vec<f64> = asked.iter().filter(is_alike).filter_map(|other| other.value).collect();
        let word = if alike.len() > 1 { passed_together(of, &alike, report) } else { verdict(of, report) };
        // The same expression may judge several runs.
        let advice = of.advice.as_ref().map(|advice| Word::new(Tone::Warning, "").foreign(advice));
        for word in [Some(word), advice].into_iter().flatten() {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}

/// What is missing of a report that is partial.
fn cut_short(report: &Report) -> String {
    if !report.has_several_runs() {
        return "the run did not reach the end of its plan, and these are its figures until then".to_owned();
    }
    let unfinished = (0..report.runs.len()).filter(|i| report.is_run_partial(*i));
    let unfinished = unfinished.map(|i| format!("run {} did not reach the end of its plan", i + 1));
    let never = report.runs_never_begun();
    let planned = counted(report.runs.len() as u64 + never, "run");
    let never = (never > 0).then(|| format!("{} of {planned} never began", count(never)));
    let missing: Vec<String> = unfinished.chain(never).collect();
    if missing.is_empty() { "a run did not reach the end of its plan".to_owned() } else { missing.join(", ") }
}

/// The name of the run that a verdict is about.
fn name<'a>(of: &Verdict, report: &'a Report) -> Option<&'a str> {
    report.runs.get(of.run).map(run_name)
}

/// Whether two verdicts have passed, by the same expression.
fn have_passed_alike(a: &Verdict, b: &Verdict) -> bool {
    let has_passed = |of: &Verdict| !of.failed && of.value.is_some();
    has_passed(a) && has_passed(b) && (&a.expression, a.origin) == (&b.expression, b.origin)
}

fn passed_together(of: &Verdict, values: &[f64], report: &Report) -> Word {
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(*value), b.max(*value)));
    let [least, most] = [least, most].map(|value| figure(value, of.unit));
    let range = if least == most { least } else { format!("{least} to {most}") };
    let (subject, limit) = parts(of);
    let word = Word::new(Tone::Good, "").foreign(name(of, report).unwrap_or_default()).plain(": ").code(&subject);
    word.plain(format!(" {range} in {} runs, {limit}", values.len()))
}

/// A verdict of `report`. Its tone says whether it failed the run.
pub(crate) fn verdict(verdict: &Verdict, report: &Report) -> Word {
    let tone = match verdict {
        verdict if verdict.failed => Tone::Bad,
        Verdict { value: None, maximum: None, .. } => Tone::Warning,
        _ => Tone::Good,
    };
    let run = report.runs.get(verdict.run).filter(|_| report.has_several_runs());
    let word = Word::new(tone, "");
    let word = match run {
        Some(run) => word.foreign(&short(run)).plain(format!(" (run {}): ", verdict.run + 1)),
        None => word,
    };
    if verdict.origin == VerdictOrigin::BuiltIn {
        return word.plain("no operation was ok");
    }
    let (subject, limit) = parts(verdict);
    let word = word.code(&subject);
    match (verdict.value, verdict.maximum) {
        (Some(value), _) => word.plain(format!(" {}, {limit}", beside(value, verdict))),
        (None, Some(maximum)) => {
            let samples = verdict.samples.unwrap_or_default();
            let few = if samples == 1 { "sample is" } else { "samples are" };
            word.plain(format!(
                " {} at most, {limit}: judged by the maximum, as {} {few} too few for the percentile",
                beside(maximum, verdict),
                count(samples)
            ))
        }
        (None, None) => {
            let problem = verdict.problem.as_deref();
            let problem = problem.unwrap_or("there is no such figure, or too few operations for it");
            let word = word.plain(format!(" cannot be judged, {limit}: ")).foreign(problem);
            if verdict.failed { word.plain("; ").code("--missing pass").plain(" accepts that") } else { word }
        }
    }
}

/// What an expression demands: `p99, limit 250 ms`.
pub(crate) fn requirement(verdict: &Verdict) -> String {
    let (subject, limit) = parts(verdict);
    format!("{subject}, {limit}")
}

/// The figure of an expression as it was written, and its limit.
fn parts(verdict: &Verdict) -> (String, String) {
    let text = &verdict.expression;
    // A name may have such signs too, and stands before the comparison.
    let Some(at) = text.rfind(['<', '>']) else { return (text.clone(), "with a limit".into()) };
    let bound = &text[at + 1..];
    let (bound, is_strict) = bound.strip_prefix('=').map_or((bound, true), |bound| (bound, false));
    // An expression says what is bad.
    let demand = match (text.as_bytes()[at], is_strict) {
        (b'>', true) => "limit ",
        (b'>', false) => "must be below ",
        (_, true) => "at least ",
        (_, false) => "must be above ",
    };
    let is_of_other_unit = verdict.unit == Some(Unit::PerSecond) && bound.contains('/') && !bound.contains("/s");
    if let Some(value) = verdict.bound.filter(|_| is_of_other_unit) {
        // Both figures have one unit.
        return (text[..at].trim().to_owned(), format!("{demand}{}", figure(value, verdict.unit)));
    }
    let per_second = if verdict.unit == Some(Unit::PerSecond) && !bound.contains('/') { "/s" } else { "" };
    (text[..at].trim().to_owned(), format!("{demand}{}{per_second}", spaced(bound.trim())))
}

/// Values as they were typed, with a space before their units: `250 ms`, `1 m 30 s`. Nothing stands in a rate, `500/s`,
/// or in a power, `1e-9`.
fn spaced(typed: &str) -> String {
    if let Some(percent) = typed.strip_suffix('%') {
        return format!("{} %", percent.trim_end());
    }
    if typed.contains('/') || typed.parse::<f64>().is_ok() {
        return typed.to_owned();
    }
    let mut spaced = String::new();
    for c in typed.chars() {
        let last = spaced.chars().last().filter(|last| *last != ' ');
        if c != ' ' && last.is_some_and(|last| last.is_alphabetic() != c.is_alphabetic()) {
            spaced.push(' ');
        }
        spaced.push(c);
    }
    spaced.replace("us", "µs")
}

/// A figure beside its limit. If both look alike, it says on which side of the limit the figure is; if it ended the
/// run, it says that it was the figure of that moment.
fn beside(value: f64, verdict: &Verdict) -> String {
    let shown = figure(value, verdict.unit);
    let shown = match verdict.bound.filter(|bound| figure(*bound, verdict.unit) == shown) {
        Some(bound) if value > bound => format!("{shown} (just above the limit)"),
        Some(bound) if value < bound => format!("{shown} (just below the limit)"),
        _ => shown,
    };
    let has_ended_it = verdict.origin == VerdictOrigin::AbortIf && verdict.failed;
    if has_ended_it { format!("{shown} when it stopped the run") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{environment, record};

    fn judged(expression: &str, unit: Unit, bound: f64, value: f64, failed: bool) -> Verdict {
        Verdict {
            expression: expression.into(),
            run: 0,
            origin: VerdictOrigin::FailIf,
            held: failed,
            failed,
            value: Some(value),
            judged_by: None,
            maximum: None,
            samples: None,
            problem: None,
            unit: Some(unit),
            bound: Some(bound),
            advice: None,
        }
    }

    fn said(words: &[Word]) -> Vec<String> {
        words.iter().map(|word| word.text(str::to_owned)).collect()
    }

    #[test]
    fn a_verdict_has_the_figure_and_its_limit() {
        use Unit::{Nanoseconds, Operations, PerSecond, Share};
        let report = Report::new(environment(), &[record(1)]);
        for (of, says) in [
            (judged("p99>250ms", Nanoseconds, 250e6, 105e6, false), "p99 105 ms, limit 250 ms"),
            (judged("p99 > 1m30s", Nanoseconds, 90e9, 105e6, false), "p99 105 ms, limit 1 m 30 s"),
            (
                judged("p99>=250us", Nanoseconds, 250e3, 249.9e3, false),
                "p99 250 µs (just below the limit), must be below 250 µs",
            ),
            (judged("p99>250ms", Nanoseconds, 250e6, 250.1e6, true), "p99 250 ms (just above the limit), limit 250 ms"),
            (judged("failed>0.1%", Share, 0.001, 0.0, false), "failed 0 %, limit 0.1 %"),
            (judged("throughput<1_000", PerSecond, 1e3, 437.2, true), "throughput 437/s, at least 1_000/s"),
            (judged("throughput<500/s", PerSecond, 5e2, 437.2, true), "throughput 437/s, at least 500/s"),
            (judged("throughput<30000/m", PerSecond, 5e2, 437.2, true), "throughput 437/s, at least 500/s"),
            (judged("throughput<1e3", PerSecond, 1e3, 437.2, true), "throughput 437/s, at least 1e3/s"),
            (
                judged("failed>12.49%", Share, 0.1249, 0.125, true),
                "failed 12.5 % (just above the limit), limit 12.49 %",
            ),
            (judged("failed>1e-9%", Share, 1e-11, 0.0, false), "failed 0 %, limit 1e-9 %"),
            (judged("failed>1e300", Operations, 1e300, 0.0, false), "failed 0, limit 1e300"),
            (judged("p99>1.5s", Nanoseconds, 15e8, 1e9, false), "p99 1.00 s, limit 1.5 s"),
            (judged("result(\"a>b\")<=5", Operations, 5.0, 6.0, false), "result(\"a>b\") 6, must be above 5"),
        ] {
            assert_eq!(verdict(&of, &report).text(str::to_owned), says);
        }
    }

    #[test]
    fn what_several_runs_passed_is_said_once_and_each_failure_by_its_run() {
        let mut report = Report::new(environment(), &[record(1), record(2), record(4)]);
        let of = |run, value, failed| Verdict { run, ..judged("p99>1ms", Unit::Nanoseconds, 1e6, value, failed) };
        report.verdicts = vec![of(0, 2e5, false), of(1, 2e6, true), of(2, 4e5, false)];
        assert_eq!(
            said(&verdicts(&report, Moment::Ended)),
            [
                "task.wasm, 2 x 2 (run 2): p99 2.00 ms, limit 1 ms",
                "task.wasm: p99 200 µs to 400 µs in 2 runs, limit 1 ms"
            ]
        );
    }
}
