//! The names in a file of calls, and what stands for each: who gives it a value, and which one counts.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::SyntaxError;
use super::responses::Wanted;
use super::template::{Made, Part, Place, Template};

/// A name that stands in a call, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The name, without its braces.
    pub name: String,
    /// Where its value comes from.
    pub origin: Origin,
    /// The value, if it is known before the run.
    pub value: Option<String>,
    /// A word on the choice of the value, if there was one to make.
    pub hint: Option<String>,
}

impl Use {
    /// How much it takes, in bytes.
    pub(super) fn bytes_held(&self) -> usize {
        let texts = [Some(&self.name), self.value.as_ref(), self.hint.as_ref()];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Given,
    /// An environment.
    Environment,
    /// A definition in this line of the file.
    File(usize),
    /// A column of `--data`.
    Column,
    /// An earlier response.
    Captured,
    /// It is made for each operation.
    Made,
}

/// What the names in a file stand for.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    /// Given on the command line, which wins.
    pub given: &'a [(String, String)],
    /// Of an environment file.
    pub environment: &'a [(String, String)],
    /// The columns of `--data`.
    pub columns: &'a [String],
    /// Defined in the file, by their names, in their order.
    pub defined: BTreeMap<String, Vec<Definition>>,
    /// Captured by the calls before, if calls are played as a flow.
    pub captured: BTreeSet<String>,
    /// Captured by any call of the file. Without a flow they have no value.
    pub capturable: BTreeSet<String>,
    /// The names of the calls before, whose responses can be named, if calls are played as a flow.
    pub answered: BTreeSet<String>,
    /// Whether the environment counts before what the file defines.
    pub environment_first: bool,
    /// How a name gets a value in such a file. `NAME` stands for it.
    pub ways: &'static str,
    /// What was filled since this was last taken.
    pub used: RefCell<Vec<Use>>,
    /// How many places were filled since then.
    pub filled: Cell<u32>,
    /// The bytes of their values.
    pub size: Cell<usize>,
}

/// `@name = value` in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub value: String,
    /// Where the value is.
    pub at: Place,
}

/// A call has at most so many places, those within definitions included: definitions of definitions grow without bound.
const MOST_PLACES: u32 = 100_000;

/// A call has at most so many bytes of values.
const LARGEST: usize = 64 << 20;

/// Definitions that refer to each other go no deeper than this; deeper ones mostly go round in a circle.
const DEEPEST: usize = 64;

impl Names<'_> {
    /// Fills what is known in `text`, which is at `at`. Everything else must get its value in the run.
    pub(super) fn fill(&self, text: &str, at: Place) -> Result<Template, SyntaxError> {
        self.fill_at(text, at, at.line, 0)
    }

    /// The same for a text that must be known before the run, such as the name of a file.
    pub(super) fn known(&self, text: &str, at: Place) -> Result<String, SyntaxError> {
        let filled = self.fill(text, at)?;
        if !filled.is_text() {
            return Err(at.wrong("the name of a file must be known before the run"));
        }
        Ok(filled.shown())
    }

    /// The same for a URL. In a value behind the beginning a `#` is a character, and not the end of what is sent.
    pub(super) fn fill_url(&self, text: &str, at: Place) -> Result<Template, SyntaxError> {
        let first = text.find("}}").filter(|_| text.starts_with("{{")).map_or(0, |end| end + 2);
        let (begin, rest) = text.split_at(first);
        let mut filled = self.fill(begin, at)?;
        filled.append(self.fill_in_url(rest, at.within(text, first))?);
        Ok(filled)
    }

    /// The same for a part of a URL behind its beginning.
    pub(super) fn fill_in_url(&self, text: &str, at: Place) -> Result<Template, SyntaxError> {
        let mut filled = Template::default();
        let (mut rest, mut rest_at) = (text, at);
        while let Some(open) = rest.find("{{") {
            let close = rest[open..].find("}}").map_or(rest.len(), |end| open + end + 2);
            filled.push(Part::Text(rest[..open].to_owned()));
            let place = rest_at.within(rest, open);
            filled.append(self.fill(&rest[open..close], place)?.map(|value| value.replace('#', "%23")));
            rest_at = rest_at.within(rest, close);
            rest = &rest[close..];
        }
        filled.push(Part::Text(rest.to_owned()));
        Ok(filled)
    }

    /// `line` is the line from which definitions are looked up: later definitions of a name do not hold there yet.
    fn fill_at(&self, text: &str, at: Place, line: usize, depth: usize) -> Result<Template, SyntaxError> {
        let mut filled = Template::default();
        let mut rest = 0;
        while let Some(open) = text[rest..].find("{{").map(|found| rest + found) {
            filled.push(Part::Text(text[rest..open].to_owned()));
            let place = at.within(text, open);
            let Some(close) = text[open..].find("}}").map(|found| open + found) else {
                return Err(place.wrong("`{{` without `}}`"));
            };
            let name = text[open + 2..close].trim();
            // `{{{x}}}` is a place in braces: the innermost pair counts.
            let (name, outer) = match name.strip_prefix('{') {
                Some(inner) => (inner.trim(), "{"),
                None => (name, ""),
            };
            filled.push(Part::Text(outer.to_owned()));
            filled.append(self.value(name, place, line, depth)?);
            rest = close + 2;
        }
        filled.push(Part::Text(text[rest..].to_owned()));
        Ok(filled)
    }

    fn value(&self, name: &str, at: Place, line: usize, depth: usize) -> Result<Template, SyntaxError> {
        self.filled.set(self.filled.get() + 1);
        if self.filled.get() > MOST_PLACES {
            return Err(at.wrong(format!("a call cannot have more than {MOST_PLACES} places for values")));
        }
        if let Some(value) = value_of(name, self.given) {
            let value = self.nested(name, value, at, line, depth)?;
            self.note(name, Origin::Given, known(&value).as_deref(), None);
            return Ok(value);
        }
        if self.captured.contains(name) || self.names_response(name, at)? {
            self.note(name, Origin::Captured, None, None);
            return Ok(Template(vec![Part::Captured(name.to_owned())]));
        }
        if self.columns.iter().any(|column| column == name) {
            self.note(name, Origin::Column, None, None);
            return Ok(Template(vec![Part::Column(name.to_owned())]));
        }
        if let Some(value) = self.stored(name, at, line, depth)? {
            if value.is_empty() && self.capturable.contains(name) {
                return Err(at.wrong(self.unknown(name)));
            }
            return Ok(value);
        }
        if let Some(made) = name.strip_prefix('$') {
            self.note(name, Origin::Made, None, None);
            return made_by(made).map(|made| Template(vec![Part::Made(made)])).ok_or_else(|| {
                at.wrong(format!(
                    "`{{{{{name}}}}}` cannot be made here: there are `$uuid`, `$guid`, `$timestamp` and `$randomInt LEAST \
                     BELOW`; give others by --var or a column of --data"
                ))
            });
        }
        Err(at.wrong(self.unknown(name)))
    }

    /// The value of `name` in the file or in the environment.
    fn stored(&self, name: &str, at: Place, line: usize, depth: usize) -> Result<Option<Template>, SyntaxError> {
        let environment = value_of(name, self.environment);
        let Some(definition) = self.definition(name, line).filter(|_| environment.is_none() || !self.environment_first)
        else {
            let Some(value) = environment else { return Ok(None) };
            let value = self.nested(name, value, at, line, depth)?;
            self.note(name, Origin::Environment, known(&value).as_deref(), self.kept_by_script(name, &value));
            return Ok(Some(value));
        };
        let value = self.nested(name, &definition.value, definition.at, line, depth)?;
        let shown = known(&value);
        let differs = environment.is_some_and(|other| shown.as_deref() != Some(other));
        let hint = differs.then(|| {
            let line = definition.at.line;
            format!(
                "`{name}` has a value in line {line}, which counts, and another one in the environment; --var decides"
            )
        });
        let hint = hint.or_else(|| self.kept_by_script(name, &value));
        self.note(name, Origin::File(definition.at.line), shown.as_deref(), hint);
        Ok(Some(value))
    }

    /// A value, with the places in it filled.
    fn nested(&self, name: &str, value: &str, at: Place, line: usize, depth: usize) -> Result<Template, SyntaxError> {
        if depth == DEEPEST {
            let problem = format!("`{name}` is defined by itself, or by a chain of more than {DEEPEST} definitions");
            return Err(at.wrong(problem));
        }
        self.size.set(self.size.get() + value.len());
        if self.size.get() > LARGEST {
            return Err(at.wrong("with its values this call is larger than 64 MiB"));
        }
        if value.contains("{{") { self.fill_at(value, at, line, depth + 1) } else { Ok(Template::text(value)) }
    }

    /// What to say of a stored value that a script would have set.
    fn kept_by_script(&self, name: &str, value: &Template) -> Option<String> {
        let is_kept = self.capturable.contains(name) && !value.is_empty();
        is_kept.then(|| format!("`{name}` is set by a script, which needs --flow: its stored value counts"))
    }

    fn note(&self, name: &str, origin: Origin, value: Option<&str>, hint: Option<String>) {
        /// More than these are of no use to a reader.
        const MOST: usize = 1_000;
        let mut used = self.used.borrow_mut();
        if used.len() < MOST && !used.iter().any(|used| used.name == name && used.origin == origin) {
            used.push(Use { name: name.to_owned(), origin, value: value.map(str::to_owned), hint });
        }
    }

    /// What was filled since the last time.
    pub(super) fn take_used(&self) -> Vec<Use> {
        self.filled.set(0);
        self.size.set(0);
        self.used.take()
    }

    /// Whether `name` names a part of the response of an earlier call.
    fn names_response(&self, name: &str, at: Place) -> Result<bool, SyntaxError> {
        let Some(wanted) = Wanted::of(name) else { return Ok(false) };
        let wanted = wanted.map_err(|problem| at.wrong(problem))?;
        if !self.answered.contains(wanted.call) {
            return Err(at.wrong(format!(
                "`{name}` is a response's, which needs --flow, and a call before this one with the directive `# @name {}`",
                wanted.call
            )));
        }
        Ok(true)
    }

    /// The definition of `name` that holds at `line`: the last one before it, or else the first one.
    fn definition(&self, name: &str, line: usize) -> Option<&Definition> {
        let of_name = self.defined.get(name)?;
        of_name.iter().rfind(|definition| definition.at.line <= line).or_else(|| of_name.first())
    }

    fn unknown(&self, name: &str) -> String {
        if name.is_empty() {
            return "`{{}}` names no value".to_owned();
        }
        if self.capturable.contains(name) {
            return format!("`{name}` is captured from a response, which needs --flow, and a call before this one");
        }
        let known = self.defined.keys().map(String::as_str).chain(self.given.iter().map(|of| of.0.as_str()));
        let known = known.chain(self.environment.iter().map(|of| of.0.as_str()));
        let known =
            known.chain(self.columns.iter().map(String::as_str)).chain(self.captured.iter().map(String::as_str));
        let likeness = |known: &&str| strsim::jaro_winkler(known, name);
        let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) > 0.8);
        let nearest = nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        format!("`{name}` has no value{nearest}: {}", self.ways.replace("NAME", name))
    }
}

/// The text of a value that is known before the run.
fn known(value: &Template) -> Option<String> {
    value.is_text().then(|| value.shown())
}

/// The last value of `name`.
fn value_of<'a>(name: &str, given: &'a [(String, String)]) -> Option<&'a str> {
    given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// The value that `text`, without its `$`, asks to be made.
fn made_by(text: &str) -> Option<Made> {
    let number = |word: &str| word.trim_matches([',', ' ']).parse::<i64>().ok();
    match text.split([' ', '(', ')', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>()[..] {
        ["uuid" | "guid" | "random.uuid" | "randomUUID"] => Some(Made::Uuid),
        ["timestamp"] => Some(Made::Timestamp),
        ["randomInt"] => Some(Made::Integer(0, 1_000)),
        ["randomInt" | "random.integer", least, below] => {
            let (least, below) = (number(least)?, number(below)?);
            (least < below).then_some(Made::Integer(least, below))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { line: 10, column: 5 };

    /// Definitions, each by its name, value and line.
    fn defined(all: &[(&str, &str, usize)]) -> BTreeMap<String, Vec<Definition>> {
        let mut defined: BTreeMap<String, Vec<Definition>> = BTreeMap::new();
        for &(name, value, line) in all {
            let definition = Definition { value: value.into(), at: Place { line, column: 1 } };
            defined.entry(name.into()).or_default().push(definition);
        }
        defined
    }

    fn shown(names: &Names<'_>, text: &str) -> String {
        match names.fill(text, AT) {
            Ok(template) => template.shown(),
            Err(SyntaxError { line, column, problem }) => format!("{line}:{column}: {problem}"),
        }
    }

    #[test]
    fn names_are_filled_by_what_is_nearest_to_the_user() {
        let environment = [("host".into(), "from-env".into()), ("port".into(), "1".into())];
        let (given, columns) = ([("port".into(), "2".into())], ["user".into()]);
        let names = Names {
            given: &given,
            environment: &environment,
            columns: &columns,
            defined: defined(&[("host", "h:{{port}}", 3), ("v", "1", 2), ("v", "2", 20)]),
            captured: BTreeSet::from(["id".into()]),
            capturable: BTreeSet::from(["id".into(), "token".into()]),
            ..Names::default()
        };
        for (text, wanted) in [
            ("plain", "plain"),
            ("{{host}}/{{ port }}/{{v}}", "h:2/2/1"),
            ("{{id}} {{user}} {{$guid}} {{$timestamp}}", "{{id}} {{user}} {{$uuid}} {{$timestamp}}"),
            ("{{$randomInt 1 7}}{{$random.integer(3, 9)}}", "{{$randomInt 1 7}}{{$randomInt 3 9}}"),
            ("{\"v\": {{v}}}", "{\"v\": 1}"),
            ("{{{v}}}", "{1}"),
        ] {
            assert_eq!(shown(&names, text), wanted, "{text}");
        }
        for (text, wanted) in [
            ("a{{hots}}", "10:6: `hots` has no value; did you mean `host`?"),
            ("é\n {{x", "11:2: `{{` without `}}`"),
            ("{{token}}", "10:5: `token` is captured from a response, which needs --flow"),
            ("{{$dotenv X}}", "10:5: `{{$dotenv X}}` cannot be made here"),
            ("{{$randomInt 7 7}}", "10:5: `{{$randomInt 7 7}}` cannot be made here"),
            ("{{}}", "10:5: `{{}}` names no value"),
        ] {
            assert!(shown(&names, text).starts_with(wanted), "{}", shown(&names, text));
        }
    }

    #[test]
    fn definitions_hold_from_their_line_on_and_never_for_ever() {
        let names = Names {
            defined: defined(&[("base", "http://{{host}}", 1), ("host", "a", 2), ("x", "{{x}}", 3)]),
            ..Names::default()
        };
        // It is used before it is defined.
        assert_eq!(names.fill("{{base}}", Place { line: 1, column: 1 }).unwrap().shown(), "http://a");
        assert!(shown(&names, "{{x}}").contains("`x` is defined by itself"));

        let grown: Vec<(String, String)> =
            (0..15).map(|i| (format!("x{i}"), format!("{{{{x{}}}}}", i + 1).repeat(10))).collect();
        let grown: Vec<_> = grown.iter().map(|(name, value)| (name.as_str(), value.as_str(), 1)).collect();
        let names = Names { defined: defined(&[&grown[..], &[("x15", "", 1)]].concat()), ..Names::default() };
        assert!(shown(&names, "{{x0}}").contains("a call cannot have more than 100000 places"));
    }

    #[test]
    fn a_value_in_a_url_does_not_end_it() {
        let names = Names { defined: defined(&[("base", "http://h/#x", 1), ("u", "a#b", 2)]), ..Names::default() };
        let url = |text: &str| names.fill_url(text, AT).map_or_else(|error| error.problem, |url| url.shown());
        assert_eq!(url("{{base}}/{{u}}?x={{ u }}#y"), "http://h/#x/a%23b?x=a%23b#y");
        assert_eq!(url("http://h/{{u}}"), "http://h/a%23b");
        assert!(url("http://h/{{u").starts_with("`{{` without"));
    }
}
