//! The table of attacks in the documentation: what is tried, what it gets, and the test that tries it.

use std::path::Path;

/// Attacks, what each gets, and its test: a module of `tests/` and a function.
const ATTACKS: &[(&str, &str, &str)] = &[
    (
        "results, reasons, panics, spans, output and names with escape sequences, C1, bidi and NUL",
        "text with U+FFFD on a terminal, escapes in a file; colours pass",
        "hostile::nothing_but_colours_reaches_a_terminal",
    ),
    ("the same in every file format", "escaped; a formula is prefixed", "hostile::nothing_unescaped_is_in_a_file"),
    (
        "the same in names of imports, exports and functions, in suites, calls, reports, searches",
        "the same",
        "hostile::no_command_shows_more_than_text_and_colours",
    ),
    (
        "the same in what an agent says of itself",
        "the same; texts above 4 KiB are not taken",
        "boxes::what_strangers_say_of_themselves_is_shown_as_text",
    ),
    (
        "look-ups of names that carry data, or of 100 MB",
        "refused and counted; the name is cut",
        "hostile::huge_names_are_refused_counted_and_cut",
    ),
    (
        "a name that would be a command in a suggested flag",
        "no suggestion",
        "hostile::a_suggestion_is_always_a_valid_destination",
    ),
    ("requests without a grant", "refused, counted, never sent", "grants::requests_without_a_grant_never_leave"),
    ("a redirect to another host", "needs a grant of its own", "grants::a_redirect_needs_a_separate_grant"),
    ("sockets to other addresses", "refused and counted", "grants::sockets_reach_granted_destinations_only"),
    (
        "sockets without any grant, to use up files",
        "no socket is made",
        "attacks::sockets_are_not_made_without_a_grant",
    ),
    (
        "listening",
        "refused, unless everything is granted",
        "attacks::listening_needs_a_grant_for_everything_and_is_named",
    ),
    (
        "other directories",
        "do not exist for the task",
        "hooks::a_task_has_the_directories_it_was_granted_and_no_others",
    ),
    (
        "millions of header fields, request bodies, streams, timers",
        "counted under `--max-memory`: a trap, or an error with the limit as its reason",
        "attacks::what_the_host_holds_for_a_task_counts_as_its_memory",
    ),
    (
        "objects of the engine's collector without end, and cycles of them",
        "counted under `--max-memory`: a trap; what is not held is collected",
        "components::objects_are_collected_and_count_as_memory",
    ),
    (
        "exceptions that nobody catches",
        "a trap of that name; the run goes on",
        "components::exceptions_are_caught_or_told",
    ),
    ("tables of gigabytes", "counted under `--max-memory`", "attacks::tables_count_as_memory"),
    (
        "memory of many instances together",
        "the worker ends at `--max-worker-memory`",
        "attacks::a_worker_has_a_limit_of_its_own",
    ),
    (
        "a gigabyte of random bytes, 100 MB from `prepare`",
        "a trap; an error",
        "attacks::random_bytes_and_the_text_of_prepare_have_a_limit",
    ),
    (
        "a thousand results with a hundred spans each, in every interval",
        "reports of some megabytes; the rest is `(other)`",
        "attacks::results_and_spans_are_bounded_together",
    ),
    ("names of spans of 10 MB, kept open", "cut to 256 bytes", "hostile::huge_names_of_spans_are_not_kept"),
    (
        "1,748 bytes that ask for 200 million instances",
        "refused before they are compiled",
        "attacks::a_bomb_of_instances_is_refused_before_it_is_compiled",
    ),
    (
        "43 kB whose instances have 200 million segments",
        "refused before they are compiled",
        "attacks::segments_and_globals_of_many_instances_are_refused",
    ),
    (
        "methods of 20 MB in hundreds of requests",
        "refused by WASI's error",
        "attacks::long_texts_of_requests_are_refused",
    ),
    (
        "components that take gigabytes to compile",
        "only the compiler's process takes them, up to 4 GiB and three minutes",
        "attacks::large_components_are_compiled_in_a_process_of_their_own",
    ),
    (
        "endless start functions and hooks",
        "end by `--hook-timeout`",
        "attacks::start_functions_and_hooks_end_by_their_own_timeout",
    ),
    (
        "endless operations, traps, exits",
        "counted; the run goes on",
        "misbehave::every_way_is_counted_and_the_run_goes_on",
    ),
    (
        "a worker that is killed",
        "is replaced; its numbers are named",
        "faults::a_worker_that_is_killed_is_replaced_and_its_numbers_are_named",
    ),
    ("a worker that is stopped", "`-d` ends the run", "stopped::a_duration_ends_a_run_with_a_stopped_worker"),
    ("the same, and Ctrl-C twice", "ends the run", "stopped::two_stops_end_a_run_with_a_stopped_worker"),
    ("rates of 10^9 and 10^300 per second", "refused", "attacks::rates_that_no_machine_reaches_are_refused"),
    (
        "`/dev/zero` and directories as inputs, a pipe as data",
        "refused",
        "attacks::a_device_without_an_end_is_no_input",
    ),
    ("millions of calls", "refused by line", "attacks::millions_of_calls_are_refused"),
    (
        "thousands of calls that share a body, a value or a token",
        "each counts: refused by line from 128 MiB on",
        "attacks::calls_that_share_a_large_body_or_value_are_counted_together",
    ),
    (
        "types of a million types, exports of exports",
        "cut where they are shown; refused from 10,000 exports on",
        "attacks::types_and_exports_that_multiply_are_cut_or_refused",
    ),
    ("a data file of a gigabyte", "is held once, on the disk", "attacks::the_rows_of_a_large_file_are_held_once"),
    (
        "suites with escapes, 100,000 brackets, keys of 3 MB",
        "one line of text",
        "attacks::suite_files_of_strangers_are_refused_in_plain_text",
    ),
    (
        "reports that claim 4 GiB, or a minimum above the maximum",
        "refused by field",
        "attacks::a_report_that_cannot_be_true_is_refused_by_field",
    ),
    (
        "flipped bytes in the cache, code of another task, files cut short",
        "it is compiled again",
        "attacks::a_damaged_file_of_the_cache_is_not_used",
    ),
    (
        "a cache in a directory that others can write",
        "is not used, and a line says so",
        "attacks::a_cache_that_others_can_replace_is_not_used",
    ),
    (
        "pipes and directories in the cache, a full or read-only disk",
        "passed over",
        "homes::a_cache_that_is_read_only_or_full_or_not_for_code_is_no_obstacle",
    ),
    (
        "idle connections to `--metrics` and `--web`, a web site with a name for this server",
        "closed after 20 s; reports are written; 403",
        "attacks::idle_connections_cost_no_report_and_other_names_no_figures",
    ),
];

/// The lines around the table in the documentation.
const BEGIN: &str = "<!-- attacks: written by tests/attacks/table.rs -->\n";
const END: &str = "<!-- end of attacks -->\n";

#[test]
fn the_table_in_the_documentation_is_that_of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut table = "| attack | what it gets | test |\n| --- | --- | --- |\n".to_owned();
    for (attack, gets, test) in ATTACKS {
        let (module, function) = test.split_once("::").unwrap();
        let source = std::fs::read_to_string(root.join("tests").join(module).with_extension("rs")).unwrap();
        assert!(source.contains(&format!("\nfn {function}() {{\n")), "there is no test {test}");
        table.push_str(&format!("| {attack} | {gets} | `{test}` |\n"));
    }
    let page = root.join("docs/src/security.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the place has an end");
    let wanted = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("GORGON_BLESS").is_some() {
        std::fs::write(&page, wanted).unwrap();
    } else {
        assert!(text == wanted, "docs/src/security.md is out of date: GORGON_BLESS=1 cargo test --test e2e attacks");
    }
}
