//! The words and figures of a comparison as people read them, the same in every format.

use super::{Change, Comparison, Difference, Figure, Finding, Pair, Runs};
use crate::report::curves;
use crate::report::units::{change, counted, difference, duration, or_dash, percent, rate};
use crate::report::words::file_name;

/// A figure on two sides as text.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its value on the first side; a dash if there are too few operations, like the next three.
    pub a: String,
    /// Its value on the other side.
    pub b: String,
    /// The difference as measured.
    pub difference: String,
    /// The interval of the true difference.
    pub interval: String,
    /// What the difference shows; empty if nothing.
    pub finding: &'static str,
}

impl Difference {
    /// The figure as text.
    pub fn row(&self) -> Row {
        let show = |value: f64| match self.figure {
            Figure::Failed => percent(value),
            Figure::Throughput => format!("{}/s", rate(value)),
            Figure::P50 | Figure::Mean | Figure::P90 | Figure::P99 => duration(value.round() as u64),
        };
        Row {
            name: self.figure.name(),
            a: or_dash(self.a, show),
            b: or_dash(self.b, show),
            difference: or_dash(self.change, |of| self.figure.text(of.measured)),
            interval: or_dash(self.change, |of| self.figure.interval(of)),
            finding: match self.finding {
                Finding::Slower => "slower",
                Finding::Faster => "faster",
                Finding::FailsMore => "fails more",
                Finding::FailsLess => "fails less",
                Finding::Nothing => "",
            },
        }
    }
}

impl Figure {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::Mean => "mean",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::Throughput => "throughput",
            Self::Failed => "failed",
        }
    }

    /// A difference of this figure. The difference of two shares is given in percentage points.
    pub fn text(self, of: f64) -> String {
        let text = change(of);
        if self == Self::Failed { text.replace('%', "points") } else { text }
    }

    fn interval(self, Change { low, high, .. }: Change) -> String {
        match self {
            Self::Failed => format!("{} to {}", change(low).trim_end_matches(" %"), self.text(high)),
            _ => format!("{} to {}", change(low), change(high)),
        }
    }
}

impl Runs {
    /// The files of the runs, without repetitions.
    pub fn files(&self) -> String {
        let mut files: Vec<_> = self.runs.iter().map(|place| place.file.as_str()).collect();
        files.dedup();
        files.join(", ")
    }

    /// The files in a title.
    pub fn short(&self) -> String {
        let mut files: Vec<_> = self.runs.iter().map(|place| place.file.as_str()).collect();
        files.dedup();
        match files.as_slice() {
            [first, _, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len() + 1),
            all => all.join(" and "),
        }
    }

    fn shape(&self) -> String {
        curves::joined(self.boxes, self.processes, self.threads, self.concurrency)
    }

    /// What was run, and how much.
    pub fn text(&self) -> String {
        format!(
            "{}, {}, {}, {}",
            self.task.path,
            self.shape(),
            counted(self.runs.len() as u64, "run"),
            counted(self.operations, "operation")
        )
    }
}

impl Pair {
    /// What is compared with what: the tasks; of one task, its shapes; of one shape, the files.
    pub fn title(&self) -> String {
        let (a, b) = (&self.a, &self.b);
        let [task_a, task_b] = [a, b].map(|side| file_name(&side.task.path));
        let [shape_a, shape_b] = [a, b].map(Runs::shape);
        if task_a != task_b {
            format!("{task_b} (B) compared with {task_a} (A)")
        } else if shape_a != shape_b {
            format!("{task_a}: {shape_b} (B) compared with {shape_a} (A)")
        } else {
            format!("{task_a}: {} (B) compared with {} (A)", b.short(), a.short())
        }
    }

    /// How sure the intervals are.
    pub fn levels(&self) -> String {
        let level = |of: &Difference| format!("{} %", trimmed(of.level * 100.0));
        let levels = self.figures.first().zip(self.figures.get(1)).map(|(first, other)| (level(first), level(other)));
        levels
            .map(|(first, other)| format!("intervals: {first} for p50, {other} for each other figure"))
            .unwrap_or_default()
    }
}

impl Comparison {
    /// What several pairs do to the intervals; `None` with one pair.
    pub fn together(&self) -> Option<String> {
        (self.pairs.len() > 1).then(|| {
            format!(
                "{} comparisons: their intervals are wider than that of a single one, so that all hold together",
                self.pairs.len()
            )
        })
    }

    /// The verdict of `--fail-if-slower` in words; `None` without it.
    pub fn verdict(&self) -> Option<String> {
        let slower = self.fail_if_slower?;
        let by = difference(slower.by);
        if slower.none_ok {
            return Some("failed: a side has no operation that was ok".to_owned());
        }
        if slower.held {
            return Some(format!("failed: a median is longer by more than {by}"));
        }
        let medians = self.pairs.iter().filter_map(|pair| pair.figures.first()?.change);
        let most = medians.map(|change| change.high).fold(f64::NEG_INFINITY, f64::max);
        let possible =
            if most > slower.by { format!(", though it could be by {}", difference(most)) } else { String::new() };
        let fails_more = self.pairs.iter().flat_map(|pair| &pair.figures).any(|of| of.finding == Finding::FailsMore);
        let fails = if fails_more { "; but more operations fail" } else { "" };
        Some(format!("passed: no median is shown to be longer by more than {by}{possible}{fails}"))
    }
}

/// The finding in a sentence; the first figure is the primary one. `runs` are the numbers of runs on each side.
pub(super) fn sentence(runs: [usize; 2], figures: &[Difference]) -> String {
    let Some(change) = figures.first().and_then(|primary| primary.change) else {
        return "nothing can be said: there is no median to compare".to_owned();
    };
    let durations = durations(figures, change);
    let said = match failures(figures) {
        // Failed operations may be unusually fast or slow, so they come first.
        Some(failures) => format!("{failures}; with those included, {durations}"),
        None => durations,
    };
    // Single runs do not show how much of their difference comes from what was run.
    if runs == [1, 1] {
        format!("between these two runs, {said}; how much runs of one side differ among themselves is not known")
    } else {
        said
    }
}

fn failures(figures: &[Difference]) -> Option<String> {
    let failed = figures.iter().find(|of| of.figure == Figure::Failed)?;
    let more = match failed.finding {
        Finding::FailsMore => "more",
        Finding::FailsLess => "fewer",
        _ => return None,
    };
    let (a, b) = failed.a.zip(failed.b)?;
    Some(format!("{more} operations of B fail, {} instead of {}", percent(b), percent(a)))
}

fn durations(figures: &[Difference], change: Change) -> String {
    let Change { measured, low, high, detectable } = change;
    let primary = figures[0].finding;
    let names = |wanted: Finding| {
        let found = figures.iter().skip(1).filter(|of| of.finding == wanted);
        listed(&found.map(|of| of.figure.name()).collect::<Vec<_>>())
    };
    let between = |near: f64, far: f64| {
        format!("by {}, somewhere between {} and {}", difference(measured), difference(near), difference(far))
    };
    let detectable = difference(detectable);
    match (primary, names(Finding::Slower), names(Finding::Faster)) {
        (Finding::Slower, _, faster) => {
            let but = faster.map(|names| format!("; but it is faster by its {names}")).unwrap_or_default();
            format!("B is slower: its median is longer {}{but}", between(low, high))
        }
        (Finding::Faster, slower, _) => {
            let but = slower.map(|names| format!("; but it is slower by its {names}")).unwrap_or_default();
            format!("B is faster: its median is shorter {}{but}", between(high, low))
        }
        (_, None, None) => format!(
            "no duration or rate differs by more than chance explains: a median that differs by {detectable} would be \
             found nine times in ten"
        ),
        (_, slower, faster) => {
            let of = |direction: &str, names: Option<String>| names.map(|names| format!("{direction} by its {names}"));
            let found: Vec<_> = [of("slower", slower), of("faster", faster)].into_iter().flatten().collect();
            format!(
                "B is {}, though not by its median, of which a difference of {detectable} would be found nine times in \
                 ten",
                found.join(" and ")
            )
        }
    }
}

/// Names in a sentence; `None` if there are none.
fn listed(names: &[&str]) -> Option<String> {
    let (last, rest) = names.split_last()?;
    Some(if rest.is_empty() { (*last).to_owned() } else { format!("{} and {last}", rest.join(", ")) })
}

/// A figure without trailing zeros.
fn trimmed(figure: f64) -> String {
    format!("{figure:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
