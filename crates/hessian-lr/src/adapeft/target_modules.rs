//! A choice for users of the Python package peft: keywords of its `LoraConfig`, and what they cannot say.
//!
//! How peft reads them, and so what is written:
//!
//! | chosen | written | how peft understands it |
//! | --- | --- | --- |
//! | both matrices of an adapter | its layer in `target_modules` | layers of that name, or whose name ends with a dot and it |
//! | all parameters of a module without others in it: norm, embedding, head, layer | the module in `modules_to_save` | modules whose name ends with it, without regard to dots; trained whole, bias included |
//! | every bias there is, those of norms too | `bias: "all"` | every parameter with `bias` in its name |
//! | exactly the biases of adapted layers | `bias: "lora_only"` | those |
//! | one matrix of an adapter; a weight without its bias, or the reverse; single biases; a module that is also adapted | `not_expressed` | - |
//!
//! So `target_modules` names *layers that get low-rank matrices*, not tensors. By default the file asks peft to train what was
//! chosen and nothing else ([`Weights::Saved`]). [`Weights::Adapted`] puts low-rank matrices beside chosen weights of attention
//! and feed-forward layers instead: another set of parameters than was valued, listed as `substituted`.
//!
//! Names are as short as no other module of the model is caught: `q_proj` if every layer of that name is meant, else with as many
//! components in front as it takes. `base_model.model.`, `.base_layer` and names of adapters, as peft has them in models that
//! it has changed, are left out.
//!
//! peft copies a module in `modules_to_save`, which unties tied weights.
//!
//! # Source
//! `LoraConfig`, `check_target_module_exists`, `_mark_only_adapters_as_trainable` and `_set_trainable` of huggingface/peft; issues
//! 1917 and 3755 there for names as suffixes, 1689 for modules in both lists.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grouping::Grouping;

const FORMAT: &str = "hessian-lr/target-modules";
const VERSION: u64 = 1;
const WHAT: &str = "file of target modules";

/// What becomes of a chosen weight that is no low-rank matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// It is trained itself, as a part of its module in `modules_to_save`.
    #[default]
    Saved,
    /// In attention and feed-forward layers, low-rank matrices beside it are trained instead.
    Adapted,
}

/// Which biases `LoraConfig` trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraBias {
    /// None but those of saved modules.
    None,
    /// All.
    All,
    /// Those of adapted layers.
    LoraOnly,
}

/// Keywords of peft's `LoraConfig`; `r` and `lora_alpha` are the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraKeywords {
    /// Layers with adapters.
    pub target_modules: Vec<String>,
    /// Modules that are trained whole.
    pub modules_to_save: Option<Vec<String>>,
    /// Biases.
    pub bias: LoraBias,
}

/// A chosen parameter that the keywords do not train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotExpressed {
    /// Its name.
    pub parameter: String,
    /// Why not.
    pub reason: String,
}

/// What to train, for peft: `LoraConfig(r=8, **json["lora_config"])`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetModules {
    /// `hessian-lr/target-modules`.
    format: String,
    version: u64,
    /// The keywords; none if no layer has an adapter, without which there is no `LoraConfig`.
    pub lora_config: Option<LoraKeywords>,
    /// Chosen parameters that the keywords do not train.
    pub not_expressed: Vec<NotExpressed>,
    /// Chosen weights in whose place adapters are trained.
    pub substituted: Vec<String>,
    /// Every chosen parameter by its full name, for code that sets `requires_grad` itself.
    pub trainable_parameters: Vec<String>,
}

/// Names of modules that peft makes.
const OF_PEFT: [&str; 6] =
    ["lora_A", "lora_B", "lora_dropout", "base_layer", "modules_to_save", "original_module"];

/// A parameter as peft sees it.
struct Parameter<'n> {
    name: &'n str,
    module: String,
    /// `lora_a`, `lora_b`, or the last component of the name.
    leaf: String,
    is_adapter: bool,
    chosen: bool,
}

impl<'n> Parameter<'n> {
    fn of(name: &'n str, chosen: bool) -> Self {
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

impl TargetModules {
    /// Keywords that train the parameters for which `is_chosen` holds; `parameters` are the names of all, frozen ones too.
    ///
    /// # Errors
    /// [`Error::Document`] if none is chosen.
    ///
    /// # Examples
    /// ```
    /// use hessian_lr::adapeft::{TargetModules, Weights};
    ///
    /// let layer = |i| [
    ///     format!("h.{i}.q.weight"), format!("h.{i}.q.lora_a.weight"), format!("h.{i}.q.lora_b.weight"),
    /// ];
    /// let mut names: Vec<String> = (0..2).flat_map(layer).collect();
    /// names.push("lm_head.weight".into());
    /// let names = names.iter().map(String::as_str);
    /// let chosen = |name: &str| name.contains("lora") || name.starts_with("lm_head");
    /// let file = TargetModules::new(names, chosen, Weights::Saved)?;
    /// let config = file.lora_config.as_ref().ok_or("no adapter")?;
    /// assert_eq!(config.target_modules, ["q"]);
    /// assert_eq!(config.modules_to_save.as_deref(), Some(&["lm_head".to_owned()][..]));
    /// assert!(file.not_expressed.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<'n>(
        parameters: impl IntoIterator<Item = &'n str>,
        is_chosen: impl Fn(&str) -> bool,
        weights: Weights,
    ) -> Result<Self> {
        let all: Vec<Parameter<'n>> =
            parameters.into_iter().map(|name| Parameter::of(name, is_chosen(name))).collect();
        if !all.iter().any(|parameter| parameter.chosen) {
            return Err(broken("no parameter is chosen"));
        }
        Mapping::new(&all, weights)?.finish()
    }

    /// Whether the keywords train every chosen parameter itself.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.not_expressed.is_empty() && self.substituted.is_empty()
    }

    /// The file.
    ///
    /// # Errors
    /// None that is known: it holds names alone.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| broken(e.to_string()))
    }

    /// Reads what [`TargetModules::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Document`] for another format or version, or other content.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        if value["format"] != FORMAT || value["version"] != VERSION {
            let (format, version) = (&value["format"], &value["version"]);
            return Err(broken(format!(
                "expected \"{FORMAT}\" of version {VERSION}, got {format} of version {version}"
            )));
        }
        serde_json::from_value(value).map_err(|e| broken(e.to_string()))
    }
}

fn broken(reason: impl Into<String>) -> Error {
    Error::Document { what: WHAT, reason: reason.into() }
}

/// From parameters to keywords.
struct Mapping<'p, 'n> {
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
    fn new(all: &'p [Parameter<'n>], weights: Weights) -> Result<Self> {
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
    fn finish(mut self) -> Result<TargetModules> {
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

/// Whether `end` is the name of the module or its last components.
fn ends_with_component(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The shortest last components of a name that catch modules of `meant` alone.
fn shortest(
    name: &str,
    all: &BTreeSet<String>,
    meant: &BTreeSet<String>,
    catches: impl Fn(&str, &str) -> bool,
) -> Option<String> {
    let starts = name.match_indices('.').map(|(dot, _)| dot + 1);
    let mut ends: Vec<&str> = [0].into_iter().chain(starts).map(|start| &name[start..]).collect();
    ends.reverse();
    let only = |end: &&str| all.iter().all(|m| meant.contains(m) || !catches(m, end));
    ends.into_iter().find(only).map(str::to_owned)
}

/// The names of `meant` as peft is to read them, each once.
fn written(
    meant: &BTreeSet<String>,
    all: &BTreeSet<String>,
    catches: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let names = meant.iter().filter_map(|name| shortest(name, all, meant, &catches));
    names.collect::<BTreeSet<String>>().into_iter().collect()
}
