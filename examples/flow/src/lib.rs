//! A flow: create an object, read it by the id that came back, delete it. `BASE` in the environment says where.

use gorgon_guest::{fail, http};
use serde_json::{Value, json};

#[gorgon_guest::operation]
fn flow(n: u64) -> Result<&'static str, http::Error> {
    let base = std::env::var("BASE").unwrap_or_else(|_| "http://127.0.0.1:8080".into());
    let name = format!("object {n}");

    let created =
        http::post(&format!("{base}/objects")).json(&json!({ "name": name })).span("/objects").send()?.ok()?;
    let object = format!("{base}/objects/{}", created.json::<Value>()?["id"]);

    let read = http::request("GET", &object).span("/objects/{id}").send()?.ok()?;
    if read.json::<Value>()?["name"] != name {
        fail(format!("another object was read: {}", read.text()));
    }

    http::request("DELETE", &object).span("/objects/{id}").send()?.ok()?;
    Ok("done")
}
