//! How much memory a call takes on its thread, and how much it keeps, for tests and benchmarks that bound it.

// The only way to see each allocation is a global allocator, and that trait is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has asked for less those that it gave back.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread holds.
///
/// A block that grows is counted at its larger size alone: large ones, which are what matters, are moved page by page.
///
/// # Examples
/// ```
/// use report::heap::{Counting, held_by, peak_of};
///
/// #[global_allocator]
/// static HEAP: Counting = Counting;
///
/// let (sum, bytes) = peak_of(|| vec![1.0; 1000].iter().sum::<f64>());
/// assert_eq!((sum, bytes), (1000.0, 8000));
/// let (ones, bytes) = held_by(|| vec![1.0; 1000]);
/// assert_eq!((ones.len(), bytes), (1000, 8000));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Counting;

fn count(change: isize) {
    // A thread that ends may have lost its counters; nobody reads them any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every request goes to the system allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(block, layout) }
    }
}

/// The value of a call and the most bytes it held at once on this thread; 0 bytes unless [`Counting`] is the allocator.
pub fn peak_of<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let value = call();
    (value, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// The value of a call and the bytes of this thread that it holds; 0 bytes unless [`Counting`] is the allocator, or if less is held
/// than before.
pub fn held_by<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    let value = call();
    (value, usize::try_from(LIVE.get() - before).unwrap_or(0))
}
