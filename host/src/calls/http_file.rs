//! A `.http` file, the format of REST clients in editors.
//!
//! Lines that begin with `###` separate requests. `@name = value` defines a variable for the file. `# @name NAME` names
//! a request, and `# @capture NAME = HOW` captures a value from its response.

use std::collections::BTreeMap;

use super::{Call, SyntaxError, check};

#[derive(Default)]
struct Reader {
    calls: Vec<Call>,
    variables: BTreeMap<String, String>,
    call: Call,
    /// The line of the request line; 0 before it.
    line: usize,
    column: usize,
    body: Option<Vec<String>>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Call>, SyntaxError> {
    let mut reader = Reader::default();
    for (i, line) in text.lines().enumerate() {
        reader.read(i + 1, line)?;
    }
    reader.end_call()?;
    Ok(reader.calls)
}

impl Reader {
    fn read(&mut self, number: usize, line: &str) -> Result<(), SyntaxError> {
        let trimmed = line.trim();
        if let Some(title) = trimmed.strip_prefix("###") {
            self.end_call()?;
            self.call.name = title.trim().to_owned();
            return Ok(());
        }
        let dynamic = line.find("{{$").map(|at| (at + 1, "a value that the editor generates"));
        let is_in_body = self.body.is_some();
        let file = (is_in_body && trimmed.starts_with("< ")).then_some((1, "a body from a file"));
        let script = (is_in_body && trimmed.starts_with("> ")).then_some((1, "a script for the response"));
        if let Some((column, what)) = dynamic.or(file).or(script) {
            return Err(SyntaxError::new(number, column, format!("{what} is not supported: write it out")));
        }
        if let Some(body) = &mut self.body {
            body.push(line.to_owned());
            return Ok(());
        }
        let comment = trimmed.strip_prefix('#').or_else(|| trimmed.strip_prefix("//"));
        match comment {
            Some(comment) => self.comment(number, comment.trim()),
            None if trimmed.is_empty() => {
                if self.line > 0 {
                    self.body = Some(Vec::new());
                }
                Ok(())
            }
            None if self.line > 0 => self.header(number, trimmed),
            None if trimmed.starts_with('@') => self.variable(number, trimmed),
            None => self.request(number, line),
        }
    }

    fn comment(&mut self, number: usize, comment: &str) -> Result<(), SyntaxError> {
        if let Some(name) = comment.strip_prefix("@name ") {
            self.call.name = name.trim().to_owned();
        }
        if let Some(capture) = comment.strip_prefix("@capture ") {
            let (name, how) = capture.split_once('=').ok_or_else(|| {
                SyntaxError::new(number, 1, "write `# @capture NAME = /JSON/POINTER`, `header NAME` or `regex PATTERN`")
            })?;
            self.call.capture.insert(name.trim().to_owned(), how.trim().to_owned());
        }
        Ok(())
    }

    fn variable(&mut self, number: usize, line: &str) -> Result<(), SyntaxError> {
        let (name, value) =
            line[1..].split_once('=').ok_or_else(|| SyntaxError::new(number, 1, "write `@NAME = VALUE`"))?;
        let value = self.with_variables(value.trim());
        self.variables.insert(name.trim().to_owned(), value);
        Ok(())
    }

    fn request(&mut self, number: usize, line: &str) -> Result<(), SyntaxError> {
        (self.line, self.column) = (number, line.len() - line.trim_start().len() + 1);
        let (method, url) = match line.split_whitespace().collect::<Vec<_>>()[..] {
            [url] => ("GET", url),
            [method, url] => (method, url),
            [method, url, version] if version.starts_with("HTTP/") => (method, url),
            _ => return Err(SyntaxError::new(number, self.column, "write METHOD URL")),
        };
        self.call.method = method.to_ascii_uppercase();
        self.call.url = self.with_variables(url);
        check(&self.call, self.line, self.column)
    }

    fn header(&mut self, number: usize, line: &str) -> Result<(), SyntaxError> {
        // The query of a long URL may continue on further lines.
        if line.starts_with(['?', '&']) {
            self.call.url.push_str(&self.with_variables(line));
            return Ok(());
        }
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
            .ok_or_else(|| {
                SyntaxError::new(
                    number,
                    1,
                    format!("`{line}` is not a header: write NAME: VALUE, and an empty line before the body"),
                )
            })?;
        let value = self.with_variables(value.trim());
        self.call.headers.push((name.to_owned(), value));
        Ok(())
    }

    fn end_call(&mut self) -> Result<(), SyntaxError> {
        let mut call = std::mem::take(&mut self.call);
        let body = self.body.take().map(|lines| lines.join("\n")).unwrap_or_default();
        call.body = self.with_variables(body.trim_end());
        if self.line > 0 {
            check(&call, self.line, self.column)?;
            self.calls.push(call);
        }
        (self.line, self.column) = (0, 0);
        Ok(())
    }

    /// Replaces the file's variables; other names are left for captured values.
    fn with_variables(&self, text: &str) -> String {
        self.variables
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}
