//! The public interface of tasks, and WASI, as WIT; and what a task can import of them.

/// The interface between Gorgon and its tasks.
pub const TASK_WIT: &str = include_str!("../wit/task.wit");

/// The version of WASI in [`WASI_WIT`].
pub const WASI_VERSION: &str = "0.2.12";

/// WASI: the packages, each after the ones that it uses.
pub const WASI_WIT: [(&str, &str); 7] = [
    ("io.wit", include_str!("../wit/deps/io.wit")),
    ("clocks.wit", include_str!("../wit/deps/clocks.wit")),
    ("random.wit", include_str!("../wit/deps/random.wit")),
    ("filesystem.wit", include_str!("../wit/deps/filesystem.wit")),
    ("sockets.wit", include_str!("../wit/deps/sockets.wit")),
    ("cli.wit", include_str!("../wit/deps/cli.wit")),
    ("http.wit", include_str!("../wit/deps/http.wit")),
];

/// The names that an interface provides, given with its version, as a component has them; `None` if there is no such
/// interface here.
pub fn provided(import: &str) -> Option<Vec<String>> {
    let (name, version) = import.split_once('@')?;
    let (package, interface) = name.split_once('/')?;
    let is_here = match package {
        "gorgon:task" => version == "0.1.0",
        _ => version.strip_prefix("0.2.").is_some_and(|patch| patch.parse::<u16>().is_ok()),
    };
    let text = text_of(package).filter(|_| is_here)?;
    let begin = text.find(&format!("\ninterface {interface} {{"))?;
    // Another interface begins at the margin, as the end of this one does.
    let body = &text[begin + 1..];
    let body = &body[..body.find("\n}").unwrap_or(body.len())];
    Some(names(body))
}

/// Whether there is a package of that name here, of whatever version.
pub fn is_package(package: &str) -> bool {
    text_of(package).is_some()
}

fn text_of(package: &str) -> Option<&'static str> {
    let of_wasi = |(file, text): &(&str, &'static str)| {
        (file.strip_suffix(".wit") == package.strip_prefix("wasi:")).then_some(*text)
    };
    if package == "gorgon:task" { Some(TASK_WIT) } else { WASI_WIT.iter().find_map(of_wasi) }
}

/// The names of an interface's functions and resources, and those of the functions of its resources.
fn names(body: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut resource = None;
    // A word of WIT that is a name has this sign before it.
    let lines = body.lines().map(|line| line.trim().trim_start_matches('%'));
    for line in lines.filter(|line| !line.starts_with("//")) {
        if let Some(name) = line.strip_prefix("resource ") {
            let name = name.trim_end_matches([';', '{', ' ']);
            names.extend([name.to_owned(), format!("[resource-drop]{name}")]);
            resource = line.ends_with('{').then_some(name);
        } else if line.starts_with("constructor(") {
            names.extend(resource.map(|of| format!("[constructor]{of}")));
        } else if let Some((name, rest)) = line.split_once(": ").filter(|(_, rest)| rest.contains("func(")) {
            names.push(match resource {
                Some(of) if rest.starts_with("static") => format!("[static]{of}.{name}"),
                Some(of) => format!("[method]{of}.{name}"),
                None => name.to_owned(),
            });
        } else if line == "}" {
            resource = None;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_provided_is_known_by_name() {
        let has = |import: &str, name: &str| provided(import).map(|names| names.iter().any(|known| known == name));
        for (import, name) in [
            ("wasi:random/random@0.2.0", "get-random-u64"),
            ("wasi:io/streams@0.2.99", "[method]output-stream.blocking-write-and-flush"),
            ("wasi:http/types@0.2.3", "[constructor]fields"),
            ("wasi:http/types@0.2.3", "[static]response-outparam.set"),
            ("wasi:http/outgoing-handler@0.2.0", "handle"),
            ("wasi:http/types@0.2.0", "[method]incoming-body.stream"),
            ("wasi:cli/environment@0.2.0", "get-environment"),
            ("gorgon:task/current@0.1.0", "[static]span.start"),
            ("gorgon:task/current@0.1.0", "fail"),
            ("gorgon:task/run@0.1.0", "row"),
        ] {
            assert_eq!(has(import, name), Some(true), "{import}.{name}: {:?}", provided(import));
        }
        assert_eq!(has("wasi:random/random@0.2.0", "get-random-u128"), Some(false));
        for none in
            ["wasi:random/random@0.3.0", "wasi:random/randon@0.2.0", "acme:db/x@1.0.0", "x", "gorgon:task/run@0.2.0"]
        {
            assert_eq!(provided(none), None, "{none}");
        }
    }
}
