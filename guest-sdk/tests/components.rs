//! The imports and exports of the built examples: a task has those it uses, and no others.
//!
//! The examples are built for wasm32-wasip2 like users do, in a separate target folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use wit_bindgen_core::wit_parser::WorldItem;
use wit_component::DecodedWasm;

const TASKS: [&str; 5] = ["hello", "hash", "spans", "recorder", "sleeper"];

/// A way to wait, which decides the host's lane.
const WAIT: &str = "wasi:clocks/monotonic-clock.subscribe-duration";

#[test]
fn a_plain_task_has_only_its_operation() {
    for name in ["hello", "hash"] {
        let task = Task::built(name);
        assert_eq!(task.exports, set(["operation"]), "exports of {name}");
        assert_eq!(task.gorgon_imports(), set([]), "imports of {name}");
        assert!(!task.imports.contains(WAIT), "{name} can wait: {:?}", task.imports);
    }
}

#[test]
fn a_task_imports_and_exports_what_it_uses() {
    let spans = Task::built("spans");
    assert_eq!(spans.exports, set(["cleanup", "operation", "prepare", "setup"]));
    let used = ["current.[static]span.start", "current.fail", "run.prepared", "run.rows", "run.columns", "run.row"];
    assert_eq!(spans.gorgon_imports(), set(used));
}

#[test]
fn the_recorder_computes_and_the_sleeper_waits() {
    let (recorder, sleeper) = (Task::built("recorder"), Task::built("sleeper"));
    assert_eq!(recorder.exports, set(["operation", "teardown"]));
    assert_eq!(sleeper.exports, set(["operation", "setup", "teardown"]));
    assert!(!recorder.imports.contains(WAIT), "the recorder can wait: {:?}", recorder.imports);
    assert!(sleeper.imports.contains(WAIT), "the sleeper cannot wait: {:?}", sleeper.imports);
}

/// The interface of a built component.
struct Task {
    /// Imported functions, `package:name/interface.function`, without versions.
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Task {
    fn built(name: &str) -> Self {
        let path = release_folder().join(name).with_extension("wasm");
        let bytes = std::fs::read(&path).expect("cargo built it");
        let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes).expect("it is a component") else {
            panic!("{name} is a WIT package, not a task");
        };
        let world = &resolve.worlds[world];
        let name_of = |key| resolve.name_world_key(key);
        let functions_of = |(key, item): (_, &_)| match item {
            WorldItem::Interface { id, .. } => {
                let interface = name_of(key);
                let interface = interface.split('@').next().unwrap_or_default();
                resolve.interfaces[*id].functions.keys().map(|f| format!("{interface}.{f}")).collect()
            }
            _ => vec![name_of(key)],
        };
        Self {
            imports: world.imports.iter().flat_map(functions_of).collect(),
            exports: world.exports.keys().map(name_of).collect(),
        }
    }

    /// Its imports from `gorgon:task`, without that prefix.
    fn gorgon_imports(&self) -> BTreeSet<String> {
        self.imports.iter().filter_map(|name| name.strip_prefix("gorgon:task/")).map(str::to_owned).collect()
    }
}

fn release_folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let target = BUILT.get_or_init(|| {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
        cargo.args(TASKS.map(|name| format!("--package={name}")));
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("start cargo");
        assert!(status.success(), "cannot build the examples; is the target there? `rustup target add wasm32-wasip2`");
        target
    });
    target.join("wasm32-wasip2/release")
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}
