//! Collections of Postman, formats 2.0 and 2.1.

mod auth;
mod shape;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::shape::{Behavior, Body, Event, File, GraphQl, Item, Lines, Pair, Request, Src, Url, Wrapped, text};
use super::json::{Source, present};
use super::names::{Definition, Names};
use super::script::{self, Scope, Script};
use super::template::{Part, Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check, form};

/// What a folder gives to what is in it.
#[derive(Clone, Default)]
struct Above<'a> {
    name: String,
    auth: Option<&'a RawValue>,
    scripts: Vec<Script>,
    defined: BTreeMap<String, Vec<Definition>>,
    behavior: Behavior,
}

/// How a name gets a value.
const WAYS: &str = "give it by --var NAME=…, --env-name, a column of --data, or a script of an earlier call that keeps it, \
                    with --flow";

pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let source = Source::new(text);
    let names = Names { environment_first: true, ..context.names(WAYS) };
    let mut reader = Reader { source: &source, context, names, parsed: Parsed::default() };
    let value = reader.source.values()?.into_iter().next().map_or("", RawValue::get);
    let mut whole = value;
    if let Ok(Wrapped { collection }) = serde_json::from_str(value) {
        whole = collection.get();
    }
    reader.names.capturable = script::kept(text);
    let collection: Item<'_> = source.read(whole)?;
    reader.folder(Item { name: None, ..collection }, &Above::default())?;
    Ok(reader.parsed)
}

struct Reader<'a, 'c> {
    source: &'c Source<'a>,
    context: &'c Context<'c>,
    names: Names<'c>,
    parsed: Parsed,
}

impl<'a> Reader<'a, '_> {
    fn folder(&mut self, folder: Item<'a>, above: &Above<'a>) -> Result<(), SyntaxError> {
        let mut inside = above.clone();
        if let Some(name) = folder.name {
            inside.name = if above.name.is_empty() { name } else { format!("{} / {name}", above.name) };
        }
        if let Some(auth) = present(folder.auth) {
            inside.auth = Some(auth);
        }
        inside.behavior = self.behavior(folder.behavior, inside.behavior)?;
        inside.scripts.extend(self.scripts(folder.event)?);
        let mut defined = BTreeMap::new();
        for raw in folder.variable.unwrap_or_default() {
            let pair: Pair<'_> = self.source.read(raw.get())?;
            let Some(value) = present(pair.value).filter(|_| pair.is_on()) else { continue };
            let at = self.source.place(value.get());
            // Other values have no form that could be sent.
            if let value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) = self.source.read(value.get())? {
                defined.insert(pair.key().to_owned(), vec![Definition { value: text(&value), at }]);
            }
        }
        // As in Postman, what the collection defines counts before what its folders do.
        defined.append(&mut inside.defined);
        inside.defined = defined;
        for raw in folder.item.unwrap_or_default() {
            let item: Item<'a> = self.source.read(raw.get())?;
            let at = self.source.place(raw.get());
            match present(item.request) {
                Some(request) => self.request(item, request, at, &inside)?,
                None => self.folder(item, &inside)?,
            }
        }
        Ok(())
    }

    fn request(&mut self, item: Item<'a>, raw: &'a RawValue, at: Place, above: &Above<'a>) -> Result<(), SyntaxError> {
        self.names.defined.clone_from(&above.defined);
        let behavior = self.behavior(item.behavior, above.behavior)?;
        let name = item.name.unwrap_or_default();
        let name = if above.name.is_empty() { name } else { format!("{} / {name}", above.name) };
        let mut call = Call { name, follows: behavior.follows.unwrap_or(true), at, ..Call::default() };
        let own = self.scripts(item.event)?;
        for script in above.scripts.iter().chain(&own) {
            let is_stored = |name: &str| above.defined.contains_key(name);
            let is_of_environment = |name: &str| self.context.environment.iter().any(|(known, _)| known == name);
            let is_hidden = |name: &str, scope| match scope {
                Scope::Global => is_stored(name) || is_of_environment(name),
                Scope::Collection => is_of_environment(name),
                Scope::Environment => false,
            };
            call.capture.extend(script.captures(self.context, is_hidden, &mut self.parsed.notes)?);
        }
        if raw.get().starts_with('"') {
            call.url = self.source.filled_url(raw, &self.names)?;
        } else {
            let request: Request<'a> = self.source.read(raw.get())?;
            call.method = request.method.map_or_else(|| "GET".to_owned(), |method| method.to_ascii_uppercase());
            let Some(url) = present(request.url) else { return Err(at.wrong(format!("`{}` has no URL", call.name))) };
            call.url = self.url(url)?;
            self.headers(request.header, &mut call)?;
            let prunes =
                ["GET", "HEAD", "COPY", "PURGE", "UNLOCK"].contains(&call.method.to_ascii_uppercase().as_str());
            if !prunes || behavior.keeps_body {
                self.body(request.body, &mut call)?;
            }
            self.authorize(present(request.auth).or(above.auth), &mut call)?;
        }
        if !call.url.shown().contains("://") && !matches!(call.url.0.first(), Some(Part::Captured(_) | Part::Column(_)))
        {
            let mut url = Template::text("http://");
            url.append(call.url);
            call.url = url;
        }
        call.values = self.names.take_used();
        check::call(&mut call)?;
        if self.context.is_flow {
            self.names.captured.extend(call.capture.keys().cloned());
        } else {
            self.names.capturable.extend(call.capture.keys().cloned());
        }
        self.parsed.add(call)?;
        Ok(())
    }

    /// How requests behave. What would change them and is not known here is refused.
    fn behavior(&self, raw: Option<&'a RawValue>, above: Behavior) -> Result<Behavior, SyntaxError> {
        /// These say nothing of what is sent.
        const HARMLESS: [&str; 6] = [
            "strictSSL",
            "removeRefererHeaderOnRedirect",
            "tlsPreferServerCiphers",
            "tlsDisabledProtocols",
            "tlsCipherSelection",
            "insecureHTTPParser",
        ];
        let Some(raw) = present(raw) else { return Ok(above) };
        let at = self.source.place(raw.get());
        let mut behavior = above;
        for (name, value) in self.source.read::<BTreeMap<String, Value>>(raw.get())? {
            let is_on = !matches!(value, Value::Null | Value::Bool(false)) && value != Value::Object(Map::new());
            match (name.as_str(), &value) {
                ("followRedirects", Value::Bool(follows)) => behavior.follows = Some(*follows),
                ("disableBodyPruning", Value::Bool(keeps)) => behavior.keeps_body = *keeps,
                ("maxRedirects", Value::Number(most)) if most.as_u64() == Some(0) => behavior.follows = Some(false),
                ("maxRedirects", _) => {}
                (name, _) if HARMLESS.contains(&name) => {}
                _ if is_on => {
                    return Err(at.wrong(format!("the setting `{name}` changes requests, and is not known here")));
                }
                _ => {}
            }
        }
        Ok(behavior)
    }

    /// The scripts of an item, and where each begins.
    fn scripts(&self, events: Option<Vec<Event<'a>>>) -> Result<Vec<Script>, SyntaxError> {
        let mut scripts = Vec::new();
        for event in events.into_iter().flatten().filter(|event| event.disabled != Some(true)) {
            let Some(exec) = present(event.script.and_then(|script| script.exec)) else { continue };
            let inner = exec.get().find('"').map_or(exec.get(), |at| &exec.get()[at..]);
            let at = self.source.place(inner);
            let text = match self.source.read(exec.get())? {
                Lines::One(text) => text,
                Lines::Many(lines) => lines.join("\n"),
            };
            scripts.push(Script { text, at, is_before: event.listen == "prerequest" });
        }
        Ok(scripts)
    }

    fn fill(&self, text: &str, at: Place) -> Result<Template, SyntaxError> {
        self.names.fill(text, at).map_err(|mistake| at.wrong(mistake.problem))
    }

    /// The value of a pair, filled.
    fn value(&self, value: Option<&'a RawValue>, or: Place) -> Result<Template, SyntaxError> {
        let Some(value) = present(value) else { return Ok(Template::default()) };
        let at = if value.get().is_empty() { or } else { self.source.place(value.get()) };
        self.fill(&text(&self.source.read(value.get())?), at)
    }

    fn url(&self, raw: &'a RawValue) -> Result<Template, SyntaxError> {
        let at = self.source.place(raw.get());
        if raw.get().starts_with('"') {
            return self.source.filled_url(raw, &self.names);
        }
        let url: Url<'a> = self.source.read(raw.get())?;
        let at = url.raw.map_or(at, |raw| self.source.place(raw.get()));
        let Some(host) = url.host else {
            return self.source.filled(url.raw.ok_or_else(|| at.wrong("this URL has no host"))?, &self.names);
        };
        let scheme = url.protocol.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
        let mut whole = self.fill(&format!("{scheme}{}{port}", host.joined(".")), at)?;
        let variables = url.variable.unwrap_or_default();
        for part in url.path.map(|path| path.joined("/")).unwrap_or_default().trim_start_matches('/').split('/') {
            whole.append(Template::text("/"));
            match part.strip_prefix(':').and_then(|name| variables.iter().find(|pair| pair.key() == name)) {
                Some(pair) => {
                    let value = self.value(pair.value, at)?;
                    if value.is_empty() {
                        return Err(at.wrong(format!("`{part}` has no value in the variables of this URL")));
                    }
                    whole.append(value);
                }
                None if part.len() > 1 && part.starts_with(':') => {
                    return Err(at.wrong(format!("`{part}` has no value in the variables of this URL")));
                }
                None => whole.append(self.fill(part, at)?),
            }
        }
        let mut between = "?";
        for pair in url.query.unwrap_or_default().into_iter().filter(Pair::is_on) {
            whole.append(Template::text(between));
            between = "&";
            whole.append(self.fill(&in_query(pair.key()).replace('=', "%3D"), at)?);
            if let Some(value) = present(pair.value) {
                let at = self.source.place(value.get());
                whole.append(Template::text("="));
                whole.append(self.fill(&in_query(&text(&self.source.read(value.get())?)), at)?);
            }
        }
        Ok(whole)
    }

    fn headers(&self, headers: Option<&'a RawValue>, call: &mut Call) -> Result<(), SyntaxError> {
        let Some(headers) = present(headers) else { return Ok(()) };
        if headers.get().starts_with('"') {
            let at = self.source.place(headers.get());
            let lines: String = self.source.read(headers.get())?;
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                let (name, value) =
                    line.split_once(':').ok_or_else(|| at.wrong(format!("`{line}` is not a header")))?;
                if !check::is_of_connection(name.trim(), value) {
                    call.headers.push(Header::new(name.trim(), self.fill(value.trim(), at)?).at(at));
                }
            }
            return Ok(());
        }
        for raw in self.source.read::<Vec<&'a RawValue>>(headers.get())? {
            let at = self.source.place(raw.get());
            let pair: Pair<'a> = self.source.read(raw.get())?;
            if pair.is_on() && !pair.key().is_empty() {
                let name = self.fill(pair.key(), at)?.shown();
                let value = self.value(pair.value, at)?;
                if check::is_of_connection(pair.key(), &value.shown()) {
                    continue;
                }
                call.headers.push(Header::new(name.trim(), value).at(at));
            }
        }
        Ok(())
    }

    fn body(&self, body: Option<Body<'a>>, call: &mut Call) -> Result<(), SyntaxError> {
        let Some(body) = body.filter(|body| body.disabled != Some(true)) else { return Ok(()) };
        match body.mode.as_deref() {
            None | Some("none") => {}
            Some("raw") => {
                let language = body.options.and_then(|options| options.raw).and_then(|raw| raw.language);
                call.body = match present(body.raw).filter(|_| language.as_deref() == Some("json")) {
                    // Postman allows comments in JSON, and does not send them.
                    Some(raw) => {
                        let text = text(&self.source.read(raw.get())?);
                        self.fill(&script::without_comments(&text, &['"']), self.source.place(raw.get()))?
                    }
                    None => self.value(body.raw, call.at)?,
                };
                let kind = match language.as_deref() {
                    Some("json") => "application/json",
                    Some("xml") => "application/xml",
                    Some("html") => "text/html",
                    Some("javascript") => "application/javascript",
                    _ => "text/plain",
                };
                if !call.body.is_empty() {
                    call.default_header("Content-Type", kind);
                }
            }
            Some("urlencoded") => {
                let fields = body
                    .urlencoded
                    .unwrap_or_default()
                    .into_iter()
                    .filter(Pair::is_on)
                    .map(|pair| Ok((self.fill(pair.key(), call.at)?, self.value(pair.value, call.at)?)));
                let fields = fields.collect::<Result<Vec<_>, SyntaxError>>()?;
                call.body = form::joined(fields, |value| form::encoded_by(value, form::percent_encoded));
                if !call.body.is_empty() {
                    // Postman writes the type in place of one that is there.
                    call.headers.retain(|header| !header.is("content-type"));
                    call.default_header("Content-Type", "application/x-www-form-urlencoded");
                }
            }
            Some("formdata") => {
                let mut fields = Vec::new();
                for pair in body.formdata.unwrap_or_default().into_iter().filter(Pair::is_on) {
                    self.field(pair, call.at, &mut fields)?;
                }
                let named = call.header("content-type").map(Template::shown);
                let boundary = named.as_deref().and_then(form::boundary_of).map(str::to_owned);
                let boundary = boundary.unwrap_or_else(|| form::boundary(&fields));
                call.body = form::multipart(&fields, &boundary);
                call.headers.retain(|header| !header.is("content-type"));
                call.default_header("Content-Type", &format!("multipart/form-data; boundary={boundary}"));
            }
            Some("graphql") => {
                let Some(graphql) = body.graphql else { return Ok(()) };
                call.body = self.graphql(graphql, call.at)?;
                call.default_header("Content-Type", "application/json");
            }
            Some("file") => match body.file {
                Some(File { src: Some(path), .. }) => {
                    call.body = Template::bytes(self.file(&path, call.at)?);
                    call.default_header("Content-Type", kind_of_file(&path));
                }
                Some(File { content: Some(text), .. }) => call.body = self.fill(&text, call.at)?,
                _ => {
                    return Err(call
                        .at
                        .wrong("the body of this request is a file that is not named: name it in Postman"));
                }
            },
            Some(mode) => return Err(call.at.wrong(format!("the body `{mode}` is not known here"))),
        }
        Ok(())
    }

    fn file(&self, path: &str, at: Place) -> Result<Vec<u8>, SyntaxError> {
        let path = self.names.known(path, at)?;
        (self.context.read)(&path).map_err(|error| at.wrong(format!("cannot read `{path}`: {error}")))
    }

    fn field(&self, pair: Pair<'a>, at: Place, fields: &mut Vec<form::Field>) -> Result<(), SyntaxError> {
        let name = self.fill(pair.key(), at)?;
        let known = |text: Option<&String>| text.map(|text| self.names.known(text, at)).transpose();
        let content_type = known(pair.content_type.as_ref())?;
        if pair.kind.as_deref() != Some("file") {
            let value = self.value(pair.value, at)?;
            fields.push(form::Field { name, value, file_name: None, content_type });
            return Ok(());
        }
        let file_name = known(pair.file_name.as_ref())?;
        let paths = match pair.src {
            Some(Src::One(path)) => vec![path],
            Some(Src::Many(paths)) => paths,
            None => return Err(at.wrong(format!("the field `{}` is a file that is not named", pair.key()))),
        };
        for path in paths {
            let path = self.names.known(&path, at)?;
            let base = path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            let kind = content_type.clone().unwrap_or_else(|| kind_of_file(&base).to_owned());
            fields.push(form::Field {
                name: name.clone(),
                value: Template::bytes(self.file(&path, at)?),
                file_name: Some(file_name.clone().unwrap_or(base)),
                content_type: Some(kind),
            });
        }
        Ok(())
    }

    fn graphql(&self, graphql: GraphQl<'a>, at: Place) -> Result<Template, SyntaxError> {
        let query = self.value(graphql.query, at)?;
        if !query.is_text() {
            return Err(at.wrong("a GraphQL query cannot have values that only the run knows: its variables can"));
        }
        let mut sent = Template::text(format!("{{\"query\":{}", Value::from(query.shown())));
        if let Some(name) = graphql.operation_name.filter(|name| !name.is_empty()) {
            sent.append(Template::text(format!(",\"operationName\":{}", Value::from(name))));
        }
        let variables = match present(graphql.variables) {
            Some(raw) if raw.get().starts_with('"') => self.value(Some(raw), at)?,
            Some(raw) => self.fill(raw.get(), self.source.place(raw.get()))?,
            None => Template::default(),
        };
        if !variables.shown().trim().is_empty() {
            sent.append(Template::text(",\"variables\":"));
            sent.append(variables);
        }
        sent.append(Template::text("}"));
        Ok(sent)
    }
}

/// A key or a value of a query, before its places are filled. Characters that would end it are escaped; other ones are
/// left as they were written.
fn in_query(text: &str) -> String {
    text.replace('#', "%23").replace('&', "%26")
}

/// The content type that Postman derives from the name of a file. It knows more than curl.
fn kind_of_file(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase().as_str() {
        "css" => "text/css",
        "csv" => "text/csv",
        "js" => "application/javascript",
        "json" => "application/json",
        "mp4" => "video/mp4",
        "webp" => "image/webp",
        "zip" => "application/zip",
        _ => form::kind_of_file(name),
    }
}
