//! Reads what is expected of files of calls, and compares requests with it.

use regex::Regex;

use super::Got;

/// A request as it should be.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) absent: Vec<String>,
    pub(super) body: String,
    /// Whether it follows a redirect, so that no call of the file asks for it.
    pub(super) is_followed: bool,
}

/// What should become of a file.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) file: String,
    pub(super) flags: Vec<String>,
    pub(super) requests: Vec<Wanted>,
    pub(super) refusal: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) failure: Option<String>,
}

/// The text as bytes, each a character of the same number.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// The bytes that `text`, with the escapes of Rust, stands for.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next().unwrap();
        rest = &rest[at + 2..];
        match escape {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            'u' => {
                let end = rest.find('}').unwrap();
                let c = char::from_u32(u32::from_str_radix(&rest[1..end], 16).unwrap()).unwrap();
                bytes.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[end + 1..];
            }
            literal => bytes.extend_from_slice(literal.to_string().as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    latin1(&bytes)
}

pub(super) fn expected(text: &str) -> Vec<Expected> {
    let mut all: Vec<Expected> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, rest) = line.split_at(1);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if mark == "=" {
            let mut words = rest.split_whitespace().map(str::to_owned);
            all.push(Expected { file: words.next().unwrap(), flags: words.collect(), ..Expected::default() });
            continue;
        }
        let last = all.last_mut().unwrap();
        match mark {
            ">" | "r" => {
                let is_followed = mark == "r";
                last.requests.push(Wanted { line: latin1(rest.as_bytes()), is_followed, ..Wanted::default() });
            }
            "!" => last.refusal = Some(rest.to_owned()),
            "~" => last.notes.push(rest.to_owned()),
            "f" => last.failure = Some(rest.to_owned()),
            "+" => {
                let (name, value) = rest.split_once(':').unwrap();
                let header = (name.to_ascii_lowercase(), latin1(value.trim().as_bytes()));
                last.requests.last_mut().unwrap().headers.push(header);
            }
            "-" => last.requests.last_mut().unwrap().absent.push(rest.to_ascii_lowercase()),
            "." => last.requests.last_mut().unwrap().body = unescaped(rest),
            mark => panic!("`{mark}` is no mark"),
        }
    }
    all
}

/// Whether `got` is `wanted`, in which words stand for what is made anew each time.
pub(super) fn fits(got: &str, wanted: &str, boundary: &str) -> bool {
    if got == wanted {
        return true;
    }
    let pattern = regex::escape(wanted)
        .replace("\\{BOUNDARY\\}", &regex::escape(boundary))
        .replace("BOUNDARY", &regex::escape(boundary))
        .replace("\\{UUID\\}", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
        .replace("\\{SECONDS\\}", "[0-9]{10}")
        .replace("\\{INT\\}", "[0-9]{1,4}")
        .replace("ANY", "[^/?&\"\\s]+");
    Regex::new(&format!("(?s)^{pattern}$")).unwrap().is_match(got)
}

/// What is wrong with a request.
pub(super) fn differences(got: &Got, wanted: &Wanted) -> Vec<String> {
    let values = |name: &str| -> Vec<&str> {
        got.headers.iter().filter(|(of, _)| of == name).map(|(_, value)| value.as_str()).collect()
    };
    let kind = values("content-type").concat();
    let boundary = kind.split_once("boundary=").map_or("", |(_, boundary)| boundary).trim_matches('"');
    let mut wrong = Vec::new();
    let line = got.line.strip_suffix(" HTTP/1.1").unwrap_or(&got.line);
    if !fits(line, &wanted.line, boundary) {
        wrong.push(format!("{line}\n      is not {}", wanted.line));
    }
    for (name, value) in &wanted.headers {
        let values = values(name);
        if !values.iter().any(|got| fits(got, value, boundary)) && !values.join(", ").contains(value) {
            wrong.push(format!("{}: {name} is {values:?}, not {value:?}", wanted.line));
        }
    }
    wrong.extend(wanted.absent.iter().filter(|name| !values(name).is_empty()).map(|name| format!("it has {name}")));
    if !fits(&got.body, &wanted.body, boundary) {
        wrong.push(format!("{}: the body is {:?}\n      and not {:?}", wanted.line, got.body, wanted.body));
    }
    wrong
}
