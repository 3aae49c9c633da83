//! What an attribute needs to know of the function it stands on, read from its tokens.
//!
//! Owns the reading; what a hook asks of its signature is said in `lib.rs`. Types are compared as they are written,
//! since a macro runs before types have meanings.

use proc_macro::{Delimiter, Ident, Span, TokenStream, TokenTree};

/// The parts of a function's signature that decide how it is exported.
pub(crate) struct Signature {
    /// The function's name.
    pub(crate) name: Ident,
    /// The last path segment of the return type: `Result` for `io::Result<String>`. `None` without a return type.
    pub(crate) returns: Option<String>,
    parameters: Vec<TokenTree>,
    parameters_span: Span,
}

/// What is wrong with the annotated function, in one sentence that says what to write, and where.
pub(crate) struct Mistake {
    pub(crate) span: Span,
    pub(crate) message: String,
}

impl Mistake {
    pub(crate) fn new(span: Span, message: &str) -> Self {
        Self { span, message: message.to_owned() }
    }
}

impl Signature {
    /// Reads the function that `#[gorgon_guest::hook]` stands on.
    pub(crate) fn read(hook: &str, function: TokenStream) -> Result<Self, Mistake> {
        let mut tokens = flat(function).into_iter();
        for token in tokens.by_ref() {
            let word = token.to_string();
            if word == "fn" {
                break;
            }
            if ["async", "unsafe", "extern"].contains(&word.as_str()) {
                let message = format!("`#[gorgon_guest::{hook}]` stands on a plain function: remove `{word}`");
                return Err(Mistake::new(token.span(), &message));
            }
        }
        let Some(TokenTree::Ident(name)) = tokens.next() else {
            let message = format!("`#[gorgon_guest::{hook}]` stands on a function: write `fn {hook}(…)` below it");
            return Err(Mistake::new(Span::call_site(), &message));
        };
        let parameters = match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => group,
            _ => {
                let message = format!("`#[gorgon_guest::{hook}]` stands on a plain function: remove its generics");
                return Err(Mistake::new(name.span(), &message));
            }
        };
        Ok(Self {
            name,
            returns: last_segment(tokens),
            parameters_span: parameters.span(),
            parameters: flat(parameters.stream()),
        })
    }

    pub(crate) fn takes_nothing(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Whether there is exactly one parameter, and it is `anything: wanted`.
    pub(crate) fn takes_one_of_type(&self, wanted: &str) -> bool {
        let mut tokens = self.parameters.iter().map(TokenTree::to_string);
        let _pattern = tokens.by_ref().find(|token| token == ":");
        let found: String = tokens.collect();
        found.strip_suffix(',').unwrap_or(&found) == wanted
    }

    pub(crate) fn wrong_parameters(&self, message: &str) -> Mistake {
        Mistake::new(self.parameters_span, message)
    }

    pub(crate) fn wrong_name(&self, message: &str) -> Mistake {
        Mistake::new(self.name.span(), message)
    }
}

/// The last path segment of the type after `->`, outside of any `<…>`: `Result` for `anyhow::Result<Vec<u8>>`.
fn last_segment(tokens: impl Iterator<Item = TokenTree>) -> Option<String> {
    let mut depth = 0_usize;
    let mut last = None;
    let mut type_tokens = tokens.skip_while(|token| token.to_string() != ">");
    type_tokens.next()?;
    for token in type_tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '<' => depth += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => depth = depth.saturating_sub(1),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            _ if depth == 0 => last = Some(token.to_string()),
            _ => {}
        }
    }
    last
}

/// The tokens without the invisible groups that a `macro_rules!` puts around what it captured.
fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => flat(group.stream()),
            token => vec![token],
        })
        .collect()
}
