//! How much memory one instance may take. Does not know what happens to an instance that is refused more.
//!
//! What counts is linear memory, 16 bytes for each element of a table, and what the host holds for the instance: 1 KiB
//! for each handle, the content of header fields, and the buffers of request bodies. Linear memory and tables are
//! counted as they grow. What the host holds is weighed whenever one of them grows, and after so many calls that they
//! cannot have added more than a quarter of the limit. What a single call passes to the host is a copy, and has a limit
//! too.

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest};

use super::guest::Guest;

/// What an element of a table takes, at most.
const TABLE_ELEMENT: u64 = 16;

/// What a handle takes: most take some hundred bytes.
const HANDLE: u64 = 1 << 10;

/// However little memory an instance has, it may have as many handles as this: WASI needs some by itself.
const LEAST_HANDLES: u64 = 256;

/// The largest write to the body of a request that the host takes, in bytes.
pub(super) const BODY_CHUNK: usize = 64 << 10;

/// What the body of a request can hold: a chunk to be sent, one that is being sent, and one that waits.
const BODY: u64 = 3 * BODY_CHUNK as u64;

/// What a header field takes besides its name and its value.
const FIELD: u64 = 100;

/// The most that one call can add: the largest header fields that wasi-http takes.
pub(super) const MOST_FIELDS: u64 = 128 << 10;

/// The most that a guest can pass to the host in one call.
const MOST_PASSED: u64 = 128 << 20;

/// The memory of one instance, and its limit.
pub struct MemoryLimit {
    max_bytes: u64,
    /// Linear memory and tables.
    grown_bytes: u64,
    /// What the host held when it was weighed last.
    held_bytes: u64,
    /// Calls since then that may have added something.
    calls: u64,
    /// Whether more was refused since the running call began.
    refused: bool,
}

impl MemoryLimit {
    /// A limit of `max_bytes`; nothing is used yet.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, grown_bytes: 0, held_bytes: 0, calls: 0, refused: false }
    }

    /// How many bytes the instance may use.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How many bytes the guest may pass to the host in one call.
    pub fn max_passed(&self) -> usize {
        self.max_bytes.clamp(1 << 20, MOST_PASSED) as usize
    }

    /// How many handles the instance may have, if it had nothing else.
    pub fn max_handles(&self) -> usize {
        handles_in(self.max_bytes)
    }

    /// Whether more was refused since [`clear`](Self::clear) was called last.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    /// Forgets that more was refused.
    #[inline]
    pub fn clear(&mut self) {
        self.refused = false;
    }

    /// Whether `more` bytes fit; if so, they are used.
    fn grow(&mut self, more: u64) -> bool {
        let used = self.grown_bytes.saturating_add(more);
        let granted = used.saturating_add(self.held_bytes) <= self.max_bytes;
        if granted {
            self.grown_bytes = used;
        }
        self.refused |= !granted;
        granted
    }

    /// What is left, if the host holds `held_bytes`.
    fn left(&mut self, held_bytes: u64) -> u64 {
        (self.held_bytes, self.calls) = (held_bytes, 0);
        self.max_bytes.saturating_sub(self.grown_bytes).saturating_sub(held_bytes)
    }

    /// A call may have added something. Returns whether it is time to weigh.
    #[inline]
    fn is_due(&mut self) -> bool {
        self.calls += 1;
        self.calls * 4 * MOST_FIELDS > self.max_bytes
    }
}

fn handles_in(bytes: u64) -> usize {
    (bytes / HANDLE).max(LEAST_HANDLES) as usize
}

/// How many handles there are, and what the host holds behind them, in bytes.
fn weigh(table: &mut ResourceTable) -> (usize, u64) {
    let of_fields = |fields: &FieldMap| {
        fields.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64 + FIELD).sum::<u64>()
    };
    let of_request = |request: &HostOutgoingRequest| {
        let method = if let Method::Other(name) = &request.method { name.len() } else { 0 };
        let scheme = if let Some(Scheme::Other(name)) = &request.scheme { name.len() } else { 0 };
        let texts = [&request.authority, &request.path_with_query].map(|text| text.as_ref().map_or(0, String::len));
        (method + scheme + texts[0] + texts[1]) as u64
    };
    table.iter_mut().fold((0, 0), |(handles, bytes), held| {
        let behind = if let Some(fields) = held.downcast_ref::<FieldMap>() {
            of_fields(fields)
        } else if let Some(request) = held.downcast_ref::<HostOutgoingRequest>() {
            of_fields(&request.headers) + of_request(request)
        } else if let Some(response) = held.downcast_ref::<HostIncomingResponse>() {
            of_fields(&response.headers)
        } else if held.is::<HostOutgoingBody>() {
            BODY
        } else {
            0
        };
        (handles + 1, bytes + HANDLE + behind)
    })
}

impl Guest {
    /// Weighs what the host holds for the instance, if it is time. If that is too much, the instance gets no more
    /// handles and may set no more header fields.
    #[inline]
    pub(super) fn weigh_in_time(&mut self) {
        if self.memory.is_due() {
            self.weigh();
        }
    }

    fn weigh(&mut self) {
        let (handles, held) = weigh(&mut self.table);
        // The handles that every instance may have do not count.
        let left = self.memory.left(held.saturating_sub(LEAST_HANDLES * HANDLE));
        let is_full = left == 0;
        self.memory.refused |= is_full;
        let more = if is_full { 0 } else { left / HANDLE };
        self.table.set_max_capacity((handles + more as usize).max(LEAST_HANDLES as usize));
        self.http.fill(is_full);
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.weigh();
        let granted = self.memory.grow((desired - current) as u64);
        self.weigh();
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.weigh();
        let granted = self.memory.grow((desired - current) as u64 * TABLE_ELEMENT);
        self.weigh();
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_and_tables_share_one_limit_and_a_refusal_uses_nothing() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.grow(60));
        assert!(!limit.grow(41));
        assert!(limit.has_refused());
        limit.clear();
        assert!(limit.grow(40) && !limit.has_refused());
        assert!(!limit.grow(1));
    }

    #[test]
    fn what_the_host_holds_leaves_less() {
        let mut limit = MemoryLimit::new(100);
        assert_eq!(limit.left(30), 70);
        assert!(!limit.grow(71) && limit.grow(70));
        assert_eq!((limit.left(30), limit.left(10), limit.left(50)), (0, 20, 0));
    }

    #[test]
    fn it_is_weighed_before_a_quarter_of_the_limit_can_have_been_added() {
        for max in [1 << 20, 16 << 20, 512 << 20] {
            let mut limit = MemoryLimit::new(max);
            let calls = (1..).find(|_| limit.is_due()).unwrap();
            assert!(calls * MOST_FIELDS <= max / 4 + MOST_FIELDS, "{calls} calls within {max} bytes");
        }
    }

    #[test]
    fn handles_and_header_fields_have_a_weight() {
        let mut table = ResourceTable::new();
        table.push(1_u8).unwrap();
        let mut fields = FieldMap::new_mutable(1_000);
        fields.set(&mut super::super::http::Hooks::default(), "name".into(), vec![b"value".into()]).unwrap();
        table.push(fields).unwrap();
        assert_eq!(weigh(&mut table), (2, 2 * HANDLE + FIELD + 9));
    }
}
