//! Environments: values by name, in files beside the calls.

use crate::input;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

/// The values of an environment.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// By name; the last one of a name counts.
    pub(super) values: Vec<(String, String)>,
    /// Values that are not to be shown.
    pub(super) secrets: Vec<String>,
}

/// The environments of a file, by name.
type Environments = BTreeMap<String, Value>;

/// An environment that Postman exported.
#[derive(Deserialize)]
struct OfPostman {
    name: String,
    values: Vec<PostmanValue>,
}

#[derive(Deserialize)]
struct PostmanValue {
    key: String,
    value: Option<Value>,
    enabled: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The environment `name`, from the files in `folder`: of JetBrains' and Visual Studio's editors, or of Postman.
/// Values of the private file win.
pub(super) fn read(folder: &Path, name: &str) -> anyhow::Result<Environment> {
    let mut environment = Environment::default();
    let (mut known, mut is_found) = (Vec::new(), false);
    for (file, is_private) in
        [("http-client.env.json", false), ("http-client.private.env.json", true), ("http-client.env.json.user", true)]
    {
        let Some(text) = text_of(&folder.join(file))? else { continue };
        let environments: Environments = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("`{}` is not an object of environments", folder.join(file).display()))?;
        known.extend(environments.keys().filter(|key| !key.starts_with('$')).cloned());
        for shared in ["$shared", name] {
            let Some(values) = environments.get(shared).and_then(Value::as_object) else { continue };
            is_found |= shared == name;
            for (name, value) in values {
                environment.add(name, value, is_private);
            }
        }
    }
    for (path, of_postman) in postman(folder)? {
        known.push(of_postman.name.clone());
        if of_postman.name != name && !path.starts_with(&format!("{name}.postman_environment")) {
            continue;
        }
        if is_found {
            bail!("there are two environments `{name}` beside the calls: remove one of them");
        }
        is_found = true;
        for PostmanValue { key, value, enabled, kind } in of_postman.values {
            if let Some(value) = value.filter(|_| enabled != Some(false)) {
                environment.add(&key, &value, kind.as_deref() == Some("secret"));
            }
        }
    }
    if !is_found {
        known.sort();
        known.dedup();
        let known =
            if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
        bail!(
            "no environment beside the calls is called `{name}` (http-client.env.json, its private twin, \
             *.postman_environment.json): {known}"
        );
    }
    Ok(environment)
}

impl Environment {
    /// Adds a value, unless it has parts, as what editors keep for themselves has.
    fn add(&mut self, name: &str, value: &Value, is_secret: bool) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return,
        };
        if is_secret {
            self.secrets.push(text.clone());
        }
        self.values.push((name.to_owned(), text));
    }
}

/// The largest file of an environment.
const MOST: u64 = 16 << 20;

/// The text of a file, if there is one.
fn text_of(path: &Path) -> anyhow::Result<Option<String>> {
    let here = input::here(path);
    if here.exists() && !here.is_file() {
        bail!("`{}` is not a file", path.display());
    }
    match input::read_text(path, MOST) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// The environments that Postman exported into `folder`, by the names of their files.
fn postman(folder: &Path) -> anyhow::Result<Vec<(String, OfPostman)>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        // A browser writes a number behind the name of a second download.
        if !file.contains(".postman_environment") || !file.ends_with(".json") {
            continue;
        }
        let Some(text) = text_of(&entry.path())? else { continue };
        let environment = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("`{}` is not an environment of Postman", entry.path().display()))?;
        found.push((file, environment));
    }
    found.sort_by(|a: &(String, OfPostman), b| a.0.cmp(&b.0));
    Ok(found)
}
