//! `cargo xtask platforms`: what can be tried here of platforms that are not here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::{cargo, run, target};

const MACOS: &str = "aarch64-apple-darwin";
const ARM64: &str = "aarch64-unknown-linux-gnu";

/// Checks the host for macOS, and runs its main job on Linux on arm64.
pub(crate) fn run_all() -> anyhow::Result<()> {
    macos()?;
    arm64()
}

/// Type-checks the host for macOS. Apple's headers are not here, so a stand-in for its C compiler writes empty objects:
/// C code is neither compiled nor linked.
fn macos() -> anyhow::Result<()> {
    add(MACOS)?;
    let folder = target()?.join("no-c");
    fs::create_dir_all(&folder)?;
    let tool = |name: &str, script: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        anyhow::Ok(path)
    };
    let compiler =
        tool("cc", "while [ $# -gt 0 ]; do case \"$1\" in -o) : > \"$2\";; -o*) : > \"${1#-o}\";; esac; shift; done")?;
    let archiver = tool("ar", "for file; do case \"$file\" in *.a) : > \"$file\";; esac; done")?;
    let mut check = cargo();
    check.args(["check", "--target", MACOS, "-p", "gorgon-cli"]).env("RUSTFLAGS", "-D warnings");
    check.env("CC_aarch64_apple_darwin", &compiler).env("CXX_aarch64_apple_darwin", &compiler);
    run(check.env("AR_aarch64_apple_darwin", archiver))
}

/// Builds gorgon for Linux on arm64, and runs the test of it by qemu-user.
fn arm64() -> anyhow::Result<()> {
    add(ARM64)?;
    let linker = "aarch64-linux-gnu-gcc";
    let has_linker = Command::new(linker).arg("--version").output().is_ok_and(|output| output.status.success());
    ensure!(has_linker, "there is no {linker}: apt-get install gcc-aarch64-linux-gnu");
    let mut build = cargo();
    build.args(["build", "--target", ARM64, "-p", "gorgon-cli", "--bin", "gorgon"]);
    run(build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", linker))?;
    let gorgon = target()?.join(ARM64).join("debug/gorgon");
    ensure!(
        starts(&gorgon),
        "{} does not start: apt-get install qemu-user-static binfmt-support, which lets this machine run it",
        gorgon.display()
    );
    let test = ["test", "-p", "gorgon-cli", "--test", "e2e", "platforms::", "--", "--nocapture"];
    run(cargo().args(test).env("GORGON_ARM64", &gorgon).env("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu"))
}

fn starts(gorgon: &Path) -> bool {
    let said = Command::new(gorgon).arg("--version").env("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu").output();
    said.is_ok_and(|said| said.status.success())
}

fn add(triple: &str) -> anyhow::Result<()> {
    run(Command::new("rustup").args(["target", "add", triple])).with_context(|| format!("rustup has no {triple} here"))
}
