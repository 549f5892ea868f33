//! The small convolutional network for images.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::{Network, flattened};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::kernel::activation::Activation;
use crate::layer::{
    Channels, Conv2d, ConvConfig, GroupNorm, Linear, Linears, conv_norm_relu_pool, conv2d,
    group_norm, linear, to_channels_first, to_channels_last,
};

/// Sizes of a [`Cnn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CnnConfig {
    /// Channels of the images.
    pub inputs: usize,
    /// Height and width of the images.
    pub size: (usize, usize),
    /// Output channels of each block; a block halves height and width.
    pub channels: Vec<usize>,
    /// Groups of each normalisation; divides all `channels`.
    pub groups: usize,
    /// Width of the hidden dense layer.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
    /// Order of the axes of the images, and of what the first dense layer sees. With [`Channels::First`],
    /// weights can be exchanged with other frameworks; with [`Channels::Last`] nothing is moved around.
    pub order: Channels,
}

impl Default for CnnConfig {
    /// For grey images of 28x28 in ten classes: 421,834 parameters.
    fn default() -> Self {
        CnnConfig {
            inputs: 1,
            size: (28, 28),
            channels: vec![32, 64],
            groups: 8,
            hidden: 128,
            classes: 10,
            order: Channels::Last,
        }
    }
}

/// Blocks of 3x3 convolution (`conv1`, ...), group normalisation (`norm1`, ...), ReLU and 2x2 maximum pooling,
/// then two dense layers `fc1` and `fc2` with ReLU between them.
///
/// # Shapes
/// `[batch, height, width, inputs]` (or `[batch, inputs, height, width]` with [`Channels::First`], or flat
/// samples in that order) to `[batch, classes]`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::net::{Cnn, CnnConfig, Network};
/// use tape_nn::{Builder, Context};
/// let builder = Builder::init(tensor_tree::Key::from_seed(1), DType::F32, &Device::Cpu);
/// let cnn = Cnn::new(CnnConfig::default(), builder.vb())?;
/// let params = builder.into_tree()?;
/// let images = Tensor::zeros((2, 28, 28, 1), DType::F32, &Device::Cpu)?;
/// let logits = cnn.forward(&Context::eval(&params, &Default::default()), &images)?;
/// assert_eq!(logits.dims(), [2, 10]);
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cnn {
    config: CnnConfig,
    blocks: Vec<(Conv2d, GroupNorm)>,
    hidden: Linear,
    head: Linear,
}

impl Cnn {
    /// A network of these sizes with parameters below `vb`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a size is zero, `groups` does not divide the channels, or the images are
    /// too small to be halved by each block; or if `vb` has other shapes.
    pub fn new(config: CnnConfig, vb: VarBuilder<'_>) -> Result<Cnn> {
        let CnnConfig { inputs, size, ref channels, groups, hidden, classes, .. } = config;
        let setting = |name: &str, must, got: String| Error::InvalidSetting {
            name: format!("{name} of the network"),
            must,
            got,
        };
        if [inputs, hidden, classes].contains(&0) {
            let got = format!("{inputs}, {hidden}, {classes}");
            return Err(setting("inputs, hidden width and classes", "at least 1", got));
        }
        let mut left = size;
        let mut width = inputs;
        let mut blocks = Vec::with_capacity(channels.len());
        for (i, &outputs) in channels.iter().enumerate() {
            if outputs == 0 {
                return Err(setting("channels", "at least 1", "0".into()));
            }
            let cfg = ConvConfig { padding: 1, channels: Channels::Last, ..ConvConfig::default() };
            let conv = conv2d(width, outputs, 3, cfg, vb.pp(format!("conv{}", i + 1)))?;
            let norm = group_norm(groups, outputs, 1e-5, vb.pp(format!("norm{}", i + 1)))?;
            blocks.push((conv, norm.with_channels(Channels::Last)));
            left = (left.0 / 2, left.1 / 2);
            width = outputs;
        }
        if left.0 == 0 || left.1 == 0 {
            return Err(setting(
                "size",
                "large enough to be halved by each block",
                format!("{size:?}"),
            ));
        }
        let hidden = linear(left.0 * left.1 * width, hidden, vb.pp("fc1"))?;
        let head = linear(hidden.outputs(), classes, vb.pp("fc2"))?;
        Ok(Cnn { config, blocks, hidden, head })
    }

    /// The sizes.
    #[must_use]
    pub fn config(&self) -> &CnnConfig {
        &self.config
    }
}

impl Network for Cnn {
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let CnnConfig { inputs, size: (h, w), order, .. } = self.config;
        let flat = flattened("Cnn", x, inputs * h * w)?;
        let n = flat.dims()[0];
        let mut x = match order {
            Channels::Last => flat.reshape((n, h, w, inputs))?,
            Channels::First => to_channels_last(&flat.reshape((n, inputs, h, w))?)?,
        };
        for (conv, norm) in &self.blocks {
            x = conv_norm_relu_pool(cx, conv, norm, &x)?;
        }
        if order == Channels::First {
            x = to_channels_first(&x)?;
        }
        let x = x.reshape((n, self.hidden.inputs()))?;
        let x = self.hidden.forward_then(cx, &x, Activation::Relu)?;
        self.head.forward(cx, &x)
    }
}

impl Linears for Cnn {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        f(&mut self.hidden);
        f(&mut self.head);
    }
}

#[cfg(test)]
mod tests;
