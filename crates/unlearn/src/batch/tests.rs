//! Which samples share a pass.

use candle_core::Device;
use proptest::prelude::*;

use super::*;

fn item(n_positions: usize) -> Item {
    Sample::new(vec![1; n_positions + 1], 1).unwrap().into()
}

fn lengths(passes: &[Batch]) -> Vec<Vec<usize>> {
    let of = |batch: &Batch| batch.items.iter().map(|item| item.sample.n_positions()).collect();
    passes.iter().map(of).collect()
}

#[test]
fn passes_hold_texts_of_like_lengths() {
    let items = [30, 2, 3, 20, 31, 4, 2].map(item).to_vec();
    let passes = Batch::passes(items, 8, &Device::Cpu).unwrap();
    assert_eq!(lengths(&passes), [vec![2, 2, 3], vec![4], vec![20, 30], vec![31]]);
}

#[test]
fn a_pass_over_long_texts_holds_few() {
    let items = vec![item(ON_CPU / 2), item(ON_CPU / 2 + 1), item(2 * ON_CPU), item(ON_CPU / 2)];
    let passes = Batch::passes(items, 8, &Device::Cpu).unwrap();
    let half = ON_CPU / 2;
    assert_eq!(lengths(&passes), [vec![half, half], vec![half + 1], vec![2 * ON_CPU]]);
}

proptest! {
    #[test]
    fn every_sample_is_in_one_pass(sizes in prop::collection::vec(1usize..1500, 1..40), most in 0usize..10) {
        let passes = Batch::passes(sizes.iter().map(|n| item(*n)).collect(), most, &Device::Cpu).unwrap();
        let got = lengths(&passes);
        let mut expected = sizes;
        expected.sort_unstable();
        prop_assert_eq!(got.concat(), expected);
        for pass in got {
            prop_assert!(pass.len() <= most.max(1));
            let (shortest, longest) = (pass[0], pass[pass.len() - 1]);
            prop_assert!(pass.len() == 1 || (2 * longest <= 3 * shortest && pass.len() * longest <= ON_CPU));
        }
    }
}
