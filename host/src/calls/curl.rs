//! Command lines of curl, as browsers copy them.

mod options;
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::options::{Does, named, of_letter};
use self::words::Word;
use super::template::{Names, Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check, form};

/// Whether the text is command lines of curl.
pub(super) fn is_curl(text: &str) -> bool {
    let first =
        |line: &str| is_program(line.trim().trim_start_matches("$ ").split_whitespace().next().unwrap_or_default());
    text.lines().any(first)
}

fn is_program(word: &str) -> bool {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
    name.eq_ignore_ascii_case("curl") || name.eq_ignore_ascii_case("curl.exe")
}

pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let names = context.names();
    let mut parsed = Parsed::default();
    for command in words::commands(text)? {
        let mut words = command.into_iter();
        let mut program = words.next();
        if program.as_ref().is_some_and(|word| word.text == "$") {
            // A prompt that was copied with the command.
            program = words.next();
        }
        let Some(program) = program else { continue };
        if !is_program(&program.text) {
            return Err(program
                .at
                .wrong(format!("`{}` is not curl: this file has command lines of curl", program.text)));
        }
        let mut request = Request::new(program.at);
        while let Some(word) = words.next() {
            if request.add(word, &mut words, context, &names, &mut parsed.notes)? {
                parsed.calls.extend(request.calls(&names)?);
                request = Request::new(program.at);
            }
        }
        parsed.calls.extend(request.calls(&names)?);
    }
    Ok(parsed)
}

/// What the options of a command have said so far.
struct Request {
    at: Place,
    method: Option<String>,
    urls: Vec<(String, Place)>,
    headers: Vec<Header>,
    /// Headers that a user removed by `-H 'NAME:'`.
    removed: Vec<String>,
    data: Option<Template>,
    json: bool,
    fields: Vec<form::Field>,
    query: Vec<Template>,
    get: bool,
    head: bool,
    follows: bool,
    globs: bool,
    compressed: bool,
    user: Option<(Template, Place)>,
    cookies: Template,
}

impl Request {
    fn new(at: Place) -> Self {
        Self {
            at,
            method: None,
            urls: Vec::new(),
            headers: Vec::new(),
            removed: Vec::new(),
            data: None,
            json: false,
            fields: Vec::new(),
            query: Vec::new(),
            get: false,
            head: false,
            follows: false,
            globs: true,
            compressed: false,
            user: None,
            cookies: Template::default(),
        }
    }

    /// Adds a word and the values behind it. Returns whether it ends the request.
    fn add(
        &mut self,
        word: Word,
        words: &mut impl Iterator<Item = Word>,
        context: &Context<'_>,
        names: &Names<'_>,
        notes: &mut Vec<String>,
    ) -> Result<bool, SyntaxError> {
        let Word { text, at } = word;
        if text == "-" || !text.starts_with('-') {
            self.urls.push((text, at));
            return Ok(false);
        }
        if let Some(long) = text.strip_prefix("--") {
            let does = named(long).ok_or_else(|| unknown(&text, at))?;
            let value = if does.has_value() { Some(value(&text, at, words)?) } else { None };
            return self.apply(does, &text, at, value, context, names, notes);
        }
        let letters: Vec<char> = text.chars().skip(1).collect();
        for (i, letter) in letters.iter().enumerate() {
            let option = format!("-{letter}");
            let does = of_letter(*letter).ok_or_else(|| unknown(&option, at))?;
            if !does.has_value() {
                if self.apply(does, &option, at, None, context, names, notes)? {
                    return Ok(true);
                }
                continue;
            }
            let rest: String = letters[i + 1..].iter().collect();
            let value = if rest.is_empty() {
                value(&option, at, words)?
            } else {
                Word { text: rest, at: Place { column: at.column + i + 2, ..at } }
            };
            return self.apply(does, &option, at, Some(value), context, names, notes);
        }
        Ok(false)
    }

    #[expect(clippy::too_many_arguments, reason = "an option, its value, and what it may need")]
    fn apply(
        &mut self,
        does: Does,
        option: &str,
        at: Place,
        value: Option<Word>,
        context: &Context<'_>,
        names: &Names<'_>,
        notes: &mut Vec<String>,
    ) -> Result<bool, SyntaxError> {
        let Word { text, at: value_at } = value.unwrap_or(Word { text: String::new(), at });
        let fill = |text: &str| names.fill(text, value_at);
        let file =
            |path: &str| (context.read)(path).map_err(|error| value_at.wrong(format!("cannot read `{path}`: {error}")));
        match does {
            Does::Method => self.method = Some(text),
            Does::Header => self.header(&text, value_at, names)?,
            Does::Data | Does::Json | Does::Binary => {
                let added = match text.strip_prefix('@') {
                    None => fill(&text)?,
                    Some(path) => {
                        let mut bytes = file(path)?;
                        if does == Does::Data {
                            bytes.retain(|byte| !b"\r\n\0".contains(byte));
                        }
                        Template::bytes(bytes)
                    }
                };
                self.json |= does == Does::Json;
                self.data(added, if does == Does::Json { "" } else { "&" });
            }
            Does::Raw => self.data(fill(&text)?, "&"),
            Does::Encoded => self.data(encoded(&text, &file, names, value_at)?, "&"),
            Does::Query => {
                let query = match text.strip_prefix('+') {
                    Some(text) => fill(text)?,
                    None => encoded(&text, &file, names, value_at)?,
                };
                self.query.push(query);
            }
            Does::Field | Does::FieldText => {
                self.fields.push(field(&text, does == Does::FieldText, &file, names, value_at)?);
            }
            Does::User if !text.contains(':') && !text.contains("{{") => {
                return Err(value_at.wrong("curl would ask for the password: write NAME:PASSWORD"));
            }
            Does::User => self.user = Some((fill(&text)?, value_at)),
            Does::Bearer => self.set("Authorization", fill(&format!("Bearer {text}"))?, value_at),
            Does::Cookie if text.contains('=') => {
                if !self.cookies.is_empty() {
                    self.cookies.append(Template::text("; "));
                }
                self.cookies.append(fill(&text)?);
            }
            Does::Cookie => {
                return Err(
                    value_at.wrong(format!("the cookies in the file `{text}` are not read: write -b 'NAME=VALUE'"))
                );
            }
            Does::Agent => self.set("User-Agent", fill(&text)?, value_at),
            Does::Referer => self.set("Referer", fill(text.trim_end_matches(";auto"))?, value_at),
            Does::Range => self.set("Range", fill(&format!("bytes={text}"))?, value_at),
            Does::Get => self.get = true,
            Does::Head => self.head = true,
            Does::Follow => self.follows = true,
            Does::Compressed => self.compressed = true,
            Does::Url => self.urls.push((text, value_at)),
            Does::Next => return Ok(true),
            Does::Nothing if option == "-g" || option == "--globoff" => self.globs = false,
            Does::Nothing | Does::NothingWith => {}
            Does::Flag(flag) | Does::FlagWith(flag) => {
                let note = format!("{option} is not taken from the file: {flag} is for that");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        Ok(false)
    }

    fn data(&mut self, added: Template, between: &str) {
        let data = self.data.get_or_insert_default();
        if !data.is_empty() {
            data.append(Template::text(between));
        }
        data.append(added);
    }

    fn set(&mut self, name: &str, value: Template, at: Place) {
        if !self.headers.iter().any(|header| header.is(name)) {
            self.headers.push(Header::new(name, value).at(at));
        }
    }

    /// `NAME: VALUE`; `NAME:` removes a header, `NAME;` sends it empty.
    fn header(&mut self, text: &str, at: Place, names: &Names<'_>) -> Result<(), SyntaxError> {
        if text.starts_with('@') {
            return Err(at.wrong("headers in a file are not read: write each by -H 'NAME: VALUE'"));
        }
        if let Some((name, value)) = text.split_once(':') {
            let name = name.trim();
            if value.trim().is_empty() {
                self.removed.push(name.to_ascii_lowercase());
            } else if !check::is_of_connection(name) {
                self.headers.push(Header::new(name, names.fill(value.trim(), at)?).at(at));
            }
            return Ok(());
        }
        let name =
            text.strip_suffix(';').ok_or_else(|| at.wrong(format!("`{text}` is not a header: write NAME: VALUE")))?;
        self.headers.push(Header::new(name.trim(), Template::default()).at(at));
        Ok(())
    }

    /// The calls: one for each URL.
    fn calls(mut self, names: &Names<'_>) -> Result<Vec<Call>, SyntaxError> {
        if self.urls.is_empty() {
            return Err(self.at.wrong("this command has no URL"));
        }
        if let Some((user, at)) = self.user.take() {
            if !user.is_text() {
                return Err(at.wrong("a name or a password that is only known in the run cannot be encoded: use --var"));
            }
            self.set("Authorization", Template::text(format!("Basic {}", STANDARD.encode(user.shown()))), at);
        }
        if !self.cookies.is_empty() {
            self.set("Cookie", self.cookies.clone(), self.at);
        }
        if self.compressed {
            self.set("Accept-Encoding", Template::text("deflate, gzip, br, zstd"), self.at);
        }
        let mut body = self.data.take();
        if self.head && !self.get && body.is_some() {
            return Err(self.at.wrong("-I and a body are two methods, which curl refuses"));
        }
        if self.get {
            self.query.extend(body.take());
        }
        let method = match (self.method.take(), self.head) {
            (Some(method), _) => method,
            (None, true) => "HEAD".to_owned(),
            (None, false) if body.is_some() || !self.fields.is_empty() => "POST".to_owned(),
            (None, false) => "GET".to_owned(),
        };
        let mut default = Vec::new();
        if !self.fields.is_empty() {
            let boundary = form::boundary(&self.fields);
            body = Some(form::multipart(&self.fields, &boundary));
            default.push(("Content-Type", format!("multipart/form-data; boundary={boundary}")));
        } else if self.json {
            default.push(("Content-Type", "application/json".to_owned()));
            default.push(("Accept", "application/json".to_owned()));
        } else if body.is_some() {
            default.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
        }
        let values = names.take_used();
        let urls = std::mem::take(&mut self.urls);
        let call = |(url, at): (String, Place)| {
            let url = self.url(&url, at, names)?;
            let mut call = Call {
                method: method.clone(),
                url,
                headers: self.headers.clone(),
                body: body.clone().unwrap_or_default(),
                follows: self.follows,
                at,
                values: values.iter().cloned().chain(names.take_used()).collect(),
                ..Call::default()
            };
            for (name, value) in &default {
                if !self.removed.contains(&name.to_ascii_lowercase()) {
                    call.default_header(name, value);
                }
            }
            check::call(&mut call)?;
            Ok(call)
        };
        urls.into_iter().map(call).collect()
    }

    /// The URL, with the query that options add.
    fn url(&self, url: &str, at: Place, names: &Names<'_>) -> Result<Template, SyntaxError> {
        let without = url.replace("{{", "").replace("}}", "");
        let path = without.split_once("://").map_or(&*without, |(_, rest)| rest);
        if self.globs && (path.contains('{') || path.split(['/', '?']).skip(1).any(|part| part.contains('['))) {
            return Err(
                at.wrong("curl makes several URLs of `{…}` and `[…]`: write one a command, or -g if they are text")
            );
        }
        let whole = if url.contains("://") || url.starts_with("{{") { url.to_owned() } else { format!("http://{url}") };
        let (whole, _) = whole.split_once('#').unwrap_or((&whole, ""));
        let mut url = names.fill(whole, at)?;
        for (i, query) in self.query.iter().enumerate() {
            url.append(Template::text(if i > 0 || whole.contains('?') { "&" } else { "?" }));
            url.append(query.clone());
        }
        Ok(url)
    }
}

fn unknown(option: &str, at: Place) -> SyntaxError {
    at.wrong(format!("the option `{option}` of curl is not known here, and may change what is sent: remove it"))
}

fn value(option: &str, at: Place, words: &mut impl Iterator<Item = Word>) -> Result<Word, SyntaxError> {
    words.next().ok_or_else(|| at.wrong(format!("`{option}` has no value")))
}

/// A value of `--data-urlencode`: CONTENT, =CONTENT, NAME=CONTENT, @FILE or NAME@FILE.
fn encoded(
    text: &str,
    file: &impl Fn(&str) -> Result<Vec<u8>, SyntaxError>,
    names: &Names<'_>,
    at: Place,
) -> Result<Template, SyntaxError> {
    let (name, content) = match (text.split_once('='), text.split_once('@')) {
        (Some((name, content)), _) if !name.contains('@') => (name, names.fill(content, at)?),
        (_, Some((name, path))) => {
            let bytes = file(path)?;
            let text = String::from_utf8(bytes).map_err(|_| at.wrong(format!("`{path}` is not UTF-8")))?;
            (name, Template::text(text))
        }
        _ => ("", names.fill(text, at)?),
    };
    let mut encoded = Template::text(if name.is_empty() { String::new() } else { format!("{name}=") });
    // curl writes + for a blank since 7.84.
    encoded.append(form::encoded_by(content, |bytes| form::percent_encoded(bytes).replace("%20", "+")));
    Ok(encoded)
}

/// A value of `-F`: NAME=CONTENT, NAME=@FILE or NAME=<FILE, with `;type=` and `;filename=` behind.
fn field(
    text: &str,
    is_text: bool,
    file: &impl Fn(&str) -> Result<Vec<u8>, SyntaxError>,
    names: &Names<'_>,
    at: Place,
) -> Result<form::Field, SyntaxError> {
    let (name, content) =
        text.split_once('=').ok_or_else(|| at.wrong(format!("`{text}` is not a field: write NAME=VALUE")))?;
    let name = names.fill(name, at)?;
    if is_text {
        return Ok(form::Field { name, value: names.fill(content, at)?, file_name: None, content_type: None });
    }
    let mut parts = content.split(';');
    let content = parts.next().unwrap_or_default();
    let (mut kind, mut file_name) = (None, None);
    for part in parts {
        match part.trim().split_once('=') {
            Some(("type", value)) => kind = Some(value.trim_matches('"').to_owned()),
            Some(("filename", value)) => file_name = Some(value.trim_matches('"').to_owned()),
            _ => {
                let problem =
                    format!("`;{part}` is not known here: there are ;type= and ;filename=, and --form-string for text");
                return Err(at.wrong(problem));
            }
        }
    }
    let unquoted = |path: &str| path.trim_matches('"').to_owned();
    if let Some(path) = content.strip_prefix('@') {
        let path = unquoted(path);
        let value = Template::bytes(file(&path)?);
        let base = path.rsplit('/').next().unwrap_or_default().to_owned();
        let kind = kind.unwrap_or_else(|| form::kind_of_file(&base).to_owned());
        return Ok(form::Field { name, value, file_name: Some(file_name.unwrap_or(base)), content_type: Some(kind) });
    }
    let value = match content.strip_prefix('<') {
        Some(path) => Template::bytes(file(&unquoted(path))?),
        None => names.fill(&unquoted(content), at)?,
    };
    Ok(form::Field { name, value, file_name, content_type: kind })
}
