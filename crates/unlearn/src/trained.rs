//! Which parameters a run moves.

use candle_core::{DType, Device};
use tape_nn::net::LanguageModel;
use tape_nn::{LoraConfig, lora, select};
use tensor_tree::{Key, Tree};

use crate::{Error, Result};

/// What of a model is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Trained {
    /// Everything.
    #[default]
    Full,
    /// The last blocks alone.
    LastBlocks(usize),
    /// Leaves that one of these patterns fits ([`tape_nn::select::fits`]), such as those that AdaPEFT chose.
    Leaves(Vec<String>),
    /// Low-rank adapters beside the model, which stays as it is.
    Lora(LoraConfig),
}

/// The parameters of a model in two parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Those that are trained.
    pub trainable: Tree,
    /// The others.
    pub frozen: Tree,
}

impl Trained {
    /// Splits the parameters of a model; adapters are attached to it.
    ///
    /// # Errors
    /// [`tape_nn::Error::NothingSelected`] for a pattern that fits nothing, and what [`lora::attach`] refuses; [`Error::OutOfRange`] for
    /// adapters with dropout.
    pub fn split<M: LanguageModel + ?Sized>(
        &self,
        model: &mut M,
        full: Tree,
        key: Key,
        device: &Device,
    ) -> Result<Parts> {
        let none: [&str; 0] = [];
        let (trainable, frozen) = match self {
            Trained::Full => (full, Tree::new()),
            Trained::LastBlocks(n) => select::last_blocks(&full, *n, &none)?,
            Trained::Leaves(patterns) => select::split(&full, patterns)?,
            Trained::Lora(config) => {
                let got = config.dropout;
                if got != 0.0 {
                    let (name, must) =
                        ("dropout of adapters", "0: losses of both sets are evaluated without it");
                    return Err(Error::OutOfRange { name, must, got });
                }
                let dtype = full.iter().next().map_or(DType::F32, |(_, leaf)| leaf.dtype());
                (lora::attach(model, config, key, dtype, device)?, full)
            }
        };
        Ok(Parts { trainable, frozen })
    }

    /// The whole model under the names it came with; adapters are added to their weights.
    ///
    /// # Errors
    /// If the parts do not belong together.
    pub fn merge(&self, trainable: &Tree, frozen: &Tree) -> Result<Tree> {
        match self {
            Trained::Lora(config) => Ok(lora::merge(frozen, trainable, config.scale())?),
            _ => Ok(frozen.union(trainable)?),
        }
    }
}
