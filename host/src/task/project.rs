//! How a task that is not built yet is built: by the files of the project around it.

use std::path::{Component, Path, PathBuf};

use crate::guest_text;

/// The files that tell how a project is built, the surest first.
const BUILDS: [(&str, &str); 5] = [
    ("Cargo.toml", "cargo build --release --target wasm32-wasip2"),
    ("package.json", "npm run build"),
    ("Makefile", "make"),
    ("wit/world.wit", "componentize-py -d wit -w project componentize task -o task.wasm"),
    ("go.mod", "tinygo build -target wasip2 -o task.wasm"),
];

/// How far above a file its project is looked for.
const MOST_ABOVE: usize = 6;

/// The command that builds the project of the task at `path`, which may be a directory, a source file, or not there;
/// with its directory, if that is another one than the current one. `None` if no project is there.
pub(super) fn build_command(path: &Path) -> Option<String> {
    // Above the current directory nothing is looked for.
    let ancestors = path.ancestors().take(MOST_ABOVE);
    let found = ancestors.filter(|at| !at.ends_with("..")).find_map(|at| {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        let is_there = |file: &str| match file {
            // Other projects have packages of npm as their tools.
            "package.json" => std::fs::read_to_string(at.join(file)).is_ok_and(|text| text.contains("\"build\"")),
            _ => at.join(file).is_file(),
        };
        let (_, command) = BUILDS.iter().find(|(file, _)| is_there(file))?;
        Some((at.to_owned(), *command))
    });
    let (at, command) = found?;
    let at: PathBuf = at.components().filter(|part| *part != Component::CurDir).collect();
    if at.as_os_str().is_empty() {
        return Some(command.to_owned());
    }
    // What cannot be shown as a command is not suggested.
    guest_text::command(["cd", at.to_str()?]).map(|go| format!("{go} && {command}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_build_command_is_that_of_the_project_around() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        assert_eq!(build_command(&at("none.wasm")), None);
        for (file, path, command) in [
            ("rs/Cargo.toml", "rs/target/wasm32-wasip2/release/x.wasm", "cargo build --release --target wasm32-wasip2"),
            ("rs/Cargo.toml", "rs/src/lib.rs", "cargo build --release --target wasm32-wasip2"),
            ("js/package.json", "js", "npm run build"),
            ("c/Makefile", "c/task.wasm", "make"),
            ("py/wit/world.wit", "py/task.wasm", BUILDS[3].1),
            ("go/go.mod", "go/task.go", BUILDS[4].1),
        ] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "{ \"scripts\": { \"build\": \"x\" } }").unwrap();
            let project = at(file.split('/').next().unwrap());
            let expected = format!("cd {} && {command}", project.display());
            assert_eq!(build_command(&at(path)), Some(expected), "{path}");
        }
        // In the current directory nobody needs to go anywhere. The tests run in that of a package.
        assert_eq!(build_command(Path::new("./target/x.wasm")).as_deref(), Some(BUILDS[0].1));
    }
}
