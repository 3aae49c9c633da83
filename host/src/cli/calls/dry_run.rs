//! What `--dry-run` prints: each request as it would be sent, and where its values come from.

use std::io::{self, Write};
use std::sync::LazyLock;

use regex::Regex;

use crate::calls::{Call, Origin, Part, Template};
use crate::guest_text::{line, tabbed_line};

/// Parts of the names of headers, values and fields that are secrets.
const SECRET_NAMES: [&str; 17] = [
    "token",
    "secret",
    "password",
    "passwd",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "x-auth",
    "x-key",
    "cookie",
    "pwd",
    "passphrase",
    "private",
    "session",
    "subscription-key",
    "credential",
];

/// What names of secrets have.
const SECRET: &str =
    "(?:token|secret|passw|passphrase|pwd|jwt|otp|api[_-]?key|private[_-]?key|credential|signature|assertion)";

/// Fields whose names tell that they are secrets, in a query, a form, JSON, GraphQL, XML and multipart: what stands
/// before the value, and the value.
static FIELDS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    let name = format!(r"[\w.\-\[\]]*{SECRET}[\w.\-\[\]]*");
    let pattern = |pattern: &str| Regex::new(&pattern.replace("NAME", &name)).expect("it is a valid pattern");
    [
        pattern(r#"(?i)(NAME\\?"?\s*[:=]\s*\\?"?)([^"\\&\s#,}\]]+)"#),
        pattern(r"(?i)(<NAME>)([^<]+)"),
        pattern(r#"(?i)(name="NAME"[^\n]*\r?\n(?:[^\n]+\n)*\r?\n)([^\r\n]+)"#),
    ]
});

/// Writes each call, its secrets masked. Values that only a run knows stand as `{{name}}`.
pub(super) fn print(calls: &[Call], secrets: &[String], mut to: impl Write) -> io::Result<()> {
    for (i, call) in calls.iter().enumerate() {
        if i > 0 {
            writeln!(to)?;
        }
        let named = call.values.iter().filter(|used| is_secret(&used.name)).filter_map(|used| used.value.clone());
        let mask = Mask(secrets.iter().cloned().chain(named).filter(|secret| !secret.is_empty()).collect());
        writeln!(to, "{} {}", call.method, line(&mask.masked(&call.url.shown())))?;
        for header in &call.headers {
            let value = header.value.shown();
            let value = if is_secret(&header.name) { without_secret(&value) } else { mask.masked(&value) };
            writeln!(to, "{}: {}", line(&header.name), line(&value))?;
        }
        if !call.body.is_empty() {
            writeln!(to, "\n{}", body(&call.body, &mask))?;
        }
        about(call, &mut to)?;
    }
    Ok(())
}

/// What is to be known besides the request, as comments.
fn about(call: &Call, mut to: impl Write) -> io::Result<()> {
    let comments = call.values.iter().map(|used| format!("{} {}", line(&used.name), whence(used.origin)));
    let captured = call.capture.iter().map(|(name, how)| format!("captures {} by {}", line(name), line(how)));
    let expected = call.expected.map(|status| format!("expects status {status}"));
    let comments: Vec<String> = comments.chain(captured).chain(expected).collect();
    if !comments.is_empty() {
        writeln!(to)?;
    }
    comments.iter().try_for_each(|comment| writeln!(to, "# {comment}"))
}

fn whence(origin: Origin) -> String {
    match origin {
        Origin::Given => "from --var".into(),
        Origin::Environment => "from --env-name".into(),
        Origin::File(line) => format!("from line {line}"),
        Origin::Column => "from a column of --data".into(),
        Origin::Captured => "from an earlier response".into(),
        Origin::Made => "made for each operation".into(),
    }
}

/// Whether a name tells that its value is secret.
pub(in crate::cli) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The body as lines, each escaped; bytes that are no text only by their number.
fn body(body: &Template, mask: &Mask) -> String {
    let part = |part: &Part| match part {
        Part::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => format!("({} bytes)", bytes.len()),
        part => Template(vec![part.clone()]).shown(),
    };
    let text = mask.masked(&body.0.iter().map(part).collect::<String>());
    text.split('\n').map(|text| tabbed_line(text.trim_end_matches('\r'))).collect::<Vec<_>>().join("\n")
}

/// Values that are not shown.
struct Mask(Vec<String>);

impl Mask {
    fn masked(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        FIELDS.iter().fold(text, |text, field| field.replace_all(&text, "$1***").into_owned())
    }
}

/// The scheme of a secret, and stars; or the names of cookies.
fn without_secret(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme, _)) if scheme.chars().all(char::is_alphabetic) => format!("{scheme} ***"),
        _ if value.contains('=') => {
            let name = |pair: &str| format!("{}=***", pair.split('=').next().unwrap_or_default().trim());
            value.split(';').map(name).collect::<Vec<_>>().join("; ")
        }
        _ => "***".to_owned(),
    }
}
