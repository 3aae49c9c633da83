//! Plays HTTP calls that were read from a file: one per operation, or all of them as a flow.
//!
//! The calls are the rows of `--data`: `name`, `method`, `url`, `headers` (a JSON array of names and values), `body`,
//! `capture` (a JSON object). With `CALLS=flow` each operation plays all of them, with `CALLS=random` one, by `SEED`.
//! What is captured from a response replaces `{{name}}` in later requests.

use std::collections::BTreeMap;

use gorgon_guest::data::{self, Row};
use gorgon_guest::{fail, http};
use regex_lite::Regex;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Captured = BTreeMap<String, String>;

#[gorgon_guest::operation]
fn calls(n: u64) -> Result<u16, String> {
    let mode = std::env::var("CALLS").unwrap_or_default();
    let mut captured = Captured::new();
    if mode == "flow" {
        http::clear_cookies();
        let mut last = 0;
        for call in (0..data::rows()).filter_map(data::row) {
            last = play(&call, &mut captured)?;
            if last >= 400 {
                return Ok(last);
            }
        }
        return Ok(last);
    }
    let i = if mode == "random" { scatter(n ^ seed()) } else { n };
    let call = data::row_for(i).ok_or("there is no call: give rows by --data")?;
    play(&call, &mut captured)
}

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// A number that looks like chance and is the same for the same number: SplitMix64.
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn play(call: &Row, captured: &mut Captured) -> Result<u16, String> {
    let filled = |text: &str| fill(text, captured);
    let mut request = http::request(&call["method"], &filled(&call["url"])).span(&call["name"]);
    for (name, value) in read::<Vec<(String, String)>>(&call["headers"])? {
        request = request.header(&name, &filled(&value));
    }
    let body = filled(&call["body"]);
    if !body.is_empty() {
        request = request.body(body);
    }
    let response = request.send().map_err(|error| error.cause().to_owned())?;
    for (name, how) in read::<BTreeMap<String, String>>(&call["capture"])? {
        match capture(&response, &how) {
            Some(value) => drop(captured.insert(name, value)),
            None => fail(format!("{} {}: no `{name}` at {how}", call["method"], call["name"])),
        }
    }
    if response.status() >= 400 {
        fail(format!("{} {}", call["method"], call["name"]));
    }
    Ok(response.status())
}

fn fill(text: &str, captured: &Captured) -> String {
    captured.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
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
    match response.json::<Value>().ok()?.pointer(how)? {
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_values_take_their_places() {
        let captured = Captured::from([("id".into(), "7".into())]);
        assert_eq!(fill("/objects/{{id}}/{{other}}", &captured), "/objects/7/{{other}}");
    }

    #[test]
    fn chance_is_spread_and_repeatable() {
        let drawn: Vec<u64> = (0..1_000).map(|n| scatter(n) % 10).collect();
        assert!((0..10).all(|i| (60..140).contains(&drawn.iter().filter(|&&drawn| drawn == i).count())));
        assert_eq!(scatter(5), scatter(5));
    }
}
