//! Convolutions over sequences and images.

mod block;
mod composed;
mod fused;

use candle_core::{DType, Tensor};
use candle_nn::{Init, VarBuilder};

pub use block::conv_norm_relu_pool;
use fused::forward as on_host;

use super::channels::{Channels, channels_last};
use super::{by_dtype, is_host};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::kernel::activation::Activation;
use crate::kernel::conv::Geometry;
use crate::param::Param;

/// Settings of a convolution, the same along both axes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Zeros around the input.
    pub padding: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Step between the places of the kernel.
    pub dilation: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Order of the axes of input and output.
    pub channels: Channels,
}

impl Default for ConvConfig {
    fn default() -> Self {
        ConvConfig { padding: 0, stride: 1, dilation: 1, groups: 1, channels: Channels::First }
    }
}

macro_rules! from_candle {
    ($($config:ty),*) => {$(
        impl From<$config> for ConvConfig {
            fn from(cfg: $config) -> Self {
                ConvConfig {
                    padding: cfg.padding,
                    stride: cfg.stride,
                    dilation: cfg.dilation,
                    groups: cfg.groups,
                    channels: Channels::First,
                }
            }
        }
    )*};
}
from_candle!(candle_nn::Conv1dConfig, candle_nn::Conv2dConfig);

/// Cross-correlation along a sequence.
///
/// # Shapes
/// `x` is `[batch, in, length]`, or `[batch, length, in]` with [`Channels::Last`]; the result likewise with
/// `out` channels. The weight is `[out, in / groups, kernel]`, the bias `[out]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv1d(Conv);

/// Cross-correlation over an image.
///
/// # Shapes
/// `x` is `[batch, in, height, width]`, or `[batch, height, width, in]` with [`Channels::Last`]; the result
/// likewise with `out` channels. The weight is `[out, in / groups, height, width]`, the bias `[out]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2d(Conv);

/// What both have in common: the weight's shape tells how many axes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conv {
    weight: Param,
    bias: Option<Param>,
    config: ConvConfig,
}

/// A convolution along sequences with weight and bias below `vb`, initialised as in candle-nn.
///
/// # Errors
/// If `vb` has the parameters in another shape, or the settings do not fit.
pub fn conv1d(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    cfg: impl Into<ConvConfig>,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    Ok(Conv1d(Conv::build(inputs, outputs, &[kernel], cfg.into(), true, &vb)?))
}

/// A convolution along sequences with the weight below `vb`.
///
/// # Errors
/// As [`conv1d`].
pub fn conv1d_no_bias(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    cfg: impl Into<ConvConfig>,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    Ok(Conv1d(Conv::build(inputs, outputs, &[kernel], cfg.into(), false, &vb)?))
}

/// A convolution over images with weight and bias below `vb`, initialised as in candle-nn.
///
/// # Errors
/// If `vb` has the parameters in another shape, or the settings do not fit.
pub fn conv2d(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    cfg: impl Into<ConvConfig>,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    Ok(Conv2d(Conv::build(inputs, outputs, &[kernel, kernel], cfg.into(), true, &vb)?))
}

/// A convolution over images with the weight below `vb`.
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_no_bias(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    cfg: impl Into<ConvConfig>,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    Ok(Conv2d(Conv::build(inputs, outputs, &[kernel, kernel], cfg.into(), false, &vb)?))
}

macro_rules! methods {
    ($name:ident, $axes:literal, $shape:literal) => {
        impl $name {
            /// A convolution of the given parameters.
            ///
            /// # Errors
            #[doc = concat!("If the weight is not `", $shape, "`, the bias does not fit it, or the settings do not.")]
            pub fn new(
                weight: Param,
                bias: Option<Param>,
                cfg: impl Into<ConvConfig>,
            ) -> Result<Self> {
                Ok($name(Conv::new(weight, bias, cfg.into(), $axes)?))
            }

            #[doc = concat!("The weight, `", $shape, "`.")]
            #[must_use]
            pub fn weight(&self) -> &Param {
                &self.0.weight
            }

            /// The bias, `[out]`.
            #[must_use]
            pub fn bias(&self) -> Option<&Param> {
                self.0.bias.as_ref()
            }

            /// The settings.
            #[must_use]
            pub fn config(&self) -> &ConvConfig {
                &self.0.config
            }

            /// Applies the convolution.
            ///
            /// # Errors
            /// If the input's shape does not fit or a parameter is missing.
            pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
                self.forward_then(cx, x, Activation::Identity)
            }

            /// Applies the convolution and `activation` in one operation.
            ///
            /// # Errors
            /// As the plain forward pass.
            pub fn forward_then(
                &self,
                cx: &Context<'_>,
                x: &Tensor,
                activation: Activation,
            ) -> Result<Tensor> {
                channels_last(self.0.config.channels, x, |x| self.0.forward(cx, x, activation))
            }
        }
    };
}
methods!(Conv1d, 1, "[out, in / groups, kernel]");
methods!(Conv2d, 2, "[out, in / groups, height, width]");

impl Conv {
    fn build(
        inputs: usize,
        outputs: usize,
        kernel: &[usize],
        config: ConvConfig,
        with_bias: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let setting = |name: &str, must, got: usize| Error::InvalidSetting {
            name: name.into(),
            must,
            got: got.to_string(),
        };
        if config.groups == 0 || !inputs.is_multiple_of(config.groups) {
            return Err(setting("groups", "a divisor of the input channels", config.groups));
        }
        let mut shape = vec![outputs, inputs / config.groups];
        shape.extend(kernel);
        let weight = Param::new(vb, "weight", &shape, candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let bias = with_bias.then(|| Param::new(vb, "bias", &[outputs], init)).transpose()?;
        Self::new(weight, bias, config, kernel.len())
    }

    fn new(weight: Param, bias: Option<Param>, config: ConvConfig, axes: usize) -> Result<Self> {
        let shape = weight.shape();
        if shape.len() != 2 + axes {
            let mut expected = vec![0; 2 + axes];
            expected[..shape.len().min(2 + axes)]
                .copy_from_slice(&shape[..shape.len().min(2 + axes)]);
            return Err(Error::ParamShape {
                name: weight.name().into(),
                expected,
                got: shape.to_vec(),
            });
        }
        let outputs = shape[0];
        if let Some(bias) = bias.as_ref().filter(|b| b.shape() != [outputs]) {
            return Err(Error::ParamShape {
                name: bias.name().into(),
                expected: vec![outputs],
                got: bias.shape().to_vec(),
            });
        }
        let ConvConfig { stride, dilation, groups, .. } = config;
        let checks = [
            ("stride", "at least 1", stride, 0 < stride),
            ("dilation", "at least 1", dilation, 0 < dilation),
            (
                "groups",
                "a divisor of the output channels",
                groups,
                0 < groups && outputs.is_multiple_of(groups),
            ),
            ("channels and kernel", "at least 1", 0, !shape.contains(&0)),
        ];
        match checks.into_iter().find(|c| !c.3) {
            Some((name, must, got, _)) => {
                Err(Error::InvalidSetting { name: name.into(), must, got: got.to_string() })
            }
            None => Ok(Conv { weight, bias, config }),
        }
    }

    /// The sizes for an input `[batch, .., channels]`.
    fn geometry(&self, x: &Tensor) -> Result<Geometry> {
        let shape = self.weight.shape();
        let cfg = self.config;
        let inputs = shape[1] * cfg.groups;
        let kernel = &shape[2..];
        let wrong = || {
            let axes = if kernel.len() == 1 { "length" } else { "height, width" };
            let span: Vec<usize> = kernel
                .iter()
                .map(|k| (cfg.dilation * (k - 1) + 1).saturating_sub(2 * cfg.padding))
                .collect();
            let expected = match cfg.channels {
                Channels::First => format!("[batch, {inputs}, {axes}], axes at least {span:?}"),
                Channels::Last => format!("[batch, {axes}, {inputs}], axes at least {span:?}"),
            };
            let mut got = x.dims().to_vec();
            if cfg.channels == Channels::First && 2 < got.len() {
                got[1..].rotate_right(1);
            }
            Error::InputShape { layer: self.weight.name().into(), expected, got }
        };
        let dims = x.dims();
        if dims.len() != shape.len() || dims[dims.len() - 1] != inputs {
            return Err(wrong());
        }
        let size = |axis: usize| {
            let room = dims[1 + axis] + 2 * cfg.padding;
            let span = cfg.dilation * (kernel[axis] - 1) + 1;
            room.checked_sub(span).filter(|_| 0 < dims[1 + axis]).map(|r| r / cfg.stride + 1)
        };
        let (s, p, d) = (cfg.stride, cfg.padding, cfg.dilation);
        let outputs = shape[0];
        let groups = cfg.groups;
        if kernel.len() == 1 {
            let length = size(0).ok_or_else(wrong)?;
            return Ok(Geometry {
                input: [1, dims[1]],
                output: [1, length],
                kernel: [1, kernel[0]],
                stride: [1, s],
                padding: [0, p],
                dilation: [1, d],
                inputs,
                outputs,
                groups,
            });
        }
        Ok(Geometry {
            input: [dims[1], dims[2]],
            output: [size(0).ok_or_else(wrong)?, size(1).ok_or_else(wrong)?],
            kernel: [kernel[0], kernel[1]],
            stride: [s, s],
            padding: [p, p],
            dilation: [d, d],
            inputs,
            outputs,
            groups,
        })
    }

    /// The output's shape, channels last.
    fn output_dims(&self, x: &Tensor, geo: &Geometry) -> Vec<usize> {
        let n = x.dims()[0];
        match self.weight.shape().len() {
            3 => vec![n, geo.output[1], geo.outputs],
            _ => vec![n, geo.output[0], geo.output[1], geo.outputs],
        }
    }

    /// The convolution of a channels-last input.
    fn forward(&self, cx: &Context<'_>, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let geo = self.geometry(x)?;
        let dims = self.output_dims(x, &geo);
        let weight = cx.leaf(&self.weight)?;
        let bias = cx.optional(self.bias.as_ref())?;
        let same = |t: &Tensor| t.dtype() == x.dtype();
        if is_host(x) && same(&weight.tensor) && bias.as_ref().is_none_or(|b| same(&b.tensor)) {
            by_dtype!("conv", x, on_host::<T>(x, geo, dims, weight, bias, activation))
        } else {
            composed::forward(x, geo, dims, weight, bias, activation)
        }
    }
}

fn bytes_of(dtype: DType, n: usize) -> usize {
    n.saturating_mul(dtype.size_in_bytes())
}

#[cfg(test)]
mod tests;
