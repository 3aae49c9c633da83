//! What a box has to offer: its processors and memory, and what it lets tasks reach.

use std::fs;
use std::path::Path;

use super::Settings;
use crate::cluster::presence::Presence;
use crate::plan::{RunPlan, RunSpec};
use crate::system;
use crate::wire::PROTOCOL;

/// What the agent says about itself at first.
pub(super) fn presence(settings: &Settings, public_key: String) -> Presence {
    let mut presence = Presence {
        name: settings.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        session: fastrand::u64(..),
        boot: read("sys/kernel/random/boot_id").trim().to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
        memory_bytes: meminfo("MemTotal"),
        free_bytes: 0,
        load_permille: 0,
        max_processes: settings.max_processes,
        workers: 0,
        policy: policy(settings),
        command: None,
        leaving: false,
        has_twin: false,
        public_key,
        labels: settings.labels.clone(),
        carried_out: (0, 0),
        trust: settings.trust.clone(),
    };
    refresh(&mut presence);
    presence
}

/// Looks at what changes.
pub(super) fn refresh(presence: &mut Presence) {
    presence.free_bytes = meminfo("MemAvailable");
    let load = read("loadavg");
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    presence.load_permille = (load * 1_000.0) as u32;
}

fn policy(settings: &Settings) -> Vec<String> {
    let roots = settings.dir_roots.iter().map(|root| format!("below {}", root.display()));
    settings.network.0.iter().map(ToString::to_string).chain(roots).collect()
}

fn read(path: &str) -> String {
    system::proc(path).unwrap_or_default()
}

/// A figure of the kernel's `meminfo`, in bytes.
fn meminfo(name: &str) -> u64 {
    let text = read("meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

/// The plan with only those grants that the box gives: what is asked for, and its policy allows. An error if the plan
/// names something of the machine that the box does not give.
pub(super) fn granted(plan: &RunPlan, settings: &Settings) -> Result<RunPlan, String> {
    let (most, processes) = (settings.max_processes, plan.shape().processes);
    if processes > most {
        return Err(format!("it starts at most {most} worker processes (--max-processes), not {processes}"));
    }
    let mut spec: RunSpec = plan.spec().clone();
    for dir in &mut spec.grants.dirs {
        let path = dir.host.display().to_string();
        let refused = || format!("it gives tasks no directory `{path}`; start its agent with --dir-root");
        let real = fs::canonicalize(&dir.host).map_err(|_| refused())?;
        let is_below = |root: &Path| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        if !settings.dir_roots.iter().any(|root| is_below(root)) {
            return Err(refused());
        }
        dir.host = real;
    }
    let http = &spec.http;
    let of_machine = [
        (http.unix_socket.is_some(), "--unix-socket"),
        (!http.local_addresses.is_empty(), "--local-address"),
        (http.identity.is_some(), "--cert"),
    ];
    if let Some((_, flag)) = of_machine.iter().find(|(is_asked, _)| *is_asked) {
        return Err(format!("{flag} names something of one machine, and is not possible over boxes"));
    }
    spec.grants.network = spec.grants.network.and(&settings.network);
    RunPlan::try_from(spec).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Server;
    use crate::network::Policy;
    use crate::plan::{Extent, LoadModel};

    #[test]
    fn a_box_starts_no_more_workers_than_its_policy_says() {
        let settings = Settings {
            server: Server { url: "nats://127.0.0.1:4222".into(), creds: None, tls_ca: None },
            name: "b1".into(),
            max_processes: 4,
            network: Policy::default(),
            dir_roots: Vec::new(),
            labels: Vec::new(),
            trust: Vec::new(),
        };
        let plan =
            |processes| crate::pace::tests::plan(Extent::new(Some(9), None).unwrap(), processes, LoadModel::default());
        assert!(granted(&plan(4), &settings).is_ok());
        assert_eq!(
            granted(&plan(5), &settings).err().as_deref(),
            Some("it starts at most 4 worker processes (--max-processes), not 5")
        );
    }
}
