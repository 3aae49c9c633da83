//! One call per line: a URL, a method and a URL, or a JSON object. `#` begins a comment.

use super::{Call, SyntaxError, check};

pub(super) fn parse(text: &str) -> Result<Vec<Call>, SyntaxError> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|(i, line)| one(i, line))
        .collect()
}

fn one(number: usize, line: &str) -> Result<Call, SyntaxError> {
    let column = line.len() - line.trim_start().len() + 1;
    let line = line.trim();
    let call = if line.starts_with('{') && !line.starts_with("{{") {
        serde_json::from_str(line).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
            SyntaxError::new(number, column + error.column().saturating_sub(1), problem)
        })?
    } else {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [url] => Call { method: "GET".into(), url: url.to_owned(), ..Call::default() },
            [method, url] => Call { method: method.to_ascii_uppercase(), url: url.to_owned(), ..Call::default() },
            _ => return Err(SyntaxError::new(number, column, "write a URL, METHOD URL, or a JSON object")),
        }
    };
    check(&call, number, column)?;
    Ok(call)
}
