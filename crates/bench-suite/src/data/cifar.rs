//! The binary version of CIFAR-10: records of one label byte and 3,072 pixel bytes.
//!
//! The pixels are three planes (red, green, blue) of 32 rows of 32, so they are stored as
//! [`ImageSet`] stores them. The set is not part of the repository: the user names the folder.

use std::path::Path;

use crate::{
    data::{
        file,
        images::{ImageFormat, ImageSet},
    },
    error::{Error, Result},
};

/// Files with the 50,000 training images.
pub const TRAIN_FILES: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

/// File with the 10,000 test images.
pub const TEST_FILE: &str = "test_batch.bin";

/// Colour images of 32 by 32 in ten classes.
pub const FORMAT: ImageFormat =
    ImageFormat { channels: 3, height: 32, width: 32, max_level: 255, n_classes: 10 };

/// One label byte, then the pixels.
const RECORD_BYTES: usize = 1 + 3 * 32 * 32;

/// Reads and parses one batch file.
///
/// # Errors
/// As [`file::read()`] and [`parse`].
pub fn open(path: &Path) -> Result<ImageSet> {
    parse(&file::read(path)?, path, file::LIMIT_BYTES)
}

/// Parses one batch, plain or gzip-compressed; `file` names it in errors.
///
/// Any number of records from 1 on is taken, so that a part of a batch works too.
///
/// # Errors
/// [`Error::Truncated`] if the last record is cut off or there is none, [`Error::Label`] for a
/// label above 9, [`Error::Gzip`] and [`Error::TooLarge`] as [`file::content`].
pub fn parse(bytes: &[u8], file: &Path, limit_bytes: u64) -> Result<ImageSet> {
    let content = file::content(bytes, file, limit_bytes)?;
    let (records, rest) = content.as_chunks::<RECORD_BYTES>();
    if records.is_empty() || !rest.is_empty() {
        return Err(Error::Truncated {
            file: file.to_owned(),
            field: "last record",
            expected_bytes: RECORD_BYTES as u64,
            got_bytes: rest.len() as u64,
        });
    }
    let labels = records.iter().map(|record| record[0]).collect();
    let pixels = records.iter().flat_map(|record| &record[1..]).copied().collect();
    ImageSet::new(pixels, labels, FORMAT, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_planes_come_apart() {
        let mut bytes = vec![3; RECORD_BYTES];
        bytes.extend(vec![9; RECORD_BYTES]);
        bytes[1] = 200;
        let set = parse(&bytes, Path::new("b"), 1 << 20).unwrap();
        assert_eq!((set.n_samples(), set.labels()), (2, &[3, 9][..]));
        assert_eq!(set.pixels()[..2], [200, 3]);
        assert_eq!(set.pixels()[3072], 9);
    }

    #[test]
    fn cut_records_and_strange_labels_are_refused() {
        let error = |bytes: &[u8]| parse(bytes, Path::new("b"), 1 << 20).unwrap_err().to_string();
        let cut = "`b`: last record: expected 3073 bytes, the content ends after ";
        assert_eq!(error(&[]), format!("{cut}0"));
        assert_eq!(error(&[1; 3072]), format!("{cut}3072"));
        assert_eq!(error(&[1; 3074]), format!("{cut}1"));
        assert_eq!(error(&[10; 3073]), "`b`: label of sample 0: expected less than 10, got 10");
    }
}
