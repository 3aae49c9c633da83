//! What of WebAssembly is not run here, and what to build instead. docs/src/languages.md has what is.

/// Words by which an engine refuses something, and what to do. Built into wasmtime, async slows every task, even if it
/// is switched off: docs/src/languages.md has the figures.
const REMEDIES: [(&str, &str); 7] = [
    (
        "component model async",
        "it needs component-model-async, which gorgon leaves out because it slows every other task: build it for \
         WASI 0.2 without async functions (with jco, without `--backend qjs`)",
    ),
    ("error-context", "it needs error-context of WASI 0.3: build it for WASI 0.2"),
    ("map feature", "it has maps at its border, which the component model of WASI 0.2 does not know: use lists"),
    (
        "legacy_exceptions",
        "it has exceptions as they were before the standard: build it with clang `-mllvm -wasm-use-legacy-eh=false`, \
         or emcc `-sWASM_LEGACY_EXCEPTIONS=0`",
    ),
    (
        "shared memor",
        "it has a memory that threads share, and an instance of a task has one thread: build it without threads \
         (`-pthread`); -t runs more instances",
    ),
    ("stack switching", "it switches stacks, which no engine has yet: build it without that"),
    (
        "component imports are not supported",
        "it imports a whole component: put the two together before (`wac plug`, `wasm-tools compose`)",
    ),
];

/// What to do about something that an engine refuses in these words; `None` if nothing is known.
pub fn remedy(words: &str) -> Option<String> {
    let known = REMEDIES.iter().find(|(needle, _)| words.contains(needle)).map(|(_, remedy)| (*remedy).to_owned());
    known.or_else(|| limit(words))
}

/// A limit that all engines have, from the words of one: `instances count exceeds limit of 1000 (at offset 0x1)`.
fn limit(words: &str) -> Option<String> {
    let (before, after) =
        words.split_once(" exceeds limit of ").or_else(|| words.split_once(" exceeds the limit of "))?;
    let most: String = after.chars().take_while(char::is_ascii_digit).collect();
    let what = before.rsplit(": ").next().unwrap_or(before).trim_end_matches(" count");
    Some(format!("it has more {what} than engines of WebAssembly take, which is {most}: build it with fewer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_engines_is_no_broken_component() {
        let words = "failed to parse: instances count exceeds limit of 1000 (at offset 0x1e)";
        let told = "it has more instances than engines of WebAssembly take, which is 1000: build it with fewer";
        assert_eq!(remedy(words).as_deref(), Some(told));
        assert_eq!(remedy("unexpected end-of-file"), None);
    }
}
