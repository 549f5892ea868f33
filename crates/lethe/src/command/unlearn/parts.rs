//! Which parameters are trained.

use candle_core::Device;
use clap::Args;
use hessian_lr::adapeft::Chooser;
use hessian_lr::grouping::Grouping;
use hessian_lr::select::Budget;
use serde::Serialize;
use tape_nn::LoraConfig;
use tape_nn::net::Llama;
use tensor_tree::{Key, Tree};
use unlearn::batch::Item;
use unlearn::method::Method;
use unlearn::total::Choosing;
use unlearn::trained::{Parts, Trained};

use crate::error::{Error, Result};

/// Which parameters are trained; all of them if nothing is said.
#[derive(Clone, Debug, Default, Args, Serialize)]
#[group(skip)]
pub(super) struct Flags {
    /// Low-rank adapters of this rank beside all linear layers of the blocks; they are added to the weights at the end.
    #[arg(long, value_name = "RANK", conflicts_with_all = ["last_blocks", "leaves", "adapeft"])]
    pub(super) lora: Option<usize>,
    /// What the addition of adapters is multiplied by is this over the rank; twice the rank by default.
    #[arg(long, value_name = "ALPHA", requires = "lora")]
    pub(super) lora_alpha: Option<f64>,
    /// The last blocks alone.
    #[arg(long, value_name = "N", conflicts_with_all = ["leaves", "adapeft"])]
    pub(super) last_blocks: Option<usize>,
    /// Parameters that one of these patterns fits, such as `layers.3.*` or `down_proj.weight`.
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "adapeft")]
    pub(super) leaves: Option<Vec<String>>,
    /// The layers worth most, with at most this fraction of all parameters, found by a phase of full training (AdaPEFT).
    #[arg(long, value_name = "FRACTION")]
    pub(super) adapeft: Option<f64>,
}

impl Flags {
    /// What is trained, where nothing has to be found out first.
    fn given(&self) -> Option<Trained> {
        if self.adapeft.is_some() {
            return None;
        }
        Some(match (self.lora, self.last_blocks, &self.leaves) {
            (Some(rank), _, _) => Trained::Lora(LoraConfig {
                rank,
                alpha: self.lora_alpha.unwrap_or(2.0 * rank as f64),
                ..LoraConfig::for_layers(["*_proj"])
            }),
            (None, Some(n), _) => Trained::LastBlocks(n),
            (None, None, Some(patterns)) => Trained::Leaves(patterns.clone()),
            (None, None, None) => Trained::Full,
        })
    }

    /// What is trained, in words.
    pub(super) fn words(&self) -> String {
        match (self.lora, self.last_blocks, &self.leaves, self.adapeft) {
            (Some(rank), ..) => format!("adapters of rank {rank}"),
            (_, Some(n), ..) => format!("the last {n} blocks"),
            (_, _, Some(patterns), _) => format!("leaves that fit {}", patterns.join(", ")),
            (.., Some(share)) => {
                format!("layers chosen by AdaPEFT within {share} of all parameters")
            }
            _ => "all parameters".to_owned(),
        }
    }

    /// Splits the parameters; adapters are attached to `net`. `phase` says how layers are chosen if they are.
    ///
    /// # Errors
    /// Patterns that fit nothing, numbers out of range, and those of the phase.
    pub(super) fn split(
        &self,
        net: &mut Llama,
        params: &Tree,
        seed: u64,
        phase: Phase<'_>,
    ) -> Result<(Trained, Parts)> {
        let trained = match (self.given(), self.adapeft) {
            (Some(trained), _) => trained,
            (None, share) => phase.choose(net, params, share.unwrap_or(1.0))?,
        };
        let key = Key::from_seed(seed);
        let parts = trained.split(net, params.clone(), key, &Device::Cpu)?;
        Ok((trained, parts))
    }
}

/// What the choice of layers needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase<'a> {
    pub(super) forget: &'a [Item],
    pub(super) retain: &'a [Item],
    pub(super) method: Method,
    pub(super) steps: u64,
    pub(super) batch: usize,
    pub(super) micro_batch: usize,
    pub(super) seed: u64,
}

impl Phase<'_> {
    fn choose(&self, net: &Llama, params: &Tree, share: f64) -> Result<Trained> {
        if !(0.0 < share && share <= 1.0) {
            let what = format!("--adapeft: expected a fraction above 0, at most 1, got {share}");
            return Err(Error::Usage(what));
        }
        let grouping = Grouping::layers(params.names())?;
        let choosing = Choosing {
            grouping: grouping.clone(),
            chooser: Chooser::within(Budget::Fraction(share)),
            // A tenth of the run, but enough to see a trend.
            steps: (self.steps / 10).max(10),
            batch: self.batch,
            micro_batch: self.micro_batch,
            seed: self.seed,
        };
        let sets = (self.forget, self.retain);
        let frozen = Tree::new();
        let choice = choosing.choose((net, &frozen, params), sets, &self.method, &Device::Cpu)?;
        let names: Vec<&str> = params.names().collect();
        let groups = grouping.assign(names.iter().copied())?;
        let chosen = names.iter().zip(groups).filter(|(_, group)| {
            grouping.names().get(*group).is_some_and(|name| choice.contains(name))
        });
        Ok(Trained::Leaves(chosen.map(|(name, _)| (*name).to_owned()).collect()))
    }
}
