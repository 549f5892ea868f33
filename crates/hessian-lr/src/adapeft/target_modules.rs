//! A choice for users of the Python package peft: keywords of its `LoraConfig`, and what they cannot say.

mod mapping;
mod names;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use mapping::{Mapping, Parameter};

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
///
/// How peft reads them, and so what is written:
///
/// | chosen | written | how peft understands it |
/// | --- | --- | --- |
/// | both matrices of an adapter | its layer in `target_modules` | layers of that name, or whose name ends with a dot and it |
/// | all parameters of a module without others in it: norm, embedding, head, layer | the module in `modules_to_save` | modules whose name ends with it, without regard to dots; trained whole, bias included |
/// | every bias there is, those of norms too | `bias: "all"` | every parameter with `bias` in its name |
/// | exactly the biases of adapted layers | `bias: "lora_only"` | those |
/// | one matrix of an adapter; a weight without its bias, or the reverse; single biases; a module that is also adapted | `not_expressed` | - |
///
/// So `target_modules` names *layers that get low-rank matrices*, not tensors. By default the file asks peft to train what was
/// chosen and nothing else ([`Weights::Saved`]). [`Weights::Adapted`] puts low-rank matrices beside chosen weights of attention
/// and feed-forward layers instead: another set of parameters than was valued, listed as `substituted`.
///
/// Names are as short as no other module of the model is caught: `q_proj` if every layer of that name is meant, else with as many
/// components in front as it takes. `base_model.model.`, `.base_layer` and names of adapters, as peft has them in models that
/// it has changed, are left out.
///
/// peft copies a module in `modules_to_save`, which unties tied weights.
///
/// `r`, `lora_alpha` and, for layers that keep their weights transposed as GPT-2's do, `fan_in_fan_out` are the user's.
///
/// # Source
/// `LoraConfig`, `check_target_module_exists`, `_mark_only_adapters_as_trainable` and `_set_trainable` of huggingface/peft; issues
/// 1917 and 3755 there for names as suffixes, 1689 for modules in both lists.
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
