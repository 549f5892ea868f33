//! Names as peft compares them: by their ends.

use std::collections::BTreeSet;

/// Whether `end` is the name of the module or its last components.
pub(super) fn ends_with_component(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The shortest last components of a name that catch modules of `meant` alone.
pub(super) fn shortest(
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
pub(super) fn written(
    meant: &BTreeSet<String>,
    all: &BTreeSet<String>,
    catches: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let names = meant.iter().filter_map(|name| shortest(name, all, meant, &catches));
    names.collect::<BTreeSet<String>>().into_iter().collect()
}
