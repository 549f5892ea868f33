//! Rules about the graph of all dependencies, as cargo resolves it for this machine.

use anyhow::{Result, bail};

use crate::workspace::{self, cargo};

/// Crates that compile or look for C code.
const C_BUILDERS: [&str; 13] = [
    "autocxx-build",
    "autotools",
    "bindgen",
    "bindgen_cuda",
    "cbindgen",
    "cc",
    "cmake",
    "cxx-build",
    "nasm-rs",
    "openssl-src",
    "pkg-config",
    "system-deps",
    "vcpkg",
];

/// Names that end like bindings to a C library and are none, with the reason.
const PURE_SYS: [(&str, &str); 4] = [
    ("js-sys", "bindings to JavaScript, only on WebAssembly"),
    ("linux-raw-sys", "constants and types of the kernel's interface; links nothing"),
    ("web-sys", "bindings to browsers, only on WebAssembly"),
    ("windows-sys", "declarations of the system's own libraries; links nothing else"),
];

/// A newcomer has Rust and a linker and nothing else: no crate of the default graph, tests included,
/// may need a C compiler or a C library.
pub(super) fn check_default_graph() -> Result<Vec<String>> {
    Ok(c_code(&names(&["--workspace", "--edges", "normal,build,dev"])?))
}

/// Crates that are arithmetic alone without their default features.
pub(crate) const WITHOUT_CANDLE: [&str; 3] = ["dp-core", "hessian-lr", "unlearn"];

/// Without its default features dp-core is the accountant alone, hessian-lr fits, controllers and choices,
/// unlearn metrics and scores.
pub(super) fn check_without_candle() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in WITHOUT_CANDLE {
        let features = ["--no-default-features", "--edges", "normal,build"];
        found.extend(candle(package, &names(&[&["--package", package][..], &features].concat())?));
    }
    Ok(found)
}

/// Names of the packages in `cargo tree` with these arguments, sorted.
fn names(args: &[&str]) -> Result<Vec<String>> {
    let mut command = cargo(["tree", "--locked", "--prefix", "none", "--format", "{p}"]);
    let text = workspace::output(command.args(["--target", &workspace::host()?]).args(args))?;
    let names = parse(&text);
    if names.is_empty() {
        bail!("`{}` printed no package", workspace::display(&command));
    }
    Ok(names)
}

/// Lines such as `cc v1.2.3 (*)`.
fn parse(text: &str) -> Vec<String> {
    let mut names: Vec<String> =
        text.lines().filter_map(|line| Some(line.split_once(" v")?.0.trim().to_string())).collect();
    names.sort();
    names.dedup();
    names
}

fn c_code(names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let pure = PURE_SYS.iter().any(|(pure, _)| pure == name);
        if C_BUILDERS.contains(&name.as_str()) {
            found
                .push(format!("{name}: builds or looks for C code (`cargo tree --invert {name}`)"));
        } else if (name.ends_with("-sys") || name.ends_with("_sys")) && !pure {
            found.push(format!("{name}: binds a C library (`cargo tree --invert {name}`)"));
        }
    }
    found
}

fn candle(of: &str, names: &[String]) -> Vec<String> {
    let candle = names.iter().filter(|name| name.starts_with("candle"));
    candle.map(|name| format!("{of} --no-default-features still needs {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_tree() {
        let text = "dp-core v0.1.0 (x/crates/dp-core)\nserde v1.0.1\nserde v1.0.1 (*)\n\n[dev-dependencies]\n";
        assert_eq!(parse(text), ["dp-core", "serde"]);
    }

    #[test]
    fn c_code_is_found() {
        let found =
            c_code(&parse("cc v1.0.0\nonig_sys v69.0.0\nopenblas-sys v1.0.0\nlibc v0.2.0\n"));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn declarations_without_c_code_pass() {
        assert!(
            c_code(&parse("linux-raw-sys v0.1.0\nwindows-sys v0.1.0\nsys-info v1.0.0\n"))
                .is_empty()
        );
    }

    #[test]
    fn candle_is_found() {
        assert_eq!(candle("a", &parse("libm v0.2.0\ncandle-core v0.11.1\n")).len(), 1);
        assert!(candle("a", &parse("libm v0.2.0\n")).is_empty());
    }
}
