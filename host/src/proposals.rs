//! What of WebAssembly is not run here, and what to build instead. docs/src/languages.md has what is.

/// Words by which an engine refuses something, and what to do. Built into wasmtime, async slows every task, even if it
/// is switched off: docs/src/languages.md has the figures.
const REMEDIES: [(&str, &str); 9] = [
    (
        "component model async",
        "it needs component-model-async, which gorgon leaves out because it slows every other task: build it for \
         WASI 0.2 without async functions (with jco, without `--backend qjs` or with `--backend-qjs-disable-async`)",
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
    (
        "threads support is not enabled",
        "it has atomic instructions: build it without threads (`-pthread`, `-matomics`)",
    ),
    ("cm64", "it has a memory of 64 bits at its border, where strings have 32: build it for wasm32"),
    ("stack switching", "it switches stacks, which no engine has yet: build it without that"),
    (
        "component imports are not supported",
        "it imports a whole component: put the two together before (`wac plug`, `wasm-tools compose`)",
    ),
];

/// What to do about something that an engine refuses in these words; `None` if nothing is known.
pub fn remedy(words: &str) -> Option<String> {
    let known = REMEDIES.iter().find(|(needle, _)| words.contains(needle)).map(|(_, remedy)| (*remedy).to_owned());
    known.or_else(|| limit(words)).or_else(|| damaged(words)).or_else(|| newer(words))
}

/// The last part of what an engine says, without where.
fn cause(words: &str) -> &str {
    let words = &words[..words.find(" (at offset 0x").unwrap_or(words.len())];
    words.rsplit(": ").next().unwrap_or(words)
}

/// A file that is not whole.
fn damaged(words: &str) -> Option<String> {
    let is_cut = words.contains("unexpected end") || words.contains("is out of bounds (bound");
    is_cut.then(|| "it is cut short or damaged: copy it again, or build it again".to_owned())
}

/// What is valid WebAssembly, and is not run.
fn newer(words: &str) -> Option<String> {
    let is_newer =
        ["must be enabled", "is not enabled", "not enabled", " requires the "].iter().any(|of| words.contains(of));
    is_newer.then(|| format!("it uses what gorgon does not run ({}): build it without that", cause(words)))
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
        for (words, told) in [
            ("section range 10..136 is out of bounds (bound = 100)", "it is cut short or damaged"),
            (
                "failed to compile: Invalid input: wide arithmetic support is not enabled (at offset 0x8)",
                "it uses what gorgon does not run (wide arithmetic support is not enabled): build it without that",
            ),
        ] {
            assert!(remedy(words).is_some_and(|said| said.starts_with(told)), "{words}");
        }
        assert_eq!(remedy("type mismatch"), None);
    }
}
