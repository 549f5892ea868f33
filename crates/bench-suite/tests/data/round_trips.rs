//! What a writer writes, the parsers read.

use std::path::Path;

use bench_suite::data::{
    ImageFormat, ImageSet, Layout, cifar, csv,
    file::LIMIT_BYTES,
    idx,
    split::shuffled_split,
    text::{self, CharVocab, Windows},
};
use proptest::{collection::vec, prelude::*};

use super::writers;

/// Dimensions of rank 1 to 4 with at most 4,096 elements, and the elements.
fn array() -> impl Strategy<Value = (Vec<usize>, Vec<u8>)> {
    vec(0_usize..=8, 1..=4).prop_flat_map(|dims| {
        let n_elements = dims.iter().product::<usize>();
        (Just(dims), vec(any::<u8>(), n_elements))
    })
}

proptest! {
    #[test]
    fn idx_arrays_survive_writing_and_reading((dims, elements) in array(), zip in any::<bool>()) {
        let plain = writers::idx(&dims, &elements);
        let bytes = if zip { writers::gzip(&plain) } else { plain };
        let read = idx::parse(&bytes, Path::new("t"), LIMIT_BYTES)?;
        prop_assert_eq!(read.into_parts(), (dims, elements));
    }

    #[test]
    fn tables_survive_writing_and_reading(
        rows in (1_usize..6).prop_flat_map(|n| vec(vec(-1e300..1e300_f64, n), 1..20)),
        zip in any::<bool>(),
    ) {
        let mut lines = String::new();
        for row in &rows {
            let cells: Vec<String> = row.iter().map(f64::to_string).collect();
            lines += &cells.join(",");
            lines += "\n";
        }
        let bytes = if zip { writers::gzip(lines.as_bytes()) } else { lines.into_bytes() };
        let table = csv::parse(&bytes, Path::new("t"), 0, LIMIT_BYTES)?;
        prop_assert_eq!((table.n_rows(), table.n_columns()), (rows.len(), rows[0].len()));
        prop_assert_eq!(table.values(), rows.concat());
    }

    #[test]
    fn cifar_batches_survive_writing_and_reading(labels in vec(0_u8..10, 1..5)) {
        let bytes: Vec<u8> = labels.iter().flat_map(|&label| writers::cifar_record(label)).collect();
        let set = cifar::parse(&bytes, Path::new("t"), LIMIT_BYTES)?;
        prop_assert_eq!(set.labels(), &labels[..]);
        for (sample_idx, &label) in labels.iter().enumerate() {
            prop_assert_eq!(set.image(sample_idx)?, &writers::cifar_record(label)[1..]);
        }
    }

    #[test]
    fn texts_survive_encoding_and_decoding(written in "\\PC{0,200}", zip in any::<bool>()) {
        let plain = written.as_bytes();
        let bytes = if zip { writers::gzip(plain) } else { plain.to_vec() };
        let read = text::parse(&bytes, Path::new("t"), LIMIT_BYTES)?;
        let vocab = CharVocab::from_text(&read);
        prop_assert_eq!(vocab.decode(&vocab.encode(&read)?)?, written);
    }

    #[test]
    fn adjacent_windows_are_the_sequence_without_its_short_rest(
        tokens in vec(any::<u32>(), 0..200), length in 1_usize..50,
    ) {
        let windows = Windows::new(&tokens, length, length)?;
        let joined: Vec<u32> = windows.iter().flatten().copied().collect();
        prop_assert_eq!(&joined[..], &tokens[..joined.len()]);
        prop_assert!(tokens.len() - joined.len() < length);
    }

    #[test]
    fn a_split_names_each_sample_once(n in 2_usize..300, n_test in 1_usize..300, seed: u64) {
        prop_assume!(n_test < n);
        let split = shuffled_split(n, n_test, seed)?;
        prop_assert_eq!(split.test.len(), n_test);
        let mut all = [split.train, split.test].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
    }

    #[test]
    fn the_two_layouts_hold_the_same_pixels(
        (channels, height, width) in (1_usize..4, 1_usize..5, 1_usize..5), seed: u8,
    ) {
        let format = ImageFormat { channels, height, width, max_level: 255, n_classes: 1 };
        let n_pixels = format.n_pixels();
        let pixels = (0..n_pixels).map(|i| (i % 251).to_le_bytes()[0].wrapping_mul(seed)).collect();
        let set = ImageSet::new(pixels, vec![0], format, Path::new("t"))?;
        let planes = set.gather(&[0], Layout::Nchw, None)?;
        let points = set.gather(&[0], Layout::Nhwc, None)?;
        for (plane_idx, value) in planes.iter().enumerate() {
            let (channel, point) = (plane_idx / (height * width), plane_idx % (height * width));
            prop_assert_eq!(value.to_bits(), points[point * channels + channel].to_bits());
        }
    }
}
