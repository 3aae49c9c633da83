//! Gorgon built for another platform than the one that the tests run on.

use std::process::Command;

use serde_json::Value;

use crate::support::{guest, validate};

/// The path of gorgon for Linux on arm64. `cargo xtask platforms` builds it, and sets this.
const ARM64: &str = "GORGON_ARM64";

#[test]
fn linux_on_arm64_runs_the_main_job() {
    let Some(gorgon) = std::env::var_os(ARM64) else {
        eprintln!("SKIPPED: `cargo xtask platforms` builds gorgon for arm64, and runs this test by qemu-user");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| -> Value {
        let json = folder.path().join("r.json");
        let output = Command::new(&gorgon)
            .args(args)
            .arg("--json")
            .arg(&json)
            .env("XDG_CACHE_HOME", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        validate(&report);
        assert_eq!(report["environment"]["os"], "linux aarch64");
        report
    };
    let task = guest("results").display().to_string();
    let closed = run(&["run", &task, "-n", "400", "-p", "2", "-t", "2"]);
    assert_eq!(closed["total"]["operations"]["completed"], 400);
    assert_eq!(closed["runs"][0]["workers"].as_array().unwrap().len(), 2);
    // Timers, the I/O lane, HTTP and verdicts.
    let open = run(&["demo", "--rate", "20", "-d", "2s", "-c", "4", "--fail-if", "failed>0"]);
    let counts = &open["total"]["operations"];
    assert_eq!((&counts["offered"], &counts["ok"]), (&40.into(), &40.into()));
    assert_eq!(open["verdicts"][0]["failed"], false);
}
