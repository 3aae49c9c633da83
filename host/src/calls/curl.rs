//! Command lines of curl, as browsers copy them.

mod options;
mod values;
mod words;

use self::options::{Does, named, of_letter};
use self::values::{encoded, field};
use self::words::Word;
use super::names::Names;
use super::template::{Place, Template};
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

/// How a name gets a value.
const WAYS: &str = "give it by --var NAME=…, --env-name or a column of --data";

pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let mut reader = Reader { context, names: context.names(WAYS), parsed: Parsed::default() };
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
            if request.add(word, &mut words, &mut reader)? {
                reader.parsed.calls.extend(request.calls(&reader.names)?);
                request = Request::new(program.at);
            }
        }
        if request.follows && request.method.as_deref().is_some_and(|method| method != "GET") {
            reader.note("after a redirect, Gorgon changes POST to GET as browsers do, also with -X".to_owned());
        }
        reader.parsed.calls.extend(request.calls(&reader.names)?);
    }
    Ok(reader.parsed)
}

/// What is known while commands are read.
struct Reader<'a> {
    context: &'a Context<'a>,
    names: Names<'a>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn fill(&self, word: &Word) -> Result<Template, SyntaxError> {
        self.names.fill(&word.text, word.at)
    }

    fn file(&self, path: &str, at: Place) -> Result<Vec<u8>, SyntaxError> {
        let path = self.names.known(path, at)?;
        (self.context.read)(&path).map_err(|error| at.wrong(format!("cannot read `{path}`: {error}")))
    }

    fn note(&mut self, note: String) {
        if !self.parsed.notes.contains(&note) {
            self.parsed.notes.push(note);
        }
    }
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
    /// Headers by options of their own. Those by `-H` count before them.
    weak: Vec<Header>,
    follows_none: bool,
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
            weak: Vec::new(),
            follows_none: false,
        }
    }

    /// Adds a word and the values behind it. Returns whether it ends the request.
    fn add(
        &mut self,
        word: Word,
        words: &mut impl Iterator<Item = Word>,
        reader: &mut Reader<'_>,
    ) -> Result<bool, SyntaxError> {
        let Word { text, at } = word;
        if text == "-" || !text.starts_with('-') {
            self.urls.push((text, at));
            return Ok(false);
        }
        if let Some(long) = text.strip_prefix("--") {
            let does = named(long).ok_or_else(|| unknown(&text, at))?;
            let option = Word { text, at };
            let value = if does.has_value() { value(&option, words)? } else { option.clone() };
            return self.apply(does, &option.text, value, reader);
        }
        let letters: Vec<char> = text.chars().skip(1).collect();
        for (i, letter) in letters.iter().enumerate() {
            let option = Word { text: format!("-{letter}"), at };
            let does = of_letter(*letter).ok_or_else(|| unknown(&option.text, at))?;
            if !does.has_value() {
                if self.apply(does, &option.text, option.clone(), reader)? {
                    return Ok(true);
                }
                continue;
            }
            let rest: String = letters[i + 1..].iter().collect();
            let value = if rest.is_empty() {
                value(&option, words)?
            } else {
                Word { text: rest, at: Place { column: at.column + i + 2, ..at } }
            };
            return self.apply(does, &option.text, value, reader);
        }
        Ok(false)
    }

    /// Does what `option` says of `value`; without a value that is the option itself.
    fn apply(&mut self, does: Does, option: &str, value: Word, reader: &mut Reader<'_>) -> Result<bool, SyntaxError> {
        let Word { text, at } = &value;
        let at = *at;
        let filled = |text: String| reader.fill(&Word { text, at });
        match does {
            Does::Method => self.method = Some(value.text),
            Does::Header => self.header(text, at, reader)?,
            Does::Data | Does::Json | Does::Binary => {
                let added = match text.strip_prefix('@') {
                    None => reader.fill(&value)?,
                    Some(path) => {
                        let mut bytes = reader.file(path, at)?;
                        if does == Does::Data {
                            bytes.retain(|byte| !b"\r\n\0".contains(byte));
                        }
                        Template::bytes(bytes)
                    }
                };
                self.json |= does == Does::Json;
                self.data(added, if does == Does::Json { "" } else { "&" });
            }
            Does::Raw => self.data(reader.fill(&value)?, "&"),
            Does::Encoded => self.data(encoded(&value, reader)?, "&"),
            Does::Query => {
                let query = match text.strip_prefix('+') {
                    Some(text) => filled(text.to_owned())?,
                    None => encoded(&value, reader)?,
                };
                self.query.push(query);
            }
            Does::Field | Does::FieldText => {
                self.fields.push(field(&value, does == Does::FieldText, reader)?);
            }
            Does::User if !text.contains(':') && !text.contains("{{") => {
                return Err(at.wrong("curl would ask for the password: write NAME:PASSWORD"));
            }
            Does::User => self.user = Some((reader.fill(&value)?, at)),
            Does::Bearer => self.weak.push(Header::new("Authorization", filled(format!("Bearer {text}"))?).at(at)),
            Does::Cookie if text.is_empty() => {}
            Does::Cookie if text.contains('=') => {
                if !self.cookies.is_empty() {
                    self.cookies.append(Template::text("; "));
                }
                self.cookies.append(reader.fill(&value)?);
            }
            Does::Cookie => {
                return Err(at.wrong(format!("the cookies in the file `{text}` are not read: write -b 'NAME=VALUE'")));
            }
            Does::Agent => self.weak.push(Header::new("User-Agent", reader.fill(&value)?).at(at)),
            Does::Referer => {
                let referer = filled(text.trim_end_matches(";auto").to_owned())?;
                self.weak.push(Header::new("Referer", referer).at(at));
            }
            Does::Range => self.weak.push(Header::new("Range", filled(format!("bytes={text}"))?).at(at)),
            Does::MaxRedirects => {
                self.follows_none = text.trim() == "0";
                if !self.follows_none {
                    reader.note("--max-redirs is left out: Gorgon follows up to 20 redirects".to_owned());
                }
            }
            Does::Get => self.get = true,
            Does::Head => self.head = true,
            Does::Follow => self.follows = true,
            Does::Compressed => self.compressed = true,
            Does::Url => self.urls.push((value.text, at)),
            Does::Next => return Ok(true),
            Does::Nothing if option == "-g" || option == "--globoff" => self.globs = false,
            Does::Nothing | Does::NothingWith => {}
            Does::Flag(flag) | Does::FlagWith(flag) => {
                reader.note(format!("{option} is left out: give {flag} to gorgon, if it is meant"));
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

    /// Adds a header that an option asks for, unless `-H` gives it or leaves it out.
    fn set(&mut self, name: &str, value: Template, at: Place) {
        if !self.removed.contains(&name.to_ascii_lowercase()) && !self.headers.iter().any(|header| header.is(name)) {
            self.headers.push(Header::new(name, value).at(at));
        }
    }

    /// `NAME: VALUE`; `NAME:` removes a header, `NAME;` sends it empty.
    fn header(&mut self, text: &str, at: Place, reader: &mut Reader<'_>) -> Result<(), SyntaxError> {
        if text.starts_with('@') {
            return Err(at.wrong("headers in a file are not read: write each by -H 'NAME: VALUE'"));
        }
        if let Some((name, value)) = text.split_once(':') {
            let name = name.trim();
            if value.trim().is_empty() {
                self.removed.push(name.to_ascii_lowercase());
            } else if check::is_of_connection(name, value) {
                reader.parsed.notes.extend(check::left_out(name, value, at.line));
            } else {
                self.headers.push(Header::new(name, reader.names.fill(value.trim(), at)?).at(at));
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
        // The last option of a kind counts.
        for Header { name, value, at } in std::mem::take(&mut self.weak).into_iter().rev() {
            if !value.is_empty() {
                self.set(&name, value, at);
            }
        }
        if let Some((user, at)) = self.user.take() {
            self.set("Authorization", Template::basic(&user, at)?, at);
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
        if !self.fields.is_empty() && body.is_some() {
            return Err(self.at.wrong("-d and -F are two bodies, which curl refuses"));
        }
        let mut default = Vec::new();
        if !self.fields.is_empty() {
            let boundary = form::boundary(&self.fields);
            body = Some(form::multipart(&self.fields, &boundary));
            for header in self.headers.iter_mut().filter(|header| header.is("content-type")) {
                if !header.value.shown().eq_ignore_ascii_case("multipart/form-data") {
                    return Err(header.at.wrong("-F is sent as multipart/form-data: leave this header out"));
                }
                header.value.append(Template::text(format!("; boundary={boundary}")));
            }
            default.push(("Content-Type", format!("multipart/form-data; boundary={boundary}")));
        } else if self.json {
            default.push(("Content-Type", "application/json".to_owned()));
            default.push(("Accept", "application/json".to_owned()));
        } else if body.is_some() {
            default.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
        }
        if !self.json {
            default.push(("Accept", "*/*".to_owned()));
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
                follows: self.follows && !self.follows_none,
                is_nameless: self.removed.iter().any(|removed| removed == "user-agent"),
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
        let url = if self.globs { &without_globs(url, at)? } else { url };
        if url.starts_with("http:") && !url.starts_with("http://")
            || url.starts_with("https:") && !url.starts_with("https://")
        {
            return Err(at.wrong(format!("`{url}` is not a URL: write http://HOST/PATH")));
        }
        let whole = if url.contains("://") || url.starts_with("{{") { url.to_owned() } else { format!("http://{url}") };
        let (whole, _) = whole.split_once('#').unwrap_or((&whole, ""));
        let mut url = names.fill_url(whole, at)?;
        for (i, query) in self.query.iter().enumerate() {
            url.append(Template::text(if i > 0 || whole.contains('?') { "&" } else { "?" }));
            url.append(query.clone());
        }
        Ok(url)
    }
}

/// The URL as curl reads it, which makes several of `{a,b}` and `[1-9]`; a backslash before one of these makes it text.
fn without_globs(url: &str, at: Place) -> Result<String, SyntaxError> {
    let mut plain = String::new();
    let mut rest = url;
    while let Some(found) = rest.find(['\\', '[', '{']) {
        let (before, after) = rest.split_at(found);
        plain.push_str(before);
        let taken = match after {
            after if after.starts_with("{{") => after.find("}}").map_or(after.len(), |end| end + 2),
            after if after.starts_with("[]") => 2,
            // An address.
            after if after.starts_with('[') && plain.ends_with("//") => after.find(']').map_or(1, |end| end + 1),
            after if after.starts_with(['[', '{']) => {
                return Err(
                    at.wrong("curl makes several URLs of `{…}` and `[…]`: write one a command, or -g if they are text")
                );
            }
            after => {
                let escaped = after.chars().nth(1).filter(|c| "[]{}".contains(*c));
                plain.push(escaped.unwrap_or('\\'));
                rest = &after[if escaped.is_some() { 2 } else { 1 }..];
                continue;
            }
        };
        plain.push_str(&after[..taken]);
        rest = &after[taken..];
    }
    Ok(plain + rest)
}

fn unknown(option: &str, at: Place) -> SyntaxError {
    /// Options about connections, which are the same for all calls.
    const FLAGS: [(&[&str], &str); 6] = [
        (&["-x", "--proxy"], "--proxy"),
        (&["-E", "--cert"], "--cert"),
        (&["--key"], "--key"),
        (&["--connect-to", "--resolve"], "--connect-to"),
        (&["--unix-socket"], "--unix-socket"),
        (&["--interface"], "--local-address"),
    ];
    if let Some((_, flag)) = FLAGS.iter().find(|(options, _)| options.contains(&option)) {
        return at
            .wrong(format!("the option `{option}` of curl is for all calls: remove it, and give {flag} to gorgon"));
    }
    at.wrong(format!("the option `{option}` of curl is not known here, and may change what is sent: remove it"))
}

fn value(option: &Word, words: &mut impl Iterator<Item = Word>) -> Result<Word, SyntaxError> {
    words.next().ok_or_else(|| option.at.wrong(format!("`{}` has no value", option.text)))
}
