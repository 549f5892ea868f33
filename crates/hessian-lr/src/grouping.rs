//! Groups of parameters by patterns of their names.

use std::collections::BTreeSet;

mod kinds;
mod layers;
mod written;

use regex::Regex;

use kinds::KINDS;
use written::Written;

use crate::error::{Error, Result};

/// Named patterns that share out parameters: each belongs to exactly one.
///
/// # Examples
/// ```
/// use hessian_lr::grouping::Grouping;
///
/// let grouping = Grouping::new([("bias", r"\.bias$"), ("head", r"^head\.weight$"), ("rest", r"^h\..*weight$")])?;
/// let names = ["h.0.weight", "h.0.bias", "head.weight"];
/// assert_eq!(grouping.assign(names)?, [2, 0, 1]);
/// assert!(grouping.assign(["wte"]).is_err()); // in no group
/// # Ok::<(), hessian_lr::Error>(())
/// ```
///
/// Where it is written, each group has its name and the patterns that a name must match, all of them.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Grouping {
    groups: Vec<Group>,
    /// Whether the first group that matches counts, instead of the only one.
    first: bool,
}

/// Parameters whose names all patterns match.
#[derive(Clone, Debug)]
struct Group {
    name: String,
    all: Vec<Regex>,
}

fn compiled(pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|source| Error::Pattern { pattern: pattern.to_owned(), source: Box::new(source) })
}

impl Grouping {
    /// Groups of which exactly one pattern matches each parameter.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a pattern that is none; [`Error::Grouping`] for two groups of one name, or none at all.
    pub fn new<N: Into<String>, P: AsRef<str>>(
        patterns: impl IntoIterator<Item = (N, P)>,
    ) -> Result<Self> {
        let mut groups = Vec::new();
        for (name, pattern) in patterns {
            groups.push(Group { name: name.into(), all: vec![compiled(pattern.as_ref())?] });
        }
        Self::of_groups(groups, false)
    }

    fn of_groups(groups: Vec<Group>, first: bool) -> Result<Self> {
        let mut names = BTreeSet::new();
        if let Some(twice) = groups.iter().find(|group| !names.insert(&group.name)) {
            return Err(Error::Grouping {
                reason: format!("two groups are called `{}`", twice.name),
            });
        }
        if groups.is_empty() {
            return Err(Error::Grouping { reason: "there is no group".into() });
        }
        Ok(Grouping { groups, first })
    }

    /// Groups of which the first that matches counts, so that a last one may take the rest.
    ///
    /// # Errors
    /// As [`Grouping::new`].
    pub fn first_match<N: Into<String>, P: AsRef<str>>(
        patterns: impl IntoIterator<Item = (N, P)>,
    ) -> Result<Self> {
        Ok(Grouping { first: true, ..Self::new(patterns)? })
    }

    /// By kind: LoRA's two matrices, norms, biases, embeddings, heads, attention, feed-forward layers, convolutions, and what is
    /// none of them.
    ///
    /// # Errors
    /// None that can happen: the patterns are fixed.
    ///
    /// Told from the names that networks of this workspace and of transformers libraries use: GPT-2, LLaMA, BERT, RoBERTa, ViT and
    /// others. Names of one's own are for [`Grouping::new`].
    pub fn kinds() -> Result<Self> {
        Self::first_match(KINDS)
    }

    /// Names of the groups.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.groups.iter().map(|group| group.name.as_str()).collect()
    }

    /// The group of each parameter.
    ///
    /// # Errors
    /// [`Error::Grouping`] with the first parameter that is in no group, or in two.
    pub fn assign<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<Vec<usize>> {
        names.into_iter().map(|name| self.of(name)).collect()
    }

    /// The group of a parameter.
    ///
    /// # Errors
    /// [`Error::Grouping`] if it is in none, or in two.
    pub fn of(&self, name: &str) -> Result<usize> {
        let matches = |group: &Group| group.all.iter().all(|pattern| pattern.is_match(name));
        let mut found = (0..self.groups.len()).filter(|k| matches(&self.groups[*k]));
        let Some(group) = found.next() else {
            let groups = self.names().join("`, `");
            let reason = format!("`{name}` is in none of the groups `{groups}`");
            return Err(Error::Grouping { reason });
        };
        if !self.first
            && let Some(other) = found.next()
        {
            let (a, b) = (&self.groups[group].name, &self.groups[other].name);
            return Err(Error::Grouping { reason: format!("`{name}` is in `{a}` and in `{b}`") });
        }
        Ok(group)
    }
}

#[cfg(feature = "tensor")]
impl Grouping {
    /// The leaves of a tree by group; groups without a leaf are left out.
    ///
    /// # Errors
    /// As [`Grouping::assign`].
    pub fn groups(&self, tree: &tensor_tree::Tree) -> Result<tensor_tree::Groups> {
        self.assign(tree.names())?;
        Ok(tensor_tree::Groups::by(tree, |name| {
            // Each has a group: that was just seen.
            self.of(name).map_or_else(|_| String::new(), |k| self.groups[k].name.clone())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_in_exactly_one_group() {
        let grouping = Grouping::new([("bias", "bias"), ("head", "^head")]).unwrap();
        assert_eq!(grouping.assign(["a.bias", "head.weight"]).unwrap(), [0, 1]);
        for (name, what) in [("head.bias", "`bias` and in `head`"), ("a.weight", "in none")] {
            match grouping.of(name) {
                Err(Error::Grouping { reason }) => {
                    assert!(reason.contains(name) && reason.contains(what), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
        let first = Grouping::first_match([("bias", "bias"), ("head", "^head")]).unwrap();
        assert_eq!(first.of("head.bias").unwrap(), 0);
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        assert!(matches!(Grouping::new([("a", "(")]), Err(Error::Pattern { .. })));
        assert!(matches!(Grouping::new([("a", "x"), ("a", "y")]), Err(Error::Grouping { .. })));
        let none: [(&str, &str); 0] = [];
        assert!(matches!(Grouping::new(none), Err(Error::Grouping { .. })));
    }

    #[test]
    fn kinds_are_told_by_names_of_several_libraries() {
        let kinds = Grouping::kinds().unwrap();
        let names = kinds.names();
        for (parameter, kind) in [
            ("h.0.attn.c_attn.weight", "attention"),
            ("h.0.mlp.c_fc.weight", "mlp"),
            ("h.0.ln_1.weight", "norm"),
            ("h.0.ln_1.bias", "norm"),
            ("h.3.attn.c_attn.bias", "bias"),
            ("wte.weight", "embedding"),
            ("lm_head.weight", "head"),
            ("model.layers.4.self_attn.q_proj.weight", "attention"),
            ("model.layers.4.mlp.gate_proj.weight", "mlp"),
            ("model.layers.4.input_layernorm.weight", "norm"),
            ("model.embed_tokens.weight", "embedding"),
            ("model.norm.weight", "norm"),
            ("layers.0.q.lora_a", "lora_a"),
            ("base.layers.0.q_proj.lora_B.weight", "lora_b"),
            ("encoder.layer.0.attention.self.query.weight", "attention"),
            ("conv1.weight", "conv"),
            ("scale", "other"),
        ] {
            assert_eq!(names[kinds.of(parameter).unwrap()], kind, "{parameter}");
        }
    }
}
