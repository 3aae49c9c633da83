//! The dependencies between the modules of the host are those in ARCHITECTURE.md, and all of them point down.
//!
//! The tables of ARCHITECTURE.md are the rules. This test reads them and compares them with the sources. Modules that
//! are only compiled for tests are exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A source file of the host, without comments and tests.
struct Source {
    /// Relative to `host/src`.
    path: String,
    code: String,
}

impl Source {
    /// The top-level module that the file belongs to.
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The number of `super` that lead from the file to the crate's root.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("mod.rs") { folders } else { folders + 1 }
    }

    fn is_in(&self, place: &str) -> bool {
        self.path == place || (place.ends_with('/') && self.path.starts_with(place))
    }
}

/// Code without whole-line comments and without test items, and the names of the modules among those items.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            writeln!(code, "{line}").unwrap();
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut item = lines.next().unwrap();
        while item.trim_start().starts_with("#[") {
            item = lines.next().unwrap();
        }
        if let Some(module) = item.trim().strip_prefix("mod ").and_then(|item| item.strip_suffix(';')) {
            modules.push(module.to_owned());
        }
        if !item.ends_with(';') && !item.ends_with('}') {
            let end = [format!("{indent}}}"), format!("{indent}}};"), format!("{indent}}}}}")];
            let _ = lines.by_ref().find(|line| end.iter().any(|end| line == end));
        }
    }
    (code, modules)
}

/// Reads the sources in `folder`, a path below `root`.
fn read_sources(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let (mut files, mut folders, mut of_tests) = (Vec::new(), Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let (code, modules) = without_tests(&std::fs::read_to_string(&path).unwrap());
            of_tests.extend(modules);
            files.push((path, code));
        }
    }
    let is_counted = |path: &PathBuf| !of_tests.contains(path.file_stem().unwrap().to_str().unwrap());
    for (path, code) in files.into_iter().filter(|(path, _)| is_counted(path)) {
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        sources.push(Source { path, code });
    }
    for folder in folders.into_iter().filter(is_counted) {
        read_sources(root, &folder, sources);
    }
}

fn sources() -> Vec<Source> {
    let (src, mut sources) = (root().join("host/src"), Vec::new());
    read_sources(&src, &src, &mut sources);
    assert!(sources.len() > 100, "only {} files were found", sources.len());
    sources
}

/// The rows of the table in ARCHITECTURE.md whose head begins with `head`. Each cell is the list of its words in
/// backticks.
fn table(head: &str) -> Vec<Vec<Vec<String>>> {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut lines = map.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "ARCHITECTURE.md has no table that begins with `{head}`");
    let quoted = Regex::new("`([^`]+)`").unwrap();
    let words = |cell: &str| quoted.captures_iter(cell).map(|word| word[1].to_owned()).collect();
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(words).collect()).collect()
}

/// The modules in the order of the table, each with the modules it may use.
fn rooms() -> Vec<(String, BTreeSet<String>)> {
    let name = |word: &String| word.trim_end_matches('/').trim_end_matches(".rs").to_owned();
    let rows = table("| module | owns | uses |").into_iter();
    rows.map(|row| (name(&row[0][0]), row[2].iter().map(name).collect())).collect()
}

/// The dependencies in the sources, by pair of modules, with their places.
fn arrows(sources: &[Source]) -> BTreeMap<(String, String), Vec<String>> {
    let path = Regex::new(r"\b(?:crate|gorgon)::(\w+|\{)(?:::\w+)*").unwrap();
    let supers = Regex::new(r"\b(?:super::)+").unwrap();
    let mut arrows = BTreeMap::<_, Vec<_>>::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        for found in path.captures_iter(&source.code) {
            assert!(&found[1] != "{", "{}: write a `use` for each module instead of `crate::{{`", source.path);
            if &found[1] != source.room() {
                let place = format!("{}: {}", source.path, &found[0]);
                arrows.entry((source.room().to_owned(), found[1].to_owned())).or_default().push(place);
            }
        }
        for found in supers.find_iter(&source.code) {
            let steps = found.as_str().matches("super").count();
            assert!(
                steps < source.depth(),
                "{}: `{}` leaves its module: begin with `crate`",
                source.path,
                found.as_str()
            );
        }
    }
    arrows
}

#[test]
fn modules_use_what_the_map_allows() {
    let (rooms, sources) = (rooms(), sources());
    let drawn = arrows(&sources);
    let mut wrong = String::new();
    for ((from, to), places) in &drawn {
        let allowed = rooms.iter().find(|(room, _)| room == from);
        if !allowed.is_some_and(|(_, uses)| uses.contains(to)) {
            writeln!(wrong, "`{from}` may not use `{to}`: {}", places.join(", ")).unwrap();
        }
    }
    for (from, uses) in &rooms {
        for to in uses.iter().filter(|to| !drawn.contains_key(&(from.clone(), (*to).clone()))) {
            writeln!(wrong, "`{from}` does not use `{to}`, as ARCHITECTURE.md says").unwrap();
        }
    }
    let known: BTreeSet<_> = rooms.iter().map(|(room, _)| room.as_str()).chain(["lib"]).collect();
    let there: BTreeSet<_> = sources.iter().map(Source::room).collect();
    assert_eq!(there.symmetric_difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "modules of one side only");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Since all arrows point down, there is no cycle.
#[test]
fn arrows_point_down() {
    let rooms = rooms();
    for (i, (room, uses)) in rooms.iter().enumerate() {
        for used in uses {
            let at = rooms.iter().position(|(room, _)| room == used);
            assert!(at.is_some_and(|at| at > i), "`{room}` uses `{used}`, which is not below it in the table");
        }
    }
}

/// These rules hold even if somebody changes the table.
#[test]
fn modules_that_must_not_know_each_other_do_not() {
    let engine = ["task", "capability", "controller", "worker", "transport", "wire", "cli"];
    let forbidden: [(&str, &[&str]); 7] = [
        ("capability", &["task"]),
        ("controller", &["task", "capability", "worker", "report", "judging", "rendering", "cli"]),
        ("record", &["controller", "report"]),
        ("report", &engine),
        ("judging", &engine),
        ("rendering", &engine),
        ("worker", &["controller", "report", "cli"]),
    ];
    for (room, uses) in rooms() {
        for (_, never) in forbidden.iter().filter(|(name, _)| *name == room) {
            let broken: Vec<_> = uses.iter().filter(|used| never.contains(&used.as_str())).collect();
            assert!(broken.is_empty(), "ARCHITECTURE.md lets `{room}` use {broken:?}");
        }
    }
}

#[test]
fn crates_are_named_where_the_map_says() {
    let sources = sources();
    for row in table("| crate | named only in |") {
        let [names, places] = &row[..] else { panic!("{row:?}") };
        for name in names {
            let named = Regex::new(&format!(r"\b{name}(?:_\w+)?::")).unwrap();
            let naming: Vec<_> = sources.iter().filter(|source| named.is_match(&source.code)).collect();
            let elsewhere = naming.iter().filter(|source| !places.iter().any(|place| source.is_in(place)));
            let elsewhere: Vec<_> = elsewhere.map(|source| &source.path).collect();
            assert!(elsewhere.is_empty(), "`{name}` is named in {elsewhere:?}");
            let unused: Vec<_> =
                places.iter().filter(|place| !naming.iter().any(|source| source.is_in(place))).collect();
            assert!(unused.is_empty(), "`{name}` is not named in {unused:?}, as ARCHITECTURE.md says");
        }
    }
}

#[test]
fn pure_modules_name_nothing_outside() {
    let rows = table("| never named | in |");
    let sources = sources();
    for row in &rows {
        let [names, places] = &row[..] else { panic!("{row:?}") };
        for place in places {
            let pure: Vec<_> = sources.iter().filter(|source| source.is_in(place)).collect();
            assert!(!pure.is_empty(), "there is no `{place}`");
            for (source, name) in pure.iter().flat_map(|source| names.iter().map(move |name| (source, name))) {
                assert!(!source.code.contains(name.as_str()), "`{name}` is named in {}", source.path);
            }
        }
    }
}

#[test]
fn only_one_module_knows_which_system_it_is_on() {
    for Source { path, code } in sources().iter().filter(|source| !source.is_in("system/")) {
        for name in ["\"/proc", "target_os", "target_vendor"] {
            assert!(!code.contains(name), "`{name}` is named in {path}: ask `system` for it");
        }
    }
}

#[test]
fn test_items_are_left_out() {
    let text = "use a;\n// crate::b\n#[cfg(test)]\nmod far;\n#[cfg(test)]\n#[allow(c)]\nmod near {\n    fn d() {\n    }\n}\nuse e;\n";
    assert_eq!(without_tests(text), ("use a;\nuse e;\n".to_owned(), vec!["far".to_owned()]));
}
