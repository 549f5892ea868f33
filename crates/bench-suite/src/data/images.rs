//! Labeled images as bytes: checks, splits, subsets and conversion to `f32`.

use std::path::{Path, PathBuf};

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    data::{csv::Table, idx::Idx},
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

/// Order of the values of one image in a vector of `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Sample, channel, row, column: the order of the files and of candle's convolutions.
    Nchw,
    /// Sample, row, column, channel.
    Nhwc,
}

/// Mean and standard deviation of each channel, in units where the brightest level is 1.
///
/// # Privacy
/// The constants must be public, such as those below, which the literature prints for the whole
/// training sets. Computing them from data under protection is a release of its own that nothing
/// here accounts for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization<'a> {
    /// One finite value for each channel.
    pub mean: &'a [f32],
    /// One finite, positive value for each channel.
    pub std: &'a [f32],
}

impl Normalization<'static> {
    /// The usual constants of MNIST.
    pub const MNIST: Self = Normalization { mean: &[0.1307], std: &[0.3081] };
    /// The usual constants of Fashion-MNIST.
    pub const FASHION_MNIST: Self = Normalization { mean: &[0.2860], std: &[0.3530] };
    /// The usual constants of CIFAR-10.
    pub const CIFAR_10: Self =
        Normalization { mean: &[0.4914, 0.4822, 0.4465], std: &[0.2470, 0.2435, 0.2616] };
    /// One half and one half, which maps levels to -1..1; for images with one channel.
    pub const CENTERED_GREY: Self = Normalization { mean: &[0.5], std: &[0.5] };
    /// One half and one half, which maps levels to -1..1; for images with three channels.
    pub const CENTERED_COLOR: Self = Normalization { mean: &[0.5; 3], std: &[0.5; 3] };
}

/// Two disjoint lists of sample indices that together hold each sample once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Samples to train on, in shuffled order.
    pub train: Vec<usize>,
    /// Samples held out, in shuffled order.
    pub test: Vec<usize>,
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

    /// The images named by `indices` as numbers, one after the other.
    ///
    /// Without constants a level becomes `level / max_level`, between 0 and 1; with constants
    ///
    /// ```text
    /// (level / max_level - mean[channel]) / std[channel]
    /// ```
    ///
    /// # Shapes
    /// The result has `indices.len() * n_pixels` values, for a tensor of shape
    /// `[batch, channels, height, width]` or `[batch, height, width, channels]` as `layout` says.
    ///
    /// # Errors
    /// [`Error::SampleIndex`] for an index behind the last sample,
    /// [`Error::NormalizationLength`] or [`Error::Setting`] for constants that do not fit.
    pub fn gather(
        &self,
        indices: &[usize],
        layout: Layout,
        normalization: Option<Normalization<'_>>,
    ) -> Result<Vec<f32>> {
        let levels = self.level_tables(normalization)?;
        let n_pixels = self.format.n_pixels();
        let plane = self.format.height * self.format.width;
        let mut values = Vec::with_capacity(indices.len().saturating_mul(n_pixels));
        for &sample_idx in indices {
            let image = self.image(sample_idx)?;
            match layout {
                Layout::Nchw => {
                    for (table, pixels) in levels.iter().zip(image.chunks_exact(plane)) {
                        values.extend(pixels.iter().map(|&level| table[usize::from(level)]));
                    }
                }
                Layout::Nhwc => {
                    for pixel_idx in 0..plane {
                        let pixels = image[pixel_idx..].iter().step_by(plane);
                        let channels = levels.iter().zip(pixels);
                        values.extend(channels.map(|(table, &level)| table[usize::from(level)]));
                    }
                }
            }
        }
        Ok(values)
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

    /// For each channel the number that stands for each level.
    fn level_tables(&self, normalization: Option<Normalization<'_>>) -> Result<Vec<[f32; 256]>> {
        let channels = self.format.channels;
        let scale = f32::from(self.format.max_level);
        if let Some(constants) = normalization {
            constants.check(channels)?;
        }
        let table = |channel| {
            let (mean, std) = match normalization {
                Some(constants) => (constants.mean[channel], constants.std[channel]),
                None => (0.0, 1.0),
            };
            let mut table = [0.0; 256];
            for (level, value) in (0..=u8::MAX).zip(&mut table) {
                *value = (f32::from(level) / scale - mean) / std;
            }
            table
        };
        Ok((0..channels).map(table).collect())
    }
}

impl Normalization<'_> {
    fn check(&self, channels: usize) -> Result<()> {
        for (name, values) in [("mean", self.mean), ("std", self.std)] {
            if values.len() != channels {
                return Err(Error::NormalizationLength { name, channels, got: values.len() });
            }
        }
        for &got in self.mean {
            if !got.is_finite() {
                let got = f64::from(got);
                return Err(Error::Setting { name: "normalization mean", must: "finite", got });
            }
        }
        for &got in self.std {
            if !(got.is_finite() && 0.0 < got) {
                let (name, must) = ("normalization std", "finite and positive");
                return Err(Error::Setting { name, must, got: f64::from(got) });
            }
        }
        Ok(())
    }
}

/// The numbers below `n_samples` in an order that depends on the seed alone.
///
/// The order is part of the promise of this function: it is the Fisher-Yates shuffle from the
/// last position down, fed by ChaCha20, and does not change between versions or machines. Splits
/// are not secret: a seed that everyone may know is right here, also for private training.
pub fn shuffled_indices(n_samples: usize, seed: u64) -> Vec<usize> {
    let mut rng = rng(seed);
    let mut indices: Vec<usize> = (0..n_samples).collect();
    for last in (1..n_samples).rev() {
        indices.swap(last, at_most(last, &mut rng));
    }
    indices
}

/// Shuffles `n_samples` samples and holds the last `n_test` of them out.
///
/// Of the same number of samples and the same seed, a smaller test part is the end of a larger one.
///
/// # Errors
/// [`Error::Setting`] unless both parts get a sample.
pub fn shuffled_split(n_samples: usize, n_test: usize, seed: u64) -> Result<Split> {
    if n_test == 0 || n_samples <= n_test {
        return Err(Error::Setting {
            name: "number of test samples",
            must: "at least 1 and less than the number of samples",
            got: n_test as f64,
        });
    }
    let mut train = shuffled_indices(n_samples, seed);
    let test = train.split_off(n_samples - n_test);
    Ok(Split { train, test })
}

/// The stream of a seed; the other 24 bytes of the key keep it apart from other uses of the seed.
fn rng(seed: u64) -> ChaCha20Rng {
    let mut key = *b"seed....bench-suite data shuffle";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha20Rng::from_seed(key)
}

/// A uniform number from 0 to `max`, by rejection of the incomplete last block.
fn at_most(max: usize, rng: &mut impl Rng) -> usize {
    let n_values = max as u64 + 1;
    let limit = u64::MAX - u64::MAX % n_values;
    loop {
        let word = rng.next_u64();
        if word < limit {
            // At most `max`, so it fits.
            return usize::try_from(word % n_values).unwrap_or(max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(channels: usize, height: usize, width: usize) -> ImageFormat {
        ImageFormat { channels, height, width, max_level: 255, n_classes: 10 }
    }

    fn set(pixels: Vec<u8>, labels: Vec<u8>, format: ImageFormat) -> Result<ImageSet> {
        ImageSet::new(pixels, labels, format, Path::new("t"))
    }

    #[test]
    fn the_order_of_a_seed_is_pinned() {
        // From an independent implementation of ChaCha20 and the shuffle.
        assert_eq!(shuffled_indices(10, 0), [7, 9, 4, 2, 0, 6, 3, 1, 5, 8]);
        assert_eq!(shuffled_indices(10_000, 0)[..5], [6482, 110, 2842, 1211, 297]);
        assert_eq!(shuffled_indices(10_000, 1)[..5], [8217, 59, 1778, 1776, 242]);
    }

    #[test]
    fn a_shuffle_holds_each_index_once_and_is_uniform() {
        let mut first = [0; 7];
        for seed in 0..7_000 {
            let mut order = shuffled_indices(7, seed);
            first[order[0]] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
        // 7000 draws of probability 1/7: std = sqrt(7000 * 1/7 * 6/7) = 29.3; 5 std = 146.
        assert!(first.iter().all(|count| (854..=1146).contains(count)), "{first:?}");
        assert!(shuffled_indices(0, 3).is_empty());
    }

    #[test]
    fn a_split_needs_both_parts() {
        let split = shuffled_split(5, 2, 9).unwrap();
        assert_eq!([split.train, split.test].concat(), shuffled_indices(5, 9));
        for n_test in [0, 5, 6] {
            assert!(matches!(shuffled_split(5, n_test, 9), Err(Error::Setting { .. })));
        }
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
    fn images_come_out_in_either_layout() {
        let pixels = vec![0, 51, 102, 153, 204, 255, 255, 255, 255, 0, 0, 0];
        let set = set(pixels, vec![7, 3], format(3, 1, 2)).unwrap();
        let gather = |layout| set.gather(&[0], layout, None).unwrap();
        assert_eq!(gather(Layout::Nchw), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(gather(Layout::Nhwc), [0.0, 0.4, 0.8, 0.2, 0.6, 1.0]);
        let two = set.gather(&[1, 0], Layout::Nchw, None).unwrap();
        assert_eq!(two[..6], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(two[6..], gather(Layout::Nchw));
        assert_eq!(set.gather_labels(&[1, 0, 1]).unwrap(), [3, 7, 3]);
        assert!(set.gather(&[], Layout::Nhwc, None).unwrap().is_empty());
    }

    #[test]
    fn constants_shift_and_scale_each_channel() {
        let set = set(vec![0, 255, 255], vec![0], format(3, 1, 1)).unwrap();
        let constants = Normalization { mean: &[0.5, 0.0, 0.5], std: &[0.5, 2.0, 0.25] };
        assert_eq!(set.gather(&[0], Layout::Nchw, Some(constants)).unwrap(), [-1.0, 0.5, 2.0]);
        for wrong in [
            Normalization::MNIST,
            Normalization { mean: &[0.5; 3], std: &[1.0; 2] },
            Normalization { mean: &[f32::NAN; 3], std: &[1.0; 3] },
            Normalization { mean: &[0.5; 3], std: &[1.0, 0.0, 1.0] },
            Normalization { mean: &[0.5; 3], std: &[1.0, f32::NAN, 1.0] },
        ] {
            assert!(set.gather(&[0], Layout::Nchw, Some(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sixteen_is_white_where_it_is_the_brightest_level() {
        let format = ImageFormat { max_level: 16, ..format(1, 1, 3) };
        let set = set(vec![0, 8, 16], vec![0], format).unwrap();
        assert_eq!(set.gather(&[0], Layout::Nchw, None).unwrap(), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn an_index_behind_the_last_sample_is_an_error() {
        let set = set(vec![1, 2], vec![0, 1], format(1, 1, 1)).unwrap();
        assert_eq!(set.subset(&[1, 1, 0]).unwrap().pixels(), [2, 2, 1]);
        assert!(set.subset(&[0, 2]).is_err());
        assert!(set.image(usize::MAX).is_err());
        assert!(set.gather(&[2], Layout::Nchw, None).is_err());
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
