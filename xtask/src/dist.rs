//! `cargo xtask dist`: what a release hands out, in the folder `dist` of cargo's output: an archive with the binary,
//! its completions and its manual page, a Debian package, and their checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::{cargo, release, root, run, target};

/// The shells that get a script, with the names under which they look for it.
const SHELLS: [(&str, &str); 3] = [("bash", "gorgon"), ("zsh", "_gorgon"), ("fish", "gorgon.fish")];

/// Makes everything from `gorgon`, or from a release build.
pub(crate) fn run_all(gorgon: Option<PathBuf>) -> anyhow::Result<()> {
    let gorgon = match gorgon {
        Some(gorgon) => fs::canonicalize(&gorgon).with_context(|| format!("there is no {}", gorgon.display()))?,
        None => release()?,
    };
    let dist = target()?.join("dist");
    let _ = fs::remove_dir_all(&dist);
    let name = format!("gorgon-{}-{}", version(&gorgon)?, triple()?);
    let folder = dist.join(&name);
    fill(&folder, &gorgon)?;
    run(Command::new("tar").args(["-czf", &format!("{name}.tar.gz"), &name]).current_dir(&dist))?;
    debian(&folder, &dist)?;
    let mut files: Vec<_> = fs::read_dir(&dist)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = Command::new("sha256sum").args(names).current_dir(&dist).output()?;
    ensure!(sums.status.success(), "sha256sum failed");
    fs::write(dist.join("SHA256SUMS"), &sums.stdout)?;
    print!("{}", String::from_utf8_lossy(&sums.stdout));
    println!("in {}", dist.display());
    Ok(())
}

/// Writes what the archive and the package have.
fn fill(folder: &Path, gorgon: &Path) -> anyhow::Result<()> {
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    fs::copy(gorgon, folder.join("gorgon"))?;
    run(Command::new("strip").arg(folder.join("gorgon")))?;
    for (shell, name) in SHELLS {
        fs::write(completions.join(name), said(gorgon, &["completions", shell])?)?;
    }
    fs::write(folder.join("gorgon.1"), said(gorgon, &["man"])?)?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE"] {
        fs::copy(root().join(file), folder.join(file))?;
    }
    Ok(())
}

/// Makes the Debian package, from the folder that `[package.metadata.deb]` names.
fn debian(folder: &Path, dist: &Path) -> anyhow::Result<()> {
    let staged = target()?.join("release/dist-deb");
    let _ = fs::remove_dir_all(&staged);
    run(Command::new("cp").arg("-r").arg(folder).arg(&staged))?;
    let mut deb = cargo();
    deb.args(["deb", "-p", "gorgon-cli", "--no-build", "--no-strip", "--output"]).arg(dist);
    run(&mut deb)
        .context("cannot make the Debian package; if cargo-deb is missing: cargo install cargo-deb --locked")?;
    fs::remove_dir_all(&staged)?;
    Ok(())
}

fn said(gorgon: &Path, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(gorgon).args(args).output()?;
    ensure!(output.status.success(), "gorgon {args:?} failed");
    Ok(output.stdout)
}

fn version(gorgon: &Path) -> anyhow::Result<String> {
    let said = String::from_utf8(said(gorgon, &["--version"])?)?;
    Ok(said.trim().trim_start_matches("gorgon ").to_owned())
}

/// The target that this machine builds for.
fn triple() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let said = String::from_utf8(output.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
