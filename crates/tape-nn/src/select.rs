//! Which leaves are trained: selection by patterns, biases alone, the last blocks alone.

use std::collections::BTreeMap;

use tensor_tree::Tree;

use crate::error::{Error, Result};

/// Whether `pattern` fits `name`.
///
/// A pattern fits a name if it is the name or its end after a dot; `*` stands for any characters, dots
/// included. So `q_proj` fits `model.layers.0.self_attn.q_proj`, `layers.4.*` fits every leaf of the fifth
/// block, `bias` fits every bias, and `*` fits all.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    glob(pattern.as_bytes(), name.as_bytes())
        || name
            .match_indices('.')
            .any(|(dot, _)| glob(pattern.as_bytes(), &name.as_bytes()[dot + 1..]))
}

/// Whether the whole of `text` fits `pattern`, where `*` stands for any bytes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The first pattern that fits none of the names, as an error.
pub(crate) fn check_all_fit<'n>(
    what: &'static str,
    patterns: &[impl AsRef<str>],
    names: impl Iterator<Item = &'n str>,
) -> Result<()> {
    let names: Vec<&str> = names.collect();
    let available = || names.iter().map(|n| (*n).to_owned()).collect();
    if patterns.is_empty() {
        return Err(Error::NothingSelected {
            what,
            pattern: String::new(),
            available: available(),
        });
    }
    for pattern in patterns.iter().map(AsRef::as_ref) {
        if !names.iter().any(|name| fits(pattern, name)) {
            let pattern = pattern.to_owned();
            return Err(Error::NothingSelected { what, pattern, available: available() });
        }
    }
    Ok(())
}

/// Splits the leaves of `full` in those that one of the patterns fits (to be trained) and the others
/// (frozen). See [`fits`] for patterns.
///
/// # Errors
/// [`Error::NothingSelected`] if a pattern fits no leaf, or there is no pattern.
///
/// # Examples
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// let leaf = || Tensor::zeros(2, DType::F32, &Device::Cpu);
/// let full = tensor_tree::Tree::from_leaves([("fc1.weight", leaf()?), ("fc2.weight", leaf()?)])?;
/// let (trainable, frozen) = tape_nn::select::split(&full, &["fc2.*"])?;
/// assert!(trainable.get("fc2.weight").is_some() && frozen.get("fc1.weight").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn split(full: &Tree, patterns: &[impl AsRef<str>]) -> Result<(Tree, Tree)> {
    check_all_fit("leaves to train", patterns, full.names())?;
    Ok(full.partition(|name| patterns.iter().any(|p| fits(p.as_ref(), name))))
}

/// Splits off the biases: (biases, the rest).
///
/// # Errors
/// [`Error::NothingSelected`] if there is no leaf named `bias`.
///
/// # Source
/// "BitFit", arXiv 2106.10199; under privacy arXiv 2210.00036.
pub fn bit_fit(full: &Tree) -> Result<(Tree, Tree)> {
    split(full, &["bias"])
}

/// Splits off the last `n_blocks` repeated blocks, with the leaves that one of `also` fits, such as
/// `lm_head.weight`: (those, the rest).
///
/// Blocks are told by a component of the name that is a number: `model.layers.7.mlp.up_proj.weight`
/// belongs to block 7 below `model.layers`. Of several such series the one with the most leaves counts.
///
/// # Errors
/// [`Error::NothingSelected`] if no name has a number, or a pattern of `also` fits nothing;
/// [`Error::InvalidSetting`] unless `1 <= n_blocks <= ` the number of blocks.
pub fn last_blocks(full: &Tree, n_blocks: usize, also: &[impl AsRef<str>]) -> Result<(Tree, Tree)> {
    let mut series: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (prefix, block) in full.names().filter_map(block_of) {
        series.entry(prefix).or_default().push(block);
    }
    let largest = series.iter().max_by_key(|(_, blocks)| blocks.len());
    let Some((prefix, blocks)) = largest else {
        return Err(Error::NothingSelected {
            what: "blocks to train",
            pattern: "*.<number>.*".into(),
            available: full.names().map(str::to_owned).collect(),
        });
    };
    let mut numbers = blocks.clone();
    numbers.sort_unstable();
    numbers.dedup();
    if n_blocks == 0 || numbers.len() < n_blocks {
        return Err(Error::InvalidSetting {
            name: "n_blocks".into(),
            must: "at least 1 and at most the number of blocks",
            got: format!("{n_blocks} of {}", numbers.len()),
        });
    }
    let first = numbers[numbers.len() - n_blocks];
    if !also.is_empty() {
        check_all_fit("leaves to train", also, full.names())?;
    }
    Ok(full.partition(|name| {
        block_of(name).is_some_and(|(p, block)| p == *prefix && first <= block)
            || also.iter().any(|p| fits(p.as_ref(), name))
    }))
}

/// What stands before the first number of a name, and the number.
fn block_of(name: &str) -> Option<(&str, usize)> {
    let mut start = 0;
    for part in name.split('.') {
        if let Ok(block) = part.parse::<usize>() {
            return Some((name[..start].trim_end_matches('.'), block));
        }
        start += part.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn tree(names: &[&str]) -> Tree {
        let leaf = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        Tree::from_leaves(names.iter().map(|n| (*n, leaf()))).unwrap()
    }

    fn names(tree: &Tree) -> Vec<&str> {
        tree.names().collect()
    }

    #[test]
    fn a_pattern_fits_whole_components_at_the_end() {
        for (pattern, name, want) in [
            ("q_proj", "model.layers.0.self_attn.q_proj", true),
            ("proj", "model.layers.0.self_attn.q_proj", false),
            ("self_attn.q_proj", "model.layers.0.self_attn.q_proj", true),
            ("layers.1.*", "model.layers.1.mlp.up_proj.weight", true),
            ("layers.1.*", "model.layers.11.mlp.up_proj.weight", false),
            ("*_proj", "model.layers.0.self_attn.q_proj", true),
            ("*", "anything.at.all", true),
            ("a*b*c", "a.x.b.y.c", true),
            ("a*b*c", "a.x.b.y", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_an_error_with_the_names() {
        let full = tree(&["fc.weight", "fc.bias"]);
        let err = split(&full, &["bias", "wieght"]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "leaves to train: `wieght` fits none of the 2 names: `fc.bias`, `fc.weight`"
        );
        assert!(split(&full, &[] as &[&str]).is_err());
        assert!(bit_fit(&tree(&["fc.weight"])).is_err());
        assert_eq!(names(&bit_fit(&full).unwrap().0), ["fc.bias"]);
    }

    #[test]
    fn the_last_blocks_are_counted_as_numbers() {
        let mut all: Vec<String> = (0..12).map(|i| format!("m.layers.{i}.w")).collect();
        all.extend(["m.norm.weight".into(), "head.weight".into(), "tower.0.w".into()]);
        let full = tree(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let (trainable, frozen) = last_blocks(&full, 3, &["head.weight"]).unwrap();
        assert_eq!(
            names(&trainable),
            ["head.weight", "m.layers.10.w", "m.layers.11.w", "m.layers.9.w"]
        );
        assert_eq!(trainable.len() + frozen.len(), full.len());
        assert!(last_blocks(&full, 0, &[] as &[&str]).is_err());
        assert!(last_blocks(&full, 13, &[] as &[&str]).is_err());
        assert!(last_blocks(&tree(&["fc.weight"]), 1, &[] as &[&str]).is_err());
    }
}
