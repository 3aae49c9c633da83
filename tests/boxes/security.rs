//! Who may do what: roles on a server with TLS, signed runs, and what strangers send.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use gorgon::cluster::roles::{Permissions, Role, matches};
use gorgon::cluster::subjects::{self, Ask};
use gorgon::controller::remote::{self, Envelope, Refusal};

use super::{Agent, NatsServer, nothing_is_left, run, start};
use crate::support::nats::program;
use crate::support::{gorgon, guest, ran, wait_until};

/// A server with the configuration that `gorgon boxes nats-config` writes.
struct Guarded {
    directory: tempfile::TempDir,
    process: Child,
    url: String,
}

impl Guarded {
    fn start(agents: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().join("nats");
        let mut write = gorgon();
        write.args(["boxes", "nats-config"]).arg(&files);
        for agent in agents {
            write.args(["--agent", agent]);
        }
        let port = free_port();
        let output = write.args(["--port", &port.to_string()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        // Somebody who sees everything, to know what arrives.
        let configuration = files.join("nats.conf");
        let text = std::fs::read_to_string(&configuration).unwrap();
        let text = text.replacen("users: [\n", "users: [\n    { user: all, password: all }\n", 1);
        std::fs::write(&configuration, text).unwrap();
        let process = launch(&configuration, directory.path());
        Self { directory, process, url: format!("tls://localhost:{port}") }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join("nats").join(name).display().to_string()
    }

    /// The flags of whoever has these credentials.
    fn flags(&self, credentials: &str) -> [String; 4] {
        ["--creds".into(), self.file(credentials), "--tls-ca".into(), self.file("ca.pem")]
    }

    fn agent(&self, name: &str, credentials: &str, args: &[&str]) -> Agent {
        let flags = self.flags(credentials);
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(args.iter().copied()).collect();
        Agent::start(&self.url, name, &flags)
    }

    fn said(&self, credentials: &str, args: &[&str]) -> (Option<i32>, String) {
        let output = gorgon().args(args).args(["--on", &self.url]).args(self.flags(credentials)).output().unwrap();
        (output.status.code(), text(&output))
    }

    /// Connects as the user with these credentials, with the inbox `inbox`.
    async fn connect(&self, credentials: &str, inbox: &str) -> async_nats::Client {
        let seed = std::fs::read_to_string(self.file(credentials)).unwrap();
        let options = async_nats::ConnectOptions::with_nkey(seed.trim().to_owned());
        let options = options.add_root_certificates(self.file("ca.pem").into()).custom_inbox_prefix(inbox);
        options.connect(&self.url).await.unwrap()
    }

    async fn all(&self) -> async_nats::Client {
        let options = async_nats::ConnectOptions::with_user_and_password("all".into(), "all".into());
        options.add_root_certificates(self.file("ca.pem").into()).connect(&self.url).await.unwrap()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server with this configuration, and waits until it listens.
fn launch(configuration: &Path, directory: &Path) -> Child {
    let mut server = Command::new(program());
    server.arg("-c").arg(configuration).arg("--ports_file_dir").arg(directory);
    let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ports = directory.join(format!("nats-server_{}.ports", process.id()));
    wait_until("the NATS server listens", || ports.exists());
    process
}

/// A port of loopback that is free.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn each_role_does_its_part_and_no_more() {
    let server = Guarded::start(&["b1", "b2"]);
    let task = guest("noop");
    let task = task.to_str().unwrap();
    // Nothing has ever been there.
    let (code, said) = server.said("viewer.nk", &["runs"]);
    assert_eq!((code, said.contains("there are no commands")), (Some(0), true), "{said}");
    let agents = [server.agent("b1", "agent-b1.nk", &[]), server.agent("b2", "agent-b2.nk", &[])];
    let (code, said) = server.said("controller.nk", &["run", task, "-n", "20000", "--boxes", "2", "--keep-journal"]);
    assert_eq!((code, said.contains("20,000")), (Some(0), true), "{said}");
    let (code, said) = server.said("viewer.nk", &["boxes"]);
    assert_eq!((code, said.contains("b1") && said.contains("b2")), (Some(0), true), "{said}");
    let (code, said) = server.said("viewer.nk", &["runs"]);
    assert_eq!((code, said.contains("ended")), (Some(0), true), "{said}");
    let command = said.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let (code, said) = server.said("viewer.nk", &["report", "--journal", &command]);
    assert_eq!((code, said.contains("20,000")), (Some(0), true), "{said}");
    for credentials in ["viewer.nk", "agent-b1.nk"] {
        let (code, said) = server.said(credentials, &["run", task, "-n", "10"]);
        assert_eq!(code, Some(1), "{said}");
    }
    let (code, said) = server.said("viewer.nk", &["runs", "--prune", &command]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = server.said("controller.nk", &["runs", "--prune", &command]);
    assert_eq!((code, said.contains("removed 1 of 1")), (Some(0), true), "{said}");
    // Nobody gets in without credentials.
    let output = gorgon().args(["boxes", "--on", &server.url, "--tls-ca", &server.file("ca.pem")]).output().unwrap();
    assert_eq!((output.status.code(), text(&output).contains("name others (--creds FILE)")), (Some(1), true));
    drop(agents);
}

#[test]
fn what_a_role_may_not_say_reaches_nobody() {
    let server = Guarded::start(&["b1", "b2"]);
    let agents = ["b1", "b2"];
    let mut all: Vec<String> =
        ["decided", "pulse", "stop", "output", "trouble"].map(|of| format!("gorgon.7.{of}")).into();
    for agent in agents {
        all.extend([subjects::presence(agent), subjects::from("7", agent), subjects::to("7", agent)]);
        all.extend(Ask::ALL.map(|ask| subjects::ask(agent, ask)));
        all.push(format!("_INBOX_agent-{agent}.x"));
    }
    all.extend(
        ["$KV.gorgon_runs.7", "$O.gorgon_files.M.7", "$O.gorgon_files.C.7", "_INBOX_controller.x"].map(String::from),
    );
    let users = [
        ("controller.nk", "_INBOX_controller", Role::Controller),
        ("viewer.nk", "_INBOX_boxes", Role::Viewer),
        ("agent-b1.nk", "_INBOX_agent-b1", Role::Agent("b1".into())),
    ];
    runtime().block_on(async {
        let sees = server.all().await;
        for (credentials, inbox, role) in users {
            let Permissions { publish, subscribe } = role.permissions();
            let mut seen = sees.subscribe(">").await.unwrap();
            sees.publish("sees", "".into()).await.unwrap();
            while &*seen.next().await.unwrap().subject != "sees" {}
            let client = server.connect(credentials, inbox).await;
            for subject in &all {
                client.publish(subject.clone(), "hostile".into()).await.unwrap();
            }
            client.flush().await.unwrap();
            let mut arrived = Vec::new();
            while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(500), seen.next()).await {
                if &message.payload[..] == b"hostile" {
                    arrived.push(message.subject.to_string());
                }
            }
            let may = |subject: &&String| matches(&publish, subject);
            let allowed: Vec<String> = all.iter().filter(may).cloned().collect();
            assert_eq!(arrived, allowed, "{role:?}");
            assert!(arrived.len() < all.len(), "{role:?}");
            // Nor does it hear what is not meant for it. What it hears for certain comes last.
            let mut last = client.subscribe(format!("{inbox}.*")).await.unwrap();
            let mut heard = Vec::new();
            for subject in &all {
                heard.push((subject.clone(), client.subscribe(subject.clone()).await.unwrap()));
            }
            // The server has read everything before this.
            client.publish(format!("{inbox}.ready"), "".into()).await.unwrap();
            while !last.next().await.unwrap().subject.ends_with(".ready") {}
            for subject in &all {
                sees.publish(subject.clone(), "private".into()).await.unwrap();
            }
            sees.publish(format!("{inbox}.last"), "".into()).await.unwrap();
            while !last.next().await.unwrap().subject.ends_with(".last") {}
            let mut hears = Vec::new();
            for (subject, mut messages) in heard {
                if let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(20), messages.next()).await {
                    hears.push(subject);
                }
            }
            let may = |subject: &&String| matches(&subscribe, subject);
            let allowed: Vec<String> = all.iter().filter(may).cloned().collect();
            assert_eq!(hears, allowed, "{role:?}");
        }
    });
}

#[test]
fn an_agent_takes_part_in_runs_that_it_trusts_and_once() {
    let server = NatsServer::start();
    let keys: Vec<_> = (0..2).map(|_| nkeys::KeyPair::new_user()).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = |i: usize| {
        let path = directory.path().join(format!("{i}.nk"));
        std::fs::write(&path, keys[i].seed().unwrap()).unwrap();
        path.display().to_string()
    };
    let (trusted, other) = (file(0), file(1));
    let agent = Agent::start(&server.url(), "b1", &["--trust", &keys[0].public_key()]);
    let said = |args: &[&str]| {
        let output = start(&server, &guest("noop"), &["-n", "100"]).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, unsigned) = said(&[]);
    assert_eq!((code, unsigned.contains("b1: it trusts only runs that others sign")), (Some(1), true), "{unsigned}");
    let (code, foreign) = said(&["--creds", &other]);
    assert_eq!((code, foreign.contains("b1: it trusts only runs that others sign")), (Some(1), true), "{foreign}");
    runtime().block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let subject = subjects::ask("b1", Ask::Open);
        let mut heard = client.subscribe(subject.clone()).await.unwrap();
        client.flush().await.unwrap();
        let (code, trusted) = said(&["--creds", &trusted]);
        assert_eq!(code, Some(0), "{trusted}");
        let message = heard.next().await.unwrap();
        let ask = async |payload: Vec<u8>| {
            let answer = client.request(subject.clone(), payload.into()).await.unwrap();
            remote::read::<Result<(), Refusal>>(&answer.payload).unwrap().unwrap_err().to_string()
        };
        let again = ask(message.payload.to_vec()).await;
        assert_eq!(again, "the invitation has been sent before");
        let envelope: Envelope = remote::read(&message.payload).unwrap();
        let altered = Envelope { invitation: vec![1, 2, 3], ..envelope.clone() };
        let wrong = ask(remote::bytes(&altered).unwrap()).await;
        assert_eq!(wrong, "the signature of the run is not one of what it says");
        let unsigned = Envelope { signed: None, nonce: [1; 16], ..envelope.clone() };
        assert!(ask(remote::bytes(&unsigned).unwrap()).await.contains("not signed"));
        let longer = Envelope { not_after: envelope.not_after + 1, ..envelope };
        assert!(ask(remote::bytes(&longer).unwrap()).await.contains("signature"));
        assert!(!ask(b"noise".to_vec()).await.is_empty() && !ask(Vec::new()).await.is_empty());
    });
    nothing_is_left(&server, &[agent]);
}

#[test]
fn an_agent_bears_whatever_is_published() {
    let server = NatsServer::start();
    let agent = Agent::start(&server.url(), "b1", &[]);
    runtime().block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        for payload in [vec![], vec![0; 9], vec![0xff; 4_096], b"{}".to_vec(), vec![1; 900_000]] {
            for ask in Ask::ALL {
                client.publish(subjects::ask("b1", ask), payload.clone().into()).await.unwrap();
                let reply = client.new_inbox();
                client.publish_with_reply(subjects::ask("b1", ask), reply, payload.clone().into()).await.unwrap();
            }
            client.publish(subjects::presence("b1"), payload.clone().into()).await.unwrap();
            client.publish(subjects::presence("x"), payload.into()).await.unwrap();
        }
        client.flush().await.unwrap();
    });
    let ran = run(&server, &guest("noop"), &["-n", "1000"]);
    assert_eq!((ran.code, ran.adds_up().figure("/operations/completed")), (Some(0), 1_000), "{}", ran.stderr);
    nothing_is_left(&server, &[agent]);
}

#[test]
fn a_file_that_is_another_one_is_not_run() {
    let server = NatsServer::start();
    let agent = Agent::start(&server.url(), "b1", &[]);
    let task = guest("noop");
    let wasm = std::fs::read(&task).unwrap();
    let digest: String =
        ring::digest::digest(&ring::digest::SHA256, &wasm).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let put = |content: Vec<u8>| {
        runtime().block_on(async {
            let client = async_nats::connect(server.url()).await.unwrap();
            let jetstream = async_nats::jetstream::new(client);
            let config =
                async_nats::jetstream::object_store::Config { bucket: "gorgon_files".into(), ..Default::default() };
            let store = match jetstream.get_object_store("gorgon_files").await {
                Ok(store) => store,
                Err(_) => jetstream.create_object_store(config).await.unwrap(),
            };
            store.put(digest.as_str(), &mut &content[..]).await.unwrap();
        });
    };
    // As long as the task, so that it is taken for the task that is there already.
    let mut altered = wasm;
    *altered.last_mut().unwrap() ^= 1;
    put(altered);
    let output = start(&server, &task, &["-n", "10"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("b1: the NATS server did not give a file: what came is another file"),
        "{}",
        text(&output)
    );
    put(vec![0; 65 << 20]);
    let output = start(&server, &task, &["-n", "10"]).output().unwrap();
    // It is put there again, as it has another length.
    assert_eq!(ran(output).figure("/operations/completed"), 10);
    nothing_is_left(&server, &[agent]);
}

#[test]
fn a_server_that_takes_small_messages_only_is_refused() {
    let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
    let configuration = directory.path().join("nats.conf");
    std::fs::write(&configuration, format!("listen: \"127.0.0.1:{port}\"\nmax_payload: 65536\njetstream {{}}\n"))
        .unwrap();
    let mut process = launch(&configuration, directory.path());
    let output = gorgon().args(["boxes", "--on", &format!("nats://127.0.0.1:{port}")]).output().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let said = text(&output);
    assert_eq!((output.status.code(), said.contains("set its `max_payload` to 1MB")), (Some(1), true), "{said}");
}

#[test]
fn buckets_that_lose_what_is_put_there_are_refused() {
    let server = NatsServer::start();
    let agent = Agent::start(&server.url(), "b1", &[]);
    runtime().block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let max_age = Duration::from_secs(60);
        let config =
            async_nats::jetstream::kv::Config { bucket: subjects::REGISTER.into(), max_age, ..Default::default() };
        jetstream.create_key_value(config).await.unwrap();
    });
    let output = start(&server, &guest("noop"), &["-n", "10"]).output().unwrap();
    let said = text(&output);
    let expected = "it forgets what is put into `gorgon_runs` after 60s: remove the stream `KV_gorgon_runs`";
    assert_eq!((output.status.code(), said.contains(expected)), (Some(1), true), "{said}");
    runtime().block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        jetstream.delete_stream("KV_gorgon_runs").await.unwrap();
        let subjects = vec!["$O.gorgon_files.>".to_owned()];
        let (name, max_bytes) = ("OBJ_gorgon_files".to_owned(), 1 << 20);
        let config = async_nats::jetstream::stream::Config { name, subjects, max_bytes, ..Default::default() };
        jetstream.create_stream(config).await.unwrap();
    });
    let output = start(&server, &guest("noop"), &["-n", "10"]).output().unwrap();
    let said = text(&output);
    let expected = "it drops the oldest of what is in `gorgon_files` once that is full: remove the stream";
    assert_eq!((output.status.code(), said.contains(expected)), (Some(1), true), "{said}");
    nothing_is_left(&server, &[agent]);
}

#[test]
fn a_stream_that_answers_in_place_of_agents_is_said() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let subjects = vec!["gorgon.>".to_owned()];
        let config = async_nats::jetstream::stream::Config { name: "all".into(), subjects, ..Default::default() };
        jetstream.create_stream(config).await.unwrap();
    });
    let output = gorgon().args(["agent", "--nats", &server.url(), "--name", "b1"]).output().unwrap();
    let said = text(&output);
    let expected = "answers what agents are asked: one of its streams has the subjects `gorgon.>`";
    assert_eq!((output.status.code(), said.contains(expected)), (Some(1), true), "{said}");
}

#[test]
fn a_file_of_which_a_part_is_missing_is_put_there_again() {
    let server = NatsServer::start();
    let agent = Agent::start(&server.url(), "b1", &[]);
    let ends = || start(&server, &guest("noop"), &["-n", "10"]).output().unwrap();
    assert_eq!(ends().status.code(), Some(0));
    let parts = runtime().block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let stream = jetstream.get_stream("OBJ_gorgon_files").await.unwrap();
        stream.purge().filter("$O.gorgon_files.C.>").await.unwrap().purged
    });
    assert!(parts > 0);
    let output = ends();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    nothing_is_left(&server, &[agent]);
}

#[test]
fn commands_of_another_version_are_named_and_can_be_removed() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let config = async_nats::jetstream::kv::Config { bucket: subjects::REGISTER.into(), ..Default::default() };
        let store = jetstream.create_key_value(config).await.unwrap();
        store.put("0123", "another version".into()).await.unwrap();
    });
    let said = |args: &[&str]| {
        let output = gorgon().args(args).args(["--on", &server.url()]).output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, listed) = said(&["runs"]);
    assert_eq!(
        (code, listed.contains("another version of gorgon began these commands: 0123")),
        (Some(0), true),
        "{listed}"
    );
    assert_eq!(said(&["runs", "--prune", "0123"]).0, Some(0));
    let (code, listed) = said(&["runs"]);
    assert_eq!((code, listed.contains("0123")), (Some(0), false), "{listed}");
}

#[test]
fn a_configuration_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &Path, args: &[&str]| {
        let output = gorgon().args(["boxes", "nats-config"]).arg(path).args(args).output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = write(directory.path(), &[]);
    assert_eq!((code, said.contains("--trust U")), (Some(0), true), "{said}");
    let (code, said) = write(directory.path(), &[]);
    assert_eq!((code, said.contains("is not an empty directory: name another one")), (Some(1), true), "{said}");
    let (code, said) = write(&directory.path().join("b"), &["--agent", "a.b"]);
    assert_eq!((code, said.contains("`a.b` cannot be the name of an agent")), (Some(2), true), "{said}");
    for secret in ["controller.nk", "agent-b1.nk", "viewer.nk", "server-key.pem", "nats.conf"] {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(directory.path().join(secret)).unwrap());
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}
