//! The command line of this process, for reports: without what may be secret.

use std::env;

use crate::guest_text::command;

/// What stands in place of something that may be secret.
const HIDDEN: &str = "…";

/// Flags whose value may be secret: long, short, and what of the value is shown.
const SECRETS: [(&str, Option<char>, Kept); 9] = [
    ("--env", None, Kept::UpTo('=')),
    ("--var", None, Kept::UpTo('=')),
    ("--header", Some('H'), Kept::UpTo(':')),
    ("--user", Some('u'), Kept::UpTo(':')),
    ("--body", None, Kept::Nothing),
    ("--json-body", None, Kept::Nothing),
    ("--cookie", None, Kept::Nothing),
    ("--otlp", None, Kept::Host),
    ("--data-binary", None, Kept::Nothing),
];

/// What is shown of a value.
#[derive(Clone, Copy)]
enum Kept {
    /// Its beginning, up to this character.
    UpTo(char),
    /// Of a URL, its scheme, its host and its port.
    Host,
    Nothing,
}

impl Kept {
    fn of(self, value: &str) -> String {
        match self {
            Self::Host => host(value),
            // A file's name is not its content.
            _ if value.starts_with('@') => value.to_owned(),
            Self::UpTo(end) if value.contains(end) => {
                format!("{}{end}{HIDDEN}", value.split(end).next().unwrap_or_default())
            }
            // Without a value, the variable of that name is meant.
            Self::UpTo('=') => value.to_owned(),
            Self::UpTo(_) | Self::Nothing => HIDDEN.to_owned(),
        }
    }
}

/// The scheme, the host and the port of a URL, which may lack its scheme.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("…@", host));
    let path = if path.trim_end_matches('/').is_empty() { path } else { "/…" };
    let between = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{between}{user}{host}{path}")
}

/// What an error shows of the value of `flag`, if the value may be secret: the flag as help names it, `--otlp <URL>`.
pub(super) fn of_error(flag: &str, value: &str) -> Option<String> {
    let flag = flag.split_whitespace().next()?;
    SECRETS.iter().find(|(long, ..)| *long == flag).map(|(.., kept)| kept.of(value))
}

/// The command line as a shell takes it, without what may be secret; `None` if it cannot be shown.
pub(super) fn shown() -> Option<String> {
    let words: Option<Vec<String>> = env::args_os().skip(1).map(|word| word.into_string().ok()).collect();
    without_secrets(words?)
}

fn without_secrets(words: Vec<String>) -> Option<String> {
    let mut shown = vec!["gorgon".to_owned()];
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            // The task's arguments are in the report, too.
            shown.push(word);
            shown.extend(words.by_ref());
            break;
        }
        let with_value = |(long, short, kept): &(&'static str, Option<char>, Kept)| {
            let short = short.map(|short| format!("-{short}"));
            if word == *long || Some(&word) == short.as_ref() {
                return Some((None, *kept));
            }
            let joined = [format!("{long}="), short.unwrap_or_else(|| format!("{long}="))];
            let flag = joined.into_iter().find(|flag| word.starts_with(flag.as_str()) && !word.starts_with("--u"))?;
            let value = kept.of(word[flag.len()..].trim_start_matches('='));
            Some((Some(format!("{flag}{value}")), *kept))
        };
        match SECRETS.iter().find_map(with_value) {
            Some((Some(whole), _)) => shown.push(whole),
            Some((None, kept)) => {
                shown.push(word);
                shown.extend(words.next().map(|value| kept.of(&value)));
            }
            None => shown.push(without_password(word)),
        }
    }
    command(shown.iter().map(String::as_str))
}

/// The word; if it is, or has, a URL with a password, without that.
fn without_password(word: String) -> String {
    let Some((before, rest)) = word.split_once("://") else { return word };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let Some((user, _)) = authority.rsplit_once('@') else { return word };
    let name = match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}"),
        // A token.
        None => HIDDEN.to_owned(),
    };
    format!("{before}://{name}{}", &rest[user.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (words, expected) in [
            ("run task.wasm -n 4000 -p 4", "gorgon run task.wasm -n 4000 -p 4"),
            ("run task.wasm --env TOKEN=s3cret --env HOME", "gorgon run task.wasm --env 'TOKEN=…' --env HOME"),
            ("run task.wasm --env=TOKEN=s3cret=", "gorgon run task.wasm '--env=TOKEN=…'"),
            ("http http://ann:s3cret@db/x", "gorgon http 'http://ann:…@db/x'"),
            ("run t.wasm --on nats://t0ken@h:4222", "gorgon run t.wasm --on 'nats://…@h:4222'"),
            ("http u -H Authorization:s3cret", "gorgon http u -H 'Authorization:…'"),
            ("http u -HAuthorization:s3cret", "gorgon http u '-HAuthorization:…'"),
            ("http u --header=Authorization:s3cret", "gorgon http u '--header=Authorization:…'"),
            ("http u -u ann:s3cret", "gorgon http u -u 'ann:…'"),
            ("http u -uann:s3cret", "gorgon http u '-uann:…'"),
            ("http u --body s3cret --json-body @file", "gorgon http u --body '…' --json-body @file"),
            (
                "http u --unix-socket /run/x --proxy http://a:s3cret@p",
                "gorgon http u --unix-socket /run/x --proxy 'http://a:…@p'",
            ),
            ("run t.wasm -- --env A=b", "gorgon run t.wasm -- --env 'A=b'"),
            ("run t.wasm --otlp http://c:4318", "gorgon run t.wasm --otlp http://c:4318"),
            ("run t.wasm --otlp=http://ann:s3cret@c:4318/t0ken", "gorgon run t.wasm '--otlp=http://…@c:4318/…'"),
        ] {
            let words = words.split(' ').map(str::to_owned).collect();
            let shown = without_secrets(words).unwrap();
            assert_eq!(shown, expected);
            assert!(!shown.contains("s3cret") && !shown.contains("t0ken"));
        }
        let spaced = ["http", "u", "-H", "Authorization: Bearer s3cret"].map(str::to_owned).to_vec();
        assert_eq!(without_secrets(spaced).unwrap(), "gorgon http u -H 'Authorization:…'");
        assert_eq!(without_secrets(vec!["run".into(), "a\u{202e}b".into()]), None);
    }
}
