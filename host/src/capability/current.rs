//! `gorgon:task/current`: the spans of the running operation, and its `fail`.

use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};

use crate::capability::guest::Guest;
use crate::clock::Clock;
use crate::guest_text::cut_owned;
use crate::metrics::Spans;

/// How many spans an instance may have open. A task that never ends them must not exhaust the memory.
const MAX_OPEN_SPANS: usize = 1_000;

/// What the running operation has reported about itself.
pub struct Current {
    clock: Clock,
    open: usize,
    spans: Spans,
    failure: Option<String>,
}

/// A span that was started.
struct OpenSpan {
    name: String,
    started_ns: u64,
    ended: bool,
}

impl Current {
    /// Nothing reported yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, open: 0, spans: Spans::default(), failure: None }
    }

    /// Forgets what the previous operation reported.
    #[inline]
    pub fn clear(&mut self) {
        if !self.spans.is_empty() {
            self.spans.clear();
        }
        self.failure = None;
    }

    /// The spans that have ended.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The reason that the operation gave for its failure; the first, if it gave several.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn start(&mut self, table: &mut ResourceTable, name: String) -> wasmtime::Result<Resource<OpenSpan>> {
        if self.open == MAX_OPEN_SPANS {
            wasmtime::bail!("more than {MAX_OPEN_SPANS} spans are open: end a span, or drop it, before starting more");
        }
        self.open += 1;
        let name = cut_owned(name);
        // The clock is read last, so that the span does not include its bookkeeping.
        let timer = table.push(OpenSpan { name, started_ns: 0, ended: false })?;
        table.get_mut(&timer)?.started_ns = self.clock.elapsed_ns();
        Ok(timer)
    }

    fn end(&mut self, timer: &mut OpenSpan, now_ns: u64) {
        if !std::mem::replace(&mut timer.ended, true) {
            self.spans.record(&timer.name, now_ns - timer.started_ns);
        }
    }
}

/// Links `gorgon:task/current`.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut current = linker.instance("gorgon:task/current@0.1.0")?;
    current.resource("span", ResourceType::host::<OpenSpan>(), |mut store, rep| {
        let Guest { current, table, .. } = store.data_mut();
        let now_ns = current.clock.elapsed_ns();
        let mut timer = table.delete(Resource::<OpenSpan>::new_own(rep))?;
        current.open -= 1;
        current.end(&mut timer, now_ns);
        Ok(())
    })?;
    current.func_wrap("[static]span.start", |mut store, (name,): (String,)| {
        let Guest { current, table, .. } = store.data_mut();
        Ok((current.start(table, name)?,))
    })?;
    current.func_wrap("[method]span.end", |mut store, (timer,): (Resource<OpenSpan>,)| {
        let Guest { current, table, .. } = store.data_mut();
        let now_ns = current.clock.elapsed_ns();
        current.end(table.get_mut(&timer)?, now_ns);
        Ok(())
    })?;
    current.func_wrap("fail", |mut store, (reason,): (String,)| {
        store.data_mut().current.failure.get_or_insert_with(|| cut_owned(reason));
        Ok(())
    })?;
    Ok(())
}
