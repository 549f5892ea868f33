//! Layers of a network, told by the names of its parameters.

use std::collections::BTreeSet;

use regex::Regex;

use super::kinds::KINDS;
use super::{Group, Grouping, compiled};
use crate::error::{Error, Result};

/// What a layer is called, and the pattern of its parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Layer {
    /// A block such as `h.3` or `model.layers.3`, or a module outside blocks such as `lm_head`.
    name: String,
    is_block: bool,
}

impl Layer {
    fn of(parameter: &str) -> Self {
        let mut end = 0;
        for part in parameter.split('.') {
            end += part.len();
            if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Layer { name: parameter[..end].to_owned(), is_block: true };
            }
            end += 1;
        }
        // The matrices of an adapter belong to the module that it adapts.
        let module = parameter.split(".lora_").next().unwrap_or(parameter);
        let module = if module.len() == parameter.len() {
            parameter.rsplit_once('.').map_or(parameter, |(module, _)| module)
        } else {
            module
        };
        Layer { name: module.to_owned(), is_block: false }
    }

    fn pattern(&self) -> String {
        let name = regex::escape(&self.name);
        if self.is_block {
            format!(r"^{name}(\.|$)")
        } else {
            format!(r"^{name}(\.lora_[^.]+(\.[^.]+)*|\.[^.]+)?$")
        }
    }
}

fn none(what: &str) -> Error {
    Error::Grouping { reason: format!("there are no parameters to form {what} of") }
}

impl Grouping {
    /// By layer: a group for each repeated block, which a component of the name that is a number tells (`h.3`,
    /// `model.layers.3`), and one for each module outside blocks (`wte`, `lm_head`, `fc1`). Adapters belong to the module that
    /// they adapt.
    ///
    /// # Errors
    /// [`Error::Grouping`] without names.
    ///
    /// # Examples
    /// ```
    /// use hessian_lr::grouping::Grouping;
    ///
    /// let names = ["h.0.attn.bias", "h.0.ln_1.weight", "h.1.ln_1.weight", "wte.weight"];
    /// let layers = Grouping::layers(names)?;
    /// assert_eq!(layers.names(), ["h.0", "h.1", "wte"]);
    /// assert_eq!(layers.assign(names)?, [0, 0, 1, 2]);
    /// # Ok::<(), hessian_lr::Error>(())
    /// ```
    pub fn layers<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self> {
        let layers: BTreeSet<Layer> = names.into_iter().map(Layer::of).collect();
        if layers.is_empty() {
            return Err(none("layers"));
        }
        let (blocks, modules): (Vec<Layer>, Vec<Layer>) =
            layers.into_iter().partition(|layer| layer.is_block);
        let all = blocks.into_iter().chain(modules);
        Self::first_match(all.map(|layer| (layer.name.clone(), layer.pattern())))
    }

    /// By kind and layer: what [`Grouping::kinds`] and [`Grouping::layers`] both tell apart, named `h.3/attention`. Only
    /// pairs that occur have a group.
    ///
    /// # Errors
    /// [`Error::Grouping`] without names.
    pub fn kinds_by_layer<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self> {
        let kinds = Self::kinds()?;
        let mut pairs: BTreeSet<(usize, Layer)> = BTreeSet::new();
        for name in names {
            pairs.insert((kinds.of(name)?, Layer::of(name)));
        }
        if pairs.is_empty() {
            return Err(none("layers"));
        }
        let mut groups = Vec::new();
        // In the order of kinds, of which the first that matches counts.
        for (kind, layer) in pairs {
            let (name, pattern) = KINDS[kind];
            let all: Vec<Regex> = vec![compiled(&layer.pattern())?, compiled(pattern)?];
            groups.push(Group { name: format!("{}/{name}", layer.name), all });
        }
        Ok(Grouping { groups, first: true })
    }
}
