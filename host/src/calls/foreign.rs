//! Files of other tools, which are not played: what each is, and what to do instead.

/// The file of a tool.
struct Foreign {
    /// The keys that its JSON object has, if it is JSON.
    keys: &'static [&'static str],
    /// What a line of its text begins with, if it is text; with one of these.
    begins: &'static [&'static str],
    /// The ends of its name that no other file has.
    ends: &'static [&'static str],
    is: &'static str,
    remedy: &'static str,
}

/// Its JSON has these keys.
const fn json(keys: &'static [&'static str], is: &'static str, remedy: &'static str) -> Foreign {
    Foreign { keys, begins: &[], ends: &[], is, remedy }
}

const RECORD: &str = "play a HAR of the same session, or write its calls as a .http file";
const DESCRIPTION: &str =
    "it says what can be called, not what to call: write calls as a .http file, or make a Postman collection of it";
const AS_COLLECTION: &str = "export it as a Postman collection v2.1";

const FOREIGN: [Foreign; 23] = [
    json(&["openapi", "paths"], "an OpenAPI description", DESCRIPTION),
    json(&["swagger", "paths"], "a Swagger description", DESCRIPTION),
    json(&["__export_format", "resources"], "an export of Insomnia", "export it as HAR"),
    json(
        &["_postman_variable_scope"],
        "an environment of Postman",
        "play a collection, and name the environment by --env-name",
    ),
    json(
        &["values", "id", "name"],
        "an environment of Postman",
        "play a collection, and name the environment by --env-name",
    ),
    json(&["order", "requests"], "a collection of Postman in format 1", "export it as Collection v2.1"),
    json(&["clientName", "requests"], "a collection of Thunder Client", AS_COLLECTION),
    json(
        &["schema", "gorgon", "runs"],
        "a report of Gorgon",
        "`gorgon report` shows it; play the file of calls that the run had",
    ),
    json(&["config", "scenarios"], "a script of Artillery", RECORD),
    Foreign {
        keys: &[],
        begins: &["openapi:", "swagger:"],
        ends: &[],
        is: "an OpenAPI description",
        remedy: DESCRIPTION,
    },
    Foreign { keys: &[], begins: &["scenarios:"], ends: &[], is: "a script of Artillery", remedy: RECORD },
    Foreign {
        keys: &[],
        begins: &["type: collection.insomnia.rest", "_type: export"],
        ends: &[],
        is: "an export of Insomnia",
        remedy: "export it as HAR",
    },
    Foreign {
        keys: &[],
        begins: &[],
        ends: &["http-client.env.json", "http-client.private.env.json"],
        is: "an environment",
        remedy: "play the calls beside it, and name the environment by --env-name",
    },
    Foreign {
        keys: &[],
        begins: &["fetch(", "Invoke-WebRequest", "$session = New-Object"],
        ends: &[],
        is: "a request as a program",
        remedy: "copy it from the browser as cURL",
    },
    Foreign { keys: &[], begins: &["<jmeterTestPlan"], ends: &[".jmx"], is: "a plan of JMeter", remedy: RECORD },
    Foreign {
        keys: &[],
        begins: &["<urlset", "<sitemapindex"],
        ends: &[],
        is: "a sitemap",
        remedy: "write its URLs one a line",
    },
    Foreign {
        keys: &[],
        begins: &["<!DOCTYPE", "<html", "<?xml"],
        ends: &[".html", ".xml"],
        is: "a page or XML",
        remedy: "write URLs one a line, or record a HAR",
    },
    Foreign {
        keys: &[],
        begins: &["HTTP 2", "HTTP 3", "HTTP 4", "HTTP 5", "HTTP *", "[Captures]", "[Asserts]", "[QueryStringParams]"],
        ends: &[".hurl"],
        is: "a file of Hurl",
        remedy: "write its calls as a .http file",
    },
    Foreign { keys: &[], begins: &["meta {"], ends: &[".bru"], is: "a file of Bruno", remedy: AS_COLLECTION },
    Foreign {
        keys: &[],
        begins: &["import http from 'k6", "import http from \"k6", "export default function", "import "],
        ends: &[".js", ".ts", ".mjs", ".scala", ".java", ".kt", ".lua"],
        is: "a program",
        remedy: "play a HAR or a .http file, or make a task of it (`gorgon new --lang js` or another language)",
    },
    Foreign {
        keys: &[],
        begins: &["from locust import", "from locust"],
        ends: &[".py"],
        is: "a Python program",
        remedy: "play a HAR or a .http file, or make a task of it: `gorgon new --lang python`",
    },
    Foreign {
        keys: &[],
        begins: &["\0asm", "(component", "(module"],
        ends: &[".wasm", ".wat"],
        is: "a task",
        remedy: "`gorgon run` runs it",
    },
    Foreign {
        keys: &[],
        begins: &[],
        ends: &[".csv", ".tsv", ".xlsx"],
        is: "a table",
        remedy: "write one URL a line into a .txt file, or give the table by --data to calls with {{COLUMN}}",
    },
];

/// Why the file is not played, if it is one of another tool. `keys` are those of its JSON object, if it is one.
pub(super) fn refusal(name: &str, text: &str, keys: Option<&[String]>) -> Option<String> {
    let has = |wanted: &str| keys.is_some_and(|keys| keys.iter().any(|key| key == wanted));
    let fits = |foreign: &&Foreign| {
        let is_json = !foreign.keys.is_empty() && foreign.keys.iter().all(|key| has(key));
        let is_named = foreign.ends.iter().any(|end| name.ends_with(end));
        let is_text =
            keys.is_none() && text.lines().any(|line| foreign.begins.iter().any(|begin| line.starts_with(begin)));
        is_json || is_named || is_text
    };
    FOREIGN.iter().find(fits).map(|Foreign { is, remedy, .. }| format!("this is {is}: {remedy}"))
}
