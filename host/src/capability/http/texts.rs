//! The method, scheme, authority and path of a request. wasi-http takes texts of any length, and the host keeps them.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, Scheme};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

use crate::capability::guest::Guest;
use crate::capability::limits::MOST_FIELDS;

/// Replaces wasi-http's functions by those that refuse what is longer than header fields may be.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Request = Resource<HostOutgoingRequest>;
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap("[method]outgoing-request.set-method", |mut store, (request, method): (Request, Method)| {
        let other = if let Method::Other(name) = &method { Some(name) } else { None };
        Ok((if is_short(other) { store.data_mut().http().set_method(request, method)? } else { Err(()) },))
    })?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store, (request, scheme): (Request, Option<Scheme>)| {
            let other = if let Some(Scheme::Other(name)) = &scheme { Some(name) } else { None };
            Ok((if is_short(other) { store.data_mut().http().set_scheme(request, scheme)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store, (request, text): (Request, Option<String>)| {
            let is_short = is_short(text.as_ref());
            Ok((if is_short { store.data_mut().http().set_authority(request, text)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store, (request, text): (Request, Option<String>)| {
            let is_short = is_short(text.as_ref());
            Ok((if is_short { store.data_mut().http().set_path_with_query(request, text)? } else { Err(()) },))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn is_short(text: Option<&String>) -> bool {
    text.is_none_or(|text| text.len() as u64 <= MOST_FIELDS)
}
