//! Directives: comments before a request that begin with `@`.

use super::Line;
use crate::calls::script::Captures;
use crate::calls::{Context, SyntaxError};

/// What the directives of a block say.
#[derive(Debug, Default)]
pub(super) struct Directives {
    pub(super) name: Option<String>,
    pub(super) capture: Captures,
    pub(super) no_redirect: bool,
    pub(super) disabled: bool,
    pub(super) has_timeout: bool,
}

/// They change nothing of what is sent. The values of prompts are given by `--var`.
const HARMLESS: [&str; 9] =
    ["note", "no-log", "no-response", "no-response-view", "title", "description", "tag", "tags", "prompt"];

impl Directives {
    pub(super) fn of(preamble: &[Line<'_>], context: &Context<'_>) -> Result<Self, SyntaxError> {
        let mut directives = Self::default();
        for line in preamble.iter().filter(|line| !line.text.starts_with("###")) {
            if let Some(directive) = line.comment().and_then(|comment| comment.strip_prefix('@')) {
                directives.add(directive, line, context)?;
            }
        }
        Ok(directives)
    }

    fn add(&mut self, directive: &str, line: &Line<'_>, context: &Context<'_>) -> Result<(), SyntaxError> {
        let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
        match word {
            "name" => self.name = Some(rest.trim().to_owned()).filter(|name| !name.is_empty()),
            "no-redirect" => self.no_redirect = true,
            "disabled" => self.disabled = true,
            "capture" => {
                let (name, how) = rest.split_once('=').ok_or_else(|| {
                    line.begin().wrong("write `# @capture NAME = /JSON/POINTER`, `header NAME` or `regex PATTERN`")
                })?;
                self.capture.insert(name.trim().to_owned(), how.trim().to_owned());
            }
            // Without a flow, no call gets the cookies of another one.
            "no-cookie-jar" if !context.is_flow => {}
            "no-cookie-jar" => {
                return Err(line
                    .begin()
                    .wrong("the calls of a flow share their cookies: play this call in a file of its own"));
            }
            "timeout" | "connection-timeout" => self.has_timeout = true,
            word if HARMLESS.contains(&word) => {}
            _ => {
                return Err(line.begin().wrong(format!(
                    "the directive `@{word}` is not known here, and may change what is sent: if it is a comment, write it \
                     without @"
                )));
            }
        }
        Ok(())
    }
}
