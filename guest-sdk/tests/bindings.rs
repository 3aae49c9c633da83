//! The bindings in `src/bindings` are the output of wit-bindgen for `../wit`, byte for byte.
//!
//! They are generated here and not in a build script, so that building a task needs neither wit-bindgen nor the WIT.
//! After a change of the WIT: `GORGON_BLESS=1 cargo test -p gorgon-guest --test bindings`.

use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// Every world of the package, each with separate bindings, so that a task exports only the hooks it has.
const WORLDS: [&str; 7] =
    ["task", "fallible-task", "host", "with-setup", "with-teardown", "with-prepare", "with-cleanup"];

#[test]
fn bindings_match_the_wit() {
    let bless = std::env::var_os("GORGON_BLESS").is_some();
    let stale: Vec<PathBuf> = WORLDS
        .iter()
        .map(|world| (path_of(world), generate(world)))
        .filter(|(path, wanted)| std::fs::read_to_string(path).ok().as_ref() != Some(wanted))
        .map(|(path, wanted)| {
            if bless {
                std::fs::write(&path, wanted).expect("write the bindings");
            }
            path
        })
        .collect();
    assert!(
        bless || stale.is_empty(),
        "not what wit-bindgen makes of ../wit: {stale:?}; regenerate with `GORGON_BLESS=1 cargo test -p gorgon-guest --test bindings`"
    );
}

#[test]
fn every_world_has_bindings() {
    let (resolve, package) = wit();
    let worlds: Vec<&str> = resolve.packages[package].worlds.keys().map(String::as_str).collect();
    assert_eq!(worlds, WORLDS);
}

fn wit() -> (Resolve, wit_bindgen_core::wit_parser::PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(manifest_dir().join("../wit")).expect("parse ../wit");
    (resolve, package)
}

fn generate(world: &str) -> String {
    let (mut resolve, package) = wit();
    let world = resolve.select_world(&[package], Some(world)).expect("the world is in the WIT");
    let options = wit_bindgen_rust::Opts {
        format: true,
        // The SDK's `export!` expands in the task's crate, and so must the section that describes the export.
        pub_export_macro: true,
        ..Default::default()
    };
    let mut files = Files::default();
    wit_bindgen_core::WorldGenerator::generate(&mut options.build(), &mut resolve, world, &mut files)
        .expect("generate the bindings");
    let (_, source) = files.iter().next().expect("wit-bindgen makes one file per world");
    String::from_utf8(source.to_vec()).expect("Rust source is UTF-8")
}

fn path_of(world: &str) -> PathBuf {
    manifest_dir().join("src/bindings").join(world.replace('-', "_")).with_extension("rs")
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
