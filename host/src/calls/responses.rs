//! Names that stand for a part of an earlier response: `login.response.body.$.token`.

use std::sync::LazyLock;

use regex::Regex;

use super::Call;
use super::template::Part;

/// A part of the response of a named call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The name of the call.
    pub(super) call: &'a str,
    /// How the value is captured.
    pub(super) how: String,
}

impl<'a> Wanted<'a> {
    /// What `name` asks for; `None` if it is a name of another kind.
    pub(super) fn of(name: &'a str) -> Option<Result<Self, String>> {
        let (call, rest) = name.split_once('.')?;
        if let Some(part) = rest.strip_prefix("response.headers.") {
            return Some(Ok(Self { call, how: format!("header {}", part.trim()) }));
        }
        let path = rest.strip_prefix("response.body").map(|path| path.strip_prefix('.').unwrap_or(path));
        match path {
            Some("*" | "") => Some(Ok(Self { call, how: "regex (?s)(.*)".to_owned() })),
            Some(path) => Some(match pointer(path) {
                Some(how) => Ok(Self { call, how }),
                None => Err(format!("`{name}` is not understood: write `{{{{{call}.response.body.$.NAME[0].NAME}}}}`")),
            }),
            None if rest.starts_with("request.") || rest.starts_with("response.") => Some(Err(format!(
                "`{name}` is not understood: there are `{call}.response.body.$.NAME` and `{call}.response.headers.NAME`"
            ))),
            None => None,
        }
    }
}

/// A step of a path into JSON: `.name`, `[0]`, `["name"]`.
static STEP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^(?:\.?([A-Za-z_$][\w$-]*)|\[(\d+)\]|\[["']([^"'\]]+)["']\])"#).expect("it is a valid pattern")
});

/// The JSON pointer (RFC 6901) of a path such as `$.list[0].name`, if the path has plain steps only.
pub(super) fn pointer(path: &str) -> Option<String> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut pointer = String::new();
    while !rest.is_empty() {
        let step = STEP.captures(rest)?;
        let name = step.iter().skip(1).flatten().next()?.as_str();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        rest = &rest[step.get(0)?.len()..];
    }
    Some(pointer)
}

/// Lets each call capture what later calls want of its response.
pub(super) fn capture(calls: &mut [Call]) {
    for i in 0..calls.len() {
        let (before, after) = calls.split_at_mut(i);
        let Some(call) = after.first() else { continue };
        let templates = call.headers.iter().map(|header| &header.value).chain([&call.url, &call.body]);
        for part in templates.flat_map(|template| &template.0) {
            let Part::Captured(name) = part else { continue };
            let Some(Ok(wanted)) = Wanted::of(name) else { continue };
            if let Some(asked) = before.iter_mut().rfind(|earlier| earlier.name == wanted.call) {
                asked.capture.entry(name.clone()).or_insert(wanted.how);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_responses_have_names() {
        let how = |name: &str| Wanted::of(name).map(|wanted| wanted.map(|wanted| wanted.how).map_err(drop));
        for (name, wanted) in [
            ("token", None),
            ("a.b", None),
            ("login.response.body.$.token", Some(Ok("/token"))),
            ("login.response.body.list[0]['a/b'].id", Some(Ok("/list/0/a~1b/id"))),
            ("login.response.body.$[1].x", Some(Ok("/1/x"))),
            ("login.response.body.*", Some(Ok("regex (?s)(.*)"))),
            ("login.response.headers.X-Token", Some(Ok("header X-Token"))),
            ("login.response.body.$..token", Some(Err(()))),
            ("login.response.body.//token", Some(Err(()))),
            ("login.request.body.$.user", Some(Err(()))),
        ] {
            assert_eq!(how(name), wanted.map(|wanted| wanted.map(str::to_owned)), "{name}");
        }
    }
}
