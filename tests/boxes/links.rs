//! Boxes in network namespaces, whose links are cut, and which stand still.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Target, boxes, nothing_is_left, start};
use crate::support::nats::{Agent, NatsServer};
use crate::support::{Ran, gorgon, guest, ran, signal, wait_until};

/// Three namespaces and a bridge between them and this one.
struct Net {
    /// What distinguishes it from those of other tests.
    id: u32,
}

/// Runs `ip`, and returns whether it did what it was asked to.
fn ip(line: &str) -> bool {
    Command::new("ip").args(line.split(' ')).output().is_ok_and(|output| output.status.success())
}

impl Net {
    /// `None` if the system does not allow it.
    fn new() -> Option<Self> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        // There are four tests here, and one byte of an address.
        let id = (std::process::id() % 60) * 4 + NETS.fetch_add(1, Ordering::SeqCst) % 4;
        let net = Self { id };
        let bridge = net.bridge();
        let is_made = ip(&format!("link add {bridge} type bridge"))
            && ip(&format!("addr add {}/24 dev {bridge}", net.address(1)))
            && ip(&format!("link set {bridge} up"))
            && (1..=3).all(|index| {
                let (name, link) = (net.name(index), format!("gv{id}.{index}"));
                ip(&format!("netns add {name}"))
                    && ip(&format!("link add {link} type veth peer name eth0 netns {name}"))
                    && ip(&format!("link set {link} master {bridge} up"))
                    && ip(&format!("-n {name} addr add {}/24 dev eth0", net.address(10 + index)))
                    && ip(&format!("-n {name} link set eth0 up"))
                    && ip(&format!("-n {name} link set lo up"))
            });
        if !is_made {
            println!("SKIPPED: the system allows no network namespaces (ip netns)");
        }
        is_made.then_some(net)
    }

    fn bridge(&self) -> String {
        format!("gbr{}", self.id)
    }

    fn name(&self, index: u32) -> String {
        format!("gorgon-{}-{index}", self.id)
    }

    fn address(&self, host: u32) -> String {
        format!("10.77.{}.{host}", self.id)
    }

    fn agent(&self, server: &NatsServer, index: u32) -> Agent {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(index)]).arg(env!("CARGO_BIN_EXE_gorgon"));
        let (url, name) = (server.url(), format!("b{index}"));
        command.args(["agent", "--nats", &url, "--name", &name, "--allow", "all", "--max-processes", "4"]);
        for (key, value) in gorgon().get_envs().filter_map(|(key, value)| Some((key, value?))) {
            command.env(key, value);
        }
        Agent::launch(command)
    }

    fn set_link(&self, index: u32, state: &str) {
        assert!(ip(&format!("-n {} link set eth0 {state}", self.name(index))));
    }

    /// The processes on a box.
    fn processes(&self, index: u32) -> Vec<u32> {
        let output = Command::new("ip").args(["netns", "pids", &self.name(index)]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().parse().unwrap()).collect()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for index in 1..=3 {
            ip(&format!("netns del {}", self.name(index)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}

/// A run of some fifteen seconds over three boxes, with some trouble in the middle.
struct Trouble {
    ran: Ran,
    /// How many numbers the target was asked for; none of them twice.
    asked: u64,
}

const OPERATIONS: u64 = 60_000;

/// Runs the operations, and lets `happen` something after a tenth of them. `None` if there are no namespaces.
fn with(happen: impl FnOnce(&Net, &Child)) -> Option<Trouble> {
    let net = Net::new()?;
    let server = NatsServer::start_at(&net.address(1));
    let agents = [1, 2, 3].map(|index| net.agent(&server, index));
    let target = Target::start_at(&net.address(1), Duration::from_millis(5));
    let args = target.args();
    let operations = OPERATIONS.to_string();
    let mut all = vec!["-n", &operations, "-t", "2", "-c", "5", "--boxes", "3"];
    all.extend(args.iter().map(String::as_str));
    let run = start(&server, &guest("getter"), &all).spawn().unwrap();
    wait_until("it runs", || target.asked.lock().unwrap().len() as u64 > OPERATIONS / 10);
    happen(&net, &run);
    let ran = ran(run.wait_with_output().unwrap());
    ran.adds_up();
    assert_eq!(ran.figure("/operations/completed") + ran.figure("/operations/lost"), OPERATIONS, "{}", ran.stderr);
    let asked = target.once();
    assert!(asked >= ran.figure("/operations/completed"), "{asked} were asked for");
    wait_until("no worker is left", || (1..=3).all(|index| net.processes(index).len() == 1));
    nothing_is_left(&server, &agents);
    Some(Trouble { ran, asked })
}

/// The second box was lost, and the others did the rest.
fn second_box_is_lost(trouble: &Trouble) {
    let Trouble { ran, .. } = trouble;
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    let lost: Vec<_> = boxes(ran).iter().map(|of| of["lost"].as_bool().unwrap()).collect();
    assert_eq!(lost, [false, true, false]);
    assert!(ran.figure("/operations/lost") < OPERATIONS / 5, "{}", ran.figure("/operations/lost"));
    let skews = boxes(ran);
    let skews = skews.iter().map(|of| of["start_skew_ns"].as_u64().unwrap()).max().unwrap();
    assert!(skews < 1_000_000_000, "a worker that joins later has no skew: {skews} ns");
}

#[test]
fn a_link_that_is_cut_for_three_seconds_costs_nothing() {
    let trouble = with(|net, _| {
        net.set_link(2, "down");
        std::thread::sleep(Duration::from_secs(3));
        net.set_link(2, "up");
    });
    let Some(Trouble { ran, asked }) = trouble else { return };
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.figure("/operations/completed"), asked), (OPERATIONS, OPERATIONS));
}

#[test]
fn a_link_that_is_cut_for_longer_costs_its_box() {
    let trouble = with(|net, _| {
        net.set_link(2, "down");
        std::thread::sleep(Duration::from_secs(12));
        net.set_link(2, "up");
    });
    trouble.iter().for_each(second_box_is_lost);
}

#[test]
fn a_box_that_stands_still_is_given_up_and_starts_nothing_twice() {
    let trouble = with(|net, _| {
        let processes = net.processes(2);
        let tell = |what: &str| {
            // The agent was there first. Once it goes on it ends its workers, which then hear no signal any more.
            for &process in processes.iter().rev() {
                signal(what, process);
            }
        };
        tell("STOP");
        std::thread::sleep(Duration::from_secs(12));
        tell("CONT");
    });
    trouble.iter().for_each(second_box_is_lost);
}

#[test]
fn a_controller_that_stands_still_for_eight_seconds_costs_nothing() {
    let trouble = with(|_, run| {
        signal("STOP", run.id());
        std::thread::sleep(Duration::from_secs(8));
        signal("CONT", run.id());
    });
    let Some(Trouble { ran, asked }) = trouble else { return };
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.figure("/operations/completed"), asked), (OPERATIONS, OPERATIONS));
}
