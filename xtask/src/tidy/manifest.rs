//! Rules about the crates' manifests.

use toml::{Table, Value};

use super::File;

/// Features that candle names; one comment may stand above a run of them.
const BACK_ENDS: [&str; 6] = ["cuda", "metal", "mkl", "accelerate", "nccl", "cudnn"];

/// Dependencies come from `[workspace.dependencies]`; version and lints are inherited too.
pub(super) fn inherited(file: &File) -> Vec<String> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("not TOML: {error}")],
    };
    let mut found = Vec::new();
    for (section, table) in dependency_tables(&manifest) {
        for (name, dependency) in table {
            let inherits = dependency.get("workspace") == Some(&Value::Boolean(true));
            let itself = dependency.get("path").and_then(Value::as_str) == Some(".");
            if !inherits && !itself {
                found.push(format!("[{section}] {name}: write `{name}.workspace = true`"));
            }
        }
    }
    let inherits = |section: &str, key: &str| {
        let value = manifest.get(section).and_then(|section| section.get(key));
        value.is_some_and(|value| value == &Value::Boolean(true))
            || value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
    };
    for (section, key) in [
        ("package", "version"),
        ("package", "edition"),
        ("package", "license"),
        ("lints", "workspace"),
    ] {
        if !inherits(section, key) {
            found.push(format!("[{section}] {key} does not come from the workspace"));
        }
    }
    found
}

/// Tables of dependencies, those of a target included.
fn dependency_tables(manifest: &Table) -> Vec<(String, &Table)> {
    let mut tables = Vec::new();
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    for kind in kinds {
        if let Some(table) = manifest.get(kind).and_then(Value::as_table) {
            tables.push((kind.to_string(), table));
        }
    }
    for (target, value) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        for kind in kinds {
            if let Some(table) = value.get(kind).and_then(Value::as_table) {
                tables.push((format!("target.{target}.{kind}"), table));
            }
        }
    }
    tables
}

/// A comment line stands above each feature. `default` explains itself, and back-ends may share one.
pub(super) fn commented_features(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut above = Above::Nothing;
    let mut depth = 0_usize; // a list over several lines
    for line in file.text.lines().map(str::trim) {
        if line.starts_with('[') && depth == 0 {
            (inside, above) = (line == "[features]", Above::Nothing);
        } else if inside && line.starts_with('#') && depth == 0 {
            above = Above::Comment;
        } else if inside && line.is_empty() {
            above = Above::Nothing;
        } else if inside {
            if let Some((name, _)) = line.split_once('=').filter(|_| depth == 0) {
                let name = name.trim().trim_matches('"');
                let back_end = BACK_ENDS.contains(&name);
                let explained =
                    above == Above::Comment || (back_end && above == Above::CommentedBackEnd);
                if name != "default" && !explained {
                    found.push(format!("feature `{name}` has no comment above it"));
                }
                above =
                    if back_end && explained { Above::CommentedBackEnd } else { Above::Nothing };
            }
            depth = (depth + line.matches('[').count()).saturating_sub(line.matches(']').count());
        }
    }
    found
}

/// What stands above a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Above {
    Nothing,
    Comment,
    CommentedBackEnd,
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        license.workspace = true\n[lints]\nworkspace = true\n";

    fn inherited_with(text: &str) -> Vec<String> {
        inherited(&file("crates/a/Cargo.toml", &format!("{GOOD}{text}")))
    }

    #[test]
    fn a_version_in_a_crate_is_found() {
        assert!(inherited_with("[dependencies]\nserde.workspace = true\n").is_empty());
        assert!(
            inherited_with("[dependencies]\nserde = { workspace = true, optional = true }\n")
                .is_empty()
        );
        assert!(inherited_with("[dev-dependencies]\na = { path = \".\" }\n").is_empty());
        assert_eq!(inherited_with("[dependencies]\nserde = \"1\"\n").len(), 1);
        assert_eq!(inherited_with("[build-dependencies]\nserde = { version = \"1\" }\n").len(), 1);
        assert_eq!(inherited_with("[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n").len(), 1);
    }

    #[test]
    fn a_crate_with_its_own_version_or_lints_is_found() {
        assert_eq!(
            inherited(&file("a", "[package]\nname = \"a\"\nversion = \"1.0.0\"\n")).len(),
            4
        );
        assert_eq!(inherited(&file("a", "not toml")).len(), 1);
    }

    #[test]
    fn a_feature_without_a_comment_is_found() {
        let check = |text: &str| commented_features(&file("Cargo.toml", text));
        assert!(
            check("[features]\ndefault = []\n# Why.\na = []\n# Why.\nb = [\n \"a\",\n]\n")
                .is_empty()
        );
        assert_eq!(check("[features]\na = []\n"), ["feature `a` has no comment above it"]);
        assert_eq!(
            check("[features]\n# Why.\na = []\nb = []\n"),
            ["feature `b` has no comment above it"]
        );
        assert_eq!(check("[features]\n# Why.\n\na = []\n").len(), 1);
        assert!(check("[dependencies]\na = []\n").is_empty());
    }

    #[test]
    fn back_ends_may_share_a_comment() {
        let check = |text: &str| commented_features(&file("Cargo.toml", text));
        assert!(check("[features]\n# Back-ends.\ncuda = []\nmetal = []\n").is_empty());
        assert_eq!(
            check("[features]\n# Back-ends.\ncuda = []\nmetal = []\nserde = []\n# x\n").len(),
            1
        );
    }
}
