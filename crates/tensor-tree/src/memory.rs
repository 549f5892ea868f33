//! Freed memory that stays with the program.

/// Asks the C library to keep freed memory instead of giving large buffers back to the system. Call it first in `main`.
///
/// Tensor programs free and request the same large buffers at every step. By default the C library returns those
/// to the system each time and faults them in again page by page, which costs as much as the arithmetic on them.
/// A program that called this keeps the most memory it ever needed.
///
/// Returns whether the C library took the settings: glibc does, others have no such setting and are left as they are.
///
/// # Examples
/// ```
/// tensor_tree::keep_freed_memory();
/// ```
pub fn keep_freed_memory() -> bool {
    set()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set() -> bool {
    const BYTES: libc::c_int = 1 << 30;
    let set = |parameter| {
        // SAFETY: `mallopt` takes two integers and may be called at any time.
        #[allow(unsafe_code, reason = "the C library has no other door")]
        let taken = unsafe { libc::mallopt(parameter, BYTES) };
        taken == 1
    };
    set(libc::M_MMAP_THRESHOLD) && set(libc::M_TRIM_THRESHOLD)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set() -> bool {
    false
}
