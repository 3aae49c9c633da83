//! Plays HTTP calls that were read from a file: one per operation, or all of them as a flow.
//!
//! The rows of `--data` have two columns, each with JSON: `call`, a call with places for values, and `row`, an
//! operation's row of values by their names. The first `CALL_COUNT` rows have a call, the first `ROW_COUNT` rows have
//! values. With `CALLS=flow` each operation plays all calls, with `CALLS=random` one, by `SEED`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gorgon_guest::{data, fail, http};
use regex_lite::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// So many calls are kept as they were read. With more calls than that, reading them is a small part of the time.
const MOST_KEPT: usize = 64;

thread_local! {
    static KEPT: RefCell<HashMap<u64, Rc<Call>>> = RefCell::default();
}

#[derive(Deserialize)]
struct Call {
    name: String,
    method: String,
    url: Template,
    headers: Vec<Header>,
    body: Template,
    capture: BTreeMap<String, String>,
    follows: bool,
    expected: Option<u16>,
    /// Whether it was recorded: then cookies that a server has set since count, and not those of the recording.
    recorded: bool,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Template,
}

/// Text with places for values.
type Template = Vec<Part>;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Text(String),
    Captured(String),
    Column(String),
    Made(Made),
    /// As in a form.
    Form(Box<Part>),
    Bytes(String),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Made {
    Uuid,
    Timestamp,
    Integer(i64, i64),
}

/// The values of an operation.
struct Values {
    captured: BTreeMap<String, String>,
    row: BTreeMap<String, String>,
    /// From which the next value is made.
    chance: u64,
}

#[gorgon_guest::operation]
fn calls(n: u64) -> Result<u16, String> {
    let mode = std::env::var("CALLS").unwrap_or_default();
    let count = number("CALL_COUNT").max(1);
    let mut values = Values::of(n)?;
    // What an operation is does not depend on those before it in the same instance.
    http::clear_cookies();
    if mode != "flow" {
        let i = if mode == "random" { scatter(n ^ scatter(number("SEED"))) } else { counted(n) };
        return Ok(play(&*call(i % count)?, &mut values)?.0);
    }
    let mut last = 0;
    for i in 0..count {
        let (status, is_ok) = play(&*call(i)?, &mut values)?;
        last = status;
        if !is_ok {
            break;
        }
    }
    Ok(last)
}

fn number(name: &str) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number of an operation, without the bit that marks the warm-up.
fn counted(n: u64) -> u64 {
    n & !(1 << 63)
}

/// A number that looks like chance and is the same for the same number: SplitMix64.
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The call `i`.
fn call(i: u64) -> Result<Rc<Call>, String> {
    if let Some(call) = KEPT.with_borrow(|kept| kept.get(&i).cloned()) {
        return Ok(call);
    }
    let row = data::row(i).ok_or("there is no call: give rows by --data")?;
    let call = Rc::new(read::<Call>(&row["call"])?);
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < MOST_KEPT {
            kept.insert(i, call.clone());
        }
    });
    Ok(call)
}

impl Values {
    fn of(n: u64) -> Result<Self, String> {
        let rows = number("ROW_COUNT");
        let row = if rows == 0 { None } else { data::row(counted(n) % rows) };
        let row = row.map(|row| read(&row["row"])).transpose()?.unwrap_or_default();
        Ok(Self { captured: BTreeMap::new(), row, chance: scatter(number("SEED")) ^ n })
    }

    fn fill(&mut self, template: &Template) -> Result<Vec<u8>, String> {
        let mut filled = Vec::new();
        for part in template {
            match part {
                Part::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Part::Bytes(base64) => filled.extend(STANDARD.decode(base64).map_err(|error| error.to_string())?),
                value => filled.extend_from_slice(self.value(value)?.as_bytes()),
            }
        }
        Ok(filled)
    }

    fn text(&mut self, template: &Template) -> Result<String, String> {
        String::from_utf8(self.fill(template)?).map_err(|error| error.to_string())
    }

    /// A URL, whose values are percent-encoded where a URL cannot have them as they are.
    fn url(&mut self, template: &Template) -> Result<String, String> {
        let mut filled = String::new();
        for part in template {
            match part {
                Part::Text(text) => filled.push_str(text),
                value => self.value(value)?.chars().for_each(|c| escape(c, &mut filled)),
            }
        }
        Ok(filled)
    }

    fn value(&mut self, part: &Part) -> Result<String, String> {
        let missing = |name: &str, of: &str| format!("no value for `{name}`: {of}");
        match part {
            Part::Captured(name) => {
                self.captured.get(name).cloned().ok_or_else(|| missing(name, "no call captured it"))
            }
            Part::Column(name) => self.row.get(name).cloned().ok_or_else(|| missing(name, "the row of data has none")),
            Part::Made(made) => Ok(self.make(*made)),
            Part::Form(part) => {
                let value = self.value(part)?;
                Ok(form_urlencoded::byte_serialize(value.as_bytes()).collect())
            }
            Part::Text(text) | Part::Bytes(text) => Ok(text.clone()),
        }
    }

    fn make(&mut self, made: Made) -> String {
        let mut next = || {
            self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            scatter(self.chance)
        };
        match made {
            Made::Uuid => {
                let (high, low) = (next(), next());
                // RFC 9562: version 4, and the variant.
                let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | 0b10 << 62);
                format!(
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    high >> 32,
                    high >> 16 & 0xffff,
                    high & 0xffff,
                    low >> 48,
                    low & 0xffff_ffff_ffff
                )
            }
            Made::Timestamp => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(0, |since| since.as_secs()).to_string()
            }
            Made::Integer(least, below) => {
                let width = below.wrapping_sub(least) as u64;
                least.wrapping_add((next() % width.max(1)) as i64).to_string()
            }
        }
    }
}

fn escape(c: char, to: &mut String) {
    if c.is_ascii_graphic() && !"\"<>`{}#\\^".contains(c) {
        return to.push(c);
    }
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        to.push_str(&format!("%{byte:02X}"));
    }
}

/// Sends the call. Returns the status, and whether that is as it should be.
fn play(call: &Call, values: &mut Values) -> Result<(u16, bool), String> {
    let url = values.url(&call.url)?;
    // The headers are the user's, or those that the host has added.
    let mut request = http::request(&call.method, &url).span(&call.name).as_given();
    if call.capture.is_empty() {
        request = request.discard_body();
    }
    for Header { name, value } in &call.headers {
        let mut value = values.text(value)?;
        if call.recorded && name.eq_ignore_ascii_case("cookie") {
            value = renewed(&value, &http::cookies(&url));
        }
        request = request.header(name, &value);
    }
    let body = values.fill(&call.body)?;
    if !body.is_empty() {
        request = request.body(body);
    }
    if !call.follows {
        request = request.redirects(0);
    }
    let response = request.send().map_err(|error| error.cause().to_owned())?;
    let mut is_ok = true;
    for (name, how) in &call.capture {
        match capture(&response, how) {
            Some(value) => drop(values.captured.insert(name.clone(), value)),
            None => {
                is_ok = false;
                fail(format!("{} {}: no `{name}` at {how}", call.method, call.name));
            }
        }
    }
    let status = response.status();
    let leads_on = response.header("location").is_some_and(|target| !target.trim().is_empty());
    if call.follows && matches!(status, 301 | 302 | 303 | 307 | 308) && leads_on {
        fail(format!("{} {}: its redirects lead nowhere, or go on without end", call.method, call.name));
        return Ok((status, false));
    }
    match call.expected {
        Some(expected) if status != expected => {
            is_ok = false;
            fail(format!("{} {}: its status is not {expected}, which was recorded", call.method, call.name));
        }
        // Nobody has asked for another protocol, which a status below 200 would be about.
        None if !(200..400).contains(&status) => {
            is_ok = false;
            fail(format!("{} {}", call.method, call.name));
        }
        _ => {}
    }
    Ok((status, is_ok))
}

/// The cookies of a recording, with the values that the server has given them since.
fn renewed(recorded: &str, kept: &[(String, String)]) -> String {
    let renew = |pair: &str| {
        let pair = pair.trim();
        let name = pair.split('=').next().unwrap_or_default().trim();
        match kept.iter().find(|(kept, _)| kept == name) {
            Some((_, value)) => format!("{name}={value}"),
            None => pair.to_owned(),
        }
    };
    recorded.split(';').map(renew).collect::<Vec<_>>().join("; ")
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("a call is not as it should be: {error}"))
}

fn capture(response: &http::Response, how: &str) -> Option<String> {
    if let Some(name) = how.strip_prefix("header ") {
        return response.header(name.trim()).map(str::to_owned);
    }
    if let Some(pattern) = how.strip_prefix("regex ") {
        let text = response.text();
        let found = Regex::new(pattern).ok()?.captures(&text)?;
        return found.get(1).or(found.get(0)).map(|found| found.as_str().to_owned());
    }
    pointed(&response.text(), how)
}

/// What `pointer` points to (RFC 6901): the text of a string, anything else as it is written, digit by digit.
fn pointed(json: &str, pointer: &str) -> Option<String> {
    let mut value: &RawValue = serde_json::from_str(json).ok()?;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        value = if value.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            *items.get(step.parse::<usize>().ok()?)?
        } else {
            let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
            *fields.get(step.as_str())?
        };
    }
    let text = value.get();
    if text.starts_with('"') { serde_json::from_str(text).ok() } else { Some(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let captured = BTreeMap::from([("id".into(), "a b".into())]);
        Values { captured, row: BTreeMap::from([("user".into(), "\u{e9}".into())]), chance: 7 }
    }

    #[test]
    fn values_take_their_places_and_a_missing_one_is_an_error() {
        let template = |json: &str| read::<Template>(json).unwrap();
        let text = template(r#"[{"text": "/x/"}, {"captured": "id"}, {"column": "user"}, {"bytes": "/w=="}]"#);
        assert_eq!(values().fill(&text).unwrap(), b"/x/a b\xc3\xa9\xff");
        assert_eq!(values().url(&text[..3].to_vec()).unwrap(), "/x/a%20b%C3%A9");
        assert!(values().text(&template(r#"[{"captured": "no"}]"#)).unwrap_err().contains("no value for `no`"));
        let made = template(r#"[{"made": "uuid"}, {"text": " "}, {"made": {"integer": [3, 5]}}]"#);
        let (one, other) = (values().text(&made).unwrap(), values().text(&made).unwrap());
        assert_eq!((one.as_str(), one.len(), one.as_bytes()[14]), (other.as_str(), 38, b'4'));
        assert!(one.ends_with('3') || one.ends_with('4'), "{one}");
    }

    #[test]
    fn captured_values_are_as_they_were_written() {
        let json = r#" {"a": [1.10, {"b/c": "x\u00e9"}], "big": 12345678901234567890123, "no": null} "#;
        for (pointer, wanted) in [
            ("/a/0", Some("1.10")),
            ("/a/1/b~1c", Some("x\u{e9}")),
            ("/big", Some("12345678901234567890123")),
            ("/no", Some("null")),
            ("/a/2", None),
            ("/a/x", None),
            ("/big/0", None),
        ] {
            assert_eq!(pointed(json, pointer).as_deref(), wanted, "{pointer}");
        }
    }

    #[test]
    fn chance_is_spread_and_repeatable() {
        let drawn: Vec<u64> = (0..1_000).map(|n| scatter(n) % 10).collect();
        assert!((0..10).all(|i| (60..140).contains(&drawn.iter().filter(|&&drawn| drawn == i).count())));
        assert_eq!(scatter(5), scatter(5));
    }
}
