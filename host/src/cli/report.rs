//! Turns the records of runs into a report. It adds what only the command line knows: the commands that repeat a failed
//! operation.

use super::{network, values};
use crate::guest_text::command;
use crate::metrics::Outcome;
use crate::plan::{
    DEFAULT_HOOK_TIMEOUT, DEFAULT_MAX_MEMORY, DEFAULT_OPERATION, DEFAULT_TIMEOUT, Grants, Limits, RunPlan, RunSpec,
};
use crate::record::{Environment, Origin, RunRecord};
use crate::report::Report;

/// The report on `records`.
pub(super) fn report(records: &[RunRecord]) -> Report {
    // A journal may be read on another machine.
    let environment = records.first().map_or_else(Environment::here, |first| first.environment.clone());
    let mut report = Report::new(environment, records);
    // A command can only name a file.
    let of_files = report.runs.iter_mut().zip(records).filter(|(run, _)| run.task.origin == Origin::File);
    for (run, record) in of_files {
        for result in run.results.iter_mut().filter(|result| result.outcome != Outcome::Ok) {
            result.reproduce = reproduce(&record.plan, &record.task.path, result.first_number);
        }
    }
    report
}

/// The command that repeats operation `number` of a task, with everything that affects it; `None` if a shell cannot
/// express it.
fn reproduce(plan: &RunPlan, task: &str, number: u64) -> Option<String> {
    let RunSpec {
        operation,
        limits: Limits { timeout, hook_timeout, max_memory, max_worker_memory: _, recycle: _ },
        expect,
        grants: Grants { args, env, dirs, network: granted },
        http,
        data,
        // These do not affect a single operation.
        calls: _,
        shape: _,
        concurrency: _,
        extent: _,
        first: _,
        load_model: _,
        warmup: _,
        start_jitter: _,
        seed: _,
        traced: _,
    } = plan.spec();
    let mut words = vec!["gorgon".to_owned(), "test".into(), task.to_owned()];
    let mut flag = |name: &str, value: String| {
        if value.starts_with('-') {
            // Otherwise the value would be taken for a flag.
            words.push(format!("{name}={value}"));
        } else {
            words.extend([name.to_owned(), value]);
        }
    };
    flag("--number", number.to_string());
    if operation != DEFAULT_OPERATION {
        flag("--operation-name", operation.clone());
    }
    if *timeout != Some(DEFAULT_TIMEOUT) {
        flag("--timeout", values::time(timeout.unwrap_or_default()));
    }
    if *hook_timeout != Some(DEFAULT_HOOK_TIMEOUT) {
        flag("--hook-timeout", values::time(hook_timeout.unwrap_or_default()));
    }
    if *max_memory != DEFAULT_MAX_MEMORY {
        let mib = max_memory >> 20;
        let size = if mib << 20 == *max_memory { format!("{mib}MiB") } else { max_memory.to_string() };
        flag("--max-memory", size);
    }
    if let Some(expect) = expect {
        flag("--expect", expect.as_str().to_owned());
    }
    if let Some(data) = data {
        flag("--data", data.display().to_string());
    }
    for dir in dirs {
        flag("--dir", dir.to_string());
    }
    for allow in &granted.0 {
        flag("--allow", allow.to_string());
    }
    // A name without a value takes the value from the environment of the command, because the value may be a secret.
    for (name, _) in env {
        flag("--env", name.clone());
    }
    let (valued, switches): (Vec<_>, Vec<_>) = network::flags(http).into_iter().partition(|(_, value)| value.is_some());
    for (name, value) in valued {
        flag(name, value.unwrap_or_default());
    }
    words.extend(switches.into_iter().map(|(name, _)| name.to_owned()));
    if !args.is_empty() {
        words.push("--".into());
        words.extend(args.iter().cloned());
    }
    command(words.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::{Cli, Subcommands};

    /// The plan of a `gorgon test` command.
    fn parsed(words: &[String]) -> RunPlan {
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let Subcommands::Test(test) = cli.command else { panic!("{words:?} is not `gorgon test`") };
        test.plan().unwrap()
    }

    /// Flags with their values, and arguments that may look like flags.
    fn flags() -> impl Strategy<Value = Vec<String>> {
        let text = "[ -~]{1,12}";
        let values = vec![
            ("--operation-name", text.boxed()),
            ("--timeout", prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,5}(ns|ms|s|h)"].boxed()),
            ("--max-memory", "[1-9][0-9]{0,4}(B|KiB|MB|GiB)".boxed()),
            ("--expect", "[a-z '$^-]{1,8}".boxed()),
            ("--data", text.boxed()),
            ("--dir", "[a-z /'-]{1,8}::[a-z /-]{1,8}(:rw)?".boxed()),
            ("--allow", "(https?|tcp|udp)://[a-z]{1,8}\\.example:[1-9][0-9]{0,3}".boxed()),
            ("--env", Just("PATH".to_owned()).boxed()),
            ("--dns-ttl", prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,5}(ns|ms|s|h)"].boxed()),
            ("--ca-cert", text.boxed()),
            ("--cert", text.boxed()),
            ("--sni", "[a-z]{1,9}\\.example".boxed()),
            ("--dns", "rotate|first".boxed()),
            ("--connect-to", "[a-z]{0,4}:[1-9]?:[a-z]{0,4}:[1-9]?".boxed()),
            ("--proxy", "http://[a-z]{1,4}:[1-9][0-9]".boxed()),
            ("--local-address", "127\\.0\\.0\\.[1-9]|::1".boxed()),
        ];
        let one = |(name, value): (&'static str, BoxedStrategy<String>)| {
            prop::option::of(value.prop_map(move |value| format!("{name}={value}")))
        };
        let values: Vec<_> = values.into_iter().map(one).collect();
        let switches = prop::sample::subsequence(vec!["--no-keepalive", "--http2", "--insecure"], 0..=3);
        let args = prop::collection::vec("[ -~]{0,8}", 0..3);
        (values, switches, args).prop_map(|(values, switches, args)| {
            let mut words: Vec<String> = values.into_iter().flatten().collect();
            let has_certificates = words.iter().any(|word| word.starts_with("--ca-cert="));
            let fit = |switch: &&str| *switch != "--insecure" || !has_certificates;
            words.extend(switches.into_iter().filter(fit).map(str::to_owned));
            words.push("--".into());
            words.extend(args);
            words
        })
    }

    proptest! {
        #[test]
        fn the_suggested_command_gives_the_task_the_same_inputs(flags in flags(), number in 0..1_000_u64) {
            let plan = parsed(&[vec!["gorgon".into(), "test".into(), "a task.wasm".into()], flags].concat());
            // These belong to a run, not to the task.
            let (seed, limits) = (9, Limits { recycle: NonZeroU64::new(5), ..plan.limits() });
            let run = RunPlan::try_from(RunSpec { seed, limits, ..plan.clone().into() }).unwrap();
            let again = parsed(&shlex::split(&reproduce(&run, "a task.wasm", number).unwrap()).unwrap());
            let expected = RunSpec { first: number, ..plan.into() };
            prop_assert_eq!(again.spec(), &expected);
        }
    }
}
