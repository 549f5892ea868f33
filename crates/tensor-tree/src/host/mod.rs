//! Contiguous slices of CPU tensors, and kernels over them that choose the instruction set at run time.
//!
//! Every kernel does the same additions, multiplications and square roots in the same order
//! whatever the instruction set: there is no fused multiply-add and no library function in them. So
//! results do not depend on the machine, and since work is cut in chunks of fixed size they do not
//! depend on the number of threads either.

mod real;
mod view;

pub use real::Real;
pub(crate) use real::has_kernels;
pub use view::{Host, View, from_vec};

/// Elements in one chunk of parallel work. Part of the promise that sums do not depend on threads.
pub const CHUNK: usize = 16 * 1024;

/// Widest vector instructions that kernels may use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the target has.
    Baseline,
    /// AVX2 with FMA (x86-64-v3).
    V3,
    /// AVX-512 F, BW, DQ and VL (x86-64-v4).
    V4,
}

impl Level {
    /// The level of this processor, or the one that [`Level::limit`] set.
    #[must_use]
    pub fn get() -> Level {
        Self::detected().min(match LIMIT.load(std::sync::atomic::Ordering::Relaxed) {
            0 => Level::Baseline,
            1 => Level::V3,
            _ => Level::V4,
        })
    }

    /// Uses at most `level` from now on in this process: for tests and benchmarks of portability.
    pub fn limit(level: Level) {
        LIMIT.store(level as u8, std::sync::atomic::Ordering::Relaxed);
    }

    /// What this processor can do.
    #[must_use]
    pub fn detected() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Level::V4;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::V3;
            }
        }
        Level::Baseline
    }
}

static LIMIT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(2);

/// Declares functions whose bodies are compiled for several instruction sets and chosen at run time.
///
/// The body must be plain loops over slices; what it calls must be `#[inline(always)]`.
#[macro_export]
macro_rules! kernels {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($gen:ident : $bound:path),*>)? ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name $(<$($gen: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($gen: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn v4 $(<$($gen: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn v3 $(<$($gen: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
                match $crate::host::Level::get() {
                    // SAFETY: `Level::get` never exceeds what the processor was found to support.
                    $crate::host::Level::V4 => return unsafe { v4($($arg),*) },
                    // SAFETY: as above.
                    $crate::host::Level::V3 => return unsafe { v3($($arg),*) },
                    $crate::host::Level::Baseline => {}
                }
            }
            body($($arg),*)
        }
    )*};
}

/// Splits `out` in chunks of fixed size and runs `f(start, chunk)` on each, in parallel when it pays.
pub fn for_chunks<T: Send>(out: &mut [T], f: impl Fn(usize, &mut [T]) + Sync) {
    use rayon::prelude::*;
    if out.len() <= 2 * CHUNK || rayon::current_num_threads() == 1 {
        for (i, chunk) in out.chunks_mut(CHUNK).enumerate() {
            f(i * CHUNK, chunk);
        }
    } else {
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| f(i * CHUNK, chunk));
    }
}

/// Adds up `f(start, end)` over chunks of fixed size, in their order, whatever the thread count.
pub fn sum_chunks(len: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
    use rayon::prelude::*;
    let n_chunks = len.div_ceil(CHUNK);
    let one = |i: usize| f(i * CHUNK, ((i + 1) * CHUNK).min(len));
    if n_chunks <= 2 || rayon::current_num_threads() == 1 {
        return (0..n_chunks).map(one).fold(0.0, |a, b| a + b);
    }
    let parts: Vec<f64> = (0..n_chunks).into_par_iter().map(one).collect();
    parts.into_iter().fold(0.0, |a, b| a + b)
}
