//! A pretrained network, alone or carrying adapters, of which some parameters are trained.

use candle_core::{DType, Device};
use tape_nn::net::{LanguageModel, NextToken};
use tape_nn::{LoraConfig, Taped, lora};
use tensor_tree::{Key, Tree};

use crate::error::Result;

/// A network with all its parameters.
#[derive(Clone)]
pub(in crate::task) struct Net<M> {
    pub(in crate::task) model: M,
    pub(in crate::task) params: Tree,
}

impl<M: LanguageModel + Clone> Net<M> {
    /// The same with adapters of that rank around the layers that patterns fit; they add nothing at first.
    pub(super) fn with_adapters(&self, rank: usize, layers: &[&str], seed: u64) -> Result<Net<M>> {
        let mut model = self.model.clone();
        let alpha = 2.0 * rank as f64;
        let config = LoraConfig { rank, alpha, ..LoraConfig::for_layers(layers.iter().copied()) };
        let key = Key::from_seed(seed);
        let adapters = lora::attach(&mut model, &config, key, DType::F32, &Device::Cpu)?;
        Ok(Net { model, params: self.params.union(&adapters)? })
    }

    /// The objective of the trained parameters, and these.
    pub(super) fn training(
        &self,
        is_trained: impl FnMut(&str) -> bool,
    ) -> (Taped<NextToken<M>>, Tree) {
        let (trained, frozen) = self.params.partition(is_trained);
        (Taped(NextToken { model: self.model.clone(), frozen }), trained)
    }

    /// Names and sizes of all parameters.
    pub(super) fn sizes(&self) -> Vec<(&str, u64)> {
        self.params.iter().map(|(name, leaf)| (name, leaf.elem_count() as u64)).collect()
    }
}
