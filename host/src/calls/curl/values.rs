//! Values of options that have a form of their own.

use super::Reader;
use super::words::Word;
use crate::calls::template::Template;
use crate::calls::{SyntaxError, check, form};

/// A value of `--data-urlencode`: CONTENT, =CONTENT, NAME=CONTENT, @FILE or NAME@FILE.
pub(super) fn encoded(value: &Word, reader: &Reader<'_>) -> Result<Template, SyntaxError> {
    let Word { text, at } = value;
    let (name, content) = match (text.split_once('='), text.split_once('@')) {
        (Some((name, content)), _) => (name, reader.names.fill(content, *at)?),
        (_, Some((name, path))) => {
            let text = String::from_utf8(reader.file(path, *at)?);
            (name, Template::text(text.map_err(|_| at.wrong(format!("`{path}` is not UTF-8")))?))
        }
        _ => ("", reader.fill(value)?),
    };
    let mut encoded = Template::text(if name.is_empty() { String::new() } else { format!("{name}=") });
    // curl writes + for a blank since 7.84.
    encoded.append(form::encoded_by(content, |bytes| form::percent_encoded(bytes).replace("%20", "+")));
    Ok(encoded)
}

/// A value of `-F`: NAME=CONTENT, NAME=@FILE or NAME=<FILE, with `;type=` and `;filename=` behind.
pub(super) fn field(value: &Word, is_text: bool, reader: &Reader<'_>) -> Result<form::Field, SyntaxError> {
    let Word { text, at } = value;
    let at = *at;
    let (name, content) =
        text.split_once('=').ok_or_else(|| at.wrong(format!("`{text}` is not a field: write NAME=VALUE")))?;
    let name = reader.names.fill(name, at)?;
    if is_text {
        let value = reader.names.fill(content, at)?;
        return Ok(form::Field { name, value, file_name: None, content_type: None });
    }
    let mut parts = parts_of(content).into_iter();
    let content = parts.next().unwrap_or_default();
    let (mut kind, mut file_name): (Option<String>, Option<String>) = (None, None);
    for part in parts {
        match part.trim().split_once('=') {
            Some(("type", value)) => kind = Some(reader.names.known(&unquoted(value), at)?),
            Some(("filename", value)) => file_name = Some(reader.names.known(&unquoted(value), at)?),
            Some((parameter, _)) if kind.is_some() && file_name.is_none() && check::is_token(parameter) => {
                kind = kind.map(|kind| format!("{kind};{part}"));
            }
            _ => {
                return Err(at.wrong(format!(
                    "`;{part}` is not known here: there are ;type= and ;filename=, and --form-string for text"
                )));
            }
        }
    }
    if let Some(path) = content.strip_prefix('@').map(unquoted) {
        let value = Template::bytes(reader.file(&path, at)?);
        let base = reader.names.known(path.rsplit('/').next().unwrap_or_default(), at)?;
        let file_name = file_name.unwrap_or(base);
        let kind = kind.unwrap_or_else(|| form::kind_of_file(&file_name).to_owned());
        return Ok(form::Field { name, value, file_name: Some(file_name), content_type: Some(kind) });
    }
    let value = match content.strip_prefix('<').map(unquoted) {
        Some(path) => Template::bytes(reader.file(&path, at)?),
        None => reader.names.fill(&unquoted(content), at)?,
    };
    Ok(form::Field { name, value, file_name, content_type: kind })
}

/// The parts between semicolons that are not in quotes.
fn parts_of(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => is_quoted = !is_quoted,
            ';' if !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    parts.push(&text[begin..]);
    parts
}

/// A text without the quotes around it, in which a backslash stands for the character behind it.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    let mut chars = inner.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}
