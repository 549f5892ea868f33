//! The multilayer perceptron.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::{Network, flattened};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::kernel::activation::Activation;
use crate::layer::{Linear, Linears, linear};

/// Linear layers `fc1`, `fc2`, ... with an activation between them.
///
/// # Shapes
/// `[batch, ..]` with `sizes[0]` elements a sample, to `[batch, classes]` with the last of the sizes.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::net::{Mlp, Network};
/// use tape_nn::{Activation, Builder, Context};
/// let builder = Builder::init(tensor_tree::Key::from_seed(1), DType::F32, &Device::Cpu);
/// let mlp = Mlp::new(&[64, 32, 10], Activation::Relu, builder.vb())?;
/// let params = builder.into_tree()?;
/// let images = Tensor::zeros((5, 8, 8), DType::F32, &Device::Cpu)?;
/// let logits = mlp.forward(&Context::eval(&params, &Default::default()), &images)?;
/// assert_eq!(logits.dims(), [5, 10]);
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// A perceptron whose layers have these widths: input, hidden ones, classes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than two sizes or one of zero, or if `vb` has other shapes.
    pub fn new(sizes: &[usize], activation: Activation, vb: VarBuilder<'_>) -> Result<Mlp> {
        if sizes.len() < 2 || sizes.contains(&0) {
            return Err(Error::InvalidSetting {
                name: "sizes of the perceptron".into(),
                must: "two or more positive numbers",
                got: format!("{sizes:?}"),
            });
        }
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(i, pair)| linear(pair[0], pair[1], vb.pp(format!("fc{}", i + 1))))
            .collect::<Result<_>>()?;
        Ok(Mlp { layers, activation })
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }
}

impl Network for Mlp {
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let mut x = flattened("Mlp", x, self.layers[0].inputs())?;
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            let activation = if last { Activation::Identity } else { self.activation };
            x = layer.forward_then(cx, &x, activation)?;
        }
        Ok(x)
    }
}

impl Linears for Mlp {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        self.layers.iter_mut().for_each(f);
    }
}
