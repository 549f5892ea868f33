//! Damaged files: each parser gives a value or a typed error, without panic and in little memory.

use std::path::Path;

use bench_suite::{
    Error, Result,
    data::{
        ImageFormat, ImageSet, Layout, cifar, csv, idx,
        text::{self, CharVocab},
    },
};
use proptest::prelude::*;
use report::damage::Dice;

use report::heap::peak_of;

use super::writers;

/// The name under which errors must know the bytes.
const FILE: &str = "damaged";

/// Limit of decompressed content for these small inputs.
const LIMIT_BYTES: u64 = 1 << 16;

/// Memory for the decompressor's state, the buffers of the table reader and an error.
const FIXED_BYTES: usize = 1 << 19;

/// A value parsed from a table of one-digit cells takes 8 bytes for 2, and vectors grow by doubling
/// with both copies alive; the set made of it comes on top.
const BYTES_PER_BYTE: usize = 32;

/// One parser and well-formed inputs for it. The function checks the value that it gets.
struct Parser {
    run: fn(&[u8]) -> Result<()>,
    inputs: fn() -> Vec<Vec<u8>>,
}

const IDX: Parser = Parser {
    run: |bytes| {
        let array = idx::parse(bytes, Path::new(FILE), LIMIT_BYTES)?;
        assert!((1..=4).contains(&array.dims().len()));
        assert_eq!(array.dims().iter().product::<usize>(), array.elements().len());
        if 3 <= array.dims().len() {
            let n_labels = array.dims()[0].min(1 << 16);
            let labels = writers::idx(&[n_labels], &vec![1; n_labels]);
            let labels = idx::parse(&labels, Path::new(FILE), LIMIT_BYTES)?;
            check(&ImageSet::from_idx(array, labels, 2, Path::new(FILE))?)?;
        }
        Ok(())
    },
    inputs: || {
        let elements: Vec<u8> = (0..96).collect();
        [&[96][..], &[4, 24], &[2, 6, 8], &[2, 3, 4, 4]]
            .map(|dims| writers::idx(dims, &elements))
            .to_vec()
    },
};

const CSV: Parser = Parser {
    run: |bytes| {
        let table = csv::parse(bytes, Path::new(FILE), 0, LIMIT_BYTES)?;
        assert_eq!(table.values().len(), table.n_rows() * table.n_columns());
        assert!(table.values().iter().all(|value| value.is_finite()));
        let format = ImageFormat { channels: 1, height: 2, width: 3, max_level: 16, n_classes: 10 };
        check(&ImageSet::from_table(&table, format)?)
    },
    inputs: || {
        vec![
            b"0,5,13,9,1,0,3\n16,10,15,5,0,0,9\n0,0,0,0,0,0,0\n".to_vec(),
            b"1.0, 2, 3,4e0,\"5\",6,1\r\n0,5,13,9,1,0,3\r\n".to_vec(),
        ]
    },
};

const CIFAR: Parser = Parser {
    run: |bytes| check(&cifar::parse(bytes, Path::new(FILE), LIMIT_BYTES)?),
    inputs: || vec![[writers::cifar_record(3), writers::cifar_record(9)].concat()],
};

const TEXT: Parser = Parser {
    run: |bytes| {
        let text = text::parse(bytes, Path::new(FILE), LIMIT_BYTES)?;
        let vocab = CharVocab::from_text(&text);
        assert_eq!(vocab.decode(&vocab.encode(&text)?)?, text);
        Ok(())
    },
    inputs: || vec!["To be, or not to be: Käse 🧀, そう。\n".repeat(2).into_bytes()],
};

/// The promises of an image set.
fn check(set: &ImageSet) -> Result<()> {
    let format = set.format();
    assert_eq!(set.pixels().len(), set.n_samples() * format.n_pixels());
    assert!(set.labels().iter().all(|&label| usize::from(label) < format.n_classes));
    assert!(set.pixels().iter().all(|&level| level <= format.max_level));
    let last = set.n_samples() - 1;
    let values = set.gather(&[last], Layout::Nhwc, None)?;
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    Ok(())
}

impl Parser {
    /// Runs the parser within its bound on memory; tells whether it took the bytes.
    fn takes(&self, bytes: &[u8]) -> bool {
        let content = match bytes.starts_with(&[0x1f, 0x8b]) {
            true => usize::try_from(LIMIT_BYTES).unwrap(),
            false => bytes.len(),
        };
        let (result, peak_bytes) = peak_of(|| (self.run)(bytes));
        let bound = FIXED_BYTES + BYTES_PER_BYTE * content;
        assert!(peak_bytes <= bound, "{peak_bytes} bytes for {} bytes: {bytes:?}", bytes.len());
        if let Err(error) = &result {
            assert!(error.to_string().contains("`damaged`: "), "{error}");
            assert!(!matches!(error, Error::Read { .. }), "{error}");
        }
        result.is_ok()
    }

    /// Feeds `n_mutations` damaged versions of the inputs: plain ones, gzip streams of damaged
    /// content, and damaged gzip streams.
    fn survives(&self, n_mutations: u64) {
        let inputs = (self.inputs)();
        let zipped: Vec<Vec<u8>> = inputs.iter().map(|input| writers::gzip(input)).collect();
        for input in inputs.iter().chain(&zipped) {
            (self.run)(input).unwrap();
        }
        let (mut n_taken, mut n_refused) = (0, 0);
        for seed in 0..n_mutations {
            let mut dice = Dice::new(seed);
            let input_idx = dice.below(inputs.len());
            let bytes = match dice.below(4) {
                0 => dice.damaged(&zipped[input_idx]),
                1 => writers::gzip(&dice.damaged(&inputs[input_idx])),
                _ => dice.damaged(&inputs[input_idx]),
            };
            if self.takes(&bytes) {
                n_taken += 1;
            } else {
                n_refused += 1;
            }
        }
        // The damage is neither always fatal nor always harmless, so both ways are exercised.
        assert!(n_mutations / 1000 < n_taken, "{n_taken} taken");
        assert!(n_mutations / 10 < n_refused, "{n_refused} refused");
    }
}

#[test]
fn idx_survives_2_000_mutations() {
    IDX.survives(2_000);
}

#[test]
fn csv_survives_2_000_mutations() {
    CSV.survives(2_000);
}

#[test]
fn cifar_survives_2_000_mutations() {
    CIFAR.survives(2_000);
}

#[test]
fn text_survives_2_000_mutations() {
    TEXT.survives(2_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn idx_survives_100_000_mutations() {
    IDX.survives(100_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn csv_survives_100_000_mutations() {
    CSV.survives(100_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn cifar_survives_100_000_mutations() {
    CIFAR.survives(100_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn text_survives_100_000_mutations() {
    TEXT.survives(100_000);
}

#[test]
fn every_cut_of_a_well_formed_idx_or_cifar_file_is_refused() {
    for parser in [IDX, CIFAR] {
        for input in (parser.inputs)() {
            for bytes in [writers::gzip(&input), input] {
                for length in 0..bytes.len() {
                    // A batch cut behind its first record is a shorter batch.
                    if length != writers::cifar_record(0).len() {
                        assert!(!parser.takes(&bytes[..length]), "cut after {length} bytes");
                    }
                }
            }
        }
    }
}

#[test]
fn a_header_alone_allocates_nothing_of_what_it_claims() {
    let claim = [&[0, 0, 8, 3][..], &[0, 0, 64, 0], &[0, 0, 64, 0], &[0, 0, 0, 1]].concat();
    let (result, peak_bytes) = peak_of(|| idx::parse(&claim, Path::new(FILE), 1 << 28));
    let refused = result.unwrap_err().to_string();
    assert!(refused.contains("elements: expected 268435456 bytes, the content ends after 0"));
    assert!(peak_bytes < 4096, "{peak_bytes} bytes");
}

proptest! {
    #[test]
    fn any_single_changed_byte_gives_a_value_or_a_typed_error(
        which in 0_usize..4, zip in any::<bool>(), input in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), new in any::<u8>(),
    ) {
        let parser = [IDX, CSV, CIFAR, TEXT].into_iter().nth(which).unwrap();
        let inputs = (parser.inputs)();
        let input = input.get(&inputs);
        let mut bytes = if zip { writers::gzip(input) } else { input.clone() };
        *at.get_mut(&mut bytes) = new;
        parser.takes(&bytes);
    }

    #[test]
    fn any_cut_gives_a_value_or_a_typed_error(
        which in 0_usize..4, zip in any::<bool>(), input in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let parser = [IDX, CSV, CIFAR, TEXT].into_iter().nth(which).unwrap();
        let inputs = (parser.inputs)();
        let input = input.get(&inputs);
        let bytes = if zip { writers::gzip(input) } else { input.clone() };
        parser.takes(&bytes[..at.index(bytes.len())]);
    }

    #[test]
    fn arbitrary_bytes_give_a_value_or_a_typed_error(
        which in 0_usize..4, bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        [IDX, CSV, CIFAR, TEXT].into_iter().nth(which).unwrap().takes(&bytes);
    }
}
