//! Where calls come from: the command line, a file, or stdin.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::de::IgnoredAny;

use crate::calls::{Content, Parts, USER_AGENT, is_http};
use crate::input;

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
    Urls(Vec<String>),
    File(PathBuf),
    Stdin,
}

impl Source {
    /// The source that the arguments name.
    pub(super) fn new(arguments: &[String], flags: &UrlFlags) -> Result<Self, String> {
        if arguments.iter().all(|argument| is_http(argument)) {
            return Ok(Self::Urls(arguments.to_vec()));
        }
        if let Some(flag) = flags.given() {
            return Err(format!("`{flag}` is for URLs of the command line: a file says what it sends"));
        }
        match arguments {
            [one] if one == "-" => Ok(Self::Stdin),
            [one]
                if (one.contains("://") || one.starts_with("http"))
                    && one.contains('/')
                    && !input::here(Path::new(one)).exists() =>
            {
                Err(format!("`{one}` is not a URL that can be called: write http://HOST/PATH or https://HOST/PATH"))
            }
            [one] if !input::here(Path::new(one)).exists() && is_host(one) => {
                Err(format!("there is no file `{one}`; for a URL write `http://{one}`"))
            }
            [one] => Ok(Self::File(one.into())),
            all => match all.iter().find(|word| word.parse::<f64>().is_ok()) {
                Some(number) => Err(format!(
                    "`{number}` is not a URL: a rate is given by --rate {number}/s, a duration by -d {number}s"
                )),
                None if all.iter().any(|word| word.contains("env") && word.ends_with(".json")) => {
                    Err("an environment is named by --env-name, and looked for beside the calls".to_owned())
                }
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
            Self::Urls(urls) => urls.join(" ").into(),
            Self::Stdin => "stdin".into(),
        }
    }

    /// The folder in which it looks for other files.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")).to_owned(),
            Self::Urls(_) | Self::Stdin => PathBuf::new(),
        }
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => input::read(path, MOST_OF_CALLS),
            Self::Stdin => input::read_from(io::stdin().lock(), MOST_OF_CALLS),
            Self::Urls(_) => Ok(Vec::new()),
        }
    }
}

/// The largest file of calls, and the largest file that it names.
const MOST_OF_CALLS: u64 = 128 << 20;
const MOST_OF_BODY: u64 = 64 << 20;

/// Reads a file that a file of calls names, from `folder`, where that is. Calls may come from a stranger, so they name
/// only what is beneath that folder or the current one.
pub(super) fn named(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let path = folder.join(name).canonicalize()?;
    let is_beneath = |folder: &Path| folder.canonicalize().is_ok_and(|folder| path.starts_with(folder));
    if !is_beneath(folder) && !is_beneath(Path::new(".")) {
        return Err(io::Error::other(
            "it is neither beneath the folder of the calls nor beneath the current one: run gorgon in a folder above \
             it",
        ));
    }
    // Opening a pipe would wait for the other side.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    input::read(&path, MOST_OF_BODY)
}

/// Whether curl would take the text for a URL, though it has no scheme: `localhost:8080/x`, `example.com`.
pub(in crate::cli) fn is_host(text: &str) -> bool {
    /// Ends of the names of files of calls, which no host has.
    const FILES: [&str; 9] = ["http", "rest", "har", "txt", "json", "jsonl", "sh", "curl", "wasm"];
    let host = text.split(['/', '?']).next().unwrap_or_default();
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let is_name = name.contains('.') && !name.starts_with('.') && !name.ends_with('.');
    let end = name.rsplit('.').next().unwrap_or_default();
    !name.is_empty() && (port.parse::<u16>().is_ok() || is_name && !FILES.contains(&end))
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

    /// What the flags say about each call.
    pub(super) fn parts(&self) -> Result<Parts, String> {
        let mut headers = Vec::new();
        // As in curl, `NAME:` leaves a header out, and `NAME;` sends it empty.
        let mut left_out = Vec::new();
        for header in &self.headers {
            match header.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, "")) => left_out.push(name.to_ascii_lowercase()),
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => {
                    let name = header.strip_suffix(';');
                    let wrong = || {
                        // The rest may be secret.
                        let first = header.split_whitespace().next().unwrap_or_default();
                        let more = if first == header { "" } else { " …" };
                        format!("`{first}{more}` is not a header: write -H 'NAME: VALUE'")
                    };
                    let name = name.ok_or_else(wrong)?;
                    headers.push((name.trim().to_owned(), String::new()));
                }
            }
        }
        if let Some(user) = &self.user {
            if !user.contains(':') {
                return Err("-u has no password: write -u NAME:PASSWORD".into());
            }
            if user.contains("{{") {
                return Err(
                    "-u is encoded, so it cannot have places for values: write the name and the password".into()
                );
            }
            add(&mut headers, "Authorization", &format!("Basic {}", STANDARD.encode(user)));
        }
        if self.json_body.is_some() {
            add(&mut headers, "Content-Type", "application/json");
            add(&mut headers, "Accept", "application/json");
        }
        // As curl, oha and hey have it.
        add(&mut headers, "Accept", "*/*");
        add(&mut headers, "User-Agent", USER_AGENT);
        headers.retain(|(name, value)| value.is_empty() || !left_out.contains(&name.to_ascii_lowercase()));
        let body = self.content()?;
        let is_empty = matches!(&body, Content::Text(text) if text.is_empty());
        let method = self.method.clone().unwrap_or_else(|| if is_empty { "GET" } else { "POST" }.to_owned());
        Ok(Parts { method, headers, body })
    }

    /// The body, whose JSON is checked.
    fn content(&self) -> Result<Content, String> {
        let Some(text) = self.body.as_ref().or(self.json_body.as_ref()) else {
            return Ok(Content::Text(String::new()));
        };
        let content = match text.strip_prefix('@') {
            None => Content::Text(text.clone()),
            Some(path) => {
                let read = input::read(Path::new(path), MOST_OF_BODY);
                Content::Bytes(read.map_err(|error| format!("cannot read the body `{path}`: {error}"))?)
            }
        };
        let bytes = match &content {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        };
        // A place for a value may stand where JSON has none.
        let is_template = matches!(&content, Content::Text(text) if text.contains("{{"));
        if self.json_body.is_some() && !is_template {
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| format!("--json-body is not JSON: {error}"))?;
        }
        Ok(content)
    }
}

/// Adds a header, unless there is one of that name.
fn add(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    if !headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name)) {
        headers.push((name.to_owned(), value.to_owned()));
    }
}
