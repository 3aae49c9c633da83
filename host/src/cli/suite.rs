//! `gorgon suite`: several runs from a file, one report.
//!
//! Each run in the file is a table whose keys are flags of `gorgon run`. It is turned into a command line and parsed as
//! one, so new flags work here at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, CommandFactory, Parser};
use toml::{Table, Value};

use super::boxes::BoxFlags;
use super::flags::TaskSource;
use super::run::PlanFlags;
use super::session::{OutputFlags, PlannedRun, Session};
use super::{Exit, problem, values};
use crate::input;
use crate::report::SuiteReport;

/// An example that shows all keys.
const EXAMPLE: &str = include_str!("suite.example.toml");

/// The keys of a suite file.
const KEYS: [&str; 7] = ["name", "description", "repetitions", "pause", "boxes", "defaults", "run"];

/// More repetitions than this are taken for a typing error.
const MOST_REPETITIONS: i64 = 1_000;

/// How similar a key must be to a known one, from 0 to 1, for a suggestion.
const ALIKE: f64 = 0.7;

/// Run several tasks, shapes and loads from a file, and report them together
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon suite --example > suite.toml
  gorgon suite suite.toml --json suite.json --html suite.html")]
pub(super) struct SuiteCommand {
    /// The suite file
    #[arg(value_name = "SUITE.toml", required_unless_present = "example")]
    file: Option<PathBuf>,

    /// Print an example, with comments
    #[arg(long)]
    example: bool,

    #[command(flatten)]
    boxes: BoxFlags,

    #[command(flatten)]
    outputs: OutputFlags,
}

/// The boxes of a suite, as a command line.
#[derive(Debug, Parser)]
#[command(name = "boxes", no_binary_name = true, disable_help_flag = true)]
struct SuiteBoxes {
    #[command(flatten)]
    boxes: BoxFlags,
}

/// A run of a suite, as a command line.
#[derive(Debug, Parser)]
#[command(name = "run", no_binary_name = true, disable_help_flag = true)]
struct SuiteRun {
    task: PathBuf,

    #[command(flatten)]
    plan: PlanFlags,
}

impl SuiteCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(file) = self.file.filter(|_| !self.example) else {
            super::shell::print(EXAMPLE.as_bytes())?;
            return Ok(Exit::Done);
        };
        let text =
            input::read_text(&file, MOST).with_context(|| format!("cannot read the suite `{}`", file.display()))?;
        let parsed = parse(&file, &text).and_then(|(session, runs, boxes)| {
            let over = self.boxes.or(boxes).over().map_err(|problem| anyhow!(problem))?;
            Ok((Session { over, ..session }, runs))
        });
        let (session, runs) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Exit::wrong_usage(format!("{error:#}"))),
        };
        let is_quiet = self.outputs.is_quiet();
        let check = |(place, run): &PlacedRun| run.plan.task.check(is_quiet).with_context(|| place.clone());
        session.run(&self.outputs, || runs.iter().try_for_each(check))
    }
}

/// The largest suite file, in bytes.
const MOST: u64 = 16 << 20;

/// A run, and its place in the file.
type PlacedRun = (String, SuiteRun);

/// The session, the runs with their places, and the boxes that a suite file describes.
fn parse(file: &Path, text: &str) -> anyhow::Result<(Session, Vec<PlacedRun>, BoxFlags)> {
    let shown = file.display();
    let suite: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        anyhow!("`{shown}`, line {line}: {}", error.message().replace('\n', "; "))
    })?;
    known(&suite, KEYS.into_iter()).with_context(|| format!("`{shown}`"))?;
    let text_at = |key: &str| match suite.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(anyhow!("`{shown}`: write `{key}` as text, in quotes")),
    };
    let repetitions = match suite.get("repetitions") {
        None => 1,
        Some(Value::Integer(times)) if (1..=MOST_REPETITIONS).contains(times) => *times as u32,
        Some(other) => bail!("`{shown}`: cannot have `{other}` repetitions: give 1 to {MOST_REPETITIONS}"),
    };
    let pause = text_at("pause")?.map_or(Ok(Duration::ZERO), |pause| values::duration(&pause));
    let pause = pause.map_err(|error| anyhow!("`{shown}`: in `pause`: {error}"))?;
    let none = Table::new();
    let table_of_boxes = suite.get("boxes");
    let defaults = suite.get("defaults").map_or(Some(&none), Value::as_table);
    let defaults = defaults.with_context(|| format!("`{shown}`: write `defaults` as a table, [defaults]"))?;
    let tables = suite.get("run").and_then(Value::as_array);
    let tables: Option<Vec<&Table>> = tables.and_then(|all| all.iter().map(Value::as_table).collect());
    let tables = tables.unwrap_or_default();
    ensure!(!tables.is_empty(), "`{shown}` has no run: write one as [[run]]; `gorgon suite --example` shows how");
    let (mut round, mut runs): (Vec<PlannedRun>, _) = (Vec::new(), Vec::new());
    for (i, table) in tables.into_iter().enumerate() {
        let name = table.get("name").map(|name| name.as_str().context("write `name` as text, in quotes"));
        let name = name.transpose().with_context(|| format!("`{shown}`, run {}", i + 1))?;
        let which = || format!("`{shown}`, run {}{}", i + 1, name.map(|name| format!(" ({name})")).unwrap_or_default());
        let run = run(table, defaults).with_context(which)?;
        let source = TaskSource::File(run.task.clone());
        round.extend(run.plan.planned_runs(&source, name, Some(&which())).with_context(which)?);
        runs.push((which(), run));
    }
    let planned_runs = (0..repetitions).flat_map(|_| round.iter().cloned()).collect();
    let (name, description) = (text_at("name")?, text_at("description")?);
    let pause_ns = pause.as_nanos() as u64;
    let suite = Some(SuiteReport { name, description, repetitions, pause_ns });
    let boxes = table_of_boxes.map_or(Some(&none), Value::as_table);
    let boxes = boxes.with_context(|| format!("`{shown}`: write `boxes` as a table, [boxes]"))?;
    let boxes = self::boxes(boxes).with_context(|| format!("`{shown}`: in `boxes`"))?;
    Ok((Session { planned_runs, files: vec![file.to_owned()], pause, suite, over: None }, runs, boxes))
}

/// Parses the table of the boxes as a command line.
fn boxes(table: &Table) -> anyhow::Result<BoxFlags> {
    let command = SuiteBoxes::command();
    let flags: Vec<&str> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
    known(table, flags.iter().copied())?;
    let mut words = Vec::new();
    table.iter().try_for_each(|(key, value)| flag(key, value, &mut words))?;
    Ok(SuiteBoxes::try_parse_from(words).map_err(|error| anyhow!(problem(&error)))?.boxes)
}

/// Parses a run's table, completed by the defaults, as a command line.
fn run(table: &Table, defaults: &Table) -> anyhow::Result<SuiteRun> {
    let command = SuiteRun::command();
    let flags: Vec<&str> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
    let all = || flags.iter().copied().chain(["name", "task", "args"]);
    known(table, all())?;
    known(defaults, all()).context("in `defaults`")?;
    let mut merged = defaults.clone();
    merged.extend(table.clone());
    let task = merged.get("task").and_then(Value::as_str).context("it has no `task`: name a .wasm file")?;
    let mut words = vec![task.to_owned()];
    for (key, value) in merged.iter().filter(|(key, _)| !["name", "task", "args"].contains(&key.as_str())) {
        flag(key, value, &mut words)?;
    }
    if let Some(args) = merged.get("args") {
        words.push("--".into());
        for value in args.as_array().context("write `args` as a list")? {
            words.push(word("args", value)?);
        }
    }
    SuiteRun::try_parse_from(words).map_err(|error| anyhow!(problem(&error)))
}

/// Adds a key and its value to a command line, as flags.
fn flag(key: &str, value: &Value, words: &mut Vec<String>) -> anyhow::Result<()> {
    match value {
        Value::Boolean(true) => words.push(format!("--{key}")),
        Value::Boolean(false) => {}
        Value::Array(values) => values.iter().try_for_each(|value| flag(key, value, words))?,
        Value::Table(pairs) => {
            for (name, value) in pairs {
                words.push(format!("--{key}={name}={}", word(key, value)?));
            }
        }
        value => words.push(format!("--{key}={}", word(key, value)?)),
    }
    Ok(())
}

fn word(key: &str, value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => bail!("`{key}` cannot be `{other}`: write text or a number"),
    }
}

/// Checks that every key of `table` is among `keys`, and suggests a similar one otherwise.
fn known<'a>(table: &Table, keys: impl Iterator<Item = &'a str> + Clone) -> anyhow::Result<()> {
    let Some(wrong) = table.keys().find(|key| !keys.clone().any(|known| known == key.as_str())) else { return Ok(()) };
    let likeness = |key: &&str| strsim::jaro_winkler(key, wrong);
    let nearest = keys.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|key| likeness(key) > ALIKE);
    match nearest {
        Some(nearest) => bail!("there is no key `{wrong}`; did you mean `{nearest}`?"),
        None => bail!("there is no key `{wrong}`; `gorgon suite --example` shows the known keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned_runs(text: &str) -> Result<Vec<(Option<String>, String, RunPlanFacts)>, String> {
        let parsed = parse(Path::new("s.toml"), text).map_err(|error| format!("{error:#}"))?;
        let facts = |turn: PlannedRun| {
            let plan = turn.plan;
            (
                turn.name,
                turn.source.path().display().to_string(),
                (plan.shape().to_string(), plan.extent().operations()),
            )
        };
        Ok(parsed.0.planned_runs.into_iter().map(facts).collect())
    }

    type RunPlanFacts = (String, Option<u64>);

    #[test]
    fn the_example_is_a_suite() {
        let (session, runs, _) = parse(Path::new("example"), EXAMPLE).unwrap();
        assert_eq!((session.planned_runs.len(), runs.len(), session.pause), (8, 2, Duration::from_secs(1)));
        assert_eq!(session.planned_runs[0].fail.fail_if.len(), 2);
        assert_eq!(
            session.planned_runs[3].fail.fail_if.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["p99>50ms"]
        );
        assert_eq!(
            session.planned_runs[3].plan.grants().env,
            [("BASE".to_owned(), "http://127.0.0.1:8080".to_owned())]
        );
    }

    #[test]
    fn repetitions_are_interleaved_and_defaults_apply() {
        let text = "repetitions = 2\n[defaults]\noperations = 5\n[[run]]\nname = \"a\"\ntask = \"a.wasm\"\n\
                    [[run]]\ntask = \"b.wasm\"\noperations = 7\nfresh = true\nargs = [\"x\", 1]";
        let planned_runs = planned_runs(text).unwrap();
        let tasks: Vec<_> = planned_runs.iter().map(|(_, task, (_, n))| (task.as_str(), *n)).collect();
        assert_eq!(tasks, [("a.wasm", Some(5)), ("b.wasm", Some(7)), ("a.wasm", Some(5)), ("b.wasm", Some(7))]);
        assert_eq!(planned_runs[0].0.as_deref(), Some("a"));
    }

    #[test]
    fn an_error_names_its_place_in_the_file() {
        for (text, problem) in [
            ("repetition = 2", "`s.toml`: there is no key `repetition`; did you mean `repetitions`?"),
            (
                "[[run]]\ntask = \"a.wasm\"\noperatons = 3",
                "`s.toml`, run 1: there is no key `operatons`; did you mean `operations`?",
            ),
            (
                "[defaults]\nxyzzy = 3\n[[run]]\ntask = \"a\"",
                "`s.toml`, run 1: in `defaults`: there is no key `xyzzy`; `gorgon suite --example` \
                 shows the known keys",
            ),
            ("run = [1]", "`s.toml` has no run: write one as [[run]]; `gorgon suite --example` shows how"),
            ("[[run]]\nname = 3", "`s.toml`, run 1: write `name` as text, in quotes"),
            ("[[run]]\nname = \"x\"", "`s.toml`, run 1 (x): it has no `task`: name a .wasm file"),
            (
                "[[run]]\ntask = \"a\"\nshape = \"4\"",
                "`s.toml`, run 1: invalid value '4' for '--shape <PxT>': `4` is not a \
                 shape: write processes x threads, such as `2x4`",
            ),
            ("[[run]]\ntask = \"a\"\noperations = 0", "`s.toml`, run 1: cannot run `0` operations: give at least 1"),
            (
                "[[run]]\ntask = \"a\"\ndata = 1979-05-27",
                "`s.toml`, run 1: `data` cannot be `1979-05-27`: write text or a number",
            ),
            ("name = \"a\"", "`s.toml` has no run: write one as [[run]]; `gorgon suite --example` shows how"),
            (
                "pause = \"3\"",
                "`s.toml`: in `pause`: time unit needed, for example 3sec or 3ms; \
                 write a duration with its unit, such as `250ms`, `30s` or `1m30s`",
            ),
            ("repetitions = 0", "`s.toml`: cannot have `0` repetitions: give 1 to 1000"),
            ("a = 1\nb =", "`s.toml`, line 2: "),
        ] {
            let error = planned_runs(text).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
