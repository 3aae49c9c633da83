//! How much memory one instance may take. Does not know what happens to an instance that is refused more.

use wasmtime::ResourceLimiter;

/// How many elements a table of an instance may have. They are function pointers, and real programs have some
/// thousands.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

/// Limits the linear memory of one instance, over all its memories, and the size of each of its tables.
pub struct MemoryLimit {
    max_bytes: u64,
    used_bytes: u64,
    /// Whether growth was refused since the running call began.
    refused: bool,
}

impl MemoryLimit {
    /// A limit of `max_bytes`; nothing is used yet.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, used_bytes: 0, refused: false }
    }

    /// How many bytes the instance may use.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether growth was refused since [`clear`](Self::clear) was called last.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    /// Forgets that growth was refused.
    #[inline]
    pub fn clear(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used_bytes = self.used_bytes + (desired - current) as u64;
        let granted = used_bytes <= self.max_bytes;
        if granted {
            self.used_bytes = used_bytes;
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_share_one_limit_and_a_refusal_uses_nothing() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 41, None).unwrap());
        assert!(limit.has_refused());
        limit.clear();
        assert!(limit.memory_growing(0, 40, None).unwrap() && !limit.has_refused());
        assert!(!limit.table_growing(0, MAX_TABLE_ELEMENTS + 1, None).unwrap());
    }
}
