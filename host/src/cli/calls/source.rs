//! Where calls come from: the command line, a file, or stdin.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::Value;

use crate::calls::{Call, Header, Template};

/// Flags for calls of the command line, as curl has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calls")]
pub(super) struct UrlFlags {
    /// The method [default: GET, or POST with a body]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,

    /// A header
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// A name and a password, for Basic authentication
    #[arg(short = 'u', long = "user", value_name = "NAME:PASSWORD")]
    user: Option<String>,

    /// The body, or @ and the file that has it
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "json_body")]
    body: Option<String>,

    /// The body as JSON, or @ and the file that has it
    #[arg(long, value_name = "JSON|@FILE")]
    json_body: Option<String>,
}

/// Where calls come from.
#[derive(Debug)]
pub(super) enum Source {
    /// URLs of the command line.
    Urls(Vec<Call>),
    File(PathBuf),
    Stdin,
}

impl Source {
    /// The source that the arguments name.
    pub(super) fn new(arguments: &[String], flags: &UrlFlags) -> Result<Self, String> {
        let is_url = |text: &String| {
            let begins =
                |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
            begins("http://") || begins("https://")
        };
        if arguments.iter().all(is_url) {
            let calls = arguments.iter().map(|url| flags.call(url)).collect::<Result<_, _>>()?;
            return Ok(Self::Urls(calls));
        }
        if let Some(flag) = flags.given() {
            return Err(format!("`{flag}` is for URLs of the command line: a file says what it sends"));
        }
        match arguments {
            [one] if one == "-" => Ok(Self::Stdin),
            [one] if one.contains("://") && !Path::new(one).exists() => {
                Err(format!("`{one}` is not a URL that can be called: write http://HOST/PATH or https://HOST/PATH"))
            }
            [one] if !Path::new(one).exists() && looks_like_a_host(one) => {
                Err(format!("there is no file `{one}`; for a URL write `http://{one}`"))
            }
            [one] => Ok(Self::File(one.into())),
            all => match all.iter().find(|word| word.parse::<f64>().is_ok()) {
                Some(number) => Err(format!(
                    "`{number}` is not a URL: a rate is given by --rate {number}/s, a duration by -d {number}s"
                )),
                None => Err("give URLs, or one file of calls: put all calls into one file".to_owned()),
            },
        }
    }

    /// The name of the source in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Urls(_) => "the command line".into(),
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "stdin".into(),
        }
    }

    /// The path that tells the format.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Urls(calls) => {
                let urls: Vec<String> = calls.iter().map(|call| call.url.shown()).collect();
                urls.join(" ").into()
            }
            Self::Stdin => "stdin".into(),
        }
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => std::fs::read(path),
            Self::Stdin => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Urls(_) => Ok(Vec::new()),
        }
    }
}

/// `localhost:8080/x`, `example.com/x`: what curl takes for a URL.
fn looks_like_a_host(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    !name.is_empty()
        && (port.parse::<u16>().is_ok() || name.contains('.') && text.contains('/') && !text.starts_with('.'))
}

impl UrlFlags {
    /// The first of the flags that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let Self { method, headers, user, body, json_body } = self;
        let given = [
            (method.is_some(), "-X"),
            (!headers.is_empty(), "-H"),
            (user.is_some(), "-u"),
            (body.is_some(), "--body"),
            (json_body.is_some(), "--json-body"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, flag)| flag)
    }

    fn call(&self, url: &str) -> Result<Call, String> {
        let mut headers = Vec::new();
        for header in &self.headers {
            let (name, value) =
                header.split_once(':').ok_or_else(|| format!("`{header}` is not a header: write -H 'NAME: VALUE'"))?;
            headers.push(Header::new(name.trim(), Template::text(value.trim())));
        }
        if let Some(user) = &self.user {
            if !user.contains(':') {
                return Err(format!("`{user}` has no password: write -u NAME:PASSWORD"));
            }
            let value = format!("Basic {}", STANDARD.encode(user));
            add(&mut headers, "Authorization", &value);
        }
        if self.json_body.is_some() {
            add(&mut headers, "Content-Type", "application/json");
        }
        let body = self.read_body()?;
        let method = self.method.clone().unwrap_or_else(|| if body.is_empty() { "GET" } else { "POST" }.to_owned());
        let method =
            if method.bytes().all(|byte| byte.is_ascii_lowercase()) { method.to_ascii_uppercase() } else { method };
        Call { method, url: Template::text(url), headers, body, ..Call::default() }.checked()
    }

    /// The body, whose JSON is checked.
    fn read_body(&self) -> Result<Template, String> {
        let Some(text) = self.body.as_ref().or(self.json_body.as_ref()) else { return Ok(Template::default()) };
        let bytes = match text.strip_prefix('@') {
            None => text.clone().into_bytes(),
            Some(path) => std::fs::read(path).map_err(|error| format!("cannot read the body `{path}`: {error}"))?,
        };
        if self.json_body.is_some() {
            serde_json::from_slice::<Value>(&bytes).map_err(|error| format!("`{text}` is not JSON: {error}"))?;
        }
        Ok(String::from_utf8(bytes).map_or_else(|error| Template::bytes(error.into_bytes()), Template::text))
    }
}

/// Adds a header, unless there is one of that name.
fn add(headers: &mut Vec<Header>, name: &str, value: &str) {
    if !headers.iter().any(|header| header.name.eq_ignore_ascii_case(name)) {
        headers.push(Header::new(name, Template::text(value)));
    }
}
