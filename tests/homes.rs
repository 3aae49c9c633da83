//! Odd homes: no cache, no temporary directory, a full disk, a terminal that goes away.

use std::io::Write;
use std::process::{Command, Output};

use crate::support::servers::listen;
use crate::support::{gorgon, guest, only_result, ran, signal, wait_until, with_mounts, workers};

/// What is said when the cache cannot be used.
const UNCACHED: &str = "compiled code is not kept for the next run, as the cache cannot be used: ";

fn noop() -> Command {
    let mut gorgon = gorgon();
    gorgon.arg("run").arg(guest("noop")).args(["-n", "5", "-p", "2", "--no-progress"]);
    gorgon
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_place_for_compiled_code_it_is_kept_in_memory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = noop().env("XDG_CACHE_HOME", file.path()).env("TMPDIR", "/nowhere").output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() && said.starts_with(UNCACHED) && said.lines().count() == 1, "{said}");
    let output = noop().arg("--quiet").env("XDG_CACHE_HOME", file.path()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));

    // Calls need no place either.
    let server = crate::support::servers::demo();
    let mut http = gorgon();
    http.args(["http", &format!("http://{server}/"), "-n", "3", "--quiet", "--json", "-"]);
    let output = http.env("XDG_CACHE_HOME", file.path()).env("TMPDIR", "/nowhere").output().unwrap();
    assert_eq!(only_result(&ran(output)), "200");
}

#[test]
fn a_cache_that_is_read_only_or_full_or_not_for_code_is_no_obstacle() {
    let cache = tempfile::tempdir().unwrap();
    let at = cache.path().display();
    let mut command = noop();
    command.env("XDG_CACHE_HOME", cache.path());
    // What is in the cache can be used, although nothing can be written.
    assert!(noop().env("XDG_CACHE_HOME", cache.path()).status().unwrap().success());
    let read_only = format!("mount --bind {at} {at} && mount -o remount,ro,bind {at}");
    let Some(mut wrapped) = with_mounts(&read_only, &command) else { return };
    let output = wrapped.output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    for (mounts, why) in [
        (format!("mount -t tmpfs -o ro none {at}"), "Read-only file system"),
        (format!("mount -t tmpfs -o size=16k,mode=0700 none {at}"), "No space left on device"),
        (format!("mount -t tmpfs -o noexec,mode=0700 none {at}"), "Permission denied"),
    ] {
        let Some(mut wrapped) = with_mounts(&mounts, &command) else { return };
        let output = wrapped.output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success() && said.starts_with(UNCACHED) && said.contains(why), "{mounts}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_is_no_file_of_code_in_the_cache_is_passed_over() {
    let cache = tempfile::tempdir().unwrap();
    let run = || noop().env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    assert!(run().status.success());
    let compiled = cache.path().join("gorgon/compiled");
    let code = std::fs::read_dir(&compiled).unwrap().next().unwrap().unwrap().path();
    for (put, is_healed) in [("mkdir", false), ("mkfifo", true), ("touch", true)] {
        let _ = std::fs::remove_file(&code);
        let _ = std::fs::remove_dir(&code);
        assert!(Command::new(put).arg(&code).status().unwrap().success());
        let output = run();
        assert!(output.status.success(), "{put}: {}", stderr(&output));
        assert_eq!(stderr(&output).is_empty(), is_healed, "{put}: {}", stderr(&output));
    }
}

#[test]
fn the_end_of_the_terminal_is_a_stop_unless_it_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let run = |name: &str, before: &str, duration: &str| {
        let report = directory.path().join(name);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{before} exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_gorgon"));
        shell.arg("run").arg(guest("sleeper")).args(["-d", duration, "--quiet", "--json"]).arg(&report);
        let mut child = shell.spawn().unwrap();
        wait_until("it runs", || !workers(&child).is_empty());
        let running = workers(&child);
        signal("HUP", child.id());
        let status = child.wait().unwrap();
        assert!(running.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}")).exists()));
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        (status.code(), report["runs"][0]["stopped"].clone())
    };
    assert_eq!(run("stopped.json", "", "60s").0, Some(130));
    // As nohup does it.
    assert_eq!(run("ignored.json", "trap '' HUP;", "1s").0, Some(0));
}

#[test]
fn a_file_beyond_the_limit_is_an_error_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    // Machine code in memory would be such a file too.
    assert!(noop().env("XDG_CACHE_HOME", cache.path()).status().unwrap().success());
    let mut shell = Command::new("sh");
    shell.env("XDG_CACHE_HOME", cache.path());
    shell.arg("-c").arg("ulimit -f 1; exec \"$0\" \"$@\"").arg(env!("CARGO_BIN_EXE_gorgon"));
    shell
        .arg("run")
        .arg(guest("noop"))
        .args(["-n", "5", "--no-progress", "--html"])
        .arg(directory.path().join("x.html"));
    let output = shell.output().unwrap();
    let said = stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("File too large"), "{:?} {said}", output.status);
    // The text report is there, and nothing besides it.
    assert!(String::from_utf8_lossy(&output.stdout).contains("start-up"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let rows = directory.path().join(std::ffi::OsStr::from_bytes(b"rows\xff.csv"));
    std::fs::write(&rows, "a\n1\n").unwrap();
    let output = noop().arg("--data").arg(&rows).output().unwrap();
    assert!(stderr(&output).contains("have to be UTF-8"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(2));
    let cache = directory.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let output = noop().env("XDG_CACHE_HOME", cache).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("is not UTF-8"), "{}", stderr(&output));
}

#[test]
fn a_body_of_a_gigabyte_needs_no_memory() {
    const BYTES: u64 = 1_000_000_000;
    let (address, _) = listen(|mut stream| {
        let mut from = std::io::BufReader::new(stream.try_clone().unwrap());
        if crate::support::servers::read_head(&mut from) {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes());
            let chunk = vec![b'x'; 1_000_000];
            for _ in 0..BYTES / 1_000_000 {
                if stream.write_all(&chunk).is_err() {
                    return;
                }
            }
        }
    });
    let mut gorgon = gorgon();
    gorgon.args(["http", &format!("http://{address}/"), "--quiet", "--json", "-"]);
    let ran = ran(gorgon.output().unwrap());
    assert_eq!(only_result(&ran), "200");
    assert!(ran.figure("/network/bytes_in") > BYTES);
    let peak = ran.report["runs"][0]["workers"][0]["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < 64 << 20, "{peak} bytes");
}

/// A machine with eleven ports, on which twenty operations want a connection each.
#[test]
fn ports_that_run_out_are_this_machines_and_not_the_servers() {
    let script = "ip link set lo up && echo '50000 50010' > /proc/sys/net/ipv4/ip_local_port_range || exit 77
        \"$0\" demo --serve --port 8000 2> /dev/null &
        until \"$0\" http http://127.0.0.1:8000/ --quiet > /dev/null 2>&1; do sleep 0.1; done
        \"$0\" http 'http://127.0.0.1:8000/slow?ms=100' -n 100 -c 20 --no-progress --json - 2> /dev/null
        kill $!";
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_gorgon")]);
    let output = unshare.output().unwrap();
    if output.stdout.is_empty() {
        println!("SKIPPED: the system allows no network of its own");
        return;
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["runs"][0];
    let lacked = &run["network"]["lacked"][0];
    assert_eq!(lacked["resource"], "ports", "{run}");
    let failed = run["operations"]["failed"].as_u64().unwrap();
    assert!(failed > 0 && lacked["count"].as_u64() == Some(failed), "{failed} failed, {lacked}");
    assert!(run["generator"]["limits"].as_array().unwrap().contains(&"lacked".into()), "{run}");
    let reasons = run["generator"]["reasons"].as_array().unwrap();
    let says = |words: &str| reasons.iter().any(|reason| reason.as_str().unwrap().contains(words));
    assert!(says("as no port was free") && says("--local-address"), "{reasons:?}");
}
