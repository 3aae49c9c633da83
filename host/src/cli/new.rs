//! `gorgon new`: creates a task project that builds. The binary contains the templates.

/// The files with these names in a folder of `templates/`.
macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $folder, "/", $name)))),*]
    };
}

mod sdk;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::Exit;
use super::output::ignore_closed;
use crate::wit::{TASK_WIT, WASI_WIT};

/// Start a task project: an operation, its unit test, and its build
///
/// The README has the three main commands. The operation computes a hash and returns SUCCESS or FAIL; with --http it
/// sends a flow of three requests to the server of `gorgon demo --serve`. Replace it by your own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon new shop --lang rust --http
  gorgon new parse --lang python
  gorgon new parse --lang ts && cat parse/README.md")]
pub(super) struct NewCommand {
    /// The name of the project and of its new folder
    name: Name,

    /// The language of the project
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,

    /// A flow of HTTP requests
    #[arg(long)]
    http: bool,

    /// For Rust: depend on the SDK in this folder, instead of a copy in the project
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// What the operation of a new project does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Template {
    /// It computes a hash.
    Hash,
    /// It sends requests.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Python,
    Js,
    Ts,
    C,
    Go,
}

/// A name that is a valid package name in every language: words of letters and digits, joined by hyphens.
#[derive(Clone, Debug)]
struct Name(String);

/// The name of the projects in `templates/`.
const TEMPLATE: &str = "my-task";

/// Names that [`Name`] accepts but Rust does not accept for a crate.
const RUST_KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "test", "trait",
    "true", "try", "type", "unsafe", "use", "where", "while",
];

type Files = &'static [(&'static str, &'static str)];

impl Language {
    /// The files of a project.
    fn files(self, template: Template) -> Files {
        match (self, template) {
            (Self::Rust, Template::Hash) => files!("rust/hash": ".gitignore" "Cargo.toml.in" "README.md" "lib.rs"),
            (Self::Rust, Template::Http) => files!("rust/http": ".gitignore" "Cargo.toml.in" "README.md" "lib.rs"),
            (Self::Python, Template::Hash) => {
                files!("python/hash": ".gitignore" "README.md" "task.py" "test_task.py" "wit/world.wit")
            }
            (Self::Python, Template::Http) => {
                files!(
                    "python/http": ".gitignore" "README.md" "http_client.py" "task.py" "test_task.py"
                    "wit/world.wit"
                )
            }
            (Self::Js, Template::Hash) => {
                files!("js/hash": ".gitignore" "README.md" "package.json" "task.js" "task.test.js" "wit/world.wit")
            }
            (Self::Js, Template::Http) => files!(
                "js/http": ".gitignore" "README.md" "current.js" "package.json" "task.js" "task.test.js" "wit/world.wit"
            ),
            (Self::Ts, Template::Hash) => files!(
                "ts/hash": ".gitignore" "README.md" "package.json" "task.test.ts" "task.ts" "tsconfig.json"
                "wit/world.wit"
            ),
            (Self::Ts, Template::Http) => files!(
                "ts/http": ".gitignore" "README.md" "current.ts" "package.json" "task.test.ts" "task.ts"
                "tsconfig.json" "wit/world.wit"
            ),
            (Self::C, Template::Hash) => {
                files!("c/hash": ".gitignore" "Makefile" "README.md" "gorgon.h" "sha512.h" "task.c" "test_task.c")
            }
            (Self::C, Template::Http) => {
                files!("c/http": ".gitignore" "Makefile" "README.md" "gorgon.h" "http.c" "http.h" "task.c" "test_task.c")
            }
            (Self::Go, Template::Hash) => files!(
                "go/hash": ".gitignore" "Makefile" "README.md" "go.mod" "gorgon_native.go" "gorgon_wasm.go" "task.go"
                "task_test.go"
            ),
            (Self::Go, Template::Http) => files!(
                "go/http": ".gitignore" "Makefile" "README.md" "go.mod" "gorgon_native.go" "gorgon_wasm.go"
                "http_native.go" "http_wasm.go" "task.go" "task_test.go"
            ),
        }
    }

    /// The interfaces that its tools read, or that its authors may look up.
    fn wit(self, template: Template) -> Vec<(PathBuf, &'static str)> {
        let folder = match self {
            Self::Rust | Self::C | Self::Go => "wit",
            Self::Python | Self::Js | Self::Ts => "wit/deps",
        };
        let task = (Path::new(folder).join("task.wit"), TASK_WIT);
        // Rust and JavaScript have requests without these interfaces.
        let wasi: &[_] = match self {
            Self::Python | Self::C | Self::Go if template == Template::Http => &WASI_WIT,
            _ => &[],
        };
        let wasi = wasi.iter().map(|(name, text)| (Path::new("wit/deps").join(name), *text));
        std::iter::once(task).chain(wasi).collect()
    }
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) || !text.split('-').all(is_word) {
            return Err(
                "a name has lowercase letters, digits and single hyphens, and begins with a letter, such as my-task"
                    .into(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl NewCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { name: Name(name), lang, http, sdk: given } = self;
        if given.is_some() && lang != Language::Rust {
            return Ok(Exit::wrong_usage("--sdk is for --lang rust; the other languages need none"));
        }
        if lang == Language::Rust && RUST_KEYWORDS.contains(&name.as_str()) {
            return Ok(Exit::wrong_usage(format!("Rust does not accept a crate called `{name}`: choose another name")));
        }
        let template = if http { Template::Http } else { Template::Hash };
        let dependency = match &given {
            None => sdk::path(Path::new(sdk::FOLDER)),
            Some(folder) => sdk::dependency_on(folder)?,
        };
        let folder = Path::new(&name);
        fs::create_dir(folder)
            .with_context(|| format!("cannot make the folder `{name}`; choose another name, or remove it"))?;

        let mut readme = String::new();
        for (file, text) in lang.files(template) {
            let text = text.replace(TEMPLATE, &name).replace(&crate_name(TEMPLATE), &crate_name(&name));
            let (file, text) = match *file {
                "Cargo.toml.in" => ("Cargo.toml", text.replace("SDK", &dependency)),
                "lib.rs" => ("src/lib.rs", text),
                file => (file, text),
            };
            write(&folder.join(file), &text)?;
            if file == "README.md" {
                readme = text;
            }
        }
        for (file, text) in lang.wit(template) {
            write(&folder.join(file), text)?;
        }
        if lang == Language::Rust && given.is_none() {
            // Whoever gets the project can build it, on any machine.
            for (file, text) in sdk::files() {
                write(&folder.join(sdk::FOLDER).join(file), &text)?;
            }
        }
        let next = format!("made `{name}`; its README.md has the next steps:\n\n  cd {name}\n{}", commands(&readme));
        ignore_closed(io::stdout().lock().write_all(next.as_bytes()))?;
        Ok(Exit::Done)
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, text))
        .with_context(|| format!("cannot write `{}`", file.display()))
}

/// The name of a package in Rust code and in file names.
fn crate_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The commands in a README's code blocks, indented.
fn commands(readme: &str) -> String {
    let blocks = readme.split("```\n").skip(1).step_by(2);
    blocks.flat_map(str::lines).map(|line| format!("  {line}\n")).collect()
}
