//! A headless Chromium, driven through its DevTools protocol over a pipe, without a port or a library.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one page.
pub(crate) struct Chromium {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Value,
    calls: u64,
    is_loaded: bool,
    /// The errors and warnings that the page logged, and the exceptions it threw.
    pub(crate) complaints: Vec<String>,
    /// Every address that the page requested, including its own.
    pub(crate) requests: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts a browser. If Chromium is not installed, prints so and returns `None`.
    pub(crate) fn start() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = std::env::split_paths(&std::env::var_os("PATH")?)
            .find_map(|folder| names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file()));
        let Some(browser) = found else {
            eprintln!("SKIPPED: there is no Chromium here (Debian: apt-get install chromium)");
            assert!(std::env::var_os("CI").is_none(), "CI installs Chromium, but it is missing");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // The protocol uses the descriptors 3 and 4; a shell connects our pipes to them.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]).arg(browser);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--remote-debugging-pipe", "--disable-background-networking", "--disable-extensions"]);
        command.args(["--disable-component-update", "--mute-audio", "--hide-scrollbars", "--font-render-hinting=none"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (session, complaints, requests) = (Value::Null, Vec::new(), Vec::new());
        let mut browser =
            Self { process, to, from, session, calls: 0, is_loaded: false, complaints, requests, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].clone();
        browser.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method of the protocol and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{call}\0").as_bytes()).unwrap();
        loop {
            let message = self.read();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        let message: Value = serde_json::from_slice(bytes.strip_suffix(b"\0").expect("Chromium has ended")).unwrap();
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if params["type"] != "log" => self.complaints.push(params["args"].to_string()),
            "Log.entryAdded" if params["entry"]["level"] != "info" => self.complaints.push(params["entry"].to_string()),
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Page.loadEventFired" => self.is_loaded = true,
            _ => {}
        }
        message
    }

    /// Opens an address and waits until it has loaded.
    pub(crate) fn open(&mut self, address: &str) {
        self.requests.clear();
        self.is_loaded = false;
        self.call("Page.navigate", json!({ "url": address }));
        while !self.is_loaded {
            self.read();
        }
    }

    /// Opens a file.
    pub(crate) fn open_file(&mut self, path: &Path) {
        self.open(&format!("file://{}", path.display()));
    }

    /// The value of an expression in the page, or of its promise.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true, checking it a hundred times a second.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.eval(&format!("Boolean({expression})")) != true {
            assert!(begin.elapsed().as_secs() < 60, "{expression}: not within a minute; {:?}", self.complaints);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Emulates a screen of that size.
    pub(crate) fn resize(&mut self, width: u32, height: u32, scale: f64) {
        let mobile = width < 500;
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// Emulates a medium (`screen`, `print`) and a preferred colour scheme.
    pub(crate) fn media(&mut self, medium: &str, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme },
                              { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": medium, "features": features }));
    }

    /// Moves the pointer.
    pub(crate) fn point_at(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }

    /// A PNG picture of the screen.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        self.captured(json!({ "format": "png" }))
    }

    /// A WebP picture of the screen, which is smaller.
    pub(crate) fn small_picture(&mut self) -> Vec<u8> {
        self.captured(json!({ "format": "webp", "quality": 60 }))
    }

    fn captured(&mut self, params: Value) -> Vec<u8> {
        STANDARD.decode(self.call("Page.captureScreenshot", params)["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
