//! `gorgon boxes nats-config`: a configuration for a NATS server with TLS, and a user for each role.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose};

use super::Exit;
use crate::cluster::roles::{Permissions, Role};
use crate::cluster::subjects;

/// Write a configuration for a NATS server, with TLS, and with credentials for each role
///
/// There are three roles, and each may do only what it has to: a controller runs tasks, an agent speaks for its own box
/// alone, a viewer changes nothing. Bring each file of credentials to those who are to have it, and `ca.pem` to all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon boxes nats-config nats --host nats.example.com --agent b1 --agent b2 --agent b3
  nats-server -c nats/nats.conf
  gorgon agent --nats tls://nats.example.com:4222 --name b1 --creds agent-b1.nk --tls-ca ca.pem
  gorgon run task.wasm --on tls://nats.example.com:4222 --creds controller.nk --tls-ca ca.pem")]
pub(super) struct NatsConfigCommand {
    /// Where the files go; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// A name or an address by which the server is reached [default: localhost and 127.0.0.1]
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// A box that is to have credentials [default: b1, b2, b3]
    #[arg(long, value_name = "NAME")]
    agent: Vec<String>,

    /// The port of the server
    #[arg(long, value_name = "PORT", default_value = "4222", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// A user of the server.
struct User {
    file: String,
    role: Role,
    key: KeyPair,
}

impl NatsConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { directory, host, agent, port } = self;
        let or = |given: Vec<String>, usual: &[&str]| {
            if given.is_empty() { usual.iter().map(|&name| name.to_owned()).collect() } else { given }
        };
        let (hosts, agents) = (or(host, &["localhost", "127.0.0.1"]), or(agent, &["b1", "b2", "b3"]));
        if let Some(wrong) = agents.iter().find(|name| !subjects::is_name(name)) {
            return Ok(Exit::wrong_usage(format!(
                "`{wrong}` cannot be the name of an agent: use letters, digits, - and _, 64 at most"
            )));
        }
        let is_host = |host: &&String| {
            let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*' | '_');
            host.parse::<IpAddr>().is_ok() || (1..=253).contains(&host.len()) && host.chars().all(of_name)
        };
        if let Some(wrong) = hosts.iter().find(|host| !is_host(host)) {
            return Ok(Exit::wrong_usage(format!("`{wrong}` is neither the name nor the address of a server")));
        }
        if let Some(twice) = agents.iter().enumerate().find(|(i, name)| agents[..*i].contains(name)) {
            return Ok(Exit::wrong_usage(format!("--agent {} is given twice", twice.1)));
        }
        let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        ensure!(
            !directory.exists() || is_empty(&directory),
            "`{}` is not an empty directory: name another one",
            directory.display()
        );
        fs::create_dir_all(&directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
        let directory = fs::canonicalize(&directory)?;
        let user = |file: String, role| User { file, role, key: KeyPair::new_user() };
        let mut users = vec![user("controller.nk".into(), Role::Controller), user("viewer.nk".into(), Role::Viewer)];
        users.extend(agents.into_iter().map(|name| user(format!("agent-{name}.nk"), Role::Agent(name))));
        certificates(&directory, &hosts)?;
        for user in &users {
            let seed = user.key.seed().map_err(|error| anyhow::anyhow!("cannot make a key: {error}"))?;
            write(&directory.join(&user.file), &format!("{seed}\n"), 0o600)?;
        }
        write(&directory.join("nats.conf"), &configuration(&directory, port, &users), 0o600)?;
        let trust = users.first().map(|user| user.key.public_key()).unwrap_or_default();
        super::tell(&format!(
            "wrote {}; start the server with it: nats-server -c {}/nats.conf",
            directory.display(),
            directory.display()
        ));
        super::tell(&format!("agents that are to run nothing else: gorgon agent --trust {trust}"));
        Ok(Exit::Done)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Writes an authority, and a certificate of the server for `hosts`.
fn certificates(directory: &Path, hosts: &[String]) -> anyhow::Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "the authority of gorgon's NATS server");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    // Its key is not kept: to change the server's names, all is written anew.
    let key = rcgen::KeyPair::generate()?;
    let of_authority = authority.self_signed(&key)?;
    let issuer = Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate()?;
    let mut server = CertificateParams::new(hosts.to_vec()).context("a --host is neither a name nor an address")?;
    server.distinguished_name.push(DnType::CommonName, hosts[0].as_str());
    let of_server = server.signed_by(&key, &issuer)?;
    write(&directory.join("ca.pem"), &of_authority.pem(), 0o644)?;
    write(&directory.join("server.pem"), &of_server.pem(), 0o644)?;
    write(&directory.join("server-key.pem"), &key.serialize_pem(), 0o600)
}

/// The configuration of the server.
fn configuration(directory: &Path, port: u16, users: &[User]) -> String {
    let shown = |name: &str| quoted(&directory.join(name).display().to_string());
    let mut text = format!(
        "# The configuration of a NATS server for runs of gorgon over boxes; `gorgon boxes nats-config` wrote it.\n\
         port: {port}\n\n\
         jetstream {{\n  store_dir: {}\n}}\n\n\
         tls {{\n  cert_file: {}\n  key_file: {}\n}}\n\n\
         # What is not allowed here is denied.\nauthorization {{\n  users: [\n",
        shown("streams"),
        shown("server.pem"),
        shown("server-key.pem")
    );
    text.extend(users.iter().map(entry));
    text.push_str("  ]\n}\n");
    text
}

/// The entry of a user in the configuration.
fn entry(user: &User) -> String {
    let Permissions { publish, subscribe } = user.role.permissions();
    let allow = |what: &str, subjects: &[String]| {
        let subjects: String = subjects.iter().map(|subject| format!("            {}\n", quoted(subject))).collect();
        format!("        {what}: {{\n          allow: [\n{subjects}          ]\n        }}\n")
    };
    format!(
        "    {{\n      # {}\n      nkey: {}\n      permissions: {{\n{}{}\
         {:8}# Answers to what was asked: a hook may take a day.\n\
         {:8}allow_responses: {{ max: 100, expires: \"25h\" }}\n      }}\n    }}\n",
        user.file,
        user.key.public_key(),
        allow("publish", &publish),
        allow("subscribe", &subscribe),
        "",
        ""
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
