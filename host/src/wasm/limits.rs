//! The limits on a guest's memory.
//!
//! They also bound the time of a bulk write such as `memory.fill`, which a deadline does not interrupt.

use wasmtime::ResourceLimiter;

/// The most bytes of all linear memories and tables of one instance together, unless its owner sets another limit.
pub const MEMORY: usize = 64 << 20;

/// The most elements of one table; interpreters need tens of thousands.
const TABLE_ELEMENTS: usize = 200_000;

/// The bytes of one element.
const ELEMENT: usize = size_of::<usize>();

/// A guest asked for more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("wanted more than {} MiB of memory", .0 >> 20)]
pub struct OutOfMemory(usize);

/// The limits of one store, and what it uses.
///
/// Wasmtime's own limiter bounds each memory separately, and its error for a refused growth cannot be told from other
/// traps.
#[derive(Debug)]
pub struct MemoryLimits {
    most: usize,
    used: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::of(MEMORY)
    }
}

impl MemoryLimits {
    /// At most this many bytes.
    pub fn of(most: usize) -> Self {
        Self { most, used: 0 }
    }

    fn exceeded(&self) -> wasmtime::Error {
        OutOfMemory(self.most).into()
    }

    /// The most bytes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The bytes of memories and tables. A guest never gives any back.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes more bytes, unless the limit is reached.
    fn take(&mut self, more: usize) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(more);
        if used > self.most {
            // An error traps. A refusal would become an abort within the guest, or a null pointer.
            return Err(self.exceeded());
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.take(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.exceeded())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(self.exceeded());
        }
        self.take(desired.saturating_sub(current).saturating_mul(ELEMENT))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.exceeded())
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_bounded_together() {
        let mut limits = MemoryLimits::default();
        assert!(limits.memory_growing(0, MEMORY - 100_000 * ELEMENT, None).is_ok());
        assert!(limits.table_growing(0, 60_000, None).is_ok());
        assert!(limits.table_growing(0, 60_000, None).is_err(), "it would be too much with the other one");
        assert!(limits.table_growing(60_000, 100_000, None).is_ok());
        assert!(limits.memory_growing(0, 1, None).is_err());
        assert!(limits.table_growing(0, TABLE_ELEMENTS + 1, None).is_err());
        assert_eq!(limits.used(), MEMORY);
    }
}
