//! Measures HTTP beside other tools. Each tool runs on one core against nginx on the other, in interleaved rounds.
//!
//! The compared figure is requests per second of processor time, so that it does not matter whether a tool keeps its
//! core busy. An idle-priority process keeps both cores awake: on a virtual machine waking a core costs more than a
//! request, and a fast tool, which keeps nginx awake, would be spared that cost. The cost of ten threads over one is
//! compared with wrk's, which does little besides HTTP, so it shows the machine's share. Tools that are not installed
//! are left out, with a message.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bench::peak_rss;
use crate::stall::Server;
use crate::{TARGET, guests, release, root, target};

const ROUNDS: usize = 5;

/// How long each tool runs in a round.
const SECONDS: &str = "3";

const PORT: u16 = 18_080;

/// What is asked for of nginx.
const URL: &str = "http://127.0.0.1:18080/";

/// One tool with one load.
pub(crate) struct Contender {
    name: &'static str,
    command: Vec<String>,
    /// Requests per second of wall time and per second of processor time, by round.
    figures: Vec<(f64, f64)>,
}

pub(crate) fn run_all() -> anyhow::Result<()> {
    guests()?;
    let (program, task) = (release()?, target()?.join(TARGET).join("release/http.wasm"));
    beside_others(&program, &task)?;
    memory(&program, &task)
}

/// The command that runs `task` for a round.
pub(crate) fn gorgon(program: &Path, task: &Path, shape: &[&str]) -> Vec<String> {
    let mut command = vec![program.display().to_string(), "run".into(), task.display().to_string()];
    command.extend(["-d".into(), format!("{SECONDS}s"), "--quiet".into(), "--allow".into(), URL.into()]);
    command.extend(["--env".into(), format!("URL={URL}")]);
    command.extend(shape.iter().map(|&word| word.to_owned()));
    command
}

fn beside_others(program: &Path, task: &Path) -> anyhow::Result<()> {
    let nginx = Nginx::start()?;
    let _awake = Awake::start()?;
    let gorgon = |shape: &[&str]| gorgon(program, task, shape);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut contenders = vec![
        Contender::new("gorgon -t 1 -c 10", gorgon(&["-t", "1", "-c", "10"])),
        Contender::new("gorgon -t 10", gorgon(&["-t", "10"])),
        Contender::new("gorgon -t 1 -c 1000", gorgon(&["-t", "1", "-c", "1000"])),
        Contender::new("oha -c 10", words(&format!("oha --no-tui -z {SECONDS}s -c 10 {URL}"))),
        Contender::new("oha -c 1000", words(&format!("oha --no-tui -z {SECONDS}s -c 1000 {URL}"))),
        Contender::new("wrk -t 1 -c 10", words(&format!("wrk -t1 -c10 -d{SECONDS}s {URL}"))),
        Contender::new("wrk -t 10 -c 10", words(&format!("wrk -t10 -c10 -d{SECONDS}s {URL}"))),
        Contender::new("hey -c 10", words(&format!("hey -z {SECONDS}s -c 10 -cpus 1 {URL}"))),
    ];
    let locustfile = root().join("xtask/src/locustfile.py");
    // Locust takes the host without a path. Its start-up is part of its processor time.
    let host = URL.trim_end_matches('/');
    let mut locust = words(&format!("locust --headless --only-summary -u 10 -r 10 -t {SECONDS}s -H {host} -f"));
    locust.push(locustfile.display().to_string());
    contenders.push(Contender::new("locust's FastHttpUser, 10 users", locust));
    contenders.retain(|contender| {
        let is_there = contender.command[0].contains('/') || on_path(&contender.command[0]);
        if !is_there {
            println!("{} is not installed, and left out", contender.command[0]);
        }
        is_there
    });
    for round in 0..ROUNDS {
        eprint!("\rround {} of {ROUNDS} ", round + 1);
        for contender in &mut contenders {
            contender.measure(&nginx)?;
        }
    }
    eprintln!();
    let ours = contenders[0].per_cpu();
    println!("medians of {ROUNDS} interleaved rounds of {SECONDS} s\n");
    for contender in &contenders {
        println!(
            "{:>9.0} req/s  {:>6.2} us of CPU per request  {:>5.2} x  {}",
            contender.per_second(),
            1e6 / contender.per_cpu(),
            ours / contender.per_cpu(),
            contender.name
        );
    }
    println!(
        "\nx: requests per CPU second of gorgon -t 1 -c 10 to those of the line (aim: at least 0.65 of oha, above hey)\n"
    );
    let named = |name| contenders.iter().find(|contender| contender.name == name);
    for (of, one, ten, aim) in [
        ("gorgon", "gorgon -t 1 -c 10", "gorgon -t 10", "aim: at most 5"),
        ("wrk", "wrk -t 1 -c 10", "wrk -t 10 -c 10", "what the machine asks for"),
    ] {
        if let Some((one, ten)) = named(one).zip(named(ten)) {
            let more = 1e6 / ten.per_cpu() - 1e6 / one.per_cpu();
            println!("{more:>+9.1} us of CPU per request by ten threads instead of one, {of} ({aim})");
        }
    }
    if let Some(thousand) = named("gorgon -t 1 -c 1000") {
        let kept = thousand.per_second() / contenders[0].per_second();
        println!("{kept:>9.2} x  the throughput of gorgon -t 1 -c 1000 to that of -c 10 (aim: at least 0.7)");
    }
    Ok(())
}

/// Measures the memory of an operation in flight: ten thousand of them wait for a response, four times over.
fn memory(program: &Path, task: &Path) -> anyhow::Result<()> {
    const IN_FLIGHT: u64 = 10_000;
    let server = Server::start(program)?;
    let mut gorgon = Command::new(program);
    gorgon.arg("run").arg(task).args(["-p", "2", "-t", "1", "-c"]).arg((IN_FLIGHT / 2).to_string());
    gorgon.arg("-n").arg((4 * IN_FLIGHT).to_string()).args(["--quiet", "--json", "-", "--allow", &server.url]);
    gorgon.arg("--env").arg(format!("URL={}slow?ms=3000", server.url));
    let output = gorgon.output().with_context(|| format!("cannot run {gorgon:?}"))?;
    ensure!(output.status.success(), "{gorgon:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let each = peak_rss(&serde_json::from_slice(&output.stdout)?)? as f64 / 1024.0 / IN_FLIGHT as f64;
    println!(
        "{each:>9.1} KiB of memory for each of {IN_FLIGHT} operations in flight, workers included (aim: at most 100)"
    );
    Ok(())
}

impl Contender {
    pub(crate) fn new(name: &'static str, command: Vec<String>) -> Self {
        Self { name, command, figures: Vec::new() }
    }

    fn per_second(&self) -> f64 {
        median(self.figures.iter().map(|&(per_second, _)| per_second))
    }

    pub(crate) fn per_cpu(&self) -> f64 {
        median(self.figures.iter().map(|&(_, per_cpu)| per_cpu))
    }

    /// Runs the tool on the first core. The requests are those that nginx counted.
    pub(crate) fn measure(&mut self, nginx: &Nginx) -> anyhow::Result<()> {
        let (before, cpu, begin) = (nginx.requests()?, children_cpu()?, Instant::now());
        let output = Command::new("taskset").args(["-c", "0"]).args(&self.command).output()?;
        ensure!(output.status.success(), "{:?}: {}", self.command, String::from_utf8_lossy(&output.stderr));
        let wall = begin.elapsed().as_secs_f64();
        let cpu = children_cpu()?.saturating_sub(cpu).as_secs_f64();
        let requests = (nginx.requests()? - before) as f64;
        self.figures.push((requests / wall, requests / cpu));
        Ok(())
    }
}

/// The processor time of all child processes that have ended.
fn children_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may contain anything. After it, cutime and cstime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|field| field.parse::<u64>().ok());
    let ticks = ticks(13).zip(ticks(14)).map(|(user, system)| user + system).context("no times")?;
    // Linux counts them in hundredths of a second, whatever the tick of the kernel.
    Ok(Duration::from_millis(ticks * 10))
}

/// Keeps both cores awake, for at most half an hour.
pub(crate) struct Awake([Child; 2]);

impl Awake {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let spin = |core: &str| {
            let mut spin = Command::new("chrt");
            spin.args(["--idle", "0", "taskset", "-c", core, "bash", "-c", "while ((SECONDS < 1800)); do :; done"]);
            spin.spawn().with_context(|| format!("cannot run {spin:?}"))
        };
        Ok(Self([spin("0")?, spin("1")?]))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// An nginx on the second core, in a separate folder.
pub(crate) struct Nginx {
    process: Child,
    directory: PathBuf,
}

impl Nginx {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("gorgon-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let at = directory.display();
        let config = format!(
            "worker_processes 1; master_process off; daemon off; pid {at}/pid; error_log {at}/errors;
             events {{ worker_connections 20000; }}
             http {{ access_log off; keepalive_requests 1000000000;
               server {{ listen 127.0.0.1:{PORT} backlog=4096;
                 location / {{ return 200 'hello\\n'; }} location /status {{ stub_status; }} }} }}"
        );
        std::fs::write(directory.join("nginx.conf"), config)?;
        let mut nginx = Command::new("taskset");
        nginx.args(["-c", "1", "nginx", "-p"]).arg(&directory).arg("-c").arg(directory.join("nginx.conf"));
        let process =
            nginx.stderr(Stdio::null()).spawn().context("cannot start nginx: install Debian's nginx-light")?;
        let nginx = Self { process, directory };
        let begin = Instant::now();
        while nginx.requests().is_err() {
            ensure!(begin.elapsed() < Duration::from_secs(10), "nginx does not answer; is it installed (nginx-light)?");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    /// The number of requests that it has answered.
    fn requests(&self) -> anyhow::Result<u64> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", PORT))?;
        stream.write_all(b"GET /status HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let counts = text.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1).context("no counts")?;
        Ok(counts.split_whitespace().nth(2).context("no count of requests")?.parse()?)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
