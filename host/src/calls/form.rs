//! Bodies of forms.

use super::template::{Part, Template};

/// A field of a form.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Template,
    pub(super) value: Template,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
}

/// The fields as `application/x-www-form-urlencoded` (WHATWG URL).
pub(super) fn urlencoded(fields: impl IntoIterator<Item = (Template, Template)>) -> Template {
    joined(fields, encoded)
}

/// The fields as a form, each encoded by `encode`.
pub(super) fn joined(
    fields: impl IntoIterator<Item = (Template, Template)>,
    encode: impl Fn(Template) -> Template,
) -> Template {
    let mut body = Template::default();
    for (i, (name, value)) in fields.into_iter().enumerate() {
        body.append(Template::text(if i > 0 { "&" } else { "" }));
        body.append(encode(name));
        body.append(Template::text("="));
        body.append(encode(value));
    }
    body
}

fn encoded(template: Template) -> Template {
    encoded_by(template, |bytes| form_urlencoded::byte_serialize(bytes).collect())
}

/// The template with its text encoded by `encode`. Values of the run are encoded in the run.
pub(super) fn encoded_by(template: Template, encode: impl Fn(&[u8]) -> String) -> Template {
    let part = |part| match part {
        Part::Text(text) => Part::Text(encode(text.as_bytes())),
        Part::Bytes(bytes) => Part::Text(encode(&bytes)),
        value => Part::Form(Box::new(value)),
    };
    Template(template.0.into_iter().map(part).collect())
}

/// Bytes with all but the unreserved characters of RFC 3986 encoded.
pub(super) fn percent_encoded(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

/// The fields as the parts of `multipart/form-data` (RFC 7578).
pub(super) fn multipart(fields: &[Field], boundary: &str) -> Template {
    let mut body = Template::default();
    for Field { name, value, file_name, content_type } in fields {
        // WHATWG HTML, "multipart/form-data encoding algorithm".
        let escaped = |text: String| {
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            text.replace('\n', "%0D%0A").replace('"', "%22")
        };
        body.append(Template::text(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"")));
        body.append(name.clone().map(escaped));
        let file =
            file_name.as_ref().map(|name| format!("; filename=\"{}\"", escaped(name.clone()))).unwrap_or_default();
        let kind = content_type.as_ref().map(|kind| format!("\r\nContent-Type: {kind}")).unwrap_or_default();
        body.append(Template::text(format!("\"{file}{kind}\r\n\r\n")));
        body.append(value.clone());
        body.append(Template::text("\r\n"));
    }
    body.append(Template::text(format!("--{boundary}--\r\n")));
    body
}

/// A boundary that no field has in its value.
pub(super) fn boundary(fields: &[Field]) -> String {
    let is_in = |boundary: &str, template: &Template| {
        template.0.iter().any(|part| match part {
            Part::Text(text) => text.contains(boundary),
            Part::Bytes(bytes) => bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes()),
            _ => false,
        })
    };
    let mut boundary = "----gorgon-form-boundary".to_owned();
    while fields.iter().any(|field| is_in(&boundary, &field.value)) {
        boundary.push('x');
    }
    boundary
}

/// The boundary that a content type names.
pub(super) fn boundary_of(kind: &str) -> Option<&str> {
    if !kind.get(.."multipart/".len())?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let at = kind.to_ascii_lowercase().find("boundary=")? + "boundary=".len();
    Some(kind[at..].split(';').next().unwrap_or_default().trim().trim_matches('"'))
}

/// The content type that a client derives from the name of a file.
pub(super) fn kind_of_file(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase().as_str() {
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain",
        "htm" | "html" => "text/html",
        "pdf" => "application/pdf",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}
