//! How a request says who asks.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Reader;
use super::shape::Pair;
use crate::calls::json::present;
use crate::calls::template::Template;
use crate::calls::{Call, Header, SyntaxError};

impl<'a> Reader<'a, '_> {
    /// Adds what `auth` says to a request.
    pub(super) fn authorize(&self, auth: Option<&'a RawValue>, call: &mut Call) -> Result<(), SyntaxError> {
        let Some(auth) = auth else { return Ok(()) };
        let at = self.source.place(auth.get());
        let parts: BTreeMap<String, &'a RawValue> = self.source.read(auth.get())?;
        let kind: String = match parts.get("type") {
            Some(kind) => self.source.read(kind.get())?,
            None => return Ok(()),
        };
        let of_kind = parts.get(&kind).copied();
        let part = |key: &str| -> Result<Option<Template>, SyntaxError> {
            let Some(raw) = present(of_kind) else { return Ok(None) };
            if raw.get().starts_with('[') {
                let pairs: Vec<Pair<'a>> = self.source.read(raw.get())?;
                let found = pairs.into_iter().find(|pair| pair.key() == key);
                return found.map(|pair| self.value(pair.value, at)).transpose();
            }
            let pairs: BTreeMap<String, &'a RawValue> = self.source.read(raw.get())?;
            pairs.get(key).map(|value| self.value(Some(value), at)).transpose()
        };
        if ["basic", "bearer", "oauth2"].contains(&kind.as_str()) {
            // Postman writes its own in place of what is there.
            call.headers.retain(|header| !header.is("authorization"));
        }
        match kind.as_str() {
            "noauth" => {}
            "basic" => {
                let mut user = part("username")?.unwrap_or_default();
                user.append(Template::text(":"));
                user.append(part("password")?.unwrap_or_default());
                let value = Template::basic(&user, at)?;
                call.headers.push(Header::new("Authorization", value).at(at));
            }
            "bearer" | "oauth2" => {
                let (token, prefix) = match kind.as_str() {
                    "bearer" => (part("token")?, None),
                    _ => (part("accessToken")?, part("headerPrefix")?),
                };
                // A variable may be empty until a script sets it.
                let is_variable = of_kind.is_some_and(|raw| raw.get().contains("{{"));
                let Some(token) = token.filter(|token| !token.is_empty() || is_variable) else {
                    return Err(at.wrong("this authentication has no token: give it as a variable, and by --var"));
                };
                if part("addTokenTo")?.is_some_and(|to| to.shown() == "queryParams") {
                    add_query(call, Template::text("access_token"), token);
                    return Ok(());
                }
                let prefix = prefix.map_or_else(|| "Bearer".to_owned(), |prefix| prefix.shown());
                let mut value = Template::text(format!("{} ", prefix.trim()));
                value.append(token);
                call.headers.push(Header::new("Authorization", value).at(at));
            }
            "apikey" => {
                let (key, value) = (part("key")?.unwrap_or_default(), part("value")?.unwrap_or_default());
                if part("in")?.is_some_and(|place| place.shown() == "query") {
                    add_query(call, key, value);
                    return Ok(());
                }
                call.headers.push(Header::new(key.shown(), value).at(at));
            }
            other => {
                return Err(at.wrong(format!(
                    "the authentication `{other}` is not supported: send what it computes as a header, or use basic, bearer or \
                     apikey"
                )));
            }
        }
        Ok(())
    }
}

fn add_query(call: &mut Call, key: Template, value: Template) {
    let between = if call.url.shown().contains('?') { "&" } else { "?" };
    call.url.append(Template::text(between));
    call.url.append(key.map(|text| super::in_query(&text).replace('=', "%3D")));
    call.url.append(Template::text("="));
    call.url.append(value.map(|text| super::in_query(&text)));
}
