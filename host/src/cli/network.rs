//! Flags for the network: what is granted, and how HTTP is spoken.

use std::net::{IpAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use rustls::pki_types::ServerName;
use url::Url;

use super::values;
use crate::capability::http;
use crate::input;
use crate::network::{Allow, AllowError, Destination, Host, Policy};
use crate::plan::{
    AddressOrder, ConnectTo, HttpPlan, HttpVersion, Identity, KeepAlive, MAX_HTTP2_CONNECTIONS, PlanError, Proxies,
    Trust,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkFlags {
    /// What the task may reach: http://HOST[:PORT], https://*.example.com, tcp://HOST:PORT, udp://HOST:PORT, all, or
    /// calls, for what a file of calls names
    #[arg(long, value_name = "DESTINATION")]
    allow: Vec<Grant>,

    /// Also trust the certificates in this PEM file: authorities, or a server's own
    #[arg(long, value_name = "FILE.pem")]
    ca_cert: Option<PathBuf>,

    /// Accept any certificate
    #[arg(long, conflicts_with = "ca_cert")]
    insecure: bool,

    /// A client certificate
    #[arg(long, value_name = "FILE.pem")]
    cert: Option<PathBuf>,

    /// The client certificate's private key [default: in the file of --cert]
    #[arg(long, value_name = "FILE.pem", requires = "cert")]
    key: Option<PathBuf>,

    /// The name that TLS asks for and checks [default: the name in Host]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    sni: Option<String>,

    /// Open a new connection for each request
    #[arg(long)]
    no_keepalive: bool,

    /// Use HTTP/2, even without TLS; by default TLS negotiates it
    #[arg(long)]
    http2: bool,

    /// Connections of each thread to a server that speaks HTTP/2
    #[arg(long, value_name = "N", value_parser = http2_connections, default_value = "1")]
    http2_connections: NonZeroU32,

    /// Look up a name again for connections opened after this time; 0 for every connection [default: once per run]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    dns_ttl: Option<Duration>,

    /// Which of a name's addresses connections go to: all in turn, or the first
    #[arg(long, value_name = "rotate|first", default_value_t)]
    dns: AddressOrder,

    /// Connect to ADDRESS:PORT in place of HOST:PORT, as curl has it; parts can be left out
    #[arg(long, value_name = "HOST:PORT:ADDRESS:PORT")]
    connect_to: Vec<ConnectTo>,

    /// Send requests through this proxy; env for those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY
    #[arg(long, value_name = "URL|env", value_parser = proxies)]
    proxy: Option<Proxies>,

    /// Connect to this Unix socket in place of any host
    #[arg(long, value_name = "PATH", conflicts_with_all = ["connect_to", "proxy", "local_address"])]
    unix_socket: Option<PathBuf>,

    /// Connect from this address of the machine; several are used in turn
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    local_address: Vec<IpAddr>,

    /// Send the header traceparent, by which tracing finds what an operation caused (W3C Trace Context)
    #[arg(long)]
    traceparent: bool,
}

/// What `--allow` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grant {
    This(Allow),
    /// `calls`: where the calls of a file go.
    Calls,
}

impl FromStr for Grant {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        if text == "calls" { Ok(Self::Calls) } else { text.parse().map(Self::This) }
    }
}

impl NetworkFlags {
    /// Adds a grant to those that the user gave.
    pub(super) fn grant(&mut self, allow: Option<Allow>) {
        self.allow.extend(allow.map(Grant::This));
    }

    /// Grants `named`, if the user gave `--allow calls` or wrote the calls into the command line.
    pub(super) fn grant_calls(&mut self, is_of_command_line: bool, named: impl Iterator<Item = Allow>) {
        let before = self.allow.len();
        self.allow.retain(|allow| *allow != Grant::Calls);
        if self.allow.len() < before || is_of_command_line {
            self.allow.extend(named.map(Grant::This));
        }
    }

    /// What is granted by name.
    pub(super) fn policy(&self) -> Policy {
        let named = |grant: &Grant| if let Grant::This(allow) = grant { Some(allow.clone()) } else { None };
        Policy(self.allow.iter().filter_map(named).collect())
    }

    /// What the flags mean for a plan. A flag that is forgotten here does not compile.
    pub(super) fn plan(&self) -> Result<(Policy, HttpPlan), PlanError> {
        if self.allow.contains(&Grant::Calls) {
            return Err(PlanError::AllowCalls);
        }
        let Self {
            allow: _,
            ca_cert,
            insecure,
            cert,
            key,
            sni,
            no_keepalive,
            http2,
            http2_connections,
            dns_ttl,
            dns,
            connect_to,
            proxy,
            unix_socket,
            local_address,
            traceparent,
        } = self;
        let identity = cert.as_ref().map(|certificate| Identity {
            certificate: certificate.clone(),
            key: key.as_ref().unwrap_or(certificate).clone(),
        });
        let http = HttpPlan {
            trust: match ca_cert {
                _ if *insecure => Trust::Anyone,
                Some(path) => Trust::RootsAnd(path.clone()),
                None => Trust::Roots,
            },
            identity,
            server_name: sni.clone(),
            keep_alive: if *no_keepalive { KeepAlive::PerRequest } else { KeepAlive::Kept },
            version: if *http2 { HttpVersion::Http2 } else { HttpVersion::Negotiated },
            http2_connections: *http2_connections,
            dns_ttl_ns: dns_ttl.map(|ttl| ttl.as_nanos().try_into().unwrap_or(u64::MAX)),
            dns: *dns,
            connect_to: connect_to.clone(),
            proxy: proxy.clone(),
            unix_socket: unix_socket.clone(),
            local_addresses: local_address.clone(),
            traceparent: *traceparent,
        };
        Ok((self.policy(), http))
    }

    /// Checks every file that is needed, to report an error once, before the run.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (_, plan) = self.plan()?;
        http::check_tls(&plan).map_err(anyhow::Error::msg)?;
        for &address in &self.local_address {
            TcpListener::bind((address, 0))
                .with_context(|| format!("cannot connect from {address} (--local-address)"))?;
        }
        if let Some(path) = &self.unix_socket {
            let kind =
                path.metadata().with_context(|| format!("cannot use the socket `{}`", path.display()))?.file_type();
            ensure!(kind.is_socket(), "cannot use the socket `{}`: it is not a socket", path.display());
        }
        Ok(())
    }

    /// What the user may have expected and does not get.
    pub(super) fn advice(&self) -> Vec<String> {
        let proxy = self.proxy_of_environment();
        let proxy =
            proxy.map(|name| format!("the environment names a proxy ({name}), which is not used: --proxy env uses it"));
        let Policy(granted) = self.policy();
        let fits = |place: &ConnectTo| {
            granted.iter().any(|allow| match allow {
                Allow::Only(Destination { host, port, .. }) => place.instead_of(host, *port).is_some(),
                // Only the run knows.
                Allow::All | Allow::Under { .. } => true,
            })
        };
        let unused = self.connect_to.iter().filter(|place| !granted.is_empty() && !fits(place));
        let unused = unused.map(|place| {
            format!(
                "--connect-to {place} fits nothing that is granted: its first two parts are the host and the port of \
                 a URL"
            )
        });
        proxy.into_iter().chain(unused).collect()
    }

    /// The variable that names a proxy, if programs such as curl would use it for what is granted.
    fn proxy_of_environment(&self) -> Option<&'static str> {
        if self.proxy.is_some() || self.unix_socket.is_some() {
            return None;
        }
        let is_elsewhere = |host: &Host| match host {
            Host::Name(name) => name != "localhost",
            Host::Address(address) => !address.is_loopback(),
        };
        let Policy(granted) = self.policy();
        let named = granted.iter().find_map(|allow| {
            let Allow::Only(destination) = allow else { return None };
            let scheme = if is_elsewhere(&destination.host) { Scheme::of(destination)? } else { return None };
            let is_excepted = excepted(&destination.host);
            scheme.variables().into_iter().find(|name| !is_excepted && variable(name).is_some())
        })?;
        Some(named)
    }
}

/// The flags that mean `plan`, with their values: those that differ from the defaults and affect a single operation.
pub(super) fn flags(plan: &HttpPlan) -> Vec<(&'static str, Option<String>)> {
    let HttpPlan {
        trust,
        identity,
        server_name,
        keep_alive,
        version,
        // One operation has few requests at once, which go to one address after the other in any case.
        http2_connections: _,
        dns_ttl_ns,
        dns,
        connect_to,
        proxy,
        unix_socket,
        local_addresses,
        traceparent,
    } = plan;
    let mut flags: Vec<(&str, Option<String>)> = Vec::new();
    let mut flag = |name: &'static str, value: Option<String>| flags.extend(value.map(|value| (name, Some(value))));
    let path = |path: &Path| path.display().to_string();
    flag("--dns-ttl", dns_ttl_ns.map(|ttl| values::time(Duration::from_nanos(ttl))));
    flag("--dns", (*dns != AddressOrder::default()).then(|| dns.to_string()));
    for place in connect_to {
        flag("--connect-to", Some(place.to_string()));
    }
    for address in local_addresses {
        flag("--local-address", Some(address.to_string()));
    }
    flag("--unix-socket", unix_socket.as_deref().map(path));
    flag("--cert", identity.as_ref().map(|identity| path(&identity.certificate)));
    flag("--key", identity.as_ref().map(|identity| path(&identity.key)));
    flag("--sni", server_name.clone());
    flag("--proxy", proxy.as_ref().map(named));
    flag("--ca-cert", if let Trust::RootsAnd(file) = trust { Some(path(file)) } else { None });
    let switches = [
        ("--insecure", *trust == Trust::Anyone),
        ("--no-keepalive", *keep_alive == KeepAlive::PerRequest),
        ("--http2", *version == HttpVersion::Http2),
        ("--traceparent", *traceparent),
    ];
    flags.extend(switches.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| (name, None)));
    flags
}

/// The value of `--proxy` for `proxies`. A password may be a secret, and then the environment has to name it.
fn named(proxies: &Proxies) -> String {
    match proxies {
        Proxies { http: Some(http), https, no_proxy }
            if https.as_ref() == Some(http) && no_proxy.is_empty() && !http.contains('@') =>
        {
            http.clone()
        }
        _ => "env".into(),
    }
}

/// The schemes that have a proxy each.
#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn of(destination: &Destination) -> Option<Self> {
        match destination.protocol {
            crate::network::Protocol::Http => Some(Self::Http),
            crate::network::Protocol::Https => Some(Self::Https),
            crate::network::Protocol::Tcp | crate::network::Protocol::Udp => None,
        }
    }

    /// The variables that name its proxy; the first that is set counts.
    fn variables(self) -> [&'static str; 4] {
        match self {
            Self::Http => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
            Self::Https => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        }
    }
}

/// The value of a variable of the environment, if it is not empty.
fn variable(name: &str) -> Option<String> {
    input::variable(name).ok().filter(|value| !value.trim().is_empty())
}

/// The hosts that the environment excepts from proxies.
fn no_proxy() -> String {
    ["no_proxy", "NO_PROXY"].into_iter().find_map(variable).unwrap_or_default()
}

/// Whether the environment excepts `host` from proxies: a name or its suffix, or everything.
fn excepted(host: &Host) -> bool {
    let host = host.to_string();
    no_proxy().split(',').map(str::trim).any(|entry| {
        let suffix = entry.trim_start_matches('.').to_ascii_lowercase();
        let is_under = || host.strip_suffix(&suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry == "*" || !suffix.is_empty() && is_under()
    })
}

/// Parses `--proxy`.
fn proxies(text: &str) -> Result<Proxies, String> {
    if text != "env" {
        let url = Some(proxy(text)?);
        return Ok(Proxies { http: url.clone(), https: url, no_proxy: String::new() });
    }
    let of = |scheme: Scheme| {
        let named = scheme.variables().into_iter().find_map(|name| Some((name, variable(name)?)));
        named.map(|(name, url)| proxy(&url).map_err(|problem| format!("{name}: {problem}"))).transpose()
    };
    let proxies = Proxies { http: of(Scheme::Http)?, https: of(Scheme::Https)?, no_proxy: no_proxy() };
    if proxies.http.is_none() && proxies.https.is_none() {
        return Err("none of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY is set".into());
    }
    Ok(proxies)
}

/// The URL of a proxy in full.
fn proxy(text: &str) -> Result<String, String> {
    let form = "write http://[USER:PASSWORD@]HOST:PORT, with %2F, %23 and %40 for / # @ in a password";
    let wrong = |problem: &str| format!("{problem}: {form}");
    let full = match text {
        text if text.contains("://") => text.to_owned(),
        text if text.contains(':') => format!("http://{text}"),
        _ => return Err(wrong("it has no port")),
    };
    let url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "http" {
        return Err(wrong("only proxies that are spoken to over HTTP are supported"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("a proxy has no path"));
    }
    let host = url.host_str().ok_or_else(|| wrong("it has no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let credentials = match (url.username(), url.password()) {
        ("", None) => String::new(),
        (user, password) => format!("{user}:{}@", password.unwrap_or_default()),
    };
    Ok(format!("http://{credentials}{host}:{port}"))
}

/// A name that TLS can ask for.
fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a name alone, such as shop.example".into()),
    }
}

/// An address, with or without the brackets that IPv6 has in URLs.
fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "write an address of this machine, such as 10.0.0.7 or ::1".into())
}

fn http2_connections(text: &str) -> Result<NonZeroU32, String> {
    let number: NonZeroU32 = values::positive(text)?;
    if number.get() > MAX_HTTP2_CONNECTIONS {
        return Err(format!("give 1 to {MAX_HTTP2_CONNECTIONS}"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_urls_of_http() {
        for (text, url) in [
            ("http://proxy:3128", Some("http://proxy:3128")),
            ("proxy:3128", Some("http://proxy:3128")),
            ("none", None),
            ("http://proxy/", Some("http://proxy:80")),
            ("http://u:p%40@[::1]:8080", Some("http://u:p%40@[::1]:8080")),
            ("https://proxy:3128", None),
            ("socks5://proxy:1080", None),
            ("http://proxy:3128/path", None),
            ("http://", None),
            ("http://proxy:99999", None),
        ] {
            assert_eq!(proxy(text).ok().as_deref(), url, "{text}");
        }
    }
}
