//! Scripts that run on a response, of JetBrains' editors and of Postman. Those that keep a value of the response become
//! captures, and those that only test or log are passed over. Others could change what is sent, and are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::responses::pointer;
use super::template::Place;
use super::{Context, SyntaxError};

/// How values are captured, by their names.
pub(super) type Captures = BTreeMap<String, String>;

/// A script of a request.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) text: String,
    /// Where it begins.
    pub(super) at: Place,
    /// Whether it runs before its request, which it could change.
    pub(super) is_before: bool,
}

/// How far a value reaches that a script keeps, from far to near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Global,
    Collection,
    Environment,
}

impl Scope {
    fn of(setter: &str) -> Self {
        match setter {
            setter if setter.starts_with("pm.globals") || setter.starts_with("postman.setGlobal") => Self::Global,
            setter if setter.starts_with("pm.collectionVariables") => Self::Collection,
            _ => Self::Environment,
        }
    }
}

/// What gives the response's JSON.
const BODY: &str =
    r"response\.body|pm\.response\.json\(\s*\)|JSON\.parse\(\s*(?:responseBody|pm\.response\.text\(\s*\))\s*\)";

/// Steps into JSON.
const PATH: &str = r#"(?:\.[A-Za-z_$][\w$]*|\[\d+\]|\[["'][^"'\]]+["']\])*"#;

fn pattern(pattern: &str) -> Regex {
    Regex::new(&pattern.replace("BODY", BODY).replace("PATH", PATH)).expect("it is a valid pattern")
}

/// `const data = pm.response.json();`
static NAMED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?:var|let|const)\s+([A-Za-z_$][\w$]*)\s*=\s*(?:BODY)(PATH)\s*(?:;|\n|$)"));

/// `client.global.set("name", response.body.a[0].b)`, with a name, the response's JSON or a variable, and a path; or
/// with a header's name.
static KEPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?x)
        (?: client\.global\.set
          | pm\.(?:environment|collectionVariables|globals|variables)\.set
          | postman\.set(?:Environment|Global)Variable
        )
        \(\s* ["']([^"']+)["'] \s*,\s*
        (?: (?:(BODY)|([A-Za-z_$][\w$]*))(PATH)
          | (?:response\.headers\.valueOf|pm\.response\.headers\.get|postman\.getResponseHeader)
            \(\s*["']([^"']+)["']\s*\)
        )
        \s*\)"#,
    )
});

/// A line that only logs.
static LOGGED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:console|client)\.(?:log|info|warn|error|debug)\([^;\n]*\);?"));

/// The beginning of a test, whose function always runs.
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"\b(?:pm|client)\.test\(\s*(?:"[^"]*"|'[^']*'|`[^`]*`)\s*,\s*(?:async\s+)?(?:function\s*\(\s*\)|\(\s*\)\s*=>)\s*\{"#,
    )
});

/// Those of the words below that set a value by its name.
const SETTERS: [&str; 3] = [".set(", "EnvironmentVariable(", "GlobalVariable("];

/// Words of scripts that change later requests, without blanks.
const CHANGES: [&str; 19] = [
    ".set(",
    "\"set\"]",
    "'set']",
    "pm[",
    "=pm;",
    "}=pm",
    ".unset(",
    ".clear(",
    ".clearAll(",
    "client.variables",
    "exports.",
    "require(",
    "eval(",
    "request.variables",
    "sendRequest",
    "setNextRequest",
    "skipRequest",
    "EnvironmentVariable(",
    "GlobalVariable(",
];

/// What sets a value, and its name. In JSON the quotes may be escaped.
static SET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?:client\.global|pm\.(?:environment|collectionVariables|globals|variables)|request\.variables)\.set\(\s*\\?["']([^"'\\]+)\\?["']|postman\.set(?:Environment|Global)Variable\(\s*\\?["']([^"'\\]+)\\?["']"#,
    )
});

/// The names that scripts in the text of a file set.
pub(super) fn kept(text: &str) -> BTreeSet<String> {
    let name = |found: regex::Captures<'_>| found.get(1).or(found.get(2)).map(|name| name.as_str().to_owned());
    SET.captures_iter(text).filter_map(name).collect()
}

impl Script {
    /// What the script captures, by name.
    ///
    /// `is_hidden` says of a name and a scope whether a nearer value counts before it.
    pub(super) fn captures(
        &self,
        context: &Context<'_>,
        is_hidden: impl Fn(&str, Scope) -> bool,
        notes: &mut Vec<String>,
    ) -> Result<Captures, SyntaxError> {
        let text = without_comments(&self.text, &['"', '\'', '`']);
        if self.is_given(&text, context) {
            notes.push(format!("line {}: a script was passed over, because --var gives what it sets", self.at.line));
            return Ok(Captures::new());
        }
        if self.is_before {
            if LOGGED.replace_all(&text, "").chars().any(char::is_alphanumeric) {
                return Err(self.wrong(format!("a script before a request is not run: {}", remedy(&text))));
            }
            return Ok(Captures::new());
        }
        let named: BTreeMap<&str, &str> = NAMED
            .captures_iter(&text)
            .filter_map(|found| Some((found.get(1)?.as_str(), found.get(2)?.as_str())))
            .collect();
        let mut captures = Captures::new();
        let mut rest = String::new();
        let mut end = 0;
        for found in KEPT.captures_iter(&text) {
            let Some(whole) = found.get(0) else { continue };
            let how = match (found.get(5), found.get(3)) {
                (Some(header), _) => format!("header {}", header.as_str()),
                (None, Some(variable))
                    if !named.contains_key(variable.as_str()) || is_changed(&text, variable.as_str()) =>
                {
                    return Err(self.wrong(format!(
                        "this script keeps `{}`, and not a plain part of the response: give `{}` by --var",
                        variable.as_str(),
                        &found[1]
                    )));
                }
                (None, variable) => {
                    let begin = variable.map_or("", |variable| named[variable.as_str()]);
                    let path = format!("{begin}{}", found.get(4).map_or("", |path| path.as_str()));
                    pointer(&path).ok_or_else(|| self.wrong(format!("`{path}` is not a plain path")))?
                }
            };
            if is_conditional(&text[..whole.start()]) {
                return Err(self.wrong(format!(
                    "this script keeps `{0}` only sometimes, or in a function: give `{0}` by --var",
                    &found[1]
                )));
            }
            if is_hidden(&found[1], Scope::of(whole.as_str())) {
                let name = &found[1];
                notes.push(format!("line {}: `{name}` is kept, but a nearer value of it counts before", self.at.line));
            } else {
                captures.insert(found[1].to_owned(), how);
            }
            rest.push_str(&text[end..whole.start()]);
            end = whole.end();
        }
        rest.push_str(&text[end..]);
        let rest = NAMED.replace_all(&rest, "");
        let plain: String = rest.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(word) = CHANGES.iter().find(|word| plain.contains(**word)) {
            let (word, remedy) = (word.trim_matches(['.', '(']), remedy(&text));
            return Err(self.wrong(format!("this script uses `{word}`, which may change later requests: {remedy}")));
        }
        if captures.is_empty() && plain.chars().any(char::is_alphanumeric) {
            notes.push(format!("line {}: a script that only tests or logs was passed over", self.at.line));
        }
        Ok(captures)
    }

    /// Whether the command line gives everything that the script sets, and the script does nothing else.
    fn is_given(&self, text: &str, context: &Context<'_>) -> bool {
        let set = kept(text);
        let is_given = |name: &String| context.given.iter().any(|(given, _)| given == name);
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let of_request = ["pm.request", "request.headers", "request.url", "request.body", "addHeader("];
        let others = CHANGES.iter().filter(|word| !SETTERS.contains(word)).chain(&of_request);
        let sets = SETTERS.iter().map(|word| plain.matches(word).count()).sum::<usize>();
        !set.is_empty()
            && set.iter().all(is_given)
            && sets == SET.find_iter(text).count()
            && !others.into_iter().any(|word| plain.contains(word))
    }

    fn wrong(&self, problem: impl Into<String>) -> SyntaxError {
        self.at.wrong(problem)
    }
}

/// What to do about a script that is not understood.
fn remedy(text: &str) -> String {
    let set: Vec<String> = kept(text).into_iter().map(|name| format!("`{name}`")).collect();
    match set.as_slice() {
        [] => "remove it from the file".to_owned(),
        set => format!("give {} by --var, or keep only plain parts of a response", set.join(", ")),
    }
}

/// Whether a variable gets another value than that of its declaration.
fn is_changed(script: &str, variable: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let assigned = script.match_indices(variable).filter(|(at, _)| {
        let (before, after) = (&script[..*at], script[at + variable.len()..].trim_start());
        let is_whole = !before.ends_with(is_word) && !before.ends_with('.') && !after.starts_with(is_word);
        let is_assignment = after.starts_with('=') && !after.starts_with("==") && !after.starts_with("=>");
        let changes = ["+=", "||=", "??=", "&&=", "-=", "++", "--"].iter().any(|operator| after.starts_with(operator));
        is_whole && (is_assignment || changes)
    });
    assigned.count() > 1
}

/// Whether what stands behind `before` may not run.
fn is_conditional(before: &str) -> bool {
    let opened = before.matches('{').count() - TEST.find_iter(before).count().min(before.matches('{').count());
    opened > before.matches('}').count()
        || before.trim_end().ends_with([')', '?', '&', '|', '>'])
        || before.trim_end().ends_with("else")
        || before.contains("return")
}

/// The text without the comments of JavaScript, which do not begin within these quotes.
pub(super) fn without_comments(script: &str, quotes: &[char]) -> String {
    let (mut text, mut quote) = (String::new(), None);
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\\') => {
                text.push(c);
                text.extend(chars.next());
                continue;
            }
            (None, c) if quotes.contains(&c) => quote = Some(c),
            (None, '/') if chars.peek() == Some(&'/') => {
                while chars.next_if(|&c| c != '\n').is_some() {}
                continue;
            }
            (None, '/') if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                continue;
            }
            _ => {}
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<(String, String)>, usize), String> {
        let mut notes = Vec::new();
        let script = Script { text: text.into(), at: Place { line: 7, column: 1 }, is_before: false };
        let given = [("given".to_owned(), "1".to_owned())];
        let context = Context { given: &given, ..Context::default() };
        let captures = script.captures(&context, |_, _| false, &mut notes).map_err(|error| error.problem)?;
        Ok((captures.into_iter().collect(), notes.len()))
    }

    #[test]
    fn plain_keeping_is_a_capture_and_the_rest_is_passed_over_or_refused() {
        let pair = |name: &str, how: &str| (name.to_owned(), how.to_owned());
        for (text, captured, notes) in [
            (r#"client.global.set("token", response.body.token);"#, vec![pair("token", "/token")], 0),
            (
                r#"client.global.set('id', response.body.list[0]["a/b"].id); client.log("x")"#,
                vec![pair("id", "/list/0/a~1b/id")],
                0,
            ),
            (r#"client.global.set("h", response.headers.valueOf("X-Token"))"#, vec![pair("h", "header X-Token")], 0),
            (r#"client.global.set("all", response.body)"#, vec![pair("all", "")], 0),
            (r#"client.test("ok", function() { client.assert(response.status === 200); });"#, vec![], 1),
            ("", vec![], 0),
            ("// client.global.clear(\"x\")\n/* pm.sendRequest() */", vec![], 0),
            (
                "const data = pm.response.json();\npm.environment.set(\"token\", data.auth.token);",
                vec![pair("token", "/auth/token")],
                0,
            ),
            (
                "pm.test(\"has id\", () => {\n  pm.collectionVariables.set('id', pm.response.json().id);\n});",
                vec![pair("id", "/id")],
                0,
            ),
            (
                "var j = JSON.parse(responseBody);\npostman.setEnvironmentVariable(\"a\", j.a);",
                vec![pair("a", "/a")],
                0,
            ),
            ("if (a) { pm.environment.set('given', Date.now()) }", vec![], 1),
            ("pm.test('s', function () { pm.response.to.have.status(200); }); console.log('http://x')", vec![], 1),
        ] {
            assert_eq!(read(text), Ok((captured, notes)), "{text}");
        }
        for text in [
            r#"if (response.status === 200) { client.global.set("x", response.body.x) }"#,
            r#"if (response.status === 200) client.global.set("x", response.body.x)"#,
            r#"client.global.set("x", response.body.x + 1)"#,
            r#"client.global.set("x", y)"#,
            "let d = response.body; d = d.list[0]; client.global.set('k', d.id)",
            "pm.environment.set('given', 1); pm.sendRequest('http://h/')",
            "pm.environment.set('given', 1); pm.request.headers.add({key: 'a', value: 'b'})",
            "pm[\"environment\"][\"set\"]('v', 7)",
            "const {environment: e} = pm; e['set']('v', 7)",
            "if (x) return;\npm.environment.set('v', pm.response.json().v)",
            r#"client.global.clear("x")"#,
            r#"request.variables.set("x", "1")"#,
            r#"pm.environment.set("at", Date.now())"#,
            r#"postman.setNextRequest("login")"#,
            "pm.sendRequest('http://h/', () => {})",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
