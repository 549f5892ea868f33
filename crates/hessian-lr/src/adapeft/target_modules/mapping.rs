//! From parameters to keywords.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{ends_with_component, shortest, written};
use super::{FORMAT, LoraBias, LoraKeywords, NotExpressed, TargetModules, VERSION, Weights};
use crate::error::Result;
use crate::grouping::Grouping;

/// Names of modules that peft makes.
const OF_PEFT: [&str; 6] =
    ["lora_A", "lora_B", "lora_dropout", "base_layer", "modules_to_save", "original_module"];

/// A parameter as peft sees it.
pub(super) struct Parameter<'n> {
    name: &'n str,
    module: String,
    /// `lora_a`, `lora_b`, or the last component of the name.
    leaf: String,
    is_adapter: bool,
    pub(super) chosen: bool,
}

impl<'n> Parameter<'n> {
    pub(super) fn of(name: &'n str, chosen: bool) -> Self {
        let bare = name.strip_prefix("base_model.model.").unwrap_or(name);
        let parts: Vec<&str> = bare.split('.').filter(|part| *part != "base_layer").collect();
        let is_matrix = |part: &&str| {
            part.eq_ignore_ascii_case("lora_a") || part.eq_ignore_ascii_case("lora_b")
        };
        let (module, leaf, is_adapter) = match parts.iter().position(is_matrix) {
            Some(k) => (&parts[..k], parts[k].to_ascii_lowercase(), true),
            None => {
                let last = parts.len().saturating_sub(1);
                (&parts[..last], parts.last().copied().unwrap_or_default().to_owned(), false)
            }
        };
        Parameter { name, module: module.join("."), leaf, is_adapter, chosen }
    }

    /// What peft's `bias: "all"` trains.
    fn is_bias(&self) -> bool {
        !self.is_adapter && self.name.contains("bias")
    }
}

/// The parameters of one module itself.
#[derive(Default)]
struct Module<'p, 'n> {
    own: Vec<&'p Parameter<'n>>,
    adapter: Vec<&'p Parameter<'n>>,
}

impl Module<'_, '_> {
    fn is_adapted(&self) -> bool {
        let has = |leaf: &str| self.adapter.iter().any(|p| p.leaf == leaf);
        has("lora_a") && has("lora_b") && self.adapter.iter().all(|p| p.chosen)
    }
}

/// From parameters to keywords.
pub(super) struct Mapping<'p, 'n> {
    all: &'p [Parameter<'n>],
    modules: BTreeMap<&'p str, Module<'p, 'n>>,
    /// Every module, those without parameters of their own too.
    names: BTreeSet<String>,
    targets: BTreeSet<String>,
    saved: BTreeSet<String>,
    substituted: Vec<String>,
    reasons: BTreeMap<&'n str, String>,
}

impl<'p, 'n> Mapping<'p, 'n> {
    pub(super) fn new(all: &'p [Parameter<'n>], weights: Weights) -> Result<Self> {
        let mut modules: BTreeMap<&str, Module<'p, 'n>> = BTreeMap::new();
        let mut names: BTreeSet<String> = OF_PEFT.iter().map(|name| (*name).to_owned()).collect();
        for parameter in all {
            let module = modules.entry(&parameter.module).or_default();
            if parameter.is_adapter {
                module.adapter.push(parameter);
            } else {
                module.own.push(parameter);
            }
            let ends = parameter.module.match_indices('.').map(|(dot, _)| dot);
            for end in ends.chain([parameter.module.len()]) {
                names.insert(parameter.module[..end].to_owned());
            }
        }
        let mut mapping = Mapping {
            all,
            modules,
            names,
            targets: BTreeSet::new(),
            saved: BTreeSet::new(),
            substituted: Vec::new(),
            reasons: BTreeMap::new(),
        };
        mapping.adapters(weights)?;
        mapping.saved();
        Ok(mapping)
    }

    fn refuse(&mut self, parameters: &[&'p Parameter<'n>], reason: &str) {
        for parameter in parameters.iter().filter(|parameter| parameter.chosen) {
            self.reasons.insert(parameter.name, reason.to_owned());
        }
    }

    /// Layers with adapters, old and new.
    fn adapters(&mut self, weights: Weights) -> Result<()> {
        let kinds = Grouping::kinds()?;
        let mut targets = BTreeSet::new();
        let mut refused = Vec::new();
        for (name, module) in &self.modules {
            if module.is_adapted() {
                targets.insert((*name).to_owned());
                continue;
            }
            refused.extend(module.adapter.iter().copied());
            if weights == Weights::Saved {
                continue;
            }
            let weight = module.own.iter().find(|p| p.chosen && p.leaf == "weight");
            if let Some(weight) = weight {
                let kind = kinds.of(weight.name)?;
                if matches!(kinds.names()[kind], "attention" | "mlp") {
                    targets.insert((*name).to_owned());
                    self.substituted.push(weight.name.to_owned());
                }
            }
        }
        self.refuse(&refused, "peft trains both matrices of an adapter or none");
        // A name that also catches another layer cannot be written.
        let ambiguous: Vec<String> = targets
            .iter()
            .filter(|name| shortest(name, &self.names, &targets, ends_with_component).is_none())
            .cloned()
            .collect();
        for name in ambiguous {
            targets.remove(&name);
            let module = &self.modules[name.as_str()];
            let of_it: Vec<_> = module.adapter.iter().chain(&module.own).copied().collect();
            self.substituted.retain(|weight| of_it.iter().all(|p| p.name != weight));
            self.refuse(&of_it, "its layer's name is the end of another layer's");
        }
        self.targets = targets;
        Ok(())
    }

    /// Modules that are trained whole.
    fn saved(&mut self) {
        let mut whole = BTreeSet::new();
        for (name, module) in &self.modules {
            let complete = !module.own.is_empty() && module.own.iter().all(|p| p.chosen);
            if complete && !self.is_container(name) && !self.targets.contains(*name) {
                whole.insert((*name).to_owned());
            }
        }
        // Taking one out may make another's name catch it.
        while let Some(name) = whole
            .iter()
            .find(|name| shortest(name, &self.names, &whole, |m, end| m.ends_with(end)).is_none())
            .cloned()
        {
            whole.remove(&name);
            let own = self.modules[name.as_str()].own.clone();
            self.refuse(&own, "its module's name is the end of another module's");
        }
        self.saved = whole;
    }

    /// Whether there are other modules in a module; the whole model has no name.
    fn is_container(&self, module: &str) -> bool {
        let inside = |name: &String| name.strip_prefix(module).is_some_and(|r| r.starts_with('.'));
        module.is_empty() || self.names.iter().any(inside)
    }

    /// Biases outside saved modules, and what is left.
    pub(super) fn finish(mut self) -> Result<TargetModules> {
        let outside = |p: &&&Parameter<'n>| !self.saved.contains(&p.module);
        let all: Vec<&Parameter<'n>> = self.all.iter().collect();
        let biases: Vec<&&Parameter<'n>> =
            all.iter().filter(|p| p.is_bias()).filter(outside).collect();
        let of_targets = |p: &Parameter<'n>| self.targets.contains(&p.module) && p.leaf == "bias";
        let any = biases.iter().any(|p| p.chosen);
        let bias = if any && biases.iter().all(|p| p.chosen) {
            LoraBias::All
        } else if any && biases.iter().all(|p| p.chosen == of_targets(p)) {
            LoraBias::LoraOnly
        } else {
            LoraBias::None
        };
        let mut left: Vec<(&str, &str)> = Vec::new();
        for p in self.all.iter().filter(|p| p.chosen && !p.is_adapter) {
            let is_done = self.saved.contains(&p.module)
                || self.reasons.contains_key(p.name)
                || self.substituted.iter().any(|weight| weight == p.name)
                || p.is_bias() && bias != LoraBias::None;
            if is_done {
                continue;
            }
            let reason = if self.targets.contains(&p.module) && !p.is_bias() {
                "peft takes a module in one of `target_modules` and `modules_to_save`"
            } else if p.is_bias() {
                "peft trains all biases, those of adapted layers, or none"
            } else if self.is_container(&p.module) {
                "it is in no module of its own"
            } else {
                "peft trains a module whole, and other parameters of it are frozen"
            };
            left.push((p.name, reason));
        }
        if self.targets.is_empty() {
            left = self
                .all
                .iter()
                .filter(|p| p.chosen)
                .map(|p| {
                    (
                        p.name,
                        "no layer has an adapter, so there is no `LoraConfig`: set `requires_grad`",
                    )
                })
                .collect();
            self.reasons.clear();
        }
        for (name, reason) in left {
            self.reasons.insert(name, reason.to_owned());
        }
        let target_modules = written(&self.targets, &self.names, ends_with_component);
        let saved = written(&self.saved, &self.names, |module, end| module.ends_with(end));
        let modules_to_save = Some(saved).filter(|saved| !saved.is_empty());
        let keywords = LoraKeywords { target_modules, modules_to_save, bias };
        let not_expressed = self
            .reasons
            .into_iter()
            .map(|(name, reason)| NotExpressed { parameter: name.to_owned(), reason });
        Ok(TargetModules {
            format: FORMAT.into(),
            version: VERSION,
            lora_config: Some(keywords).filter(|_| !self.targets.is_empty()),
            not_expressed: not_expressed.collect(),
            substituted: self.substituted,
            trainable_parameters: all
                .iter()
                .filter(|p| p.chosen)
                .map(|p| p.name.to_owned())
                .collect(),
        })
    }
}
