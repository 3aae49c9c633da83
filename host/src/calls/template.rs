//! Text with places for values that only a run knows, such as `/objects/{{id}}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::SyntaxError;

/// Text with places for values that only a run knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// What an earlier call of the flow captured under this name.
    Captured(String),
    /// The column with this name of the operation's row of `--data`.
    Column(String),
    /// A value that is made for the operation.
    Made(Made),
    /// A value of the run, encoded as in `application/x-www-form-urlencoded`.
    Form(Box<Part>),
    /// Bytes as they are, which need not be text.
    #[serde(with = "as_base64")]
    Bytes(Vec<u8>),
}

impl Part {
    fn bytes_held(&self) -> usize {
        match self {
            Self::Text(text) | Self::Captured(text) | Self::Column(text) => text.len(),
            Self::Form(part) => part.bytes_held(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Made(_) => 0,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Captured(name) | Self::Column(name) => format!("{{{{{name}}}}}"),
            Self::Form(part) => part.shown(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Made(Made::Uuid) => "{{$uuid}}".into(),
            Self::Made(Made::Timestamp) => "{{$timestamp}}".into(),
            Self::Made(Made::Integer(least, below)) => format!("{{{{$randomInt {least} {below}}}}}"),
        }
    }
}

/// Bytes in JSON.
mod as_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A value that is made for each operation, from the run's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A UUID of version 4.
    Uuid,
    /// Seconds since 1970.
    Timestamp,
    /// A whole number from the first one up to, but not including, the second one.
    Integer(i64, i64),
}

/// Where a text begins in its file. Lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Template {
    /// Text without places for values.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] })
    }

    /// Bytes.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self(if bytes.is_empty() { Vec::new() } else { vec![Part::Bytes(bytes)] })
    }

    /// How much it takes, in bytes.
    pub(super) fn bytes_held(&self) -> usize {
        self.0.iter().map(Part::bytes_held).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing is left to be filled.
    pub fn is_text(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The text, with `{{name}}` for what is not known yet.
    pub fn shown(&self) -> String {
        self.0.iter().map(Part::shown).collect()
    }

    /// The same with each text changed by `change`.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(String) -> String) -> Self {
        let part = |part| match part {
            Part::Text(text) => Part::Text(change(text)),
            other => other,
        };
        Self(self.0.into_iter().map(part).collect())
    }

    /// A name and a password, with a colon between them, as the value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(credentials: &Self, at: Place) -> Result<Self, SyntaxError> {
        if !credentials.is_text() {
            return Err(at.wrong(
                "a name or a password that is only known in the run cannot be encoded: give it by --var, or use Bearer",
            ));
        }
        Ok(Self::text(format!("Basic {}", STANDARD.encode(credentials.shown()))))
    }

    /// Adds a part behind it.
    pub(super) fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (Some(Part::Text(last)), Part::Text(more)) => last.push_str(&more),
            (_, Part::Text(text)) if text.is_empty() => {}
            (_, part) => self.0.push(part),
        }
    }

    /// Adds another one behind it.
    pub fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|part| self.push(part));
    }
}

impl Place {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of the byte `at` of `text`, which begins here.
    pub(super) fn within(self, text: &str, at: usize) -> Self {
        let before = &text[..at];
        match before.rfind('\n') {
            None => Self { column: self.column + before.chars().count(), ..self },
            Some(newline) => Self {
                line: self.line + before.matches('\n').count(),
                column: before[newline + 1..].chars().count() + 1,
            },
        }
    }

    pub(super) fn wrong(self, problem: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.line, self.column, problem)
    }
}
