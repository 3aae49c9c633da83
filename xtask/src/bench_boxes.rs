//! Measures runs over boxes beside runs on one machine, with a real NATS server and agents on loopback.

mod disturbed;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{TARGET, guests, release, target};

/// Rounds in which what is compared is run in turns.
const ROUNDS: usize = 7;

/// How long an operation of the target takes.
const SERVICE: Duration = Duration::from_millis(20);

/// What is measured, and with what.
struct Bench {
    gorgon: PathBuf,
    guests: PathBuf,
    nats: Server,
}

/// A part of what is measured.
type Part = fn(&mut Bench) -> anyhow::Result<()>;

/// A NATS server.
struct Server {
    process: Child,
    url: String,
    folder: PathBuf,
}

/// An agent.
struct Agent(Child);

/// Measures `part`, or everything.
pub(crate) fn run_all(gorgon: Option<PathBuf>, part: Option<&str>) -> anyhow::Result<()> {
    guests()?;
    let gorgon = match gorgon {
        Some(gorgon) => gorgon,
        None => release()?,
    };
    let folder = target()?.join("tmp/bench-boxes");
    let mut bench = Bench { gorgon, guests: target()?.join(TARGET).join("release"), nats: Server::start(folder)? };
    let parts: [(&str, Part); 6] = [
        ("harness", |bench| bench.harness()),
        ("waiting", |bench| bench.waiting()),
        ("find", |bench| bench.search()),
        ("skew", |bench| bench.skew()),
        ("agents", |bench| bench.many(200)),
        ("disturbed", disturbed::print),
    ];
    let names = parts.map(|(name, _)| name).join(", ");
    ensure!(part.is_none_or(|part| parts.iter().any(|(name, _)| *name == part)), "the parts are {names}");
    let wanted = parts.iter().filter(|(name, _)| part.is_none_or(|part| part == *name));
    wanted.map(|(_, measure)| measure).try_for_each(|measure| measure(&mut bench))
}

impl Bench {
    /// The processor time of an operation that does nothing: on this machine, and on one box with its agent.
    fn harness(&self) -> anyhow::Result<()> {
        let agents = self.agents(1)?;
        let (mut local, mut over, mut agent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let args = ["-d", "3s", "--warmup", "200ms"];
            local.push(cpu_per_operation(&self.run("noop", &args)?)?);
            let before = agents[0].cpu()?;
            let report = self.run("noop", &[&args[..], &["--on", &self.nats.url]].concat())?;
            let of_agent = agents[0].cpu()?.saturating_sub(before).as_nanos() as f64 / operations(&report);
            over.push(cpu_per_operation(&report)? + of_agent);
            agent.push(of_agent);
        }
        let ratio = median(over.iter().zip(&local).map(|(over, local)| over / local));
        println!("processor time of a no-op, 1x1, medians of {ROUNDS} interleaved rounds of 3 s");
        println!(
            "  on this machine {:.1} ns, on one box {:.1} ns, of these its agent {:.2} ns",
            median(local),
            median(over),
            median(agent)
        );
        println!("  ratio of each round: {ratio:.3} (aim: at most 1.05)\n");
        Ok(())
    }

    /// Three boxes against one, where waiting is the limit.
    fn waiting(&self) -> anyhow::Result<()> {
        let target = Target::start(usize::MAX)?;
        let _agents = self.agents(3)?;
        let mut ratios = Vec::new();
        for _ in 0..3 {
            let done = |boxes: &str| {
                let url = format!("URL={}", target.url);
                let args = ["-c", "10", "-d", "4s", "--allow", &target.url, "--env", &url, "--on", &self.nats.url];
                Ok::<_, anyhow::Error>(operations(&self.run("http", &[&args[..], &["--boxes", boxes]].concat())?))
            };
            let one = done("1")?;
            ratios.push(done("3")? / one);
        }
        println!("operations of three boxes to those of one, 10 in flight each, {SERVICE:?} each");
        println!("  {:.2}, the median of {ratios:.2?} (aim: 2.9 to 3.1)\n", median(ratios.iter().copied()));
        Ok(())
    }

    /// What a search finds over three boxes and on one, of a target with a limit of its own.
    fn search(&self) -> anyhow::Result<()> {
        let target = Target::start(8)?;
        let _agents = self.agents(3)?;
        let found = |boxes: &str| {
            let url = format!("URL={}", target.url);
            let args = ["-c", "20", "--slo", "p99<60ms", "--budget", "3m", "--allow", &target.url, "--env", &url];
            let report =
                self.gorgon("find", "http", &[&args[..], &["--on", &self.nats.url, "--boxes", boxes]].concat())?;
            let rate = |of| report.pointer(of).and_then(Value::as_f64);
            let bounds = rate("/answer/rate").zip(rate("/answer/below"));
            bounds.with_context(|| format!("no limit in {}", short(&report)))
        };
        let (one, three) = (found("1")?, found("3")?);
        let middle = |(kept, broken): (f64, f64)| (kept * broken).sqrt();
        println!(
            "`find` against 8 places of {SERVICE:?}, which make {} per second at most",
            8_000 / SERVICE.as_millis()
        );
        println!(
            "  one box between {:.0}/s and {:.0}/s, three boxes between {:.0}/s and {:.0}/s, ratio of the middles {:.3} \
             (aim: 0.95 to 1.05)\n",
            one.0,
            one.1,
            three.0,
            three.1,
            middle(three) / middle(one)
        );
        Ok(())
    }

    /// How much later than planned workers begin.
    fn skew(&self) -> anyhow::Result<()> {
        let _agents = self.agents(3)?;
        let mut skews = Vec::new();
        for _ in 0..34 {
            let report = self.run("noop", &["-n", "300", "--on", &self.nats.url, "--boxes", "3"])?;
            let boxes = report.pointer("/runs/0/boxes").and_then(Value::as_array).context("no boxes")?;
            skews.extend(boxes.iter().filter_map(|of| of["start_skew_ns"].as_f64()));
        }
        skews.sort_by(f64::total_cmp);
        let at = |share: f64| skews[((skews.len() - 1) as f64 * share) as usize] / 1e6;
        println!("how late the last worker of a box began, {} boxes of 34 runs", skews.len());
        println!("  p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms (aim: p99 under 5 ms)\n", at(0.5), at(0.99), at(1.0));
        Ok(())
    }

    /// What many agents that report once a second cost their controller.
    fn many(&self, count: usize) -> anyhow::Result<()> {
        let _agents = self.agents(count)?;
        let (boxes, seconds) = (count.to_string(), 30);
        let mut run = self.command(
            "run",
            "waiter",
            &["--boxes", &boxes, "-d", "30s", "--env", "GORGON_WAIT_US=300000", "--on", &self.nats.url],
        );
        let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = child.id();
        // The memory at the end cannot be read after it, so it is read all the time.
        let watch = std::thread::spawn(move || {
            let mut last = (Duration::ZERO, 0);
            while let (Some(cpu), Some(memory)) = (cpu_of(pid), peak_of(pid)) {
                last = (cpu, memory);
                std::thread::sleep(Duration::from_millis(100));
            }
            last
        });
        let output = child.wait_with_output()?;
        let (cpu, memory) = watch.join().map_err(|_| anyhow::anyhow!("the watch has panicked"))?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let lost = report.pointer("/runs/0/operations/lost").and_then(Value::as_f64).unwrap_or(-1.0);
        println!("{count} agents for {seconds} s: {} operations, {lost} lost", operations(&report));
        println!(
            "  the controller: {:.2} s of processor time, {:.1} MB of memory at the most",
            cpu.as_secs_f64(),
            memory as f64 / 1e6
        );
        let journal = self.nats.journal()?;
        println!("  the server's store: {:.1} MB", journal as f64 / 1e6);
        Ok(())
    }

    fn agents(&self, count: usize) -> anyhow::Result<Vec<Agent>> {
        (0..count).map(|i| Agent::start(&self.gorgon, &self.nats.url, &format!("b{i}"))).collect()
    }

    fn command(&self, verb: &str, task: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.gorgon);
        command
            .arg(verb)
            .arg(self.guests.join(format!("{task}.wasm")))
            .args(["--json", "-", "--no-progress"])
            .args(args);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, task: &str, args: &[&str]) -> anyhow::Result<Value> {
        self.gorgon("run", task, args)
    }

    fn gorgon(&self, verb: &str, task: &str, args: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command(verb, task, args);
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} failed: {said}"))
    }
}

impl Server {
    fn start(folder: PathBuf) -> anyhow::Result<Self> {
        // What an earlier measurement has left there.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let (process, url) = launch(&folder, "-1")?;
        Ok(Self { process, url, folder })
    }

    /// Starts it again, at the same port and with the same streams.
    fn start_again(&mut self) -> anyhow::Result<()> {
        let (_, port) = self.url.rsplit_once(':').context("no port")?;
        (self.process, _) = launch(&self.folder, port)?;
        Ok(())
    }

    /// How many bytes it keeps.
    fn journal(&self) -> anyhow::Result<u64> {
        let (mut folders, mut bytes) = (vec![self.folder.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    bytes += metadata.len();
                }
            }
        }
        Ok(bytes)
    }
}

/// Starts a server, and returns where it listens.
fn launch(folder: &Path, port: &str) -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(xtask::languages::nats_server()?);
    server.args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"]).arg(folder);
    server.arg("--ports_file_dir").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
    let process = server.spawn()?;
    let file = folder.join(format!("nats-server_{}.ports", process.id()));
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let ports = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(url) = ports.as_ref().and_then(|ports| ports["nats"][0].as_str()) {
            return Ok((process, url.to_owned()));
        }
        ensure!(Instant::now() < until, "the NATS server does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    fn start(gorgon: &Path, url: &str, name: &str) -> anyhow::Result<Self> {
        let mut agent = Command::new(gorgon);
        agent.args(["agent", "--nats", url, "--name", name, "--allow", "all", "--max-processes", "4"]);
        let mut process = agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(process.stderr.take().context("no pipe")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        ensure!(line.contains("waits for runs"), "the agent did not start: {line}");
        // The pipe must not fill up.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Ok(Self(process))
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.0.id()).context("the agent has ended")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that answers each request after [`SERVICE`], and has so many places for requests.
struct Target {
    url: String,
}

impl Target {
    fn start(places: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let free = Arc::new((Mutex::new(places), Condvar::new()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let free = Arc::clone(&free);
                std::thread::spawn(move || serve(stream, &free));
            }
        });
        Ok(Self { url })
    }
}

fn serve(mut stream: TcpStream, (free, changed): &(Mutex<usize>, Condvar)) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        {
            let mut places = changed.wait_while(free.lock().ok()?, |places| *places == 0).ok()?;
            *places -= 1;
        }
        std::thread::sleep(SERVICE);
        *free.lock().ok()? += 1;
        changed.notify_one();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}

fn operations(report: &Value) -> f64 {
    report.pointer("/runs/0/operations/completed").and_then(Value::as_f64).unwrap_or_default()
}

/// The processor time of the workers for each operation, in nanoseconds.
fn cpu_per_operation(report: &Value) -> anyhow::Result<f64> {
    let workers = report.pointer("/runs/0/workers").and_then(Value::as_array).context("no workers")?;
    let cpu: f64 = workers.iter().filter_map(|of| of["cpu_ns"].as_f64()).sum();
    Ok(cpu / operations(report))
}

/// The processor time of a process, user and system.
fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// The most memory that a process had resident, in bytes.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

fn short(report: &Value) -> String {
    report.to_string().chars().take(300).collect()
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
