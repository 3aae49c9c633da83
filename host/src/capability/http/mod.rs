//! `wasi:http`: requests go out over connections that a thread keeps, to destinations that were granted.

mod client;
mod connect;

use std::sync::Arc;

use http::{HeaderName, Request, Response};
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use super::network::Network;
use crate::task::Guest;

/// The state of one instance.
pub struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Http {
    /// HTTP by way of `network`.
    pub fn new(network: Arc<Network>) -> Self {
        Self { ctx: WasiHttpCtx::new(), hooks: Hooks { network } }
    }
}

/// Links `wasi:http`, for the I/O lane.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Self { http: Http { ctx, hooks }, table, .. } = self;
        WasiHttpCtxView { hooks, table, ctx }
    }
}

struct Hooks {
    network: Arc<Network>,
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let network = self.network.clone();
        Box::new(async move {
            let response = client::send(&network, request, options.unwrap_or_default()).await?;
            // Nothing is left to be done: connections are driven by tasks of their own.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Box<dyn Future<Output = _> + Send>))
        })
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        // A load test may have to name another host than the one it connects to.
        Arc::new(|name: &HeaderName| *name != http::header::HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn set_host_header(&mut self) -> bool {
        // Added by the client where the task has not set it.
        false
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        match client::describe(error) {
            Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
            Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
            Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
            _ => ErrorCode::HttpProtocolError,
        }
    }
}
