//! The SDK of Rust as this binary has it: what a project keeps until the SDK is published.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::Files;

/// The folder of the SDK in a project.
pub(super) const FOLDER: &str = "gorgon-guest";

/// The sources, as in `guest-sdk/`.
const SOURCES: Files = files!(
    "sdk/src": "bindings/fallible_task.rs" "bindings/host.rs" "bindings/kept.rs" "bindings/mod.rs" "bindings/task.rs"
    "bindings/with_cleanup.rs" "bindings/with_prepare.rs" "bindings/with_setup.rs" "bindings/with_teardown.rs" "data.rs"
    "export.rs" "host/component.rs" "host/native.rs" "http/component.rs" "http/cookies.rs" "http/decode.rs"
    "http/mod.rs" "http/native.rs" "http/tests.rs" "http/url.rs" "lib.rs" "testing.rs"
);
const MACRO_SOURCES: Files = files!("sdk/macro-src": "lib.rs" "signature.rs");

const MANIFESTS: Files = files!("sdk": "Cargo.toml.in" "macro.toml.in");

/// The files of the SDK, below [`FOLDER`].
pub(super) fn files() -> Vec<(PathBuf, String)> {
    let below = |folder: &str, files: Files| -> Vec<(PathBuf, String)> {
        files.iter().map(|(name, text)| (Path::new(folder).join(name), (*text).to_owned())).collect()
    };
    let manifest = |name: &str| match name {
        "macro.toml.in" => PathBuf::from("macro/Cargo.toml"),
        _ => "Cargo.toml".into(),
    };
    let manifests =
        MANIFESTS.iter().map(|(name, text)| (manifest(name), text.replace("VERSION", env!("CARGO_PKG_VERSION"))));
    manifests.chain(below("src", SOURCES)).chain(below("macro/src", MACRO_SOURCES)).collect()
}

/// The dependency of a project in a new folder on the SDK in `folder`, as this is seen from the folder's parent.
pub(super) fn dependency_on(folder: &Path) -> anyhow::Result<String> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    ensure!(
        manifest.contains("name = \"gorgon-guest\""),
        "`{}` has no gorgon-guest; name the folder `guest-sdk` of a checkout of Gorgon",
        folder.display()
    );
    Ok(path(&if folder.is_relative() { Path::new("..").join(folder) } else { folder.to_owned() }))
}

/// The dependency on the SDK in a folder.
pub(super) fn path(folder: &Path) -> String {
    format!("path = {}", toml::Value::String(folder.display().to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk")
    }

    /// All sources below a folder of the SDK.
    fn sources(folder: &Path) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| folder.join(entry.unwrap().file_name()));
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| root().join(path).is_dir());
        folders.iter().flat_map(|folder| sources(folder)).chain(files).collect()
    }

    #[test]
    fn a_project_has_every_source_of_the_sdk() {
        let written: BTreeSet<PathBuf> =
            files().into_iter().map(|(path, _)| path).filter(|path| path.extension().unwrap() == "rs").collect();
        let all: BTreeSet<PathBuf> = ["src", "macro/src"].iter().flat_map(|of| sources(Path::new(of))).collect();
        assert_eq!(written, all);
    }

    #[test]
    fn its_manifests_say_what_those_of_the_sdk_say() {
        for file in ["Cargo.toml", "macro/Cargo.toml"] {
            let written = files().into_iter().find(|(path, _)| path == Path::new(file)).unwrap().1;
            let (written, own): (toml::Table, toml::Table) = (
                toml::from_str(&written).unwrap(),
                toml::from_str(&fs::read_to_string(root().join(file)).unwrap()).unwrap(),
            );
            for part in ["lib", "features", "dependencies", "target"] {
                assert_eq!(written.get(part), own.get(part), "{part} of {file}");
            }
            assert_eq!(written["package"]["name"], own["package"]["name"]);
            assert_eq!(written["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        }
    }
}
