//! The tasks inside the binary are built from the present sources.
//!
//! After a change of those, or of the guest SDK: `GORGON_BLESS=1 cargo test -p gorgon-cli --test e2e embedded`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::support::portable_guest;

const EMBEDDED: [&str; 2] = ["flow", "calls"];

/// All files of this repository that a task is built from, in a fixed order.
fn sources(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for directory in [format!("examples/{name}"), "guest-sdk/src".into(), "guest-sdk/macro/src".into()] {
        collect(&root.join(directory), &mut files);
    }
    files.extend(["guest-sdk/Cargo.toml", "guest-sdk/macro/Cargo.toml"].map(|file| root.join(file)));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs" || extension == "toml"));
    files.sort();
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => collect(&path, files),
            path => files.push(path),
        }
    }
}

#[test]
fn embedded_tasks_match_their_sources() {
    for name in EMBEDDED {
        let mut digest = Sha256::new();
        for file in sources(name) {
            digest.update(std::fs::read(file).unwrap());
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("embedded");
        let noted = embedded.join(name).with_extension("sources");
        if std::env::var_os("GORGON_BLESS").is_some() {
            std::fs::copy(portable_guest(name), embedded.join(name).with_extension("wasm")).unwrap();
            std::fs::write(&noted, format!("{digest}\n")).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&noted).unwrap_or_default().trim(),
            digest,
            "{name} has changed: build it again with `GORGON_BLESS=1 cargo test -p gorgon-cli --test e2e embedded`"
        );
    }
}
