//! A global allocator that keeps large buffers for the next request of the same size.
//!
//! Tensor programs free and request the same large buffers at every step. The C library returns
//! buffers above its threshold to the system each time and faults them in again page by page, which
//! costs as much as the arithmetic on them. A program opts in with one line:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: tensor_tree::RecyclingAllocator = tensor_tree::RecyclingAllocator;
//! ```

#![allow(unsafe_code, reason = "an allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests below this many bytes go to the system allocator.
const SMALLEST: usize = 256 * 1024;
/// Buffers are rounded up to one of eight sizes per power of two.
const STEPS: u32 = 3;
const CLASSES: usize = 256;
/// Free buffers kept per size.
const DEPTH: usize = 32;

/// Keeps freed buffers of 256 KiB and more for requests of the same size class, as long as those in use and
/// those kept together are at most a quarter above the largest use so far (or those kept fewer than half of
/// those in use, or 64 MiB). The quarter is for sizes that are not wanted at the same time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecyclingAllocator;

struct Class {
    buffers: [usize; DEPTH],
    len: usize,
}

static FREE: [Mutex<Class>; CLASSES] =
    [const { Mutex::new(Class { buffers: [0; DEPTH], len: 0 }) }; CLASSES];
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static KEPT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The peak of large buffers since the start; never reset.
static MOST: AtomicUsize = AtomicUsize::new(0);
static SMALL: AtomicUsize = AtomicUsize::new(0);

impl RecyclingAllocator {
    /// Bytes in use now, and the most there have been since [`RecyclingAllocator::reset_peak`].
    #[must_use]
    pub fn usage() -> (usize, usize) {
        let now = IN_USE.load(Ordering::Relaxed) + SMALL.load(Ordering::Relaxed);
        (now, PEAK.load(Ordering::Relaxed).max(now))
    }

    /// Starts a new peak at the present use.
    pub fn reset_peak() {
        let now = IN_USE.load(Ordering::Relaxed) + SMALL.load(Ordering::Relaxed);
        PEAK.store(now, Ordering::Relaxed);
    }
}

/// The class of a request and the bytes that buffers of that class have.
fn class(size: usize) -> Option<(usize, usize)> {
    if size < SMALLEST {
        return None;
    }
    let power = usize::BITS - 1 - (size - 1).leading_zeros();
    let step = 1usize << (power - STEPS);
    let rounded = size.checked_add(step - 1)? & !(step - 1);
    let index = ((power - 17) as usize) * (1 << STEPS) + ((rounded - (1 << power)) / step);
    (index < CLASSES).then_some((index, rounded))
}

fn grow(bytes: usize) {
    let large = IN_USE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(large, Ordering::Relaxed);
    PEAK.fetch_max(large + SMALL.load(Ordering::Relaxed), Ordering::Relaxed);
}

impl RecyclingAllocator {
    fn reuse(index: usize, rounded: usize) -> Option<*mut u8> {
        let mut class = FREE[index].lock().ok()?;
        class.len = class.len.checked_sub(1)?;
        KEPT.fetch_sub(rounded, Ordering::Relaxed);
        Some(class.buffers[class.len] as *mut u8)
    }

    fn keep(index: usize, rounded: usize, buffer: *mut u8) -> bool {
        let in_use = IN_USE.load(Ordering::Relaxed);
        let most = MOST.load(Ordering::Relaxed);
        let below_peak = (most + most / 4).saturating_sub(in_use);
        let budget = (in_use / 2).max(64 << 20).max(below_peak);
        if budget < KEPT.load(Ordering::Relaxed) + rounded {
            return false;
        }
        let Ok(mut class) = FREE[index].lock() else { return false };
        if class.len == DEPTH {
            return false;
        }
        let slot = class.len;
        class.buffers[slot] = buffer as usize;
        class.len += 1;
        KEPT.fetch_add(rounded, Ordering::Relaxed);
        true
    }
}

const ALIGN: usize = 64;

// SAFETY: every buffer comes from `System` with the layout that its class fixes and goes back with the
// same layout; a buffer is either in the free list or with the caller, never both; requests with an
// alignment above 64 bytes are passed through.
unsafe impl GlobalAlloc for RecyclingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some((index, rounded)) = class(layout.size())
            && layout.align() <= ALIGN
        {
            grow(rounded);
            if let Some(buffer) = Self::reuse(index, rounded) {
                return buffer;
            }
            // SAFETY: the size is not zero and the alignment is a power of two.
            return unsafe { System.alloc(Layout::from_size_align_unchecked(rounded, ALIGN)) };
        }
        SMALL.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: passed through.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some((index, rounded)) = class(layout.size())
            && layout.align() <= ALIGN
        {
            grow(rounded);
            if let Some(buffer) = Self::reuse(index, rounded) {
                // SAFETY: the buffer has `rounded` bytes, at least as many as asked for.
                unsafe { buffer.write_bytes(0, layout.size()) };
                return buffer;
            }
            // SAFETY: as in `alloc`.
            return unsafe {
                System.alloc_zeroed(Layout::from_size_align_unchecked(rounded, ALIGN))
            };
        }
        SMALL.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: passed through.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        if let Some((index, rounded)) = class(layout.size())
            && layout.align() <= ALIGN
        {
            IN_USE.fetch_sub(rounded, Ordering::Relaxed);
            if !Self::keep(index, rounded, buffer) {
                // SAFETY: it was allocated with this layout.
                unsafe {
                    System.dealloc(buffer, Layout::from_size_align_unchecked(rounded, ALIGN))
                };
            }
            return;
        }
        SMALL.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed through.
        unsafe { System.dealloc(buffer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_never_smaller_than_the_request_and_at_most_an_eighth_larger() {
        let mut last = None;
        for size in (SMALLEST..64 << 20).step_by(4099) {
            let (index, rounded) = class(size).unwrap();
            assert!(size <= rounded && rounded <= size + size / 8 + 1, "{size} {rounded}");
            assert_eq!(class(rounded).unwrap(), (index, rounded));
            if let Some((i, r)) = last {
                assert!(i <= index && r <= rounded && (i == index) == (r == rounded));
            }
            last = Some((index, rounded));
        }
        assert!(class(SMALLEST - 1).is_none());
    }

    #[test]
    fn a_freed_buffer_is_given_out_again_and_zeroed_on_request() {
        let layout = Layout::from_size_align(3_333_333, 8).unwrap();
        // SAFETY: the buffers are written within their size and freed once with their layout.
        unsafe {
            let first = RecyclingAllocator.alloc(layout);
            first.write_bytes(7, layout.size());
            RecyclingAllocator.dealloc(first, layout);
            let second = RecyclingAllocator.alloc_zeroed(layout);
            assert_eq!(first, second);
            assert!(std::slice::from_raw_parts(second, layout.size()).iter().all(|b| *b == 0));
            RecyclingAllocator.dealloc(second, layout);
        }
    }
}
