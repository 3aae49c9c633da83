//! The shape of a collection, as JSON has it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A collection, a folder or a request.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) item: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) auth: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) event: Option<Vec<Event<'a>>>,
    #[serde(borrow)]
    pub(super) variable: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "protocolProfileBehavior")]
    pub(super) behavior: Option<&'a RawValue>,
}

/// How a request behaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Behavior {
    pub(super) follows: Option<bool>,
    /// Whether a body is sent with methods that have none.
    pub(super) keeps_body: bool,
}

/// A script of an item.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    pub(super) listen: String,
    #[serde(borrow)]
    pub(super) script: Option<EventScript<'a>>,
    pub(super) disabled: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct EventScript<'a> {
    #[serde(borrow)]
    pub(super) exec: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Lines {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    pub(super) method: Option<String>,
    #[serde(borrow)]
    pub(super) url: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) header: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) body: Option<Body<'a>>,
    #[serde(borrow)]
    pub(super) auth: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Url<'a> {
    #[serde(borrow)]
    pub(super) raw: Option<&'a RawValue>,
    pub(super) protocol: Option<String>,
    pub(super) host: Option<Path>,
    pub(super) port: Option<String>,
    pub(super) path: Option<Path>,
    #[serde(borrow)]
    pub(super) query: Option<Vec<Pair<'a>>>,
    #[serde(borrow)]
    pub(super) variable: Option<Vec<Pair<'a>>>,
}

/// A host or a path: whole, or in parts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Path {
    Whole(String),
    Parts(Vec<Value>),
}

impl Path {
    pub(super) fn joined(self, between: &str) -> String {
        match self {
            Self::Whole(whole) => whole,
            Self::Parts(parts) => parts.iter().map(text).collect::<Vec<_>>().join(between),
        }
    }
}

/// The text of a value; a variable of a path is an object with its value.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Object(object) => object.get("value").map(text).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// A key and a value: a header, a parameter, a field, a part of an authentication.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair<'a> {
    #[serde(alias = "id")]
    pub(super) key: Option<String>,
    #[serde(borrow)]
    pub(super) value: Option<&'a RawValue>,
    pub(super) disabled: Option<bool>,
    pub(super) enabled: Option<bool>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) src: Option<Src>,
    pub(super) content_type: Option<String>,
    pub(super) file_name: Option<String>,
}

impl Pair<'_> {
    pub(super) fn is_on(&self) -> bool {
        !self.disabled.unwrap_or(false) && self.enabled.unwrap_or(true)
    }

    pub(super) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Src {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
pub(super) struct Body<'a> {
    pub(super) mode: Option<String>,
    pub(super) disabled: Option<bool>,
    #[serde(borrow)]
    pub(super) raw: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) urlencoded: Option<Vec<Pair<'a>>>,
    #[serde(borrow)]
    pub(super) formdata: Option<Vec<Pair<'a>>>,
    #[serde(borrow)]
    pub(super) graphql: Option<GraphQl<'a>>,
    pub(super) file: Option<File>,
    pub(super) options: Option<Options>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GraphQl<'a> {
    #[serde(borrow)]
    pub(super) query: Option<&'a RawValue>,
    pub(super) operation_name: Option<String>,
    #[serde(borrow)]
    pub(super) variables: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) src: Option<String>,
    pub(super) content: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Options {
    pub(super) raw: Option<RawOptions>,
}

#[derive(Deserialize)]
pub(super) struct RawOptions {
    pub(super) language: Option<String>,
}

/// A collection as Postman's interface gives it.
#[derive(Deserialize)]
pub(super) struct Wrapped<'a> {
    #[serde(borrow)]
    pub(super) collection: &'a RawValue,
}
