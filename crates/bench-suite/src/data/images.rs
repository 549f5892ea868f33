//! Labeled images as bytes: checks, subsets, splits.

use std::path::{Path, PathBuf};

use crate::{
    data::{
        csv::Table,
        idx::Idx,
        split::{Split, shuffled_split},
    },
    error::{Error, Result},
};

/// What all images of a set have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFormat {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The level that becomes 1.0: 255 for most sets, 16 for the 8x8 digits.
    pub max_level: u8,
    /// Labels run from 0 to one less; 1 to 256.
    pub n_classes: usize,
}

impl ImageFormat {
    /// Values of one image: channels, rows and columns multiplied.
    pub fn n_pixels(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }
}

/// Labeled images of one format: sample, channel, row, column, the last fastest.
///
/// A value of this type has one label below `n_classes` and `n_pixels` levels up to `max_level`
/// for each sample; every format has at least one pixel and one class. It may have no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    format: ImageFormat,
}

impl ImageSet {
    /// Checks the parts and joins them; `file` names them in errors.
    ///
    /// # Errors
    /// [`Error::TooFew`] for a format without pixels, levels or classes, [`Error::OutOfRange`] for
    /// more than 256 classes, [`Error::WrongValue`] if `pixels` has another length than labels and format say,
    /// [`Error::Label`] and [`Error::Pixel`] for the first value out of its range.
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>, format: ImageFormat, file: &Path) -> Result<Self> {
        for (field, got) in [
            ("channels", format.channels),
            ("height", format.height),
            ("width", format.width),
            ("brightest level", usize::from(format.max_level)),
            ("number of classes", format.n_classes),
        ] {
            if got == 0 {
                return Err(Error::TooFew { file: file.to_owned(), field, min: 1, got: 0 });
            }
        }
        if 256 < format.n_classes {
            return Err(Error::OutOfRange {
                file: file.to_owned(),
                field: "number of classes",
                min: 1,
                max: 256,
                got: format.n_classes as u64,
            });
        }
        let expected = labels.len().saturating_mul(format.n_pixels());
        if pixels.len() != expected {
            return Err(Error::WrongValue {
                file: file.to_owned(),
                field: "number of pixels",
                expected: expected as u64,
                got: pixels.len() as u64,
            });
        }
        let n_classes = format.n_classes;
        if let Some(sample_idx) = labels.iter().position(|&label| n_classes <= usize::from(label)) {
            let got = labels[sample_idx];
            return Err(Error::Label { file: file.to_owned(), sample_idx, n_classes, got });
        }
        let max_level = format.max_level;
        if let Some(pixel_idx) = pixels.iter().position(|&level| max_level < level) {
            let sample_idx = pixel_idx / format.n_pixels();
            let got = pixels[pixel_idx];
            return Err(Error::Pixel { file: file.to_owned(), sample_idx, max_level, got });
        }
        Ok(ImageSet { pixels, labels, format })
    }

    /// Joins the two idx arrays of a set whose brightest level is 255.
    ///
    /// `images` has dimensions sample, row, column (grey) or sample, channel, row, column;
    /// `labels` has one. `file` names the images in errors.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for other ranks, [`Error::TooFew`] for no sample,
    /// [`Error::WrongValue`] if the counts differ, and those of [`ImageSet::new`].
    pub fn from_idx(images: Idx, labels: Idx, n_classes: usize, file: &Path) -> Result<Self> {
        let wrong = |field, expected: usize, got: usize| Error::WrongValue {
            file: file.to_owned(),
            field,
            expected: expected as u64,
            got: got as u64,
        };
        let (image_dims, pixels) = images.into_parts();
        let (label_dims, labels) = labels.into_parts();
        let (n_samples, channels, height, width) = match image_dims[..] {
            [n_samples, height, width] => (n_samples, 1, height, width),
            [n_samples, channels, height, width] => (n_samples, channels, height, width),
            _ => {
                return Err(Error::OutOfRange {
                    file: file.to_owned(),
                    field: "rank of the images",
                    min: 3,
                    max: 4,
                    got: image_dims.len() as u64,
                });
            }
        };
        if label_dims.len() != 1 {
            return Err(wrong("rank of the labels", 1, label_dims.len()));
        }
        if labels.len() != n_samples {
            return Err(wrong("number of labels", n_samples, labels.len()));
        }
        if labels.is_empty() {
            let field = "number of images";
            return Err(Error::TooFew { file: file.to_owned(), field, min: 1, got: 0 });
        }
        let format = ImageFormat { channels, height, width, max_level: u8::MAX, n_classes };
        ImageSet::new(pixels, labels, format, file)
    }

    /// Takes the last column of a table as label and the others as pixels in the order of `format`.
    ///
    /// # Errors
    /// [`Error::WrongValue`] if the number of columns does not fit, [`Error::Cell`] for a pixel or
    /// label out of range, and those of [`ImageSet::new`].
    pub fn from_table(table: &Table, format: ImageFormat) -> Result<Self> {
        let expected = format.n_pixels().saturating_add(1);
        if table.n_columns() != expected {
            return Err(Error::WrongValue {
                file: table.file().to_owned(),
                field: "number of columns",
                expected: expected as u64,
                got: table.n_columns() as u64,
            });
        }
        let labels = table.split_label(format.n_classes)?.labels;
        ImageSet::new(table.levels(format.max_level)?, labels, format, table.file())
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.labels.len()
    }

    /// Shape, brightest level and number of classes.
    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// All levels: sample, channel, row, column, the last fastest.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// How many samples each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.format.n_classes];
        for &label in &self.labels {
            counts[usize::from(label)] += 1;
        }
        counts
    }

    /// The samples of both sets, the given one's behind.
    ///
    /// # Errors
    /// [`Error::WrongValue`] if the formats differ; `file` names the set behind.
    pub fn append(&mut self, other: ImageSet, file: &Path) -> Result<()> {
        let (here, there) = (self.format, other.format);
        for (field, expected, got) in [
            ("channels", here.channels, there.channels),
            ("height", here.height, there.height),
            ("width", here.width, there.width),
            ("brightest level", usize::from(here.max_level), usize::from(there.max_level)),
            ("number of classes", here.n_classes, there.n_classes),
        ] {
            if expected != got {
                let (file, expected, got) = (PathBuf::from(file), expected as u64, got as u64);
                return Err(Error::WrongValue { file, field, expected, got });
            }
        }
        self.pixels.extend(other.pixels);
        self.labels.extend(other.labels);
        Ok(())
    }

    /// The samples named by `indices`, in that order; a sample may be named twice.
    ///
    /// # Errors
    /// [`Error::SampleIndex`] for an index behind the last sample.
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        let mut pixels = Vec::with_capacity(indices.len().saturating_mul(self.format.n_pixels()));
        let mut labels = Vec::with_capacity(indices.len());
        for &sample_idx in indices {
            pixels.extend_from_slice(self.image(sample_idx)?);
            labels.push(self.labels[sample_idx]);
        }
        Ok(ImageSet { pixels, labels, format: self.format })
    }

    /// The levels of one sample.
    ///
    /// # Errors
    /// [`Error::SampleIndex`] for an index behind the last sample.
    pub fn image(&self, sample_idx: usize) -> Result<&[u8]> {
        let n_samples = self.n_samples();
        if n_samples <= sample_idx {
            return Err(Error::SampleIndex { got: sample_idx, n_samples });
        }
        let n_pixels = self.format.n_pixels();
        Ok(&self.pixels[sample_idx * n_pixels..][..n_pixels])
    }

    /// The labels named by `indices`, as tensors of class indices want them.
    ///
    /// # Errors
    /// [`Error::SampleIndex`] for an index behind the last sample.
    pub fn gather_labels(&self, indices: &[usize]) -> Result<Vec<u32>> {
        let n_samples = self.n_samples();
        let label = |&got| match self.labels.get(got) {
            Some(&label) => Ok(u32::from(label)),
            None => Err(Error::SampleIndex { got, n_samples }),
        };
        indices.iter().map(label).collect()
    }

    /// A shuffled split with `n_test` samples held out; see [`shuffled_split`].
    ///
    /// # Errors
    /// As [`shuffled_split`].
    pub fn shuffled_split(&self, n_test: usize, seed: u64) -> Result<Split> {
        shuffled_split(self.n_samples(), n_test, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::gather::Layout;

    fn format(channels: usize, height: usize, width: usize) -> ImageFormat {
        ImageFormat { channels, height, width, max_level: 255, n_classes: 10 }
    }

    fn set(pixels: Vec<u8>, labels: Vec<u8>, format: ImageFormat) -> Result<ImageSet> {
        ImageSet::new(pixels, labels, format, Path::new("t"))
    }

    #[test]
    fn lengths_labels_and_levels_are_checked() {
        let message = |result: Result<ImageSet>| result.unwrap_err().to_string();
        let grey = format(1, 1, 2);
        assert_eq!(
            message(set(vec![0; 3], vec![0; 2], grey)),
            "`t`: number of pixels: expected 4, got 3"
        );
        assert_eq!(
            message(set(vec![0; 4], vec![0, 10], grey)),
            "`t`: label of sample 1: expected less than 10, got 10"
        );
        assert_eq!(
            message(set(vec![0, 0, 0, 17], vec![0; 2], ImageFormat { max_level: 16, ..grey })),
            "`t`: pixels of sample 1: expected at most 16, got 17"
        );
        for (wrong, field) in [
            (format(0, 1, 1), "channels"),
            (format(1, 0, 1), "height"),
            (format(1, 1, 0), "width"),
            (ImageFormat { max_level: 0, ..grey }, "brightest level"),
            (ImageFormat { n_classes: 0, ..grey }, "number of classes"),
            (ImageFormat { n_classes: 257, ..grey }, "number of classes"),
        ] {
            let message = message(set(vec![], vec![], wrong));
            assert!(message.contains(field), "{message}");
        }
        let huge = format(usize::MAX, usize::MAX, 2);
        assert!(set(vec![0; 8], vec![0; 2], huge).is_err());
    }

    #[test]
    fn an_index_behind_the_last_sample_is_an_error() {
        let set = set(vec![1, 2], vec![0, 1], format(1, 1, 1)).unwrap();
        assert_eq!(set.subset(&[1, 1, 0]).unwrap().pixels(), [2, 2, 1]);
        assert!(set.subset(&[0, 2]).is_err());
        assert!(set.image(usize::MAX).is_err());
        assert!(set.gather(&[2], Layout::Nchw, None).is_err());
        assert_eq!(set.gather_labels(&[1, 0, 1]).unwrap(), [1, 0, 1]);
        assert_eq!(
            set.gather_labels(&[2]).unwrap_err().to_string(),
            "sample index: expected less than 2, got 2"
        );
    }

    #[test]
    fn sets_of_one_format_are_joined() {
        let file = Path::new("second");
        let mut joined = set(vec![1], vec![0], format(1, 1, 1)).unwrap();
        joined.append(set(vec![2], vec![9], format(1, 1, 1)).unwrap(), file).unwrap();
        assert_eq!((joined.pixels(), joined.labels()), (&[1, 2][..], &[0, 9][..]));
        assert_eq!(joined.class_counts(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let error = joined.append(set(vec![2; 2], vec![9], format(1, 1, 2)).unwrap(), file);
        assert_eq!(error.unwrap_err().to_string(), "`second`: width: expected 1, got 2");
    }
}
