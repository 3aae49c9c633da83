//! Calls as JSON objects: one a line, pretty-printed, or in an array. If one of a file has a `header`, they are
//! vegeta's, whose bodies are base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Source, present};
use super::names::Names;
use super::template::{Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check};

/// A call as a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    /// The name of its span, after the method; by default the URL's path.
    name: Option<String>,
    method: Option<String>,
    #[serde(borrow)]
    url: &'a RawValue,
    #[serde(borrow, default)]
    headers: Option<Fields<'a>>,
    /// As vegeta has it: a list of values by each name.
    #[serde(borrow, default)]
    header: Option<Fields<'a>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    capture: Option<BTreeMap<String, String>>,
}

/// Headers in their order: an object of values or of lists of values, or a list of names and values.
#[derive(Default)]
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFields;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Field<'a> {
            #[serde(alias = "key")]
            name: String,
            #[serde(borrow)]
            value: &'a RawValue,
        }
        impl<'de> Visitor<'de> for OfFields {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(Fields)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let fields = std::iter::from_fn(|| seq.next_element::<Field<'de>>().transpose());
                fields.map(|field| field.map(|field| (field.name, field.value))).collect::<Result<_, _>>().map(Fields)
            }
        }
        deserializer.deserialize_any(OfFields)
    }
}

/// How a name gets a value.
const WAYS: &str =
    "give it by --var NAME=…, --env-name, a column of --data, or a capture of an earlier call with --flow";

/// The calls of a file that is JSON as a whole.
pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let source = Source::new(text);
    let mut objects = Vec::new();
    for value in source.values()? {
        if value.get().starts_with('[') {
            objects.extend(source.read::<Vec<&RawValue>>(value.get())?.into_iter().map(RawValue::get));
        } else {
            objects.push(value.get());
        }
    }
    let mut reader = Reader::new(source, context, objects.iter().copied());
    let mut parsed = Parsed::default();
    for object in objects {
        parsed.add(reader.call(object)?)?;
    }
    parsed.notes = reader.notes;
    Ok(parsed)
}

/// Whether a body is nothing but base64, with the length and the padding that base64 has.
fn looks_like_base64(body: &str) -> bool {
    let is_of_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let decoded = STANDARD.decode(body).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_plain = |text: String| !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace());
    body.len() >= 8 && body.bytes().all(is_of_alphabet) && decoded.is_some_and(is_plain)
}

/// Reads objects of a file, one after the other.
pub(super) struct Reader<'a, 'c> {
    source: Source<'a>,
    pub(super) context: &'c Context<'c>,
    /// The names that have a value.
    pub(super) names: Names<'c>,
    is_vegeta: bool,
    /// What is to be known about the calls.
    pub(super) notes: Vec<String>,
}

impl<'a, 'c> Reader<'a, 'c> {
    /// A reader of `objects`, which are slices of the source.
    pub(super) fn new(
        source: Source<'a>,
        context: &'c Context<'c>,
        mut objects: impl Iterator<Item = &'a str>,
    ) -> Self {
        let has_header = |object: &str| {
            serde_json::from_str::<BTreeMap<String, &RawValue>>(object)
                .is_ok_and(|object| object.contains_key("header"))
        };
        Self { source, context, names: context.names(WAYS), is_vegeta: objects.any(has_header), notes: Vec::new() }
    }

    /// The call that `object`, a slice of the source, is.
    pub(super) fn call(&mut self, object: &'a str) -> Result<Call, SyntaxError> {
        let written: Written<'_> = self.source.read(object)?;
        let at = self.source.place(object);
        let mut call = written.call(at, self.is_vegeta, &self.source, &self.names)?;
        if !self.is_vegeta && call.body.is_text() && looks_like_base64(&call.body.shown()) {
            self.notes.push(format!(
                "line {}: this body looks like base64, and is sent as it is: vegeta's targets have a `header`, if only \
                 {{}}",
                at.line
            ));
        }
        call.values = self.names.take_used();
        check::call(&mut call)?;
        if self.context.is_flow {
            self.names.captured.extend(call.capture.keys().cloned());
            self.names.answered.insert(call.name.clone());
        } else {
            self.names.capturable.extend(call.capture.keys().cloned());
        }
        Ok(call)
    }
}

impl<'a> Written<'a> {
    fn call(self, at: Place, is_vegeta: bool, source: &Source<'a>, names: &Names<'_>) -> Result<Call, SyntaxError> {
        let Self { name, method, url, headers, header, body, capture } = self;
        let default = if present(body).is_some() { "POST" } else { "GET" };
        let mut call = Call {
            name: name.unwrap_or_default(),
            method: method.map_or_else(|| default.to_owned(), |method| method.to_ascii_uppercase()),
            url: source.filled_url(url, names)?,
            capture: capture.unwrap_or_default(),
            at,
            ..Call::default()
        };
        for (name, value) in headers.into_iter().chain(header).flat_map(|fields| fields.0) {
            let values =
                if value.get().starts_with('[') { source.read::<Vec<&RawValue>>(value.get())? } else { vec![value] };
            for value in values.into_iter().filter_map(|value| present(Some(value))) {
                let at = source.place(value.get());
                let filled = if value.get().starts_with('"') {
                    source.filled(value, names)?
                } else {
                    Template::text(value.get())
                };
                if !check::is_of_connection(&name, &filled.shown()) {
                    call.headers.push(Header::new(name.clone(), filled).at(at));
                }
            }
        }
        let Some(body) = present(body) else { return Ok(call) };
        if is_vegeta {
            let text: String = source.read(body.get())?;
            let bytes = STANDARD.decode(text.trim()).map_err(|error| {
                source.place(body.get()).wrong(format!("this body is not base64, as vegeta's bodies are: {error}"))
            })?;
            call.body = Template::bytes(bytes);
        } else if body.get().starts_with('"') {
            call.body = source.filled(body, names)?;
        } else {
            call.body = names.fill(body.get(), source.place(body.get()))?;
            call.default_header("content-type", "application/json");
        }
        Ok(call)
    }
}
