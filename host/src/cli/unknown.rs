//! What to say about a flag that a command does not have: where it is, or how it is called here.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// Flags of other tools, and ours for the same.
const PEERS: [(&[&str], &str); 22] = [
    (&["--vus", "--vu", "--users", "-u", "--connections", "--concurrent", "--max-vus"], "--concurrency"),
    (&["--iterations", "-i", "--requests", "--num-requests", "--count"], "--operations"),
    (&["--run-time", "--time", "--test-duration", "--duration-seconds"], "--duration"),
    (&["--rps", "--qps", "--arrival-rate", "--throughput"], "--rate"),
    (&["--stage"], "--stages"),
    (&["--spawn-rate", "--hatch-rate", "--ramp-up", "--rampup"], "--ramp"),
    (&["--threshold", "--thresholds", "--ensure"], "--fail-if"),
    (&["--out", "--output", "-o", "--summary-export", "--export"], "--json"),
    (&["--skip-tls-verify", "--insecure-skip-tls-verify", "--skip-verify", "--tls-skip-verify", "-k"], "--insecure"),
    (&["--disable-keepalive", "--no-keep-alive", "--no-connection-reuse"], "--no-keepalive"),
    (&["--workers", "--cpus"], "--processes"),
    (&["-z"], "--duration"),
    (&["--method"], "--request"),
    (&["-x", "--all-proxy"], "--proxy"),
    (&["--cacert", "--ca", "--cafile"], "--ca-cert"),
    (&["-E", "--client-cert", "--certificate"], "--cert"),
    (&["--private-key", "--client-key"], "--key"),
    (&["--interface", "--local-ips", "--laddr"], "--local-address"),
    (&["--servername", "--server-name"], "--sni"),
    (&["--http2-prior-knowledge", "--http2-only", "--h2c"], "--http2"),
    (&["--unix", "--abstract-unix-socket"], "--unix-socket"),
    (&["--no-tui"], "--no-progress"),
];

/// Flags that a command does not have on purpose, and what it has instead.
const ABSENT: [(&str, &[&str], &str); 29] = [
    ("find", &["-n", "--operations"], "it chooses how many operations a probe has; see --probe"),
    ("find", &["-d", "--duration"], "it chooses how long a probe lasts; see --probe and --budget"),
    ("find", &["--rate", "--stages"], "it looks for the rate; see --from and --to"),
    ("find", &["--fail-if", "--abort-if"], "it looks for the rate that keeps a promise; see --slo"),
    ("find", &["--max-in-flight"], "it chooses how many instances a probe has, up to --concurrency"),
    ("run", &["--slo"], "say what is bad with --fail-if, or look for a rate with `gorgon find`"),
    (
        "http",
        &["--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "-D"],
        "a body is given by --body TEXT or --body @FILE",
    ),
    ("http", &["-F", "--form", "-G", "--get"], "put the curl command line into a file, and play that"),
    ("http", &["-b", "--cookie"], "send cookies by -H 'Cookie: NAME=VALUE'"),
    ("http", &["-A", "--user-agent"], "send it by -H 'User-Agent: NAME'"),
    ("http", &["-e"], "an environment is named by --env-name; a referer is sent by -H 'Referer: URL'"),
    ("http", &["--referer"], "send it by -H 'Referer: URL'"),
    ("http", &["--env-var", "--global-var"], "a value is given by --var NAME=VALUE"),
    (
        "http",
        &["--env-file", "--environment"],
        "an environment is named by --env-name, and looked for beside the calls",
    ),
    ("http", &["--iteration-data"], "rows are given by --data FILE.csv"),
    ("http", &["-I", "--head"], "the method is given by -X HEAD"),
    ("http", &["-v", "--verbose", "-i"], "`gorgon test URL` shows each request and response"),
    ("http", &["-a", "--basic-auth"], "a name and a password are given by -u NAME:PASSWORD"),
    ("http", &["--url", "--host"], "write the URL without a flag; another Host is sent by -H 'Host: NAME'"),
    ("http", &["-T"], "send the content type by -H 'Content-Type: TYPE'"),
    ("http", &["-L", "--location"], "redirects are followed"),
    ("http", &["-m"], "the method is given by -X, the time limit by --timeout"),
    ("http", &["--resolve"], "connect elsewhere by --connect-to HOST:PORT:ADDRESS:PORT"),
    ("http", &["--noproxy"], "--proxy env leaves out the hosts that NO_PROXY names"),
    ("http", &["--compressed"], "send -H 'Accept-Encoding: gzip'; bodies are decoded for captures"),
    ("http", &["--http1.1", "--http1.0", "-0"], "HTTP/1.1 is spoken unless TLS negotiates HTTP/2"),
    ("http", &["--socks5", "--socks5-hostname", "--socks4"], "only proxies that are spoken to over HTTP: --proxy"),
    ("compare", &["--fail-if", "--slo"], "it compares two sides; see --fail-if-slower"),
    ("compare", &["--quiet", "-q"], "it prints nothing but the comparison; --json - puts JSON in its place"),
];

/// What to do about the unknown flag that `error` is about, in a command line of `words` after the program's name;
/// `None` if nothing is known about it.
pub(super) fn flag(error: &clap::Error, words: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return None };
    let program = Cli::command();
    let command = words.iter().find_map(|word| program.find_subcommand(word))?;
    if given[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return negative(command, words, given);
    }
    let name = command.get_name();
    if has(command, given) {
        return Some(format!("{given} belongs behind the command: `gorgon {name} … {given} …`"));
    }
    let none = |advice: &str| Some(format!("`gorgon {name}` has no {given}: {advice}"));
    let ours = PEERS.iter().find(|(theirs, _)| theirs.contains(&given.as_str())).map(|(_, ours)| *ours);
    let is_absent = |flags: &[&str]| flags.contains(&given.as_str()) || ours.is_some_and(|ours| flags.contains(&ours));
    if let Some((.., advice)) = ABSENT.iter().find(|(of, flags, _)| *of == name && is_absent(flags)) {
        return none(advice);
    }
    if let Some(ours) = ours.filter(|ours| has(command, ours)) {
        return none(&format!("here that is {ours}"));
    }
    let visible = program.get_subcommands().filter(|other| !other.is_hide_set() && has(other, given));
    let others: Vec<_> = visible.map(|other| format!("`gorgon {}`", other.get_name())).collect();
    match others.as_slice() {
        [] => None,
        [one] => none(&format!("only {one} has it")),
        [rest @ .., last] => none(&format!("{} and {last} have it", rest.join(", "))),
    }
}

/// Words of other tools for what a command is here.
const COMMANDS: [(&[&str], &str); 9] = [
    (&["start", "exec", "load"], "run"),
    (&["debug", "try"], "test"),
    (&["init", "create"], "new"),
    (&["get", "bench", "hit", "attack", "curl"], "http"),
    (&["search", "saturate", "breakpoint"], "find"),
    (&["diff"], "compare"),
    (&["worker", "slave"], "agent"),
    (&["ps", "list", "ls"], "runs"),
    (&["kill", "cancel"], "stop"),
];

/// What to do about the unknown command that `error` is about: the command for what was given in its place, or the one
/// that is spelt most like it.
pub(super) fn command(error: &clap::Error, words: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let rest = || words.iter().skip_while(|word| *word != given).map(String::as_str).collect::<Vec<_>>().join(" ");
    let is_url = given.starts_with("http://") || given.starts_with("https://");
    let for_files = match given.rsplit_once('.').map(|(_, extension)| extension) {
        _ if is_url => Some("http"),
        Some("wasm" | "wat") => Some("run"),
        Some("toml") => Some("suite"),
        Some("har" | "http" | "rest") => Some("http"),
        _ => None,
    };
    if let Some(name) = for_files {
        return Some(format!("`{given}` is not a command: write `gorgon {name} {}`", rest()));
    }
    let ours = COMMANDS.iter().find(|(theirs, _)| theirs.contains(&given.as_str())).map(|(_, ours)| *ours);
    let program = Cli::command();
    let visible: Vec<_> = program.get_subcommands().filter(|of| !of.is_hide_set()).map(Command::get_name).collect();
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, given);
    let nearest = || visible.iter().min_by_key(distance).filter(|name| distance(name) <= 2).copied();
    match ours.or_else(nearest) {
        Some(name) => Some(format!("there is no command `{given}`: is `gorgon {name}` meant?")),
        None => Some(format!("there is no command `{given}`: there are {}", visible.join(", "))),
    }
}

/// Whether `command` has a flag, by its long or its short name.
fn has(command: &Command, flag: &str) -> bool {
    let is_named = |arg: &Arg| match flag.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| flag.strip_prefix('-') == Some(short.to_string().as_str())),
    };
    command.get_arguments().any(is_named)
}

/// What to do about a value that begins like a flag, such as `-5s`.
fn negative(command: &Command, words: &[String], given: &str) -> Option<String> {
    let place = words.iter().position(|word| word.starts_with(given))?;
    let (before, value) = (words.get(place.checked_sub(1)?)?, &words[place]);
    let flag = command.get_arguments().find(|arg| {
        let long = arg.get_long().is_some_and(|long| before.strip_prefix("--") == Some(long));
        let short = arg.get_short().is_some_and(|short| before.strip_prefix('-') == Some(short.to_string().as_str()));
        (long || short) && arg.get_action().takes_values()
    })?;
    let default = flag.get_default_values().first().map(|default| default.to_string_lossy().into_owned());
    let give = match flag.get_value_names()?.first()?.as_str() {
        "TIME" => format!("give a duration such as `{}`", default.filter(|of| of != "0").unwrap_or("30s".into())),
        "RATE" => format!("give a rate such as `{}`", default.unwrap_or("500/s".into())),
        "EXPR" => "give a figure, a comparison and a value, such as `p99>250ms`".to_owned(),
        "SIZE" => "give a size such as `64MiB`".to_owned(),
        "PERCENT" => "give a share in percent, such as `5%`".to_owned(),
        "TIME|N" => "give a time or a number of operations, such as `5s` or `1000`".to_owned(),
        "N" | "P" | "T" | "K" | "S" => "give a whole number such as `10`".to_owned(),
        _ => format!("if it is meant, write `{before}={value}`"),
    };
    Some(format!("invalid value `{value}` for {before}: it is negative: {give}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_command_that_is_not_there_is_answered_by_the_one_that_is_meant() {
        for (line, advice) in [
            ("rnu t.wasm", "there is no command `rnu`: is `gorgon run` meant?"),
            ("t.wasm -n 5", "`t.wasm` is not a command: write `gorgon run t.wasm -n 5`"),
            ("http://localhost -c 5", "`http://localhost` is not a command: write `gorgon http http://localhost -c 5`"),
            ("suite.toml", "`suite.toml` is not a command: write `gorgon suite suite.toml`"),
            ("ps", "there is no command `ps`: is `gorgon runs` meant?"),
            ("attack u", "there is no command `attack`: is `gorgon http` meant?"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let error = Cli::try_parse_from(std::iter::once("gorgon".to_owned()).chain(words.clone())).unwrap_err();
            assert_eq!(command(&error, &words).as_deref(), Some(advice), "{line}");
        }
    }

    #[test]
    fn help_and_version_are_words_too() {
        let of = |line: &str| {
            let words = line.split(' ').map(std::ffi::OsString::from).collect();
            Cli::try_parse_from(super::super::of_flags(words)).unwrap_err().kind()
        };
        assert_eq!(of("gorgon help"), ErrorKind::DisplayHelp);
        assert_eq!(of("gorgon help run"), ErrorKind::DisplayHelp);
        assert_eq!(of("gorgon version"), ErrorKind::DisplayVersion);
        assert_eq!(of("gorgon run help x"), ErrorKind::UnknownArgument);
    }

    fn said(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = Cli::try_parse_from(std::iter::once("gorgon".to_owned()).chain(words.clone())).unwrap_err();
        flag(&error, &words)
    }

    #[test]
    fn a_flag_of_another_command_or_tool_is_named() {
        for (line, advice) in [
            (
                "find t.wasm --slo p99<1s -n 100",
                "`gorgon find` has no -n: it chooses how many operations a probe has; see --probe",
            ),
            (
                "find t.wasm --slo p99<1s -d 1m",
                "`gorgon find` has no -d: it chooses how long a probe lasts; see --probe and --budget",
            ),
            (
                "find t.wasm --slo p99<1s --rate 5",
                "`gorgon find` has no --rate: it looks for the rate; see --from and --to",
            ),
            (
                "find t.wasm --slo p99<1s --fail-if p99>1s",
                "`gorgon find` has no --fail-if: it looks for the rate that keeps a promise; see --slo",
            ),
            (
                "find t.wasm --slo p99<1s --iterations 5",
                "`gorgon find` has no --iterations: it chooses how many operations a probe has; see --probe",
            ),
            ("run t.wasm --vus 5", "`gorgon run` has no --vus: here that is --concurrency"),
            ("run t.wasm -u 5", "`gorgon run` has no -u: here that is --concurrency"),
            ("run t.wasm --iterations=5", "`gorgon run` has no --iterations: here that is --operations"),
            ("http u -k", "`gorgon http` has no -k: here that is --insecure"),
            ("http u -z 5s", "`gorgon http` has no -z: here that is --duration"),
            ("http u --data-raw x", "`gorgon http` has no --data-raw: a body is given by --body TEXT or --body @FILE"),
            ("http u -b a=1", "`gorgon http` has no -b: send cookies by -H 'Cookie: NAME=VALUE'"),
            ("http t.txt --run-time 5s", "`gorgon http` has no --run-time: here that is --duration"),
            (
                "compare a.json b.json --quiet",
                "`gorgon compare` has no --quiet: it prints nothing but the comparison; --json - puts JSON in \
                 its place",
            ),
            ("--on nats://x run t.wasm", "--on belongs behind the command: `gorgon run … --on …`"),
            ("run t.wasm --number 5", "`gorgon run` has no --number: only `gorgon test` has it"),
            (
                "compare a.json b.json --csv f",
                "`gorgon compare` has no --csv: `gorgon run`, `gorgon http`, `gorgon demo`, `gorgon suite` and \
                 `gorgon report` have it",
            ),
            (
                "find t.wasm --slo p99<1s --budget -5s",
                "invalid value `-5s` for --budget: it is negative: give a duration such as `5m`",
            ),
            ("run t.wasm -n -5", "invalid value `-5` for -n: it is negative: give a whole number such as `10`"),
            ("run t.wasm --rate -5/s", "invalid value `-5/s` for --rate: it is negative: give a rate such as `500/s`"),
        ] {
            assert_eq!(said(line).as_deref(), Some(advice), "{line}");
        }
        assert_eq!(said("run t.wasm --nonsense"), None);
    }
}
