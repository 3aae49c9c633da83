//! Checks the width of comments, which rustfmt does not change. It knows only Rust's line comments.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The width that rustfmt.toml sets for code.
const MOST_COLUMNS: usize = 120;

/// Fails if a comment of the repository is too wide, and lists all of them.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let (mut files, mut wide) = (Vec::new(), Vec::new());
    rust_files(root, &mut files)?;
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(root).unwrap_or(&path).display();
        wide.extend(wide_comments(&text).map(|line| format!("{name}:{line}")));
    }
    ensure!(wide.is_empty(), "comments of more than {MOST_COLUMNS} columns: wrap them\n{}", wide.join("\n"));
    Ok(())
}

/// The Rust files below a folder of the repository, except for generated ones: builds, packages, and the bindings of
/// wit-bindgen.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let name = entry.to_string_lossy();
        let is_foreign = name.starts_with('.') || ["target", "node_modules", "bindings"].contains(&&*name);
        // Links lead to files of the repository, which are found anyway.
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if is_folder && !is_foreign {
            rust_files(&path, found)?;
        } else if !is_folder && name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The numbers of lines that are too wide because of a comment, on a separate line or after code.
fn wide_comments(text: &str) -> impl Iterator<Item = usize> {
    let is_wide = |line: &str| line.chars().count() > MOST_COLUMNS;
    let is_comment = |line: &str| line.trim_start().starts_with("//") || line.contains("; // ");
    text.lines().enumerate().filter(move |(_, line)| is_wide(line) && is_comment(line)).map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_wide_comments_are_found() {
        let wide = "x".repeat(MOST_COLUMNS);
        let fits = |opening: &str| format!("{opening}{}", "é".repeat(MOST_COLUMNS - opening.len()));
        for (text, found) in [
            (fits("// "), &[][..]),
            (fits("    /// "), &[]),
            (format!("// {wide}"), &[1]),
            (format!("fn f() {{}}\n    //! {wide}\n\n/// {wide}\n"), &[2, 4]),
            (format!("let a = 1; // {wide}"), &[1]),
            // rustfmt formats code, but does not break strings.
            (format!("let a = \"{wide}\";"), &[]),
        ] {
            assert_eq!(wide_comments(&text).collect::<Vec<_>>(), found, "{text}");
        }
    }
}
