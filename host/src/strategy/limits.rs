//! How much memory a guest may take.

use wasmtime::ResourceLimiter;

/// All linear memories of one instance together.
pub const MEMORY: usize = 64 << 20;

/// Elements of one table; interpreters need tens of thousands.
const TABLE_ELEMENTS: usize = 200_000;

/// A guest wanted more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("wanted more than {} MiB of memory", MEMORY >> 20)]
pub struct OutOfMemory;

/// The meter of one store.
///
/// Wasmtime's own bounds each memory alone, and answers a refused growth with an error that cannot be told from other
/// traps.
#[derive(Debug, Default)]
pub struct Limits {
    used: usize,
}

impl Limits {
    /// Bytes of linear memory, of which a guest never gives any back.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > MEMORY {
            // An error traps. A mere refusal would become an abort within the guest, or a null pointer.
            return Err(OutOfMemory.into());
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(OutOfMemory.into())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(OutOfMemory.into()) } else { Ok(true) }
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(OutOfMemory.into())
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
