//! From levels to numbers: layouts, normalization by public constants.

use crate::{
    data::images::{ImageFormat, ImageSet},
    error::{Error, Result},
};

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

impl ImageSet {
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
        let format = self.format();
        let levels = self.level_tables(normalization)?;
        let n_pixels = format.n_pixels();
        let plane = format.height * format.width;
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

    /// For each channel the number that stands for each level.
    fn level_tables(&self, normalization: Option<Normalization<'_>>) -> Result<Vec<[f32; 256]>> {
        let ImageFormat { channels, max_level, .. } = self.format();
        let scale = f32::from(max_level);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn color(height: usize, width: usize) -> ImageFormat {
        ImageFormat { channels: 3, height, width, max_level: 255, n_classes: 10 }
    }

    fn set(pixels: Vec<u8>, labels: Vec<u8>, format: ImageFormat) -> ImageSet {
        ImageSet::new(pixels, labels, format, Path::new("t")).unwrap()
    }

    #[test]
    fn images_come_out_in_either_layout() {
        let pixels = vec![0, 51, 102, 153, 204, 255, 255, 255, 255, 0, 0, 0];
        let set = set(pixels, vec![7, 3], color(1, 2));
        let gather = |layout| set.gather(&[0], layout, None).unwrap();
        assert_eq!(gather(Layout::Nchw), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(gather(Layout::Nhwc), [0.0, 0.4, 0.8, 0.2, 0.6, 1.0]);
        let two = set.gather(&[1, 0], Layout::Nchw, None).unwrap();
        assert_eq!(two[..6], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(two[6..], gather(Layout::Nchw));
        assert!(set.gather(&[], Layout::Nhwc, None).unwrap().is_empty());
    }

    #[test]
    fn constants_shift_and_scale_each_channel() {
        let set = set(vec![0, 255, 255], vec![0], color(1, 1));
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
        let format = ImageFormat { channels: 1, max_level: 16, ..color(1, 3) };
        let set = set(vec![0, 8, 16], vec![0], format);
        assert_eq!(set.gather(&[0], Layout::Nchw, None).unwrap(), [0.0, 0.5, 1.0]);
    }
}
