//! The command line of this process, for reports: without what may be secret.

use std::env;

use super::calls::is_secret;
use crate::guest_text::command;

/// What stands in place of something that may be secret.
const HIDDEN: &str = "…";

/// Flags whose value may be secret: long, short, and what of the value is shown.
const SECRETS: [(&str, Option<char>, Kept); 13] = [
    ("--env", None, Kept::Variable),
    ("--var", None, Kept::UpTo('=')),
    ("--header", Some('H'), Kept::UpTo(':')),
    ("--user", Some('u'), Kept::UpTo(':')),
    ("--body", None, Kept::Nothing),
    ("--json-body", None, Kept::Nothing),
    ("--cookie", None, Kept::Nothing),
    ("--data-binary", None, Kept::Nothing),
    ("--otlp", None, Kept::Host),
    ("--proxy", None, Kept::Address),
    ("--on", None, Kept::Address),
    ("--nats", None, Kept::Address),
    ("--allow", None, Kept::Address),
];

/// What is shown of a value.
#[derive(Clone, Copy)]
enum Kept {
    /// The name of a variable.
    Variable,
    /// Its beginning, up to this character.
    UpTo(char),
    /// Of a URL, its scheme, its host and its port.
    Host,
    /// An address without who uses it.
    Address,
    Nothing,
}

impl Kept {
    fn of(self, value: &str) -> String {
        match self {
            Self::Host => {
                let shown = without_user(value);
                let from = shown.find("://").map_or(0, |at| at + 3);
                let path = shown[from..].find(['/', '?', '#', '\\', ';']).map_or(shown.len(), |at| from + at);
                let is_root = shown[path..].trim_end_matches('/').is_empty();
                if is_root { shown } else { format!("{}/{HIDDEN}", &shown[..path]) }
            }
            Self::Address => without_user(value),
            // A file's name is not its content.
            _ if value.starts_with('@') => value.to_owned(),
            Self::UpTo(end) if value.contains(end) => {
                format!("{}{end}{HIDDEN}", value.split(end).next().unwrap_or_default())
            }
            Self::Variable => match value.split_once('=') {
                Some((name, _)) => format!("{name}={HIDDEN}"),
                // Without a value, the variable of that name is meant.
                None => value.to_owned(),
            },
            Self::UpTo(_) | Self::Nothing => HIDDEN.to_owned(),
        }
    }
}

/// A URL, which may lack its scheme, without the user in front of its host.
pub(super) fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, _)| url.split_at(scheme.len() + 3));
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // A port is a number. If this is none, it is the beginning of a password with such a sign.
    let is_port = |(_, port): (&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let is_cut = !authority.contains('@') && !authority.contains('[') && !authority.split_once(':').is_none_or(is_port);
    let (until, name) = match authority.rfind('@').or_else(|| rest.rfind('@').filter(|_| is_cut)) {
        None => return url.to_owned(),
        Some(at) => (at, rest[..at].split_once(':').map(|(name, _)| name)),
    };
    // A user without a password is a token.
    let user = name.map_or_else(|| HIDDEN.to_owned(), |name| format!("{name}:{HIDDEN}"));
    format!("{scheme}{user}{}", &rest[until..])
}

/// What an error shows of the value of `flag`, if the value may be secret: the flag as help names it, `--otlp <URL>`.
pub(super) fn of_error(flag: &str, value: &str) -> Option<String> {
    let flag = flag.split_whitespace().next()?;
    if flag == "--duration" && value.contains(['=', '{', '@']) {
        // It is a body elsewhere.
        return Some(HIDDEN.to_owned());
    }
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
        match flag_of(&word) {
            Some((flag, Some(value), kept)) => shown.push(format!("{flag}{}", kept.of(value))),
            Some((_, None, kept)) => {
                shown.push(word);
                shown.extend(words.next().map(|value| kept.of(&value)));
            }
            None => shown.push(address(&word)),
        }
    }
    command(shown.iter().map(String::as_str))
}

/// The flag of a word whose value may be secret, with its equals sign; its value, if the word has it; and what of that
/// is shown.
fn flag_of(word: &str) -> Option<(&str, Option<&str>, Kept)> {
    if word.starts_with("--") {
        let name = word.split('=').next()?;
        let (.., kept) = SECRETS.iter().find(|(long, ..)| *long == name)?;
        let value = (name.len() < word.len()).then(|| word.split_at(name.len() + 1));
        return Some(value.map_or((name, None, *kept), |(flag, value)| (flag, Some(value), *kept)));
    }
    // Short flags may stand together, the last one with its value.
    let letters = word.strip_prefix('-')?.chars().take_while(char::is_ascii_alphabetic);
    let of = |letter| SECRETS.iter().find(|(_, short, _)| *short == Some(letter));
    let (at, (.., kept)) = letters.enumerate().find_map(|(i, letter)| Some((i + 2, of(letter)?)))?;
    let (flag, value) = word.split_at(at);
    Some((flag, Some(value.trim_start_matches('=')).filter(|value| !value.is_empty()), *kept))
}

/// A word that is, or has, a URL: without a user, and without the values of a query whose names tell that they are
/// secret.
fn address(word: &str) -> String {
    let Some(scheme) = word.find("://") else { return word.to_owned() };
    // A flag, or the name of a place, may stand before it.
    let begin = word[..scheme].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    let shown = without_user(&word[begin..]);
    let Some((path, query)) = shown.split_once('?') else { return format!("{}{shown}", &word[..begin]) };
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => field.to_owned(),
    };
    let query = query.split('&').map(field).collect::<Vec<_>>().join("&");
    format!("{}{path}?{query}", &word[..begin])
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
            ("http u --user=ann:s3cret", "gorgon http u '--user=ann:…'"),
            ("http u -qH X:s3cret", "gorgon http u -qH 'X:…'"),
            ("http u -qHX:s3cret", "gorgon http u '-qHX:…'"),
            ("http u --proxy ann:s3cret@p:1", "gorgon http u --proxy 'ann:…@p:1'"),
            ("http u --proxy=ann:s3/cret@p:1", "gorgon http u '--proxy=ann:…@p:1'"),
            ("http http://u:s3cret@h/p?api_key=s3cret&q=1", "gorgon http 'http://u:…@h/p?api_key=…&q=1'"),
            ("http http://h:80/a@b?q=1#x", "gorgon http 'http://h:80/a@b?q=1#x'"),
            ("run t.wasm --on u:s3cret@h:1 --on=t0ken@h", "gorgon run t.wasm --on 'u:…@h:1' '--on=…@h'"),
            ("http u --body s3cret --json-body @file", "gorgon http u --body '…' --json-body @file"),
            (
                "http u --unix-socket /run/x --proxy http://a:s3cret@p",
                "gorgon http u --unix-socket /run/x --proxy 'http://a:…@p'",
            ),
            ("run t.wasm -- --env A=b", "gorgon run t.wasm -- --env 'A=b'"),
            ("run t.wasm --otlp http://c:4318", "gorgon run t.wasm --otlp http://c:4318"),
            ("run t.wasm --otlp=http://ann:s3cret@c:4318/t0ken", "gorgon run t.wasm '--otlp=http://ann:…@c:4318/…'"),
            ("run t.wasm --otlp http://a:s3#c/ret@c:1/t0ken", "gorgon run t.wasm --otlp 'http://a:…@c:1/…'"),
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
