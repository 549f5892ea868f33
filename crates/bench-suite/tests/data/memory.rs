//! How much memory a call takes on its thread, so that tests can bound it.

use report::heap::{Counting, peak_of};

#[global_allocator]
static HEAP: Counting = Counting;

#[test]
fn a_megabyte_is_seen_and_a_returned_one_is_not_counted_twice() {
    let megabyte = || std::hint::black_box(vec![1_u8; 1 << 20]).len();
    let (_, peak) = peak_of(|| megabyte() + megabyte());
    assert!((1 << 20..1 << 21).contains(&peak), "{peak}");
}
