//! The attributes of `gorgon-guest`, which re-exports and documents them.
//!
//! Owns the reading of an annotated function's signature and the sentences that say what is wrong with it. Knows
//! nothing of bindings: each attribute leaves its function as it is and adds one call of `gorgon_guest::__export!`.
//!
//! The tokens are read by hand, because this crate stands in the way of every task's first build, and syn and quote
//! would be most of it.

mod signature;

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use signature::{Mistake, Signature};

/// Makes the function the task's operation.
#[proc_macro_attribute]
pub fn operation(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand("operation", arguments, function, |f| {
        let name = &f.name;
        if !f.takes_one_of_type("u64") {
            return Err(f.wrong_parameters(&format!(
                "an operation takes exactly one parameter, its number: write `fn {name}(n: u64) -> String`"
            )));
        }
        shape_of_result(f).ok_or_else(|| {
            f.wrong_name(&format!("an operation returns its result: write `fn {name}(n: u64) -> String`"))
        })
    })
}

/// Makes the function what each instance of the task calls before its first operation.
#[proc_macro_attribute]
pub fn setup(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand("setup", arguments, function, |f| takes_nothing("setup", f).map(|()| "plain"))
}

/// Makes the function what each instance of the task calls after its last operation.
#[proc_macro_attribute]
pub fn teardown(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand("teardown", arguments, function, |f| takes_nothing("teardown", f).map(|()| "plain"))
}

/// Makes the function what the run calls once, before its first operation.
#[proc_macro_attribute]
pub fn prepare(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand("prepare", arguments, function, |f| {
        takes_nothing("prepare", f)?;
        let name = &f.name;
        shape_of_result(f).ok_or_else(|| {
            f.wrong_name(&format!("`prepare` returns what it prepared: write `fn {name}() -> String`, or use `setup`"))
        })
    })
}

/// Makes the function what the run calls once, after its last operation.
#[proc_macro_attribute]
pub fn cleanup(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand("cleanup", arguments, function, |f| {
        if f.takes_one_of_type("String") {
            Ok("plain")
        } else if f.takes_one_of_type("&str") {
            Ok("borrowed")
        } else {
            let name = &f.name;
            Err(f.wrong_parameters(&format!(
                "`cleanup` takes exactly one parameter, what `prepare` returned: write `fn {name}(prepared: &str)`"
            )))
        }
    })
}

fn takes_nothing(hook: &str, f: &Signature) -> Result<(), Mistake> {
    if f.takes_nothing() {
        return Ok(());
    }
    Err(f.wrong_parameters(&format!("`{hook}` takes no parameters: write `fn {}()`", f.name)))
}

/// Which of the two shapes of a task, or of `prepare`, the return type asks for; `None` without a return type.
fn shape_of_result(f: &Signature) -> Option<&'static str> {
    Some(if f.returns.as_deref()? == "Result" { "fallible" } else { "plain" })
}

/// The function as it was, then `::gorgon_guest::__export! { hook shape name }` with the shape that `check` finds, or
/// the mistake in its place.
fn expand(
    hook: &str,
    arguments: TokenStream,
    mut function: TokenStream,
    check: impl FnOnce(&Signature) -> Result<&'static str, Mistake>,
) -> TokenStream {
    let call = match arguments.into_iter().next() {
        Some(argument) => {
            Err(Mistake::new(argument.span(), &format!("`#[gorgon_guest::{hook}]` takes no arguments: remove this")))
        }
        None => Signature::read(hook, function.clone()).and_then(|f| Ok((check(&f)?, f))),
    };
    function.extend(match call {
        Ok((shape, f)) => call_macro("gorgon_guest", "__export", f.name.span(), {
            let words = [hook, shape].map(|word| TokenTree::from(Ident::new(word, Span::call_site())));
            words.into_iter().chain([TokenTree::from(f.name)]).collect()
        }),
        Err(Mistake { span, message }) => {
            let mut literal = proc_macro::Literal::string(&message);
            literal.set_span(span);
            call_macro("core", "compile_error", span, TokenTree::from(literal).into())
        }
    });
    function
}

/// `::krate::name! { input }`, with `span` as the place that the compiler names when it complains.
fn call_macro(krate: &str, name: &str, span: Span, input: TokenStream) -> TokenStream {
    let colons = || [Punct::new(':', Spacing::Joint), Punct::new(':', Spacing::Alone)].map(TokenTree::from);
    let mut tokens: Vec<TokenTree> = Vec::new();
    tokens.extend(colons());
    tokens.push(Ident::new(krate, Span::call_site()).into());
    tokens.extend(colons());
    tokens.push(Ident::new(name, Span::call_site()).into());
    tokens.push(Punct::new('!', Spacing::Alone).into());
    tokens.push(Group::new(Delimiter::Brace, input).into());
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(span.resolved_at(Span::call_site()));
            token
        })
        .collect()
}
