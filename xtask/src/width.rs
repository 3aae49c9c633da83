//! The width of comments, which rustfmt leaves as it is. Knows Rust's line comments and nothing else of the language.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The width that rustfmt.toml sets for code.
const MOST_COLUMNS: usize = 120;

/// Fails with every comment of the repository that is too wide.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut wide = Vec::new();
    for path in rust_files(root)? {
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        wide.extend(wide_comments(&text).map(|line| format!("{}:{line}", path.display())));
    }
    ensure!(wide.is_empty(), "comments of more than {MOST_COLUMNS} columns: wrap them\n{}", wide.join("\n"));
    Ok(())
}

/// The Rust files that git knows or would add, apart from those that wit-bindgen writes.
fn rust_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", "*.rs"];
    let generated = [":!guest-sdk/src/bindings"];
    let listed = Command::new("git").args(listed).args(generated).current_dir(root).output();
    let listed = listed.context("cannot run git, which lists the files to check")?;
    ensure!(listed.status.success(), "git cannot list the files: {}", String::from_utf8_lossy(&listed.stderr).trim());
    let names = String::from_utf8(listed.stdout)?;
    // A file may be deleted and still be in git's index.
    Ok(names.lines().map(PathBuf::from).filter(|path| root.join(path).exists()).collect())
}

/// The numbers of lines that are too wide because of a comment: a line of its own, or one that follows code.
fn wide_comments(text: &str) -> impl Iterator<Item = usize> {
    let is_wide = |line: &str| line.chars().count() > MOST_COLUMNS;
    let is_comment = |line: &str| line.trim_start().starts_with("//") || line.contains("; // ");
    text.lines().enumerate().filter(move |(_, line)| is_wide(line) && is_comment(line)).map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_that_are_too_wide_are_found() {
        let wide = "x".repeat(MOST_COLUMNS);
        let fits = |opening: &str| format!("{opening}{}", "é".repeat(MOST_COLUMNS - opening.len()));
        for (text, found) in [
            (fits("// "), &[][..]),
            (fits("    /// "), &[]),
            (format!("// {wide}"), &[1]),
            (format!("fn f() {{}}\n    //! {wide}\n\n/// {wide}\n"), &[2, 4]),
            (format!("let a = 1; // {wide}"), &[1]),
            // Code is rustfmt's, and it does not break strings.
            (format!("let a = \"{wide}\";"), &[]),
        ] {
            assert_eq!(wide_comments(&text).collect::<Vec<_>>(), found, "{text}");
        }
    }
}
