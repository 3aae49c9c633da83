//! `wasi:http`: sends requests to granted destinations, over connections that each thread keeps.

mod client;
mod connect;
mod failure;
mod handler;
mod pool;
mod received;
mod replay;
mod route;
mod shown;
mod stream;
mod streams;
mod texts;
mod timed;
mod tls;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request, Response};
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use crate::capability::guest::Guest;
use crate::capability::limits::{BODY_CHUNK, MOST_FIELDS};

pub(super) use client::Recent;
pub(super) use route::Routes;
pub(super) use tls::Tls;
pub use tls::check as check_tls;

/// The HTTP state of one instance.
pub struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Default for Http {
    fn default() -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(MOST_FIELDS as usize);
        Self { ctx, hooks: Hooks::default() }
    }
}

impl Http {
    /// Whether the host holds so much for the instance that it may set no more header fields.
    pub(super) fn fill(&mut self, is_full: bool) {
        self.hooks.is_full = is_full;
    }
}

/// Links `wasi:http`, for the I/O lane.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    texts::link(linker)?;
    handler::link(linker)
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.weigh_in_time();
        let Self { http: Http { ctx, hooks }, table, .. } = self;
        WasiHttpCtxView { hooks, table, ctx }
    }
}

/// What wasi-http asks of its host. Sending is in `handler.rs`.
#[derive(Default)]
pub(super) struct Hooks {
    /// Whether the host holds so much for the instance that it may set no more header fields.
    is_full: bool,
}

type Sending = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sending> + Send> {
        // Nothing that is linked calls this.
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        self.is_full || is_forbidden(name)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }
}

/// Headers that belong to the connection and not to the task. A task may set `Host`, because a load test may need a
/// name other than that of the machine it connects to, and `Connection`, to close one (`handler.rs`).
fn is_forbidden(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, HOST};
    ![HOST, CONNECTION].contains(name) && DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// The output of `future`; `None` if it takes longer than `most`.
async fn within<T>(most: Option<Duration>, future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match most {
        None => Some(future.await),
        Some(most) => Box::pin(tokio::time::timeout(most, future)).await.ok(),
    }
}
