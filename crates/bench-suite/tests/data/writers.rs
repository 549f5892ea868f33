//! Small writers of the formats that the crate only reads.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// An idx file of unsigned bytes.
pub(crate) fn idx(dims: &[usize], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
    for &dim in dims {
        bytes.extend(u32::try_from(dim).unwrap().to_be_bytes());
    }
    bytes.extend_from_slice(elements);
    bytes
}

/// One CIFAR record: the label, then pixels that count up from it.
pub(crate) fn cifar_record(label: u8) -> Vec<u8> {
    let pixels = (0..3072_u32).map(|pixel| (pixel + u32::from(label)).to_le_bytes()[0]);
    std::iter::once(label).chain(pixels).collect()
}

/// A gzip stream.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
