use super::*;

#[test]
fn two_policies_allow_what_both_allow() {
    let and = |one: &[&str], other: &[&str]| {
        let both = policy(one).and(&policy(other));
        assert_eq!(
            both,
            policy(
                &both
                    .0
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
            )
        );
        let mut shown: Vec<_> = both.0.iter().map(ToString::to_string).collect();
        shown.sort();
        shown
    };
    assert_eq!(and(&["all"], &["all"]), ["all"]);
    assert_eq!(and(&["all"], &[]), [""; 0]);
    assert_eq!(and(&["all"], &["http://a", "tcp://b:1"]), ["http://a", "tcp://b:1"]);
    assert_eq!(and(&["http://a", "http://b"], &["http://b", "http://c"]), ["http://b"]);
    assert_eq!(
        and(&["https://*.example.com"], &["https://a.example.com", "https://example.com"]),
        ["https://a.example.com"]
    );
    assert_eq!(and(&["https://*.b.example.com"], &["https://*.example.com"]), ["https://*.b.example.com"]);
    assert_eq!(and(&["https://*.example.com:8443"], &["https://*.example.com"]), [""; 0]);
    assert_eq!(and(&["http://a"], &["https://a"]), [""; 0]);
}

fn policy(allows: &[&str]) -> Policy {
    Policy(allows.iter().map(|allow| allow.parse().unwrap()).collect())
}

fn url(url: &str) -> Destination {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, port) = split_port(rest).unwrap();
    Destination::of_http(scheme, host, port).unwrap()
}

#[test]
fn grants_as_people_write_them() {
    for (text, shown) in [
        ("all", "all"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("HTTP://LocalHost.:80/", "http://localhost"),
        ("https://*.Example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("tcp://db:5432", "tcp://db:5432"),
        ("http://[::1]:80", "http://[::1]"),
        ("udp://[::ffff:10.0.0.1]:53", "udp://10.0.0.1:53"),
        ("http://::1", "http://[::1]"),
    ] {
        assert_eq!(text.parse::<Allow>().map(|allow| allow.to_string()), Ok(shown.to_owned()), "{text}");
    }
    for wrong in [
        "localhost",
        "ftp://x",
        "http://",
        "http://x/path",
        "http://u@x",
        "tcp://db",
        "http://x:99999",
        "http://*",
        "http://*.",
        "http://a.*.com",
        "tcp://*.example.com:1",
        "http://*x.com",
        "tcp://x;id:1",
        "http://$(id)",
        "",
    ] {
        assert!(wrong.parse::<Allow>().is_err(), "{wrong}");
    }
}

#[test]
fn only_what_could_be_granted_is_suggested() {
    for (refused, flag) in [
        ("http://db.example.com:8080", Some("--allow http://db.example.com:8080")),
        ("tcp://db:PORT", Some("--allow tcp://db:PORT")),
        ("tcp://x:1;curl evil|sh;#:PORT", None),
        ("tcp://x;id:PORT", None),
        ("http://$(id)", None),
        ("http://a\u{1b}]0;t\u{7}", None),
        // These would grant more than what was refused.
        ("all", None),
        ("http://*.com", None),
        ("https://*.example.com:8443", None),
        // The flag shows the destination as it is parsed.
        ("http://Example.COM:80", Some("--allow http://example.com")),
        ("tcp://DB.:PORT", Some("--allow tcp://db:PORT")),
        ("(other)", None),
    ] {
        assert_eq!(suggestion(refused).as_deref(), flag, "{refused:?}");
    }
    // If the text may have been cut, it may name another host.
    assert_eq!(suggestion(&format!("http://{}", "a".repeat(246))), None);
    // What a shell would interpret is quoted.
    assert_eq!(suggestion("udp://[::1]:53").as_deref(), Some("--allow 'udp://[::1]:53'"));
}

#[test]
fn a_host_is_compared_exactly() {
    let granted = policy(&["http://api.example.com:8080", "http://10.0.0.1", "http://[::1]:9000"]);
    for (wanted, permitted) in [
        ("http://api.example.com:8080", true),
        ("http://API.Example.COM.:8080", true),
        ("http://api.example.com", false),
        ("https://api.example.com:8080", false),
        ("http://api.example.com.evil.org:8080", false),
        ("http://xapi.example.com:8080", false),
        ("http://example.com:8080", false),
        ("http://10.0.0.1:80", true),
        ("http://[::ffff:10.0.0.1]:80", true),
        ("http://[::ffff:a00:1]", true),
        ("http://10.0.0.1:81", false),
        ("http://10.0.0.10", false),
        // Other spellings of the same address count as other names, although a resolver may understand them.
        ("http://10.1", false),
        ("http://0x0a.0.0.1", false),
        ("http://167772161", false),
        ("http://[::1]:9000", true),
        ("http://[0:0:0:0:0:0:0:1]:9000", true),
        ("http://[::2]:9000", false),
    ] {
        assert_eq!(granted.permits(&url(wanted)), permitted, "{wanted}");
    }
    assert!(!Policy::default().permits(&url("http://localhost")));
    assert!(policy(&["all"]).permits(&url("https://anything.org")));
}

#[test]
fn a_star_stands_for_names_under_the_suffix() {
    let granted = policy(&["https://*.example.com"]);
    for (wanted, permitted) in [
        ("https://a.example.com", true),
        ("https://a.b.Example.com", true),
        ("https://example.com", false),
        ("https://.example.com", false),
        ("https://aexample.com", false),
        ("https://a.example.com:8443", false),
        ("http://a.example.com", false),
        ("https://a.example.com.org", false),
    ] {
        assert_eq!(granted.permits(&url(wanted)), permitted, "{wanted}");
    }
}

#[test]
fn sockets_reach_addresses_that_granted_names_stand_for() {
    let granted = policy(&["tcp://db:5432", "udp://10.0.0.2:53", "http://web:80"]);
    let of = |name: &str| if name == "db" { vec!["10.0.0.7".parse().unwrap()] } else { vec![] };
    let permits = |protocol, address: &str, port| granted.permits_address(protocol, address.parse().unwrap(), port, of);
    assert!(permits(Protocol::Tcp, "10.0.0.7", 5432));
    assert!(permits(Protocol::Tcp, "::ffff:10.0.0.7", 5432));
    assert!(!permits(Protocol::Tcp, "10.0.0.8", 5432));
    assert!(!permits(Protocol::Tcp, "10.0.0.7", 5433));
    assert!(!permits(Protocol::Udp, "10.0.0.7", 5432));
    assert!(permits(Protocol::Udp, "10.0.0.2", 53));
    // A grant for HTTP does not allow a raw connection.
    assert!(!permits(Protocol::Tcp, "10.0.0.7", 80));
    assert!(granted.permits_lookup("DB.") && granted.permits_lookup("web") && !granted.permits_lookup("other"));
}
