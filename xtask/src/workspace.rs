//! Where things are, which files the repository tracks, and how cargo is called.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the workspace: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    // Set by cargo at run time, so a moved checkout with an old build finds itself.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The cargo that started us, in the root folder.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// The command as one would type it; for messages.
pub(crate) fn display(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str()).to_string_lossy();
    let args = command.get_args().map(|arg| match arg.to_string_lossy() {
        arg if arg.contains(' ') => format!("'{arg}'"),
        arg => arg.into_owned(),
    });
    std::iter::once(program.into_owned()).chain(args).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end with the terminal as its output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start `{}`", display(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", display(command));
    }
    Ok(())
}

/// Runs a command and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("`{}` failed ({})\n{}", display(command), out.status, stderr.trim_end());
    }
    String::from_utf8(out.stdout)
        .with_context(|| format!("`{}` did not print UTF-8", display(command)))
}

/// Prints a long text. A reader that stops early, such as `head`, is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot print"),
    }
}

/// The triple of this machine, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output(Command::new(rustc).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_string())
}

/// `cargo metadata` of our own packages only: needs neither network nor other packages.
pub(crate) fn own_metadata() -> Result<Value> {
    let text = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("`cargo metadata` did not print JSON")
}

/// Tracked files relative to the root with `/` between folders, sorted. Outside a git checkout: every
/// file but those of `target` and hidden folders.
pub(crate) fn tracked_files() -> Result<Vec<String>> {
    let root = root();
    let mut files = match output(Command::new("git").current_dir(&root).args(["ls-files", "-z"])) {
        Ok(text) if !text.is_empty() => {
            text.split_terminator('\0').map(str::to_string).collect::<Vec<_>>()
        }
        _ => files_below(&root)?,
    };
    files.retain(|file| root.join(file).is_file()); // a deleted file stays tracked until the commit
    files.sort();
    Ok(files)
}

/// All files below a folder, relative to it, sorted; skips `target` and hidden folders.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, prefix: &str, out: &mut Vec<String>) -> Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if !entry.file_type()?.is_dir() {
                out.push(path);
            } else if name != "target" && (!name.starts_with('.') || name == ".ci") {
                walk(&entry.path(), &format!("{path}/"), out)?;
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(folder, "", &mut files)?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn the_tracked_files_include_this_one() {
        assert!(tracked_files().unwrap().contains(&"xtask/src/workspace.rs".to_string()));
    }

    #[test]
    fn a_command_that_fails_is_an_error_that_names_it() {
        let error = output(&mut cargo(["no-such-subcommand"])).unwrap_err().to_string();
        assert!(error.contains("no-such-subcommand"), "{error}");
    }
}
