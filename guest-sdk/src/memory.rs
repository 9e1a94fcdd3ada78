//! The memory of a component: blocks that were given back are kept by size and given out again.
//!
//! A decision asks for some ten small blocks and gives them back at once, and the allocator of the target, which looks for
//! neighbours to join at each return, was half of what a decision costs. Blocks of up to [`LARGEST`] bytes are therefore kept
//! in a list for each power of two and never returned, so that a component needs at most as much memory of each size
//! as it once had in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// The largest block that is kept: more than two thousand candidates.
const LARGEST: usize = 64 << 10;

/// The smallest, which is also what blocks are aligned to.
const SMALLEST: usize = 16;

/// Sizes from [`SMALLEST`] to [`LARGEST`].
const SIZES: usize = (LARGEST.ilog2() - SMALLEST.ilog2() + 1) as usize;

/// An allocator for components, which have one thread.
#[derive(Debug)]
pub struct Memory {
    /// For each size the first of the blocks that are free, which holds the address of the next.
    free: [Cell<*mut u8>; SIZES],
}

#[expect(unsafe_code, reason = "an allocator is shared; see SAFETY")]
// SAFETY: it is used in components alone, whose target has no threads.
unsafe impl Sync for Memory {}

#[cfg(target_family = "wasm")]
#[global_allocator]
static MEMORY: Memory = Memory::new();

impl Memory {
    /// Without any block.
    pub const fn new() -> Self {
        Self { free: [const { Cell::new(ptr::null_mut()) }; SIZES] }
    }

    /// The list for blocks of this layout, and its number.
    fn list(&self, layout: Layout) -> Option<(&Cell<*mut u8>, usize)> {
        if layout.size() > LARGEST || layout.align() > SMALLEST {
            return None;
        }
        let number = (layout.size().max(SMALLEST) - 1).ilog2() + 1 - SMALLEST.ilog2();
        self.free.get(number as usize).map(|list| (list, number as usize))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The layout of all blocks of a list.
fn layout_of(number: usize) -> Layout {
    Layout::from_size_align(SMALLEST << number, SMALLEST).unwrap_or(Layout::new::<u128>())
}

#[expect(unsafe_code, reason = "the trait is unsafe; see SAFETY")]
// SAFETY: a block of a list is at least as large and as aligned as what is asked for, and belongs to whoever asked until it
// is given back with the layout that it was asked for, which names the same list. All others are the system's.
unsafe impl GlobalAlloc for Memory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((list, number)) = self.list(layout) else { return unsafe { System.alloc(layout) } };
        let first = list.get();
        if first.is_null() {
            return unsafe { System.alloc(layout_of(number)) };
        }
        // SAFETY: a free block holds the address of the next one at its beginning, to which it is aligned.
        list.set(unsafe { first.cast::<*mut u8>().read() });
        first
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.list(layout) {
            // SAFETY: the block is ours again, and has room for an address.
            Some((list, _)) => unsafe {
                block.cast::<*mut u8>().write(list.get());
                list.set(block);
            },
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that it is no more than there may be.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (self.list(layout), self.list(wanted)) {
            (Some((_, before)), Some((_, after))) if before == after => block,
            (None, None) => unsafe { System.realloc(block, layout, size) },
            _ => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives blocks out and takes them back in an order by chance, and finds in each what was written there.
    #[test]
    #[expect(unsafe_code, reason = "an allocator is tested")]
    fn blocks_keep_what_is_written_and_come_again() {
        let memory = Memory::new();
        let mut dice = 1_u64;
        let mut roll = |below: u64| {
            dice = crate::rendezvous::mix(dice.wrapping_add(0x9E37_79B9_7F4A_7C15));
            dice % below
        };
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let is_whole = |(block, layout, byte): &(*mut u8, Layout, u8)| {
            // SAFETY: so many bytes were asked for and written.
            unsafe { std::slice::from_raw_parts(*block, layout.size()) }.iter().all(|found| found == byte)
        };
        for turn in 0..20_000_u32 {
            let byte = (turn % 251) as u8;
            // SAFETY: each block is used within its layout, and given back with it once.
            unsafe {
                if roll(2) == 0 || held.is_empty() {
                    let layout = Layout::from_size_align(1 + roll(1500) as usize, 1 << roll(6)).expect("a layout");
                    let block = memory.alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
                    block.write_bytes(byte, layout.size());
                    held.push((block, layout, byte));
                } else {
                    let place = roll(held.len() as u64) as usize;
                    let (block, layout, old) = held.swap_remove(place);
                    assert!(is_whole(&(block, layout, old)));
                    if roll(3) == 0 {
                        let size = 1 + roll(1500) as usize;
                        let moved = memory.realloc(block, layout, size);
                        let kept = Layout::from_size_align(layout.size().min(size), layout.align()).expect("a layout");
                        assert!(is_whole(&(moved, kept, old)));
                        let layout = Layout::from_size_align(size, layout.align()).expect("a layout");
                        moved.write_bytes(byte, size);
                        held.push((moved, layout, byte));
                    } else {
                        memory.dealloc(block, layout);
                    }
                }
            }
        }
        assert!(held.iter().all(is_whole));
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: as above.
        unsafe {
            let first = memory.alloc(layout);
            memory.dealloc(first, layout);
            let again = memory.alloc(Layout::from_size_align(70, 4).expect("a layout"));
            assert_eq!(first, again, "a size of the same power of two gets the block that is free");
            memory.dealloc(again, layout);
            for (block, layout, _) in held {
                memory.dealloc(block, layout);
            }
        }
    }
}
